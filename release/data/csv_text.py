"""A CSV file's bytes → text cells: compression, encoding, dialect, ragged rows.

Rules: what was found (encoding, delimiter, quote) is stated; every cell is read as text, so that "007", "None" and "NA"
stay what they are; the fast reader (Arrow) is trusted only where rows cannot hide in each other, otherwise the slow,
strict one (the standard library's) goes over the file once. Errors name the line as an editor shows it and no cell.
Not read: files with several header lines, comments, or fixed widths.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv

from release.errors import SourceError

DELIMITERS = (",", ";", "\t", "|", "^", ":")
"""Tried in this order; the earlier wins a tie."""

_CODE_PAGES = (
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1254",
    "cp1253",
    "cp1257",
    "cp1255",
    "cp1256",
    "iso8859_2",
    "koi8_r",
    "cp932",
    "euc_jp",
    "gb18030",
    "big5",
    "cp949",
    "mac_roman",
    "cp850",
)
"""Tried where a file is not Unicode, commonest first; others have to be told (`encoding`)."""

_SAMPLE = 1 << 16
_BLOCK = 1 << 25  # bytes; also the longest row that Arrow takes
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8", "UTF-8 with byte order mark"),
    (b"\xff\xfe\x00\x00", "utf-32-le", "UTF-32"),
    (b"\x00\x00\xfe\xff", "utf-32-be", "UTF-32"),
    (b"\xff\xfe", "utf-16-le", "UTF-16"),
    (b"\xfe\xff", "utf-16-be", "UTF-16"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """What a file may be, so that a hostile or mistaken one stops early.

    Attributes:
        max_bytes: of the text, after unpacking.
        max_ratio: unpacked over packed bytes, beyond 64 MiB of text.
        max_columns: as many as a schema may have.
    """

    max_bytes: int = 4 << 30
    max_ratio: int = 200
    max_columns: int = 2_000


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


# ---------------------------------------------------------------------------------------------- bytes → text


def unpack(raw: bytes, file: str, limits: ReadLimits) -> bytes:
    """The bytes without gzip. Raises SourceError for a broken archive and for one that unpacks beyond the limits."""
    if raw[:2] != b"\x1f\x8b":
        return raw
    parts: list[bytes] = []
    size = 0
    rest = raw
    try:
        while rest.strip(b"\0"):
            stream = zlib.decompressobj(wbits=31)
            while not stream.eof:
                part = stream.decompress(rest, 1 << 24)
                rest = stream.unconsumed_tail
                if not part and not rest and not stream.eof:
                    raise SourceError(
                        "the gzip file ends too early", mend="fetch or write the file again", file=file
                    )
                parts.append(part)
                size += len(part)
                if size > limits.max_bytes or (size > 64 << 20 and size > limits.max_ratio * len(raw)):
                    raise SourceError(
                        f"unpacks to more than {min(limits.max_bytes, size):,} bytes"
                        f" (limits: {limits.max_bytes:,} bytes, {limits.max_ratio} times the packed size)",
                        mend="split the file, write it as Parquet, or unpack it yourself if you trust it",
                        file=file,
                    )
            rest = stream.unused_data
    except zlib.error as error:
        raise SourceError(
            f"the gzip file is damaged ({error})", mend="fetch or write the file again", file=file
        ) from None
    return b"".join(parts)


def decode(
    raw: bytes, file: str, encoding: str | None = None, words: frozenset[str] = frozenset()
) -> tuple[bytes, str]:
    """UTF-8 bytes of the text, and the name of the encoding that was found.

    A byte order mark decides; else strict UTF-8; else UTF-16 by its zero bytes; else the code page in which the file
    holds most of `words` (those of the schema that are not ASCII); else what charset-normalizer makes of a sample. Raises SourceError where no encoding fits, or where the text holds NUL characters.
    """
    text, found = _decode(raw, file, encoding, words)
    place = text.find(b"\0")
    if place >= 0:
        raise SourceError(
            "holds a NUL character, which no text file has",
            mend="write the file again as text (UTF-8)",
            file=file,
            row=text.count(b"\n", 0, place) + 1,
        )
    return text, found


def _decode(raw: bytes, file: str, encoding: str | None, words: frozenset[str]) -> tuple[bytes, str]:
    if encoding is not None:
        return _strictly(raw, encoding, file), encoding
    for mark, codec, name in _BOMS:
        if raw.startswith(mark):
            rest = raw[len(mark) :]
            return (rest if codec == "utf-8" and _is_utf8(rest) else _strictly(rest, codec, file)), name
    if _is_utf8(raw):
        ascii_only = raw.isascii()
        wide = _utf16_by_zeros(raw) if ascii_only else None
        if wide is None:
            return raw, "ASCII" if ascii_only else "UTF-8"
    else:
        wide = _utf16_by_zeros(raw)
    if wide is not None:
        return _strictly(raw, wide, file), "UTF-16 without byte order mark"
    guess = _guess(raw, words)
    if guess is None:
        raise SourceError(
            "is text in no encoding that could be recognised, or is not a text file",
            mend="write the file again as UTF-8",
            file=file,
            row=_bad_line(raw, "utf-8"),
        )
    return _strictly(raw, guess, file), guess


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _utf16_by_zeros(raw: bytes) -> str | None:
    """Western text in UTF-16 has a zero in nearly every other byte."""
    sample = raw[:4096]
    if len(sample) < 4:
        return None
    even, odd = sample[0::2].count(0) / len(sample[0::2]), sample[1::2].count(0) / len(sample[1::2])
    if odd > 0.7 and even < 0.1:
        return "utf-16-le"
    if even > 0.7 and odd < 0.1:
        return "utf-16-be"
    return None


def _guess(raw: bytes, words: frozenset[str]) -> str | None:
    """A code page for bytes that are not UTF-8. None where nothing fits.

    Words that the schema declares are the best witness: the code page in which most of them stand in the file. Without
    one, charset-normalizer judges; on short samples it cannot tell code pages apart, and then Western wins.
    """
    import charset_normalizer

    if _control_heavy(raw):
        return None
    fitting = [page for page in _CODE_PAGES if _decodes(raw, page)]
    seen = {page: _witnesses(raw, page, words) for page in fitting}
    best = max(fitting, key=lambda page: seen[page], default=None)
    if best is None or seen[best]:
        return best
    sample = b"\n".join(line for line in raw.splitlines() if not line.isascii())[:_SAMPLE]
    matches = charset_normalizer.from_bytes(sample, cp_isolation=fitting)
    scores = {
        page: (match.chaos, match.coherence) for match in matches for page in match.could_be_from_charset
    }
    if not scores:
        return fitting[0]
    least = min(chaos for chaos, _ in scores.values())
    most = max(coherence for chaos, coherence in scores.values() if chaos <= least + 0.01)
    for page in fitting:  # in order of how common they are
        chaos, coherence = scores.get(page, (1.0, 0.0))
        if chaos <= least + 0.01 and coherence >= most - 0.05:
            return page
    return fitting[0]


def _witnesses(raw: bytes, page: str, words: frozenset[str]) -> int:
    """How many of the words stand in the file when written in this code page."""
    found = 0
    for word in words:
        try:
            found += word.encode(page) in raw
        except UnicodeEncodeError:
            continue
    return found


def _control_heavy(raw: bytes) -> bool:
    """Whether more than 1 % of a sample are control characters: then it is not text."""
    sample = raw[:_SAMPLE]
    controls = sum(sample.count(code) for code in range(32) if code not in {9, 10, 12, 13})
    return controls > len(sample) / 100


def _decodes(raw: bytes, encoding: str) -> bool:
    try:
        raw.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _strictly(raw: bytes, encoding: str, file: str) -> bytes:
    try:
        return raw.decode(encoding).encode("utf-8")
    except (UnicodeError, LookupError):
        raise SourceError(
            f"is not text in the encoding {encoding}",
            mend="write the file again as UTF-8",
            file=file,
            row=_bad_line(raw, encoding),
        ) from None


def _bad_line(raw: bytes, encoding: str) -> int:
    try:
        raw.decode(encoding)
    except UnicodeDecodeError as error:
        return raw.count(b"\n", 0, error.start) + 1
    except LookupError:
        return 1
    return 1


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
