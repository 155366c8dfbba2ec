"""SDV `Metadata` ↔ `Schema`, for people who come from there and for partners who go there.

Rules: one table. What SDV does not know (population, unit's row bound, provenance, roles, missing codes) gets the draft's
cautious placeholders on the way in and is lost on the way out. Ranges and category lists in SDV metadata are detected from
data unless somebody typed them in, and nothing tells which: they arrive as `observed`, so no private plan accepts
them unconfirmed. SDV is under the Business Source Licence; it is imported here, when called, and nowhere else in
`release` but in the quality report.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from release.data.draft import CAUTIOUS_POPULATION, PLACEHOLDER
from release.data.schema import Categories, ColumnKind, ColumnSpec, Range, Schema
from release.data.surrogates import surrogate_columns
from release.errors import SchemaError

if TYPE_CHECKING:
    from sdv.metadata import Metadata

_VERSION = "V2"


def sdv_metadata(schema: Schema) -> Metadata:
    """SDV's description of a released table: the released columns, and surrogate keys where the schema asks for them.

    Raises SchemaError where SDV refuses it.
    """
    from sdv.metadata import Metadata
    from sdv.metadata.errors import InvalidMetadataError

    try:
        metadata = Metadata.load_from_dict(sdv_dict(schema))
        metadata.validate()
    except (InvalidMetadataError, ValueError) as error:
        raise SchemaError(
            f"SDV refuses this schema's metadata ({type(error).__name__})",
            mend="simplify the schema's domains",
        ) from error
    return metadata


def sdv_dict(schema: Schema) -> dict[str, Any]:
    """The same as plain JSON values, without importing SDV (specification V2)."""
    keys = {spec.name for spec in surrogate_columns(schema)}
    released = {spec.name for spec in schema.released}
    columns = {
        spec.name: {"sdtype": "id"} if spec.name in keys else _sdv_column(spec)
        for spec in schema.columns
        if spec.name in keys or spec.name in released
    }
    table: dict[str, Any] = {"columns": columns}
    if keys:
        table["primary_key"] = next(name for name in columns if name in keys)
    return {"tables": {schema.name: table}, "relationships": [], "METADATA_SPEC_VERSION": _VERSION}


def _sdv_column(spec: ColumnSpec) -> dict[str, Any]:
    column: dict[str, Any] = {"range_is_nullable": any(code.code == "" for code in spec.missing)}
    if spec.kind.coded:
        # A table's frame holds text in a boolean column too, and written missing codes are values like others to SDV.
        column["sdtype"] = "ordinal" if spec.kind is ColumnKind.ORDINAL else "categorical"
        if spec.levels is not None:
            column["range_values"] = [*spec.levels, *(code.code for code in spec.missing if code.code)]
        return column
    if spec.kind in {ColumnKind.DATE, ColumnKind.DATETIME}:
        form = "%Y-%m-%d" if spec.kind is ColumnKind.DATE else "%Y-%m-%dT%H:%M:%S"
        column |= {"sdtype": "datetime", "datetime_format": form}
        if spec.bounds is not None:
            moments = [dt.datetime.fromtimestamp(0, dt.UTC) + _span(spec, bound) for bound in spec.bounds]
            column |= {"range_min": moments[0].strftime(form), "range_max": moments[1].strftime(form)}
        return column
    column["sdtype"] = "numerical"
    if spec.bounds is not None:
        whole = spec.kind is ColumnKind.INTEGER
        low, high = spec.bounds
        column |= {"range_min": int(low) if whole else low, "range_max": int(high) if whole else high}
    if spec.kind is ColumnKind.INTEGER:
        column["decimal_places"] = 0
    elif isinstance(spec.domain, Range) and spec.domain.decimals is not None:
        column["decimal_places"] = spec.domain.decimals
    return column


def _span(spec: ColumnSpec, bound: float) -> dt.timedelta:
    return dt.timedelta(days=bound) if spec.kind is ColumnKind.DATE else dt.timedelta(seconds=bound)


def schema_from_sdv(source: Metadata | Path | Mapping[str, Any], table: str | None = None) -> Schema:
    """A schema from SDV metadata (an object, its JSON file, or its dict), to be completed like a draft.

    Args:
        source: single-table or multi-table metadata of any version that the installed SDV reads.
        table: which table; may be None where there is one.

    Raises:
        SchemaError: not SDV metadata, no such table, or a column that a schema cannot describe.
    """
    tables = _tables(source)
    if table is None and len(tables) == 1:
        (table,) = tables
    if table is None or table not in tables:
        raise SchemaError(
            f"the metadata has the tables {', '.join(sorted(tables))}",
            mend="name one of them (one release is one table)",
        )
    raw = tables[table]
    columns = [_column(name, column) for name, column in raw["columns"].items()]
    unit = raw.get("sequence_key")
    data = {
        "name": "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in table).strip("-_")[
            :64
        ]
        or "table",
        "population": PLACEHOLDER,
        "population_size": CAUTIOUS_POPULATION,
        # A sequence is one unit's rows. How many it may have SDV does not say: one, until somebody allows more.
        "unit": {"name": unit, "column": unit.strip(), "max_rows": 1} if isinstance(unit, str) else {},
        "provenance": {"kind": "collected", "source": PLACEHOLDER, "licence": PLACEHOLDER},
        "columns": columns,
    }
    try:
        return Schema.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise SchemaError(
            f"the metadata does not make a schema: {detail['msg'].removeprefix('Value error, ')}",
            mend="correct the metadata, or draft a schema from the file",
        ) from error


def _tables(source: Metadata | Path | Mapping[str, Any]) -> dict[str, Any]:
    """Tables by name, checked and brought up to date by SDV itself."""
    import warnings

    from sdv.metadata import Metadata
    from sdv.metadata.errors import InvalidMetadataError

    file = source.name if isinstance(source, Path) else ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SDV announces every key that it upgrades
            if isinstance(source, Path):
                source = json.loads(source.read_text("utf-8"))
            metadata = Metadata.load_from_dict(dict(source)) if isinstance(source, Mapping) else source
            metadata.validate()
            tables: dict[str, Any] = metadata.to_dict()["tables"]
    except (InvalidMetadataError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SchemaError(
            f"is not SDV metadata ({type(error).__name__})",
            mend="save it with Metadata.save_to_json",
            file=file,
        ) from error
    if not tables:
        raise SchemaError("the metadata has no tables", mend="add one", file=file)
    return tables


def _column(name: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    sdtype = raw["sdtype"]
    column: dict[str, Any] = {"name": name.strip()}
    if raw.get("range_is_nullable", False):
        column["missing"] = [{"code": ""}]
    if sdtype in {"categorical", "ordinal"}:
        column["kind"] = sdtype
        values = [str(value) for value in raw.get("range_values") or ()]
        return column | _domain(Categories(values=tuple(values)) if values else None)
    if sdtype == "boolean":
        # The two values follow from the type, not from the data.
        domain = {"domain": {"values": ["False", "True"]}, "domain_source": "codebook"}
        return column | {"kind": "boolean"} | domain
    if sdtype == "numerical":
        column["kind"] = "integer" if raw.get("decimal_places") == 0 else "real"
        low, high, places = raw.get("range_min"), raw.get("range_max"), raw.get("decimal_places")
        if low is None or high is None:
            return column
        return column | _domain(Range(min=float(low), max=float(high), decimals=places or None))
    if sdtype == "datetime":
        return column | _moments(raw)
    # id, pii and everything that SDV would invent with a faker: never released.
    return {"name": column["name"], "kind": "identifier"}


def _moments(raw: Mapping[str, Any]) -> dict[str, Any]:
    form = raw.get("datetime_format")
    timed = form is None or any(part in form for part in ("%H", "%I", "%M", "%S", "%p", "%f", "%X", "%c"))
    column: dict[str, Any] = {"kind": "datetime" if timed else "date"}
    if form is not None and not form.startswith("%Y-%m-%d"):
        column["format"] = form
    low, high = raw.get("range_min"), raw.get("range_max")
    if form is None or low is None or high is None:
        return column
    bounds = [dt.datetime.strptime(str(bound), form).replace(tzinfo=dt.UTC) for bound in (low, high)]
    written = [b.replace(tzinfo=None).isoformat() if timed else b.date().isoformat() for b in bounds]
    return column | _domain(Range(min=written[0], max=written[1]))


def _domain(domain: Categories | Range | None) -> dict[str, Any]:
    if domain is None:
        return {}
    return {"domain": domain.model_dump(mode="json", exclude_defaults=True), "domain_source": "observed"}
