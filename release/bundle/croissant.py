"""`croissant.json`: Croissant 1.0 metadata (MLCommons), so that training tools can load the table by name.

Rules: from `Public` alone. Fields are named by number with the column's name as their title, because Croissant ids
may not hold every letter that a column's name may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from release.bundle.data_file import DataFormat, safe_cell
from release.data.schema import ColumnKind

if TYPE_CHECKING:
    import pandas as pd

    from release.bundle.manifest import Listed
    from release.bundle.public import Public

_CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

_TYPES: Final = {
    ColumnKind.INTEGER: "sc:Integer",
    ColumnKind.REAL: "sc:Float",
    ColumnKind.DATE: "sc:Date",
    ColumnKind.DATETIME: "sc:DateTime",
}


def croissant(
    public: Public, frame: pd.DataFrame, path: str, listed: Listed, kind: DataFormat
) -> dict[str, Any]:
    """The JSON-LD document as plain values. Arguments as for `datapackage`."""
    import pandas as pd

    fields = []
    for place, spec in enumerate(spec for spec in public.schema.columns if spec.name in frame.columns):
        as_text = isinstance(frame[spec.name].dtype, pd.StringDtype)
        fields.append(
            {
                "@type": "cr:Field",
                "@id": f"rows/column-{place + 1}",
                "name": spec.name,
                "description": spec.description or spec.name,
                "dataType": "sc:Text" if as_text else _TYPES[spec.kind],
                "source": {
                    "fileObject": {"@id": "table"},
                    "extract": {"column": safe_cell(spec.name) if kind is DataFormat.CSV else spec.name},
                },
            }
        )
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": public.title,
        "description": "Synthetic data made under differential privacy. No row is a record of a real person.",
        "version": f"{public.turn}.0.0",
        "identifier": f"urn:sluicegate:release:{public.release}",
        "datePublished": public.cleared_at.date().isoformat(),
        "license": public.schema.provenance.licence,
        "creator": {"@type": "sc:Organization", "name": public.issuer},
        "isLiveDataset": False,
        "rai:dataCollection": "Sampled from a statistical model fitted under differential privacy; see card.html.",
        "rai:personalSensitiveInformation": (
            f"None of a real person: ({public.claim.epsilon:.4g}, {public.claim.delta:.3g})-differential privacy "
            f"per {public.claim.unit}."
        ),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "table",
                "name": path.rsplit("/", 1)[-1],
                "contentUrl": path,
                "contentSize": f"{listed.size} B",
                "encodingFormat": {
                    DataFormat.PARQUET: "application/x-parquet",
                    DataFormat.CSV: "text/csv",
                }[kind],
                "sha256": listed.sha256,
            }
        ],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": fields}],
    }
