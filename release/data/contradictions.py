"""Schemas that no row, or no reader, could make sense of: found before a plan is made. Looks at no data.

Each check gives `Contradiction`s with the place in the document, so that a schema file's error can name the line.
First what people really run into, each with words of its own; then whether any row could keep all constraints at once, by a bounded
search (`satisfiable`). Where that is cut short, the fitted encoding's structural zeros are asked before anything is sampled.
"""

from __future__ import annotations

import graphlib
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from release.data.lattice import increment_problems, range_problems
from release.data.satisfiable import conflict, said
from release.data.schema import (
    Allowed,
    ColumnKind,
    ColumnSpec,
    Constraint,
    Determines,
    Impossible,
    Increment,
    LessEqual,
    Range,
    Schema,
    columns_of,
)
from release.errors import SchemaError

MOST_COMBINATIONS = 100_000
"""A public map over more combinations of determinants is not checked for completeness (nobody writes one)."""


LARGEST_BOUND = 1e300
"""Bounds in parts of a unit; the width between such bounds is still a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """One thing that cannot be.

    Attributes:
        path: where in the schema: ("constraints", 2).
        column: the column it is about, or "".
        fact: what is so.
        mend: what to do.
    """

    path: tuple[str | int, ...]
    column: str
    fact: str
    mend: str


def require_consistent(schema: Schema) -> None:
    """Raise SchemaError for the first contradiction. Every generator's `plan` calls it, before anything is charged."""
    for found in contradictions(schema):
        where = f"{found.path[0]}[{found.path[1]}]: "
        raise SchemaError(where + found.fact, mend=found.mend, column=found.column)


def contradictions(schema: Schema) -> Iterator[Contradiction]:
    """All that is wrong, cheapest checks first; a constraint with ill-fitting values is not looked at further."""
    yield from _grids(schema)
    sound: list[tuple[int, Constraint]] = []
    for index, constraint in enumerate(schema.constraints):
        wrong = list(_ill_formed(schema, index, constraint))
        yield from wrong
        if not wrong:
            sound.append((index, constraint))
    together = [*_order(schema, sound), *_coverage(schema, sound), *_dependency_cycles(sound)]
    yield from together
    if not together and (core := conflict(schema, sound)):
        yield _of(core[-1][0], said(core), "correct one of them, or remove it")
    for index, part in enumerate(schema.slices):
        for name, what in part.where.items():
            yield from _ill_fitting(schema, ("slices", index), name, what)


def _of(index: int, fact: str, mend: str, column: str = "") -> Contradiction:
    return Contradiction(path=("constraints", index), column=column, fact=fact, mend=mend)


# ---------------------------------------------------------------------------------------------- values that fit


def _ill_fitting(
    schema: Schema, path: tuple[str | int, ...], name: str, what: tuple[str, ...] | Range
) -> Iterator[Contradiction]:
    """Values or a range that the column cannot have."""
    if name not in {spec.name for spec in schema.released}:
        yield Contradiction(
            path=path, column=name, fact="the column is never released", mend="speak of released columns only"
        )
        return
    spec = schema.column(name)
    codes = {code.code for code in spec.missing}
    if isinstance(what, Range):
        if not spec.kind.numeric:
            yield Contradiction(
                path=path,
                column=name,
                fact=f"min and max do not fit a {spec.kind} column",
                mend="list its values",
            )
            return
        problem = _number_problem(spec, what.min) or _number_problem(spec, what.max)
        if problem is None and spec.to_number(what.min) > spec.to_number(what.max):
            problem = f"min {what.min} is above max {what.max}"
        if problem is None and spec.bounds is not None:
            low, high = spec.bounds
            if spec.to_number(what.max) < low or spec.to_number(what.min) > high:
                problem = f"{what.min} … {what.max} lies wholly outside the column's bounds"
        if problem is not None:
            yield Contradiction(path=path, column=name, fact=problem, mend="correct the range")
        return
    if not what:
        yield Contradiction(path=path, column=name, fact="an empty list of values", mend="list at least one")
    levels = frozenset(spec.levels or ())
    for value in what:
        if value in codes:
            continue
        if spec.kind.coded:
            if spec.levels is not None and value not in levels:
                yield Contradiction(
                    path=path,
                    column=name,
                    fact=f'"{value}" is neither in the column\'s domain nor a missing code',
                    mend="write it as the domain does, or add it there",
                )
        else:
            problem = _number_problem(spec, value)
            if problem is None and spec.bounds is not None:
                low, high = spec.bounds
                if not low <= listed_number(spec, value) <= high:
                    problem = f"{value} lies outside the column's bounds"
            if problem is not None:
                yield Contradiction(path=path, column=name, fact=problem, mend="correct the value")


def listed_number(spec: ColumnSpec, value: float | str) -> float:
    """A domain value of a numeric column; numbers may stand as text, because lists hold text."""
    if spec.kind in {ColumnKind.INTEGER, ColumnKind.REAL}:
        return float(value)
    return spec.to_number(value)


def _number_problem(spec: ColumnSpec, value: float | str) -> str | None:
    try:
        number = listed_number(spec, value)
    except ValueError:
        return f'"{value}" is not a value of a {spec.kind} column'
    return None if math.isfinite(number) else f"{value} is not finite"


def _ill_formed(schema: Schema, index: int, constraint: Constraint) -> Iterator[Contradiction]:
    released = {spec.name for spec in schema.released}
    dropped = [name for name in columns_of(constraint) if name not in released]
    if dropped:
        yield _of(index, "the column is never released", "remove the constraint", dropped[0])
        return
    twice = [n for n in dict.fromkeys(columns_of(constraint)) if columns_of(constraint).count(n) > 1]
    if twice:
        yield _of(index, "the column stands twice in one constraint", "name it once", twice[0])
        return
    match constraint:
        case Impossible():
            for name, what in constraint.where.items():
                yield from _ill_fitting(schema, ("constraints", index), name, what)
        case Allowed():
            yield from _ill_formed_rows(schema, index, constraint.columns, constraint.rows)
        case Determines():
            yield from _ill_formed_map(schema, index, constraint)
        case LessEqual():
            yield from _incomparable(schema, index, constraint)
        case Increment():
            yield from _off_grid(schema, index, constraint)


def _ill_formed_rows(
    schema: Schema, index: int, names: tuple[str, ...], rows: tuple[tuple[str, ...], ...]
) -> Iterator[Contradiction]:
    for row in rows:
        if len(row) != len(names):
            yield _of(
                index, f"a row of {len(row)} values for {len(names)} columns", "give one value per column"
            )
            return
    for place, name in enumerate(names):
        values = tuple(dict.fromkeys(row[place] for row in rows))
        yield from _ill_fitting(schema, ("constraints", index), name, values)
    if len(set(rows)) != len(rows):
        yield _of(index, "a row stands twice", "remove the second")


def _ill_formed_map(schema: Schema, index: int, constraint: Determines) -> Iterator[Contradiction]:
    if constraint.cuts or constraint.values:
        yield from _ill_formed_cuts(schema, index, constraint)
        return
    if not constraint.table:
        return
    names = (*constraint.determinants, constraint.dependent)
    wrong = list(_ill_formed_rows(schema, index, names, constraint.table))
    yield from wrong
    if wrong:
        return
    heads: dict[tuple[str, ...], str] = {}
    for row in constraint.table:
        if heads.setdefault(row[:-1], row[-1]) != row[-1]:
            yield _of(
                index,
                f"the map gives {dict(zip(constraint.determinants, row[:-1], strict=True))} two different values",
                "keep one",
                constraint.dependent,
            )
            return
    levels = [schema.column(name).levels for name in constraint.determinants]
    if any(part is None for part in levels):
        return
    declared = [part for part in levels if part is not None]
    if math.prod(len(part) for part in declared) > MOST_COMBINATIONS:
        return
    absent = [head for head in itertools.product(*declared) if head not in heads]
    if absent:
        yield _of(
            index,
            f"the map says nothing of {len(absent)} combinations, such as {' × '.join(absent[0])}",
            "add them, so that every value has its counterpart",
            constraint.dependent,
        )


def _ill_formed_cuts(schema: Schema, index: int, constraint: Determines) -> Iterator[Contradiction]:
    spec = schema.column(constraint.determinants[0])
    if constraint.table:
        yield _of(index, "both a table and cuts are given", "keep one of them")
    elif len(constraint.determinants) != 1 or not spec.kind.numeric:
        yield _of(index, "cuts need exactly one numeric determinant", "use a table instead")
    elif len(constraint.values) != len(constraint.cuts) + 1:
        yield _of(
            index,
            f"{len(constraint.cuts)} cuts make {len(constraint.cuts) + 1} parts, but {len(constraint.values)} values stand there",
            "give one value more than cuts",
        )
    elif any(a >= b for a, b in itertools.pairwise(constraint.cuts)):
        yield _of(index, "the cuts do not ascend", "sort them")
    else:
        values = tuple(dict.fromkeys(constraint.values))
        yield from _ill_fitting(schema, ("constraints", index), constraint.dependent, values)


# ---------------------------------------------------------------------------------------------- grids


def _grids(schema: Schema) -> Iterator[Contradiction]:
    """A range too wide for arithmetic, or that is no grid: bounds, spikes or a step that its step or its decimals cannot hold."""
    for index, spec in enumerate(schema.columns):
        if spec.bounds is not None and max(map(abs, spec.bounds)) > LARGEST_BOUND / _parts(spec):
            yield Contradiction(
                path=("columns", index),
                column=spec.name,
                fact=f"a bound is beyond ±{LARGEST_BOUND / _parts(spec):g}, and differences of such numbers overflow",
                mend="declare the bounds that values really have",
            )
            continue
        for fact, mend in range_problems(spec):
            yield Contradiction(path=("columns", index), column=spec.name, fact=fact, mend=mend)


def _parts(spec: ColumnSpec) -> float:
    """Into how many parts a unit may be divided: by decimals, or finely where there is a step."""
    if not isinstance(spec.domain, Range) or spec.kind is not ColumnKind.REAL:
        return 1.0
    return 10.0 ** (
        spec.domain.decimals if spec.domain.decimals is not None else 12 if spec.domain.step else 0
    )


def _off_grid(schema: Schema, index: int, constraint: Increment) -> Iterator[Contradiction]:
    for fact, mend in increment_problems(schema.column(constraint.column), constraint):
        yield _of(index, fact, mend, constraint.column)


# ---------------------------------------------------------------------------------------------- order


def _incomparable(schema: Schema, index: int, constraint: LessEqual) -> Iterator[Contradiction]:
    left, right = schema.column(constraint.left), schema.column(constraint.right)
    moments = {ColumnKind.DATE, ColumnKind.DATETIME}
    plain = {ColumnKind.INTEGER, ColumnKind.REAL}
    alike = (
        {left.kind, right.kind} <= moments
        or {left.kind, right.kind} <= plain
        or (
            left.kind is right.kind is ColumnKind.ORDINAL
            and left.levels == right.levels
            and left.levels is not None
        )
    )
    if not alike:
        yield _of(
            index,
            f"a {left.kind} and a {right.kind} column cannot be compared",
            "compare numbers with numbers, dates with dates, ordinals of one declared domain",
            constraint.left,
        )


def _interval(spec: ColumnSpec) -> tuple[float, float]:
    """Bounds as compared (seconds for dates, ranks for ordinals); infinite where they are to be learnt."""
    if spec.kind is ColumnKind.ORDINAL and spec.levels is not None:
        return (0.0, len(spec.levels) - 1.0)
    if spec.bounds is None:
        return (-math.inf, math.inf)
    scale = 86_400.0 if spec.kind is ColumnKind.DATE else 1.0
    return (spec.bounds[0] * scale, spec.bounds[1] * scale)


def _order(schema: Schema, sound: Iterable[tuple[int, Constraint]]) -> Iterator[Contradiction]:
    """Cycles, and chains a ≤ b ≤ c whose ranges leave no room: lower ends are pushed along the chain."""
    edges = [(index, c) for index, c in sound if isinstance(c, LessEqual)]
    cycle = _cycle({(c.left, c.right): index for index, c in edges})
    if cycle is not None:
        index, names = cycle
        yield _of(
            index,
            f"{' ≤ '.join(names)} is a circle: all of them would have to be equal",
            "remove one of the constraints",
            names[0],
        )
        return
    low = {name: _interval(schema.column(name))[0] for _, c in edges for name in (c.left, c.right)}
    strict_at = dict.fromkeys(low, False)
    for _ in range(len(low)):  # as many rounds as the longest chain could have links
        for index, c in edges:
            pushed, strict = low[c.left], strict_at[c.left] or c.strictly
            if pushed > low[c.right] or (pushed == low[c.right] and strict and not strict_at[c.right]):
                low[c.right], strict_at[c.right] = pushed, strict
            high = _interval(schema.column(c.right))[1]
            if low[c.right] > high or (strict_at[c.right] and low[c.right] == high and pushed == high):
                yield _of(
                    index,
                    f"no row can satisfy it: {c.left} is at least {pushed:g}, {c.right} at most {high:g}",
                    "correct the bounds, or remove the constraint",
                    c.left,
                )
                return


def _cycle(edges: dict[tuple[str, str], int]) -> tuple[int, list[str]] | None:
    """(index of a constraint on it, names along it) of some circle; None where there is none."""
    before: dict[str, set[str]] = {}
    for left, right in edges:
        before.setdefault(right, set()).add(left)
    try:
        graphlib.TopologicalSorter(before).prepare()
    except graphlib.CycleError as error:
        circle: list[str] = error.args[1]
        return edges[(circle[0], circle[1])], circle
    return None


def _dependency_cycles(sound: Iterable[tuple[int, Constraint]]) -> Iterator[Contradiction]:
    edges = {
        (determinant, c.dependent): index
        for index, c in sound
        if isinstance(c, Determines)
        for determinant in c.determinants
    }
    cycle = _cycle(edges)
    if cycle is not None:
        index, names = cycle
        yield _of(
            index,
            f"{' determines '.join(names)} is a circle",
            "keep one direction: the other follows where the map is one to one",
            names[0],
        )


# ---------------------------------------------------------------------------------------------- coverage


def _coverage(schema: Schema, sound: Iterable[tuple[int, Constraint]]) -> Iterator[Contradiction]:
    """Impossible combinations that leave a column, or an allowed table, nothing at all."""
    ruled_out: dict[str, set[str]] = {}
    listed = list(sound)
    for index, c in listed:
        if not isinstance(c, Impossible):
            continue
        covered = [_covers(schema.column(name), what) for name, what in c.where.items()]
        if all(covered):
            yield _of(index, "it covers the whole domain: no row could exist", "name fewer values")
        elif len(c.where) == 1:
            (name, what), *_ = c.where.items()
            spec = schema.column(name)
            if isinstance(what, tuple) and spec.levels is not None:
                gone = ruled_out.setdefault(name, set())
                gone |= set(what)
                if gone >= set(spec.levels) | {code.code for code in spec.missing}:
                    yield _of(index, "with others it rules out every value of the column", "keep some", name)
    for index, c in listed:
        if isinstance(c, Allowed) and all(
            any(_row_hit(schema, c, row, other) for _, other in listed if isinstance(other, Impossible))
            for row in c.rows
        ):
            yield _of(
                index, "every allowed combination is declared impossible elsewhere", "correct one of them"
            )


def _covers(spec: ColumnSpec, what: tuple[str, ...] | Range) -> bool:
    if isinstance(what, Range):
        if spec.bounds is None or spec.missing:
            return False
        return spec.to_number(what.min) <= spec.bounds[0] and spec.bounds[1] <= spec.to_number(what.max)
    return spec.levels is not None and set(what) >= set(spec.levels) | {code.code for code in spec.missing}


def _row_hit(schema: Schema, allowed: Allowed, row: tuple[str, ...], other: Impossible) -> bool:
    """Whether an impossible combination, speaking of the allowed table's columns alone, rules the row out."""
    if not set(other.where) <= set(allowed.columns):
        return False
    cell = dict(zip(allowed.columns, row, strict=True))
    for name, what in other.where.items():
        spec = schema.column(name)
        if isinstance(what, tuple):
            if cell[name] not in what:
                return False
        elif cell[name] in {code.code for code in spec.missing} or not (
            spec.to_number(what.min) <= listed_number(spec, cell[name]) <= spec.to_number(what.max)
        ):
            return False
    return True
