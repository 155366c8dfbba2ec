"""`sluice release propose | run | show`: from a wish to a verdict. Review, the way out and studies stand in files beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands import release_out, release_review, release_studies
from app.commands.release_common import ReleaseArgument, present
from app.console import AsOption, JsonOption, WorkspaceOption, examples, lines_of, progress, show
from release.records import Purpose

app = typer.Typer(
    help="Propose, run, show, review and export releases.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

PANEL = "From a wish to a verdict"


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "sluice release propose claims --epsilon 1 --policy partner-healthcare"
        " --partner clinic-b --target readmitted",
        "sluice release propose loans --generator mst --epsilon 4 --policy partner-finance --partner bank-b"
        " --purpose testing --rows 5000 --json",
        "sluice release propose claims --epsilon 1 --policy internal-dev --partner lab --target readmitted"
        ' --slices "poor health=0.3"',
    ),
)
def propose(
    dataset: Annotated[str, typer.Argument(help="From which dataset.")],
    epsilon: Annotated[float, typer.Option("--epsilon", help="ε of one run.")],
    policy: Annotated[str, typer.Option("--policy", help="Which tier judges it: sluice policy list.")],
    partner: Annotated[str, typer.Option("--partner", help="Who is to receive it.")],
    generator: Annotated[str, typer.Option("--generator", help="sluice generator list.")] = "auto",
    delta: Annotated[
        float | None, typer.Option("--delta", help="δ of one run. Default: the largest the schema allows.")
    ] = None,
    purpose: Annotated[
        Purpose, typer.Option("--purpose", help="What the partner wants it for.")
    ] = Purpose.ANALYSIS,
    target: Annotated[
        str | None, typer.Option("--target", help="The column the partner will predict.")
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option("--feature", help="From these columns; repeatable. Default: all others."),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows", help="Rows to sample. Default: the population's public size, at most 100,000."
        ),
    ] = None,
    slices: Annotated[
        str,
        typer.Option(
            "--slices",
            metavar="NAME=SHARE,…",
            help="Shares of the synthetic rows that these slices are to have. A wish, never a share measured on the real table.",
        ),
    ] = "",
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="NAME=VALUE", help="An option of the generator, as JSON; repeatable."
        ),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", help="YAML file of answers for the partner's card: `question: answer`."),
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option("--answer", metavar="QUESTION=ANSWER", help="One more answer; repeatable."),
    ] = None,
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for a release: the plan and its cost, before any row is read. Nothing is charged yet."""
    from app.arguments import answers_of, shares_of, values
    from app.proposing import Wish
    from app.proposing import propose as ask
    from app.rendering import cost_lines, events_table
    from app.workspace import open_workspace
    from release.canonical import to_json
    from release.data.mix import shares_in_words

    place = open_workspace(workspace)
    wish = Wish(
        dataset=dataset,
        generator=generator,
        epsilon=epsilon,
        delta=delta,
        policy=policy,
        partner=partner,
        purpose=purpose,
        target=target,
        features=tuple(feature or ()),
        rows=rows,
        options=values("--option", option),
        answers=answers_of(answers, answer),
        weights=shares_of("--slices", slices),
    )
    proposal = ask(place, wish, by=place.person(as_name))
    request = proposal.request

    def render() -> Any:
        from rich.console import Group

        lines: list[tuple[str, object]] = [
            ("release", request.release),
            ("generator", request.generator),
            *cost_lines(proposal.cost),
        ]
        if proposal.share is not None and proposal.left is not None:
            lines.append(
                ("lifetime cap", f"one run takes {proposal.share:.1%} of it; {proposal.left:.1%} is left now")
            )
        lines += [
            ("policy", request.policy),
            ("for", f"{request.partner}, {request.purpose.value}"),
            ("rows", f"{request.rows:,}"),
            *([("mix", shares_in_words(request.weights))] if request.weights else []),
            *(("the card lacks", text) for text in proposal.unanswered),
            ("next", f"sluice release run {request.release}"),
        ]
        parts = [lines_of(lines)]
        if proposal.cost is not None:
            parts.append(events_table(proposal.cost))
        return Group(*parts)

    show(
        {
            "release": request.release,
            "request": to_json(request),
            "plan": proposal.description,
            "cost": to_json(proposal.cost) if proposal.cost else None,
            "share_of_cap": proposal.share,
            "left_of_cap": proposal.left,
            "unanswered": list(proposal.unanswered),
        },
        render,
        as_json=as_json,
    )


@app.command(
    rich_help_panel=PANEL,
    epilog=examples("sluice release run claims-1", "sluice release run claims-1 --new-turn --json"),
)
def run(
    release: ReleaseArgument,
    new_turn: Annotated[
        bool, typer.Option("--new-turn", help="Make a further candidate: charged again in full.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Charge, split, generate, attack, measure, judge; goes on where an earlier run was stopped.

    Exit code: 0 all rules met (it is in review), 1 broken, 3 unproven or invalid.
    """
    from app.pipeline import run as run_release
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    with progress(f"run {release}") as bar:
        view = run_release(
            place, ReleaseId(release), by=place.person(as_name), new_turn=new_turn, progress=bar
        )
    present(view, as_json=as_json, detail=1)
    _exit_by(view)


@app.command(
    name="show",
    rich_help_panel=PANEL,
    epilog=examples(
        "sluice release show",
        "sluice release show claims-1",
        "sluice release show claims-1 --evidence",
        "sluice release show claims-1 --json",
    ),
)
def show_command(
    release: Annotated[
        str | None, typer.Argument(metavar="ID", help="The release; all where left out.")
    ] = None,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Also every figure and every control.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evidence and verdict: each rule with value, interval, limit, ruling; votes, approval, bundle."""
    from app.views import listing, listing_json
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    if release is None:
        views = place.registry.all()
        show(listing_json(views), lambda: listing(views), as_json=as_json)
        return
    present(place.registry.show(ReleaseId(release)), as_json=as_json, detail=2 if evidence else 1)


def _exit_by(view: Any) -> None:
    from app.rendering import EXIT_CODE

    if view.verdict is not None and (code := EXIT_CODE[view.verdict.ruling]):
        raise typer.Exit(code)


for part in (release_review, release_out, release_studies):
    app.add_typer(part.app)
