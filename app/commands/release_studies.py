"""`sluice release sweep | collapse | report`: what a candidate is worth to a training team. They change no release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.commands.release_common import ReleaseArgument
from app.console import AsOption, JsonOption, WorkspaceOption, examples, lines_of, progress, show, table_of
from release.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from release.records import ProbeReport

app = typer.Typer()
PANEL = "Studies"


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "sluice release sweep claims-1 --target readmitted",
        'sluice release sweep claims-1 --ratios 0,50,100 --add 100,200 --anchor 300 --slices "poor health=2,hispanic"',
        "sluice release sweep claims-1 --revalidate --json",
    ),
)
def sweep(
    release: ReleaseArgument,
    target: Annotated[
        str | None, typer.Option("--target", help="The column to predict. Default: the request's.")
    ] = None,
    ratios: Annotated[
        str, typer.Option("--ratios", metavar="PERCENTS", help="Shares of synthetic rows; 0 is real only.")
    ] = "0,25,50,75,100",
    add: Annotated[
        str,
        typer.Option(
            "--add", metavar="PERCENTS", help="Synthetic rows added to a scarce real anchor, in % of it."
        ),
    ] = "",
    anchor: Annotated[
        int | None, typer.Option("--anchor", help="Real units in the scarce anchor. Default: 500.")
    ] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="Fits of each point. Default: 5.")] = None,
    slices: Annotated[
        str,
        typer.Option(
            "--slices",
            metavar="NAME[=WEIGHT],…",
            help="Weigh the recommended cap by these slices. All declared slices are shown.",
        ),
    ] = "",
    revalidate: Annotated[
        bool, typer.Option("--revalidate", help="Only check that the sweep on file is of this very mix.")
    ] = False,
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """How much of a training set may be synthetic before models get worse? The whole sweep stays on file, inside.

    Exit code: 0 done or unchanged, 1 --revalidate found another mix, 3 the task cannot be measured.
    """
    from app import studies
    from app.workspace import open_workspace
    from release.canonical import to_json
    from release.records import ReleaseId

    place = open_workspace(workspace)
    if revalidate:
        found = studies.revalidate(place, ReleaseId(release))
    else:
        wish = studies.SweepWish(
            target=target,
            ratios=percents("--ratios", ratios),
            additions=percents("--add", add),
            anchor=anchor,
            seeds=seeds,
            weights=weights(slices),
        )
        with progress(f"sweep {release}") as bar:
            found = studies.sweep(place, ReleaseId(release), wish, by=place.person(as_name), progress=bar)

    def render() -> Any:
        from rich.console import Group

        from release.records import Measured

        def cells(figure: object) -> list[str]:
            if isinstance(figure, Measured):
                return [f"{figure.estimate:.3f}", f"{figure.low:.3f} … {figure.high:.3f}"]
            return ["not measured", ""]

        rows = [
            [
                point.mixing.value,
                f"{point.ratio:.0%}",
                point.subject or "whole table",
                *cells(point.score),
                *cells(point.gain),
            ]
            for point in found.points
        ]
        header = [
            "synthetic rows",
            "share",
            "of",
            found.score_name,
            "95 % ends",
            "against real only",
            "95 % ends",
        ]
        peak = f"{found.peak.estimate:.0%} ({found.peak.low:.0%} to {found.peak.high:.0%})"
        return Group(
            table_of(header, rows),
            lines_of(
                [
                    ("finding", found.finding),
                    ("best share", peak),
                    (
                        "recommended cap",
                        (
                            f"{found.cap:.0%} (no share up to {found.cap_at_most:.0%} is shown to be worse); the partner's "
                            "card says it rounded down to a quarter, as outside ε"
                        ),
                    ),
                    ("mix", found.mix.digest),
                    ("checked", "unchanged since it was measured" if revalidate else "on file"),
                ]
            ),
        )

    show({"release": release, "mix": found.mix.digest, "sweep": to_json(found)}, render, as_json=as_json)


@app.command(
    rich_help_panel=PANEL, epilog=examples("sluice release collapse claims-1 --generations 5 --json")
)
def collapse(
    release: ReleaseArgument,
    generations: Annotated[
        int, typer.Option("--generations", help="How many, with the candidate as the first.")
    ] = 5,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the generator on its own output, again and again: how fast do tails and diversity go?"""
    from app import studies
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    with progress(f"collapse {release}") as bar:
        found = studies.collapse(place, ReleaseId(release), generations, progress=bar)
    _figures(release, found, as_json=as_json)


@app.command(
    rich_help_panel=PANEL,
    epilog=examples("sluice release report claims-1", "sluice release report claims-1 --json"),
)
def report(release: ReleaseArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Write the quality report as a page: one for inside, and one that holds no figure of the real data.

    Both lie in the workspace's reports folder; only sluice release export takes anything out.
    """
    from app import studies
    from app.workspace import open_workspace
    from release.records import ReleaseId

    paths = studies.write_reports(open_workspace(workspace), ReleaseId(release))
    show(
        {"release": release, "pages": [str(path) for path in paths]},
        lambda: lines_of([("page", path) for path in paths]),
        as_json=as_json,
    )


@app.command(
    rich_help_panel=PANEL,
    epilog=examples('sluice release rebalance claims-1 --slices "poor health=0.3" --json'),
)
def rebalance(
    release: ReleaseArgument,
    slices: Annotated[
        str,
        typer.Option(
            "--slices", metavar="NAME=SHARE,…", help="Shares of the mix to be sampled inside these slices."
        ),
    ],
    rows: Annotated[
        int | None, typer.Option("--rows", help="Rows of the mix. Default: the candidate's.")
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """What would more rows of rare slices do to models? Before and after, on the whole and per slice; nothing is charged."""
    from app import studies
    from app.arguments import shares_of
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    with progress(f"rebalance {release}") as bar:
        found = studies.rebalance(
            place, ReleaseId(release), shares_of("--slices", slices), rows=rows, progress=bar
        )
    _figures(release, found, as_json=as_json)


@app.command(
    rich_help_panel=PANEL,
    epilog=examples(
        "sluice release compare claims-1 --with sdv-gaussian-copula --json",
        "sluice release compare claims-1 --with sdv-ctgan --option epochs=100",
    ),
)
def compare(
    release: ReleaseArgument,
    generator: Annotated[str, typer.Option("--with", help="A non-private baseline: sluice generator list.")],
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="NAME=VALUE", help="An option of the baseline, as JSON; repeatable."
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """The price of privacy: the release's headline figures beside those of a non-private baseline on the same rows.

    Charges nothing and takes nothing out: the baseline's table is measured and forgotten. Also written as a page, for inside.
    """
    from app import studies
    from app.arguments import values
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    with progress(f"compare {release}") as bar:
        found = studies.compare(
            place, ReleaseId(release), generator, options=values("--option", option), progress=bar
        )
    _figures(release, found.report, as_json=as_json, page=found.page)


@app.command(rich_help_panel=PANEL, epilog=examples("sluice release draws claims-1 --draws 10 --json"))
def draws(
    release: ReleaseArgument,
    count: Annotated[
        int, typer.Option("--draws", help="Synthetic tables drawn from the release's model.")
    ] = 10,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Are intervals computed from one synthetic table honest? Coverage of regression coefficients over several draws."""
    from app import studies
    from app.workspace import open_workspace
    from release.records import ReleaseId

    place = open_workspace(workspace)
    with progress(f"draws {release}") as bar:
        found = studies.draws(place, ReleaseId(release), count, progress=bar)
    _figures(release, found, as_json=as_json)


def _figures(release: str, found: ProbeReport, *, as_json: bool, page: Path | None = None) -> None:
    from rich.console import Group

    from release.canonical import to_json
    from release.records import Measured

    def render() -> Any:
        rows = []
        for item in found.evidence:
            figure = item.outcome
            ends = f"{figure.low:.3f} … {figure.high:.3f}" if isinstance(figure, Measured) else ""
            value = (
                f"{figure.estimate:.3f}" if isinstance(figure, Measured) else f"not measured: {figure.reason}"
            )
            rows.append([item.metric.replace("_", " "), item.subject or "whole", value, ends, item.note])
        table = table_of(["figure", "of", "value", "95 % ends", "note"], rows)
        lines = [("in short", exhibit.takeaway) for exhibit in found.exhibits]
        return Group(table, lines_of([*lines, *([("page", str(page))] if page is not None else [])]))

    show(
        {
            "release": release,
            "evidence": [to_json(item) for item in found.evidence],
            **({"page": str(page)} if page is not None else {}),
        },
        render,
        as_json=as_json,
    )


def percents(option: str, text: str) -> tuple[float, ...]:
    """Shares of "0,25,100". Raises InputError."""
    try:
        return tuple(float(part) / 100 for part in text.split(",") if part.strip())
    except ValueError as error:
        raise InputError(
            f"{option} {text!r} is no list of percents", mend=f"write {option} 0,25,50,75,100"
        ) from error


def weights(text: str) -> dict[str, float]:
    """Weights of "poor health=2,hispanic" (1 where none is given). Raises InputError."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = part.partition("=")
        if not name.strip():
            continue
        try:
            found[name.strip()] = float(weight) if weight else 1.0
        except ValueError as error:
            raise InputError(
                f"--slices: {weight!r} is no weight", mend='write --slices "poor health=2,hispanic"'
            ) from error
    return found
