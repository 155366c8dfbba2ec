"""`sluice release …`: from a proposal to a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands import release_studies
from app.console import AsOption, JsonOption, WorkspaceOption, examples, lines_of, note, progress, show
from release.records import Decision, Purpose

app = typer.Typer(
    help="Propose, run, show, review and export releases.", no_args_is_help=True, rich_markup_mode="rich"
)

release_studies.register(app)

ReleaseArgument = Annotated[str, typer.Argument(metavar="ID", help="The release, such as claims-1.")]
SeenOption = Annotated[
    str,
    typer.Option(
        "--seen", metavar="DIGEST", help="What `show` says you looked at; refused if that has changed."
    ),
]
CommentOption = Annotated[str, typer.Option("--comment", "-m", help="Why; stays in the workspace.")]


@app.command(
    epilog=examples(
        "sluice release propose claims --epsilon 1 --policy partner-healthcare"
        " --partner clinic-b --target readmitted",
        "sluice release propose loans --generator mst --epsilon 4 --policy partner-finance --partner bank-b"
        " --purpose testing --rows 5000 --json",
        "sluice release propose claims --epsilon 1 --policy internal-dev --partner lab --target readmitted"
        ' --slices "poor health=0.3"',
    )
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


@app.command(epilog=examples("sluice release run claims-1", "sluice release run claims-1 --new-turn --json"))
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
    _present(view, as_json=as_json, detail=1)
    _exit_by(view)


@app.command(
    name="show",
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
    _present(place.registry.show(ReleaseId(release)), as_json=as_json, detail=2 if evidence else 1)


@app.command(
    epilog=examples(
        "sluice release approve claims-1",
        'sluice release approve claims-1 --seen 3fa9c1d27b04 -m "all met" --json',
    )
)
def approve(
    release: ReleaseArgument,
    comment: CommentOption = "",
    seen: SeenOption = "",
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve what is up for review. Binds to this very candidate, evidence and policy; never one's own request."""
    _vote(release, Decision.APPROVE, comment, seen, workspace, as_name, as_json=as_json)


@app.command(epilog=examples('sluice release reject claims-1 -m "too many outliers" --json'))
def reject(
    release: ReleaseArgument,
    comment: CommentOption = "",
    seen: SeenOption = "",
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reject what is up for review, for good."""
    _vote(release, Decision.REJECT, comment, seen, workspace, as_name, as_json=as_json)


@app.command(name="return", epilog=examples('sluice release return claims-1 -m "fewer columns" --json'))
def return_command(
    release: ReleaseArgument,
    comment: CommentOption = "",
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a release back to its requester, who may run a further turn or withdraw it."""
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    place.registry.send_back(ReleaseId(release), comment=comment, by=place.person(as_name))
    _present(place.registry.show(ReleaseId(release)), as_json=as_json)


@app.command(epilog=examples("sluice release withdraw claims-1 --json"))
def withdraw(
    release: ReleaseArgument,
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take one's own request back. What was charged stays charged."""
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    place.registry.withdraw(ReleaseId(release), by=place.person(as_name))
    _present(place.registry.show(ReleaseId(release)), as_json=as_json)


@app.command(
    epilog=examples('sluice release revoke claims-1 -m "a column was wrongly declared public" --json')
)
def revoke(
    release: ReleaseArgument,
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; for the audit log.")],
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a released bundle back, for the record. The partner must be told: a bundle that left cannot be reached."""
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    place.registry.revoke(ReleaseId(release), reason=comment, by=place.person(as_name))
    _present(place.registry.show(ReleaseId(release)), as_json=as_json)


@app.command(epilog=examples("sluice release supersede claims-1 --by claims-2 --json"))
def supersede(
    release: ReleaseArgument,
    successor: Annotated[str, typer.Option("--by", help="The released one that takes its place.")],
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a later release takes this one's place."""
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    place.registry.supersede(ReleaseId(release), successor=ReleaseId(successor), by=place.person(as_name))
    _present(place.registry.show(ReleaseId(release)), as_json=as_json)


@app.command(
    epilog=examples(
        "sluice release export claims-1 --to out/",
        "sluice release export claims-1 --to out/ --csv --tar",
        "sluice release export claims-1 --to out/ --recipient age1… --json",
    )
)
def export(
    release: ReleaseArgument,
    to: Annotated[
        Path, typer.Option("--to", help="The folder to put the bundle into; made if it is not there.")
    ],
    csv: Annotated[
        bool, typer.Option("--csv", help="Write the table as formula-safe CSV, not Parquet.")
    ] = False,
    tar: Annotated[bool, typer.Option("--tar", help="One tar instead of a folder.")] = False,
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient", help="The partner's age public key; the bundle is encrypted. Repeatable."
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check everything anew, judge again, count the votes again, then write the signed bundle.

    Only the synthetic table and its papers leave. The partner checks it with sluice verify and your trust file.
    """
    from app.releasing import export_release
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    place.registry.expire_due()
    with progress(f"export {release}") as bar:
        done = export_release(
            place,
            ReleaseId(release),
            to=to,
            csv=csv,
            packed=tar,
            recipients=tuple(recipient or ()),
            by=place.person(as_name),
            progress=bar,
        )
    show(
        {"release": release, "bundle": str(done.path), "manifest": done.manifest},
        lambda: lines_of(
            [
                ("bundle", done.path),
                ("manifest", done.manifest),
                ("next", f"sluice verify {done.path} --trust TRUST_FILE (sluice release trust writes one)"),
            ]
        ),
        as_json=as_json,
    )


@app.command(
    epilog=examples(
        "sluice release trust clinic-b --to hospital-west.trust.json",
        "sluice release trust clinic-b --to t.json --json",
    )
)
def trust(
    partner: Annotated[str, typer.Argument(help="For bundles to this partner.")],
    to: Annotated[Path, typer.Option("--to", help="The file to write; must not exist.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the trust file that the partner needs once: your name and public key. Hand it over by another way."""
    from app.releasing import write_trust
    from app.workspace import open_workspace

    document = write_trust(open_workspace(workspace), partner, to)
    show(
        {"trust_file": str(to), "issuer": document.issuer, "keys": [key.public for key in document.keys]},
        lambda: lines_of(
            [
                ("trust file", to),
                ("issuer", document.issuer),
                ("for", partner),
                ("key", ", ".join(key.public for key in document.keys)),
            ]
        ),
        as_json=as_json,
    )


def _vote(
    release: str,
    decision: Decision,
    comment: str,
    seen: str,
    workspace: Path | None,
    as_name: str | None,
    *,
    as_json: bool,
) -> None:
    from app.views import seen_digest
    from app.workspace import open_workspace
    from release.errors import TransitionError
    from release.records import ReleaseId

    place = open_workspace(workspace)
    place.registry.expire_due()
    shown = place.registry.show(ReleaseId(release))
    if seen and seen != seen_digest(shown):
        raise TransitionError(
            f"{release} is no longer what {seen} stands for", mend="look at it again with show, then vote"
        )
    state = place.registry.vote(
        ReleaseId(release), decision, comment=comment, by=place.person(as_name), seen=shown.binding
    )
    view = place.registry.show(ReleaseId(release))
    if not as_json:
        standing = view.standing
        if standing is not None and (standing.missing or standing.owner_missing):
            owner = " and the policy owner's" if standing.owner_missing else ""
            note(f"{state.value}: {standing.missing} more approvals are needed{owner}")
    _present(view, as_json=as_json)


def _present(view: Any, *, as_json: bool, detail: int = 0) -> None:
    from app.views import Detail, release_json, release_text

    show(release_json(view), lambda: release_text(view, Detail(detail)), as_json=as_json)


def _exit_by(view: Any) -> None:
    from app.rendering import EXIT_CODE

    if view.verdict is not None and (code := EXIT_CODE[view.verdict.ruling]):
        raise typer.Exit(code)
