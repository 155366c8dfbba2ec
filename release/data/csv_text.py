"""A CSV file → text cells: dialect, header, ragged rows. (Bytes → text: `release.data.text_bytes`.)

Rules: what was found (encoding, delimiter, quote) is stated; every cell is read as text, so that "007", "None" and "NA"
stay what they are; the fast reader (Arrow) is trusted only where rows cannot hide in each other, otherwise the slow,
strict one (the standard library's) goes over the file once. Errors name the line as an editor shows it and no cell.
Not read: files with several header lines, comments, or fixed widths.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv

from release.data.text_bytes import ReadLimits, decode, unpack
from release.errors import SourceError

DELIMITERS = (",", ";", "\t", "|", "^", ":")
"""Tried in this order; the earlier wins a tie."""


_SAMPLE = 1 << 16
_BLOCK = 1 << 25  # bytes; also the longest row that Arrow takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How the cells are separated. `escape` is "" where a quote is doubled instead."""

    delimiter: str
    quote: str
    escape: str = ""

    def reader(self, text: io.TextIOBase, *, strict: bool = True) -> Iterator[list[str]]:
        """The standard library's reader: slow, and exact about where it stands (`line_num`)."""
        csv.field_size_limit(1 << 30)
        return csv.reader(
            text,
            delimiter=self.delimiter,
            quotechar=self.quote,
            escapechar=self.escape or None,
            doublequote=not self.escape,
            strict=strict,
        )


@dataclass(frozen=True, slots=True)
class CsvText:
    """A CSV file, decoded and looked at, not yet parsed.

    Attributes:
        file: its name, for messages.
        body: UTF-8 bytes after the header.
        header: the column names, trimmed.
        header_lines: how many lines stand before the body.
        encoding: what was found, for people.
        dialect: what was found.
    """

    file: str
    body: bytes
    header: tuple[str, ...]
    header_lines: int
    encoding: str
    dialect: Dialect

    def line_of(self, index: int) -> int:
        """The line on which the data row `index` (0-based) begins, as an editor counts. Slow; for messages."""
        for at, (line, _) in enumerate(self._rows(strict=False)):
            if at == index:
                return line
        return self.header_lines + index + 1

    def _rows(self, *, strict: bool) -> Iterator[tuple[int, list[str] | None]]:
        """(first line, cells) of each row, blank lines left out as the fast reader does; None ends it: a bad quote."""
        reader = self.dialect.reader(
            io.TextIOWrapper(io.BytesIO(self.body), encoding="utf-8", newline=""), strict=strict
        )
        before = self.header_lines
        keep_blank = len(self.header) == 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                yield before + 1, None
                return
            if cells or keep_blank:
                yield before + 1, cells or [""]
            before = self.header_lines + reader.line_num  # type: ignore[attr-defined]

    def read(self, columns: Sequence[str]) -> pa.Table:
        """These columns as text; no cell is null. Raises SourceError for ragged rows and open quotes."""
        names = [f"c{place}" for place in range(len(self.header))]
        wanted = [names[self.header.index(column)] for column in columns]
        if self.body.count(self.dialect.quote.encode()):
            self._require_rows_apart()
        table = self._fast(names, wanted)
        if table is None:  # Arrow's message holds the row's text: it is dropped, and the row looked for here
            self._refuse_ragged()
            raise SourceError(
                f"has a row that cannot be read with delimiter {self.dialect.delimiter!r} and quote"
                f" {self.dialect.quote!r}, or one longer than {_BLOCK >> 20} MiB",
                mend="write the file again as standard CSV (RFC 4180)",
                file=self.file,
            )
        return table.rename_columns(list(columns))

    def _fast(self, names: Sequence[str], wanted: Sequence[str]) -> pa.Table | None:
        """The wanted columns; None where Arrow refuses a row."""
        try:
            return pyarrow.csv.read_csv(
                pa.BufferReader(self.body),
                read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=_BLOCK),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self.dialect.delimiter,
                    quote_char=self.dialect.quote,
                    double_quote=not self.dialect.escape,
                    escape_char=self.dialect.escape or False,
                    newlines_in_values=True,
                    ignore_empty_lines=len(names) > 1,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=wanted,
                    strings_can_be_null=False,
                    quoted_strings_can_be_null=False,
                    check_utf8=False,  # decoded by us already
                ),
            )
        except pa.ArrowInvalid:
            return None

    def _require_rows_apart(self) -> None:
        """Where a quote is left open the fast reader would swallow rows into one cell without a word.

        It can only where quotes are odd in number or a cell spans lines, so only then is the slow reader asked.
        """
        quote = self.dialect.quote.encode()
        odd = self.body.count(quote) % 2 == 1
        spans = any(piece.count(quote) % 2 for piece in self.body.splitlines()) if not odd else True
        if odd or spans:
            self._refuse_ragged()

    def _refuse_ragged(self) -> None:
        """Raise SourceError at the first row with too few or too many cells, or an open quote."""
        for line, cells in self._rows(strict=True):
            if cells is None:
                raise SourceError(
                    f"a quote ({self.dialect.quote}) is opened and not closed properly in this row",
                    mend="close it, or double a quote that stands inside a quoted cell",
                    file=self.file,
                    row=line,
                )
            if len(cells) != len(self.header):
                more = "more" if len(cells) > len(self.header) else "fewer"
                raise SourceError(
                    f"has {len(cells)} cells, {more} than the {len(self.header)} of the header",
                    mend="quote cells that hold the delimiter or a line break, or fill the row up",
                    file=self.file,
                    row=line,
                )


# ---------------------------------------------------------------------------------------------- dialect


def open_csv(
    raw: bytes,
    file: str,
    *,
    known: frozenset[str] = frozenset(),
    words: frozenset[str] = frozenset(),
    encoding: str | None = None,
    limits: ReadLimits | None = None,
) -> CsvText:
    """The file's text, header and dialect.

    Args:
        raw: the file's bytes, gzip or not.
        file: its name, for messages.
        known: the schema's column names, which settle the delimiter; empty where there is no schema yet.
        words: what the schema declares that is not ASCII, which settles the code page of a file that is not Unicode.
        encoding: settles the encoding; None to find it.
        limits: see `ReadLimits`.

    Raises:
        SourceError: empty, header only, broken archive, no known encoding, NUL, too many columns, bad column names.
    """
    limits = limits or ReadLimits()
    text, found = decode(unpack(raw, file, limits), file, encoding, words)
    if not text.strip():
        raise SourceError("the file is empty", mend="write a header line and at least one row", file=file)
    skipped = 0
    told = None
    first = text[:8].splitlines()[0]
    if first[:4].lower() == b"sep=" and len(first) == 5:  # what some spreadsheets write
        told, skipped = chr(first[4]), 1
        text = text[len(text.splitlines(keepends=True)[0]) :]
    dialect = _dialect(text, known, told)
    header, lines, offset = _header(text, dialect, file)
    body = text[offset:]
    _require_names(header, known, file, limits)
    if not body.strip():
        raise SourceError(
            f"has a header of {len(header)} columns and no rows", mend="add at least one row", file=file
        )
    return CsvText(file, body, header, skipped + lines, found, dialect)


def _header(text: bytes, dialect: Dialect, file: str) -> tuple[tuple[str, ...], int, int]:
    """(column names, lines, bytes) of the header; blank lines before it are skipped."""
    stream = io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline="")
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in stream:
            taken.append(line)
            yield line

    reader = csv.reader(
        lines(),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        escapechar=dialect.escape or None,
        doublequote=not dialect.escape,
        strict=True,
    )
    csv.field_size_limit(1 << 30)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                return tuple(cell.strip() for cell in cells), len(taken), len("".join(taken).encode())
    except csv.Error:
        pass
    raise SourceError(
        "the header line cannot be read: a quote is not closed", mend="close it", file=file, row=1
    )


def _dialect(text: bytes, known: frozenset[str], told: str | None) -> Dialect:
    """The delimiter under which the header names most known columns; else the rows are most alike."""
    cut = text[:_SAMPLE]
    sample = cut.decode("utf-8", errors="ignore")
    if len(cut) < len(text) and "\n" in sample:
        sample = sample[: sample.rfind("\n") + 1]
    best: tuple[tuple[float, float, int], Dialect] | None = None
    for order, delimiter in enumerate((told,) if told else DELIMITERS):
        quote = _quote(sample, delimiter)
        escape = _escape(sample, delimiter, quote)
        dialect = Dialect(delimiter=delimiter, quote=quote, escape=escape)
        try:
            rows = [row for row in dialect.reader(io.StringIO(sample, newline=""), strict=False) if row]
        except csv.Error:
            continue
        if not rows:
            continue
        named = len({cell.strip() for cell in rows[0]} & known)
        width = Counter(len(row) for row in rows[1:200])
        same = width[len(rows[0])] / max(1, sum(width.values()))
        score = (float(named), same if len(rows[0]) > 1 else 0.0, len(rows[0]) if same > 0.9 else -order)
        if best is None or score > best[0]:
            best = (score, dialect)
    return best[1] if best is not None else Dialect(delimiter=",", quote='"')


def _escape(sample: str, delimiter: str, quote: str) -> str:
    r"""A backslash only where the rows make sense with it and none without: `"\\"` alone is a cell of one backslash."""
    if f"\\{quote}" not in sample:
        return ""

    def strictly(escape: str) -> bool:
        dialect = Dialect(delimiter=delimiter, quote=quote, escape=escape)
        try:
            for _ in dialect.reader(io.StringIO(sample, newline="")):
                pass
        except csv.Error:
            return False
        return True

    return "\\" if not strictly("") and strictly("\\") else ""


def _quote(sample: str, delimiter: str) -> str:
    """A single quote only where most header cells are wrapped in it."""
    cells = sample.splitlines()[0].split(delimiter) if sample.strip() else []
    wrapped = sum(len(c.strip()) > 1 and c.strip()[0] == c.strip()[-1] == "'" for c in cells)
    return "'" if cells and wrapped > len(cells) / 2 else '"'


def _require_names(header: tuple[str, ...], known: frozenset[str], file: str, limits: ReadLimits) -> None:
    if len(header) > limits.max_columns:
        raise SourceError(
            f"has {len(header):,} columns; the limit is {limits.max_columns:,}",
            mend="choose the columns that the partner needs, or turn the table so that columns become rows",
            file=file,
            row=1,
        )
    require_names(header, known, file)


def require_names(header: Sequence[str], known: frozenset[str], file: str, row: int | None = 1) -> None:
    """Raise SourceError where a column has no name, or two have one.

    A name is shown only where the schema knows it: in a file without a header the first line is somebody's data.
    """
    for place, name in enumerate(header, start=1):
        if not name:
            raise SourceError(
                f"column {place} has no name",
                mend="name it, or leave it out (write a frame without its index, and lines without a delimiter at the end)",
                file=file,
                row=row,
            )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        places = [place for place, name in enumerate(header, start=1) if name == twice[0]]
        named = f' ("{twice[0]}")' if twice[0] in known else ""
        raise SourceError(
            f"columns {', '.join(map(str, places))} have one name{named}",
            mend="rename or remove one of them",
            file=file,
            row=row,
        )
