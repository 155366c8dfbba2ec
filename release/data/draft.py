"""A first schema.yaml for a file: guesses for a person to confirm, as YAML text with comments.

Rules: every domain in it is `observed`, so no private plan accepts the draft as it is; a column that looks like it names
people becomes an identifier (never released) until somebody says otherwise; what only a person can know (population,
unit, provenance) is a placeholder on the cautious side: a population of a billion forces the smallest δ. The draft
quotes real values: it stays inside until it is edited. It loads, and the file reads under it, as it stands.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from release.data.cells import codes_of
from release.data.coded_cells import LONGEST_CATEGORY
from release.data.schema import OUTSIDE_LEVEL, ColumnKind, Schema
from release.data.sources import open_source
from release.data.yaml_text import block, comment, flow
from release.errors import SourceError

PLACEHOLDER = "fill-in"
"""Stands in a draft for what only a person can know."""

CAUTIOUS_POPULATION = 1_000_000_000
"""A draft's population size: so large that δ must be tiny, until somebody writes the true one."""

MOST_LISTED = 200
"""A category column with more different values is a code whose domain is to be learnt."""

FEW = 20
"""A column with no more different values names nobody, whatever it is called."""

_MISSING = frozenset(
    {"", "?", "NA", "N/A", "n/a", "#N/A", "NULL", "null", "NaN", "nan", "<NA>", "NaT", ".", "-"}
)
_MISSING_WORDS = frozenset({"unknown", "missing", "not stated", "not available", "unknown/invalid", "none"})
_FALSE_TRUE = (("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("0", "1"))
_FORMATS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%d-%b-%Y", "%d %b %Y", "%Y%m%d")
_TIME_FORMATS = (
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
)

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NAMING = re.compile(
    r"(^|[_\W])(name|surname|(first|last|full|maiden|given|family)_?name|e?_?mail|phone|mobile|fax|ssn|nhs|mrn|passport"
    r"|licen[cs]e|iban|account|address|street|url|ip|login|user|username|contact|(personal|national|social)_?\w*number)"
    r"([_\W]|$)",
    re.IGNORECASE,
)
_KEYISH = re.compile(
    r"(^|[_\W])(id|uid|uuid|guid|key|nbr|number|no|num|index)$|\w(Id|ID|Key|Nbr|UUID)$", re.IGNORECASE
)
_QUASI = re.compile(
    r"age|birth|dob|sex|gender|race|ethnic|zip|post_?code|postal|city|town|county|state|country|region|nation|marital|married"
    r"|education|job|occupation|profession|employ|religion|language|date|admi|discharge|height|weight|income|salary",
    re.IGNORECASE,
)


def draft_schema(path: Path, name: str = "") -> str:
    """YAML text of a schema for the file; `name` is the schema's (default: from the file's name).

    Raises SourceError where the file cannot be read.
    """
    cells = open_source(path)
    data = cells.read(cells.names)
    if data.num_rows == 0:
        raise SourceError("has columns and no rows", mend="add at least one row", file=cells.file)
    guesses = [_guess(column, data.column(place), cells.file) for place, column in enumerate(cells.names)]
    if all(guess.kind in {ColumnKind.IDENTIFIER, ColumnKind.TEXT} for guess in guesses):
        # A schema needs something to release; the column with the fewest values is the least naming one.
        least = min(guesses, key=lambda guess: guess.distinct)
        least.kind, least.roles = ColumnKind.CODE, ()
        least.notes.append("every column looks like an identifier; this one has the fewest different values")
    return "\n".join(_lines(name or _slug(cells.file), guesses)) + "\n"


def placeholders(schema: Schema) -> tuple[str, ...]:
    """What of a draft has not been filled in: keys whose value is still the draft's. Empty for a finished schema."""
    still = []
    if schema.population == PLACEHOLDER:
        still.append("population")
    if schema.population_size == CAUTIOUS_POPULATION:
        still.append("population_size")
    if schema.provenance.source == PLACEHOLDER:
        still.append("provenance.source")
    if schema.provenance.licence == PLACEHOLDER:
        still.append("provenance.licence")
    return tuple(still)


# ---------------------------------------------------------------------------------------------- text


def _slug(file: str) -> str:
    stem = file.split(".", maxsplit=1)[0]
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:64]
    return slug or "table"


def _lines(name: str, guesses: Sequence[_Guess]) -> Iterator[str]:
    yield from comment(
        "A draft, read off the data: it quotes real values, so keep it inside until it is edited. Confirm each domain marked"
        " observed from a public source (then write codebook), or remove the domain and write learned (it is then learnt"
        " under the privacy budget). No private plan accepts an observed domain."
    )
    yield "format: sluicegate/schema@1"
    yield f"name: {flow(name)}"
    yield "title: ''"
    yield from comment(
        "Whose lifetime privacy the budget guards; several datasets of the same people share one name."
    )
    yield f"population: {PLACEHOLDER}"
    yield from comment(
        "Its declared, public size (not the file's row count, which is private). δ is at most 1/(100 × it)."
    )
    yield f"population_size: {CAUTIOUS_POPULATION}"
    yield from comment(
        "The privacy unit: if a person may have several rows, write"
        " `unit: {name: patient, column: patient_id, max_rows: 5}`; rows beyond max_rows are cut off."
    )
    candidates = [guess.name for guess in guesses if guess.unit_like]
    if candidates:
        yield from comment(f"Columns that may name the unit: {', '.join(flow(c) for c in candidates)}.")
    yield "unit: {name: row}"
    yield from comment("kind: collected, simulated, generated or augmented.")
    yield from block("provenance", {"kind": "collected", "source": PLACEHOLDER, "licence": PLACEHOLDER})
    yield from comment(
        "Roles: direct-identifier, quasi-identifier (known to outsiders), sensitive, target (to be predicted)."
    )
    yield "columns:"
    for guess in guesses:
        yield from _column_lines(guess)
    yield from comment(
        "What always holds, such as: - {type: less-equal, left: admitted, right: discharged}; and named subgroups that get"
        " figures of their own, such as: - {name: newborns, where: {age: {min: 0, max: 0}}}"
    )
    yield "constraints: []"
    yield "slices: []"


def _column_lines(guess: _Guess) -> Iterator[str]:
    yield f"  - name: {flow(guess.name)}"
    yield f"    kind: {guess.kind}"
    for note in guess.notes:
        yield from comment(note, 4)
    yield from block("roles", list(guess.roles), 4)
    if guess.format is not None:
        yield f"    format: {flow(guess.format)}"
    if guess.missing:
        yield from block("missing", [{"code": code} for code in guess.missing], 4)
    if guess.domain is not None:
        yield from block("domain", guess.domain, 4)
        yield "    domain_source: observed # observed: confirm, or learn under budget"
    elif guess.kind not in {ColumnKind.IDENTIFIER, ColumnKind.TEXT}:
        yield "    domain_source: learned"


# ---------------------------------------------------------------------------------------------- guesses


@dataclass(slots=True)
class _Guess:
    """What a column seems to be."""

    name: str
    kind: ColumnKind
    distinct: int
    roles: tuple[str, ...] = ()
    domain: dict[str, Any] | None = None
    missing: tuple[str, ...] = ()
    format: str | None = None
    unit_like: bool = False
    notes: list[str] = field(default_factory=list)


def _guess(name: str, column: pa.ChunkedArray | pa.Array, file: str) -> _Guess:
    array = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    if (
        pa.types.is_nested(array.type)
        or pa.types.is_binary(array.type)
        or pa.types.is_large_binary(array.type)
    ):
        raise SourceError(
            f"holds values of type {array.type}, which no column kind of a schema can be",
            mend="spread its parts over columns of their own, or leave it out",
            file=file,
            column=name,
        )
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array)
    codes, raw = codes_of(array.cast(pa.string()))
    counts = np.bincount(codes[codes >= 0], minlength=len(raw))
    rows: dict[str, int] = {}
    for value, count in zip(raw, counts.tolist(), strict=True):
        rows[value.strip()] = rows.get(value.strip(), 0) + count
    empty = bool(np.any(codes < 0))
    guess = _of_values(name, rows, empty=empty, temporal=pa.types.is_temporal(array.type))
    _hint(guess, rows, len(codes))
    return guess


def _of_values(name: str, rows: dict[str, int], *, empty: bool, temporal: bool) -> _Guess:
    marks = {value for value in rows if value in _MISSING}
    words = {value for value in rows if value.lower() in _MISSING_WORDS}
    values = [value for value in rows if value not in marks]
    plain = [value for value in values if value not in words]
    missing = sorted(marks | ({""} if empty else set()))
    if not values:
        guess = _Guess(name, ColumnKind.CATEGORICAL, 0, missing=tuple(missing))
        guess.notes.append("every cell is missing: leave the column out?")
        return guess
    if plain:
        found = _of_numbers(name, plain) or _of_moments(name, plain, temporal=temporal)
        if found is not None:
            # Only a number or date column tells for sure that a word among its cells means missing.
            found.missing = tuple(sorted({*missing, *words}))
            return found
    return _of_words(name, values, rows, missing, words)


def _of_numbers(name: str, values: Sequence[str]) -> _Guess | None:
    if set(values) <= {"0", "1"} and len(values) == 2:
        return _Guess(name, ColumnKind.BOOLEAN, 2, domain={"values": ["0", "1"]})
    if any(re.match(r"[+-]?0\d", value) for value in values):
        return None  # leading zeros: a code, such as a postal code
    if not all(_NUMBER.fullmatch(value) for value in values):
        return None
    numbers = [float(value) for value in values]
    if not all(map(math.isfinite, numbers)):
        return None
    low, high = min(numbers), max(numbers)
    if all(re.fullmatch(r"[+-]?\d+(\.0+)?", value, re.ASCII) for value in values):
        if max(abs(low), abs(high)) >= 2.0**53:
            return None  # too long to count with: a number that names something
        return _Guess(name, ColumnKind.INTEGER, len(values), domain={"min": int(low), "max": int(high)})
    domain: dict[str, Any] = {"min": low, "max": high}
    places = [len(value.partition(".")[2]) for value in values]
    if max(places) <= 6 and not any("e" in value.lower() for value in values):
        domain["decimals"] = max(places)
    return _Guess(name, ColumnKind.REAL, len(values), domain=domain)


def _of_moments(name: str, values: Sequence[str], *, temporal: bool) -> _Guess | None:
    if not temporal and not all(
        re.search(r"\d", value) and re.search(r"[-/.: T]", value) for value in values[:100]
    ):
        return None
    for form in (None, *_FORMATS, *_TIME_FORMATS):
        try:
            moments = [_read(value, form) for value in values]
        except ValueError:
            continue
        aware = [m if m.tzinfo is not None else m.replace(tzinfo=dt.UTC) for m in moments]
        low, high = min(aware), max(aware)
        if all(m.time() == dt.time(0) and m.tzinfo is None for m in moments):
            guess = _Guess(
                name,
                ColumnKind.DATE,
                len(values),
                domain={"min": low.date().isoformat(), "max": high.date().isoformat()},
                format=form,
            )
        else:
            # Whole seconds that hold every value: the schema's bounds are compared to whole seconds.
            top = high.replace(microsecond=0)
            guess = _Guess(
                name,
                ColumnKind.DATETIME,
                len(values),
                domain={"min": low.replace(microsecond=0).isoformat(), "max": top.isoformat()},
                format=form,
            )
        if form in {"%d/%m/%Y", "%m/%d/%Y"} and _both_ways(values):
            guess.notes.append("day and month could be the other way round: check `format`")
        return guess
    return None


def _read(value: str, form: str | None) -> dt.datetime:
    """Raises ValueError. The zone, where the text has none, is the caller's to add."""
    if form is None:
        return dt.datetime.fromisoformat(value)
    return dt.datetime.strptime(value, form)  # noqa: DTZ007 - see above


def _both_ways(values: Sequence[str]) -> bool:
    return all(int(part) <= 12 for value in values for part in value.split("/")[:2])


def _of_words(
    name: str, values: Sequence[str], rows: dict[str, int], missing: Sequence[str], words: set[str]
) -> _Guess:
    folded = sorted(value.casefold() for value in values)
    for no, yes in _FALSE_TRUE:
        if folded == sorted((no, yes)):
            ordered = sorted(values, key=lambda value: value.casefold() == yes)
            return _Guess(name, ColumnKind.BOOLEAN, 2, domain={"values": ordered}, missing=tuple(missing))
    total = sum(rows[value] for value in values)
    mean_length = sum(len(value) * rows[value] for value in values) / total
    longest = max(map(len, values))
    guess = _Guess(name, ColumnKind.CATEGORICAL, len(values), missing=tuple(missing))
    unique = len(values) > FEW and len(values) >= 0.9 * total
    if longest > LONGEST_CATEGORY or mean_length > 60 or (unique and mean_length > 30):
        guess.kind, guess.roles = ColumnKind.TEXT, ("direct-identifier",)
        guess.notes.append("free text is never released: this role drops the column")
    elif unique or (
        len(values) > FEW and (_NAMING.search(name) or (_KEYISH.search(name) and len(values) > total / 20))
    ):
        guess.kind = ColumnKind.IDENTIFIER
        guess.notes.append(
            "looks like it names somebody: dropped from the release (surrogate: true replaces it by keys)"
        )
    elif len(values) > MOST_LISTED:
        guess.kind = ColumnKind.CODE
        guess.notes.append(
            f"{len(values):,} different values: a code list, whose domain is learnt under the budget"
        )
    else:
        guess.domain = {"values": sorted(values)}
        if words:
            guess.notes.append(
                f"{', '.join(flow(word) for word in sorted(words))}: a value, or a missing code? If so, move it to `missing`"
            )
    if OUTSIDE_LEVEL in values and guess.domain is not None:
        guess.domain["values"].remove(OUTSIDE_LEVEL)
    if guess.domain is not None and not guess.domain["values"]:
        guess.domain = None
    return guess


def _hint(guess: _Guess, rows: dict[str, int], total: int) -> None:
    """Notes and changes that rest on the column's name and on how unique its values are."""
    repeated = guess.distinct < total
    keyish = bool(_KEYISH.search(guess.name))
    unique = guess.distinct > FEW and guess.distinct >= 0.9 * total
    naming = bool(_NAMING.search(guess.name)) and guess.distinct > FEW
    if guess.kind is ColumnKind.INTEGER and (naming or (keyish and guess.distinct > 0.5 * total > 10)):
        guess.kind, guess.domain, guess.missing = ColumnKind.IDENTIFIER, None, ()
        guess.notes.append("looks like a key: dropped from the release (surrogate: true replaces it by keys)")
    elif guess.kind.numeric and unique:
        guess.notes.append("nearly unique in the file: it can link rows as well as an identifier would")
    guess.unit_like = (
        repeated
        and guess.distinct > FEW
        and (guess.kind is ColumnKind.IDENTIFIER or (keyish and guess.distinct > 0.05 * total))
    )
    if guess.kind is ColumnKind.INTEGER:
        sentinel = _sentinel(rows)
        if sentinel is not None:
            guess.notes.append(
                f"{sentinel} stands far from the rest: a missing code, or a top code (then a spike)?"
            )
        if guess.distinct <= 10:
            guess.notes.append(
                "few different values: numbers, or codes of a category (then kind: categorical)?"
            )
    if guess.kind not in {ColumnKind.IDENTIFIER, ColumnKind.TEXT} and _QUASI.search(guess.name):
        guess.notes.append("may be known to outsiders: quasi-identifier?")


def _sentinel(rows: dict[str, int]) -> str | None:
    """A repeated extreme of nines (999, -99) far beyond the next value."""
    numbers: npt.NDArray[np.float64] = np.sort(
        np.array([float(value) for value in rows if re.fullmatch(r"[+-]?\d+", value, re.ASCII)])
    )
    if len(numbers) < 3:
        return None
    for extreme, rest in ((numbers[-1], numbers[:-1]), (numbers[0], numbers[1:])):
        text = f"{extreme:.0f}"
        far = abs(extreme) > 3 * max(1.0, float(np.abs(rest).max()))
        if re.fullmatch(r"-?9+[789]?", text) and far and rows.get(text, 0) > 1:
            return text
    return None
