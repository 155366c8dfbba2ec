"""The synthetic table as the partner gets it: Parquet, or CSV whose cells no spreadsheet takes for formulas.

Rules: written afresh from the table's values, column by column; nothing of ours rides along (no pandas or Arrow metadata,
no index, no levels that no row has, no unit numbers). A text cell of the CSV that a spreadsheet would run gets a
leading apostrophe; plain numbers stay as they are.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from release.data.surrogates import surrogate_keys

if TYPE_CHECKING:
    import pandas as pd

    from release.data.schema import Schema
    from release.data.table import Table


class DataFormat(StrEnum):
    """How the table is written."""

    PARQUET = "parquet"
    CSV = "csv"


_DANGEROUS: Final = tuple("=+-@\t\r\n＝＋－＠|%")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def data_name(schema: Schema, kind: DataFormat) -> str:
    """The data file's name in the bundle."""
    return f"data/{schema.name}.{kind}"


def frame_of(table: Table) -> pd.DataFrame:
    """The released columns and surrogate keys, in the schema's order, coded columns as plain strings."""
    import pandas as pd

    frame = table.to_frame()
    keys = surrogate_keys(table.schema, len(table))
    columns = {}
    for spec in table.schema.columns:
        if spec.name in keys:
            columns[spec.name] = pd.Series(keys[spec.name], dtype="string")
        elif spec.name in frame.columns:
            series = frame[spec.name]
            # As plain strings: a categorical's list of levels would leave with the file, used or not.
            plain = isinstance(series.dtype, pd.CategoricalDtype)
            columns[spec.name] = series.astype("string") if plain else series
    return pd.DataFrame(columns)


def write_data(table: Table, path: Path, kind: DataFormat) -> None:
    """Write the data file. Raises OSError."""
    match kind:
        case DataFormat.PARQUET:
            _write_parquet(frame_of(table), path)
        case DataFormat.CSV:
            _write_csv(frame_of(table), path)


def safe_cell(text: str) -> str:
    """The text, with a leading apostrophe where a spreadsheet would take it for a formula."""
    if text.startswith(_DANGEROUS) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = [pa.Array.from_pandas(frame[name]) for name in frame.columns]
    plain = pa.Table.from_arrays(arrays, names=list(frame.columns)).replace_schema_metadata(None)
    pq.write_table(plain, path, version="2.6", compression="zstd", store_schema=False, row_group_size=1 << 20)


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    import pandas as pd

    safe = frame.copy()
    for name in safe.columns:
        if isinstance(safe[name].dtype, pd.StringDtype):
            values = safe[name].dropna().unique()
            safe[name] = safe[name].replace({value: safe_cell(value) for value in values})
    safe.columns = pd.Index([safe_cell(name) for name in safe.columns])
    safe.to_csv(path, index=False, lineterminator="\r\n", encoding="utf-8")
