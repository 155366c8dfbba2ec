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

from release.data.schema import ColumnKind
from release.data.surrogates import surrogate_keys

if TYPE_CHECKING:
    import pandas as pd

    from release.data.schema import Schema
    from release.data.table import Table


class DataFormat(StrEnum):
    """How the table is written."""

    PARQUET = "parquet"
    CSV = "csv"


DATE_FORMAT: Final = "%Y-%m-%d"
DATETIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S"
"""In UTC. How CSV writes them."""

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
    _WRITERS[kind](frame_of(table), table.schema, path)


def safe_cell(text: str) -> str:
    """The text, with a leading apostrophe where a spreadsheet would take it for a formula."""
    if text.startswith(_DANGEROUS) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def _write_parquet(frame: pd.DataFrame, schema: Schema, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = []
    for name in frame.columns:
        array = pa.Array.from_pandas(frame[name])
        is_date = schema.column(name).kind is ColumnKind.DATE and pa.types.is_timestamp(array.type)
        arrays.append(array.cast(pa.date32()) if is_date else array)
    plain = pa.Table.from_arrays(arrays, names=list(frame.columns)).replace_schema_metadata(None)
    pq.write_table(plain, path, version="2.6", compression="zstd", store_schema=False, row_group_size=1 << 20)


def _write_csv(frame: pd.DataFrame, schema: Schema, path: Path) -> None:
    import pandas as pd

    safe = {}
    for name in frame.columns:
        series = frame[name]
        if isinstance(series.dtype, pd.StringDtype):
            series = series.map(
                {value: safe_cell(value) for value in series.dropna().unique()}, na_action="ignore"
            )
        elif pd.api.types.is_datetime64_any_dtype(series.dtype):
            is_date = schema.column(name).kind is ColumnKind.DATE
            series = series.dt.strftime(DATE_FORMAT if is_date else DATETIME_FORMAT)
        safe[safe_cell(name)] = series
    pd.DataFrame(safe).to_csv(path, index=False, lineterminator="\r\n", encoding="utf-8")


_WRITERS: Final = {DataFormat.PARQUET: _write_parquet, DataFormat.CSV: _write_csv}
