"""`sluice schema draft|check|json-schema`: the public description of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.console import JsonOption, examples, lines_of, note, show

app = typer.Typer(
    help="Draft and check schema.yaml, the public description of a table.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

OutOption = Annotated[
    Path | None, typer.Option("--out", help="Write here instead of stdout; must not exist.")
]


@app.command(
    epilog=examples(
        "sluice schema draft claims.csv > schema.yaml", "sluice schema draft claims.parquet --out schema.yaml"
    )
)
def draft(
    file: Annotated[Path, typer.Argument(help="CSV (also .gz), Parquet or Arrow file.")],
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a file once and write a schema to edit.

    Each domain that was read off the data is marked observed: confirm it from a public source, or have it learnt
    under the budget. The draft quotes values of the data: keep it inside until it is edited.
    """
    from release.data.draft import draft_schema

    _write(draft_schema(file), out, as_json=as_json)
    if out is not None:
        note(f"confirm every domain marked observed, then: sluice schema check {out}")


@app.command(
    epilog=examples(
        "sluice schema check schema.yaml", "sluice schema check schema.yaml --file claims.csv --json"
    )
)
def check(
    schema: Annotated[Path, typer.Argument(help="The schema file.")],
    file: Annotated[Path | None, typer.Option("--file", help="Also read this file against it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a schema is usable, whether a private plan may use it, and how a file fits it."""
    from release.data.contradictions import require_consistent
    from release.data.draft import placeholders
    from release.data.schema import DomainSource, require_plannable
    from release.data.schema_file import load_schema
    from release.errors import PlanError

    loaded = load_schema(schema)
    require_consistent(loaded)
    reasons = [f"{key} still as the draft left it" for key in placeholders(loaded)]
    try:
        require_plannable(loaded, loaded.largest_delta)
    except PlanError as error:
        reasons.append(str(error))
    refusal = f"refuse it: {'; '.join(reasons)}" if reasons else ""
    observed = [c.name for c in loaded.released if c.domain_source is DomainSource.OBSERVED]
    learned = [c.name for c in loaded.released if c.domain_source is DomainSource.LEARNED]
    dropped = [c.name for c in loaded.columns if c not in loaded.released]
    data = {
        "name": loaded.name,
        "columns": len(loaded.columns),
        "released": len(loaded.released),
        "dropped": dropped,
        "observed": observed,
        "learned": learned,
        "plannable": not refusal,
        "refusal": refusal or None,
        "largest_delta": loaded.largest_delta,
        "digest": loaded.digest,
    }
    pairs: list[tuple[str, object]] = [
        ("schema", f"{loaded.name}: {len(loaded.columns)} columns, {len(loaded.released)} released"),
        ("unit", f"{loaded.unit.name}, at most {loaded.unit.max_rows} rows"),
        ("never released", ", ".join(dropped) or "none"),
        ("learnt under budget", ", ".join(learned) or "none"),
        ("observed", ", ".join(observed) or "none"),
        ("private plans", refusal or "may use it"),
        ("δ at most", f"{loaded.largest_delta:g}"),
    ]
    if file is not None:
        from release.canonical import to_json
        from release.data.sources import read_table

        outcome = read_table(file, loaded)
        data["file"] = {
            "rows": len(outcome.table),
            "units": outcome.table.n_units,
            "report": to_json(outcome.report),
        }
        pairs.append(("file", f"{len(outcome.table):,} rows, {outcome.table.n_units:,} units fit it"))
    show(data, lambda: lines_of(pairs), as_json=as_json)


@app.command(name="json-schema", epilog=examples("sluice schema json-schema > sluicegate-schema.json"))
def json_schema_command(as_json: JsonOption = True) -> None:  # noqa: ARG001 - always JSON; --json is accepted
    """Print the JSON Schema of schema.yaml, for editors and validators."""
    from release.data.schema_file import json_schema

    show(json_schema(), lambda: "", as_json=True)


@app.command(
    name="from-sdv",
    epilog=examples(
        "sluice schema from-sdv metadata.json --out schema.yaml", "sluice schema from-sdv m.json --json"
    ),
)
def from_sdv(
    metadata: Annotated[Path, typer.Argument(help="SDV metadata, saved as JSON.")],
    table: Annotated[
        str | None, typer.Option("--table", help="Which table, where there are several.")
    ] = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a schema to edit from SDV metadata. Its domains are marked observed: SDV reads them off the data."""
    from release.data.schema_file import dump_schema
    from release.data.sdv_metadata import schema_from_sdv

    _write(dump_schema(schema_from_sdv(metadata, table)), out, as_json=as_json)


@app.command(
    name="to-sdv",
    epilog=examples(
        "sluice schema to-sdv schema.yaml --out metadata.json", "sluice schema to-sdv schema.yaml --json"
    ),
)
def to_sdv(
    schema: Annotated[Path, typer.Argument(help="The schema file.")],
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write SDV's description of a released table of this schema."""
    import json

    from release.data.schema_file import load_schema
    from release.data.sdv_metadata import sdv_dict

    _write(json.dumps(sdv_dict(load_schema(schema)), indent=2) + "\n", out, as_json=as_json)


def _write(text: str, out: Path | None, *, as_json: bool) -> None:
    """To a new file, or to stdout."""
    from release.errors import InputError

    if out is not None:
        try:
            with out.open("x", encoding="utf-8") as target:
                target.write(text)
        except FileExistsError as error:
            raise InputError(
                f"{out.name} exists already", mend="choose another name, or move it away"
            ) from error
        note(f"wrote {out}")
    if as_json:
        show({"schema": text, "written_to": str(out) if out else None}, lambda: "", as_json=True)
    elif out is None:
        typer.echo(text, nl=False)
