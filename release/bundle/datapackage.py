"""`datapackage.json`: the Frictionless Data Package that says what the data file holds.

Rules: from `Public` alone; field types follow the data file as written (a numeric column with a written missing code
is text there). Domains are the declared ones; a learnt domain is not listed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from release.bundle.data_file import DATE_FORMAT, DATETIME_FORMAT, DataFormat, safe_cell
from release.bundle.public import mix_words
from release.data.schema import OUTSIDE_LEVEL, Categories, ColumnKind, ColumnSpec, Range

if TYPE_CHECKING:
    import pandas as pd

    from release.bundle.manifest import Listed
    from release.bundle.public import Public


def datapackage(
    public: Public, frame: pd.DataFrame, path: str, listed: Listed, kind: DataFormat
) -> dict[str, Any]:
    """The descriptor as plain JSON values.

    Args:
        public: see `Public`.
        frame: the data as written, for its types.
        path: the data file's name in the bundle.
        listed: its size and digest.
        kind: how it is written.
    """
    return {
        "$schema": "https://datapackage.org/profiles/1.0/datapackage.json",
        "name": slug(f"{public.schema.name}-{public.release}"),
        "id": f"urn:sluicegate:release:{public.release}",
        "title": public.title,
        "description": (
            "Synthetic data made under differential privacy. No row is a record of a real person. See card.html."
            + (f" {mix_words(public)}" if public.weights else "")
        ),
        "created": public.made_at.isoformat(timespec="seconds"),
        "licenses": [
            {"name": slug(public.schema.provenance.licence), "title": public.schema.provenance.licence}
        ],
        "sources": [{"title": f"Modelled on: {public.schema.provenance.source}"}],
        "contributors": [{"title": public.issuer, "role": "publisher"}],
        "resources": [
            {
                "name": slug(public.schema.name),
                "type": "table",
                "path": path,
                "format": str(kind),
                "mediatype": {
                    DataFormat.PARQUET: "application/vnd.apache.parquet",
                    DataFormat.CSV: "text/csv",
                }[kind],
                "bytes": listed.size,
                "hash": f"sha256:{listed.sha256}",
                **({"encoding": "utf-8"} if kind is DataFormat.CSV else {}),
                "schema": {
                    "fields": [
                        _field(spec, frame[spec.name], kind)
                        for spec in public.schema.columns
                        if spec.name in frame.columns
                    ],
                    "missingValues": [""],
                },
            }
        ],
    }


_TYPES: Final = {
    ColumnKind.INTEGER: "integer",
    ColumnKind.REAL: "number",
    ColumnKind.DATE: "date",
    ColumnKind.DATETIME: "datetime",
}
_FORMATS: Final = {"date": DATE_FORMAT, "datetime": DATETIME_FORMAT}


def slug(text: str) -> str:
    """A name as data packages want it: lower case letters, digits, ".", "_" and "-"."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-.") or "unnamed"


def _field(spec: ColumnSpec, series: pd.Series, kind: DataFormat) -> dict[str, Any]:
    written = safe_cell(spec.name) if kind is DataFormat.CSV else spec.name
    field: dict[str, Any] = {"name": written, "type": _type(spec, series)}
    if written != spec.name:
        field["title"] = spec.name
    if spec.description:
        field["description"] = spec.description
    if field["type"] in _FORMATS:
        field["format"] = _FORMATS[field["type"]]
    constraints = _constraints(spec, field["type"], kind)
    if constraints:
        field["constraints"] = constraints
    codes = [{"value": code.code, "meaning": code.meaning} for code in spec.missing]
    if codes:
        field["missingCodes"] = codes
    return field


def _type(spec: ColumnSpec, series: pd.Series) -> str:
    import pandas as pd

    return "string" if isinstance(series.dtype, pd.StringDtype) else _TYPES[spec.kind]


def _constraints(spec: ColumnSpec, kind_of_field: str, kind: DataFormat) -> dict[str, Any]:
    if isinstance(spec.domain, Categories):
        codes = [code.code for code in spec.missing if code.code]
        values = dict.fromkeys((*spec.domain.values, OUTSIDE_LEVEL, *codes))
        return {"enum": [safe_cell(value) if kind is DataFormat.CSV else value for value in values]}
    if isinstance(spec.domain, Range) and kind_of_field in {"integer", "number"}:
        return {"minimum": spec.domain.min, "maximum": spec.domain.max}
    return {}
