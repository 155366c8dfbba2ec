"""A file's bytes → UTF-8 text: gzip, byte order marks, code pages.

Rules: the encoding that was found is stated, or told by whoever knows it; nothing is replaced by question marks: what does
not decode is an error with its line. Unpacking stops at limits, so that a small file cannot fill the memory.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from release.errors import SourceError

_SAMPLE = 1 << 16
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8", "UTF-8 with byte order mark"),
    (b"\xff\xfe\x00\x00", "utf-32-le", "UTF-32"),
    (b"\x00\x00\xfe\xff", "utf-32-be", "UTF-32"),
    (b"\xff\xfe", "utf-16-le", "UTF-16"),
    (b"\xfe\xff", "utf-16-be", "UTF-16"),
)

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
