"""`sluice dataset add|show`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from app.console import AsOption, JsonOption, WorkspaceOption, examples, lines_of, progress, show, table_of

app = typer.Typer(
    help="Register real tables, and show what is registered.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.command(
    epilog=examples(
        "sluice dataset add claims.csv --schema schema.yaml",
        "sluice dataset add claims.parquet --schema schema.yaml --json",
    )
)
def add(
    file: Annotated[Path, typer.Argument(help="CSV (also .gz), Parquet or Arrow file.")],
    schema: Annotated[Path, typer.Option("--schema", help="Its schema.")],
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a real table by its schema and keep it in the workspace; its path is not kept.

    What was cut, moved to a bound or found outside a domain is counted and shown. Private: the counts are of real rows.
    """
    from app.intake import add_dataset
    from app.workspace import open_workspace
    from release.canonical import to_json

    place = open_workspace(workspace)
    with progress("dataset add") as bar:
        dataset, report = add_dataset(place, file, schema, by=place.person(as_name), progress=bar)
    known = dataset.population in place.registry.ledger.populations()
    show(
        {
            "dataset": dataset.id,
            "population": dataset.population,
            "unit": dataset.unit,
            "schema_digest": dataset.schema_digest,
            "has_cap": known,
            "report": to_json(report),
        },
        lambda: lines_of(
            [
                (
                    "dataset",
                    f"{dataset.id} ({report.format}{', ' + report.encoding if report.encoding else ''})",
                ),
                ("rows", f"{report.rows:,} of {report.rows_read:,}, {report.units:,} units"),
                ("population", dataset.population),
                *(
                    (("cut", f"{report.units_cut:,} units had more than {dataset.max_rows} rows"),)
                    if report.units_cut
                    else ()
                ),
                *((("left out", ", ".join(report.dropped)),) if report.dropped else ()),
                *(("note", text) for text in report.notes),
                (
                    "next",
                    f"sluice release propose {dataset.id} …"
                    if known
                    else f"sluice budget set {dataset.population} --epsilon … (the budget owner), then propose",
                ),
            ]
        ),
        as_json=as_json,
    )


@app.command(name="show", epilog=examples("sluice dataset show", "sluice dataset show claims --json"))
def show_command(
    name: Annotated[str | None, typer.Argument(help="A dataset; all where left out.")] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """What is registered; one dataset's columns, and what reading it found."""
    from app.intake import dataset_of
    from app.workspace import open_workspace
    from release.canonical import to_json

    place = open_workspace(workspace)
    if name is None:
        found = place.registry.datasets.all()
        show(
            [{k: v for k, v in to_json(d).items() if k not in {"schema", "report"}} for d in found],
            lambda: table_of(
                ("dataset", "title", "population", "unit", "rows are", "added by", "on"),
                [
                    (d.id, d.title, d.population, d.unit, d.kind.value, d.added_by, f"{d.added_at:%Y-%m-%d}")
                    for d in found
                ],
            ),
            as_json=as_json,
        )
        return
    dataset = dataset_of(place, name)
    columns = dataset.schema["columns"]

    def render() -> Any:
        from rich.console import Group

        return Group(
            lines_of(
                [
                    ("dataset", f"{dataset.id}: {dataset.title}"),
                    ("population", dataset.population),
                    ("unit", f"{dataset.unit}, at most {dataset.max_rows} rows"),
                    ("rows", f"{dataset.report['rows']:,} (private)"),
                    ("schema digest", dataset.schema_digest),
                ]
            ),
            table_of(
                ("column", "kind", "roles", "domain from"),
                [(c["name"], c["kind"], ", ".join(c["roles"]), c["domain_source"]) for c in columns],
            ),
        )

    show(to_json(dataset), render, as_json=as_json)
