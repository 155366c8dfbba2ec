"""What always holds: counted on a table, and checked for contradictions before anything is charged.

Rules: a row with a missing value in a constraint's columns does not violate it, unless the constraint names the missing
code itself. `contradictions` looks at the schema alone, never at data: a schema that no row could satisfy, or that says
two different things, is refused before a plan is made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.contradictions import Contradiction, contradictions, listed_number, require_consistent
from release.data.rule_names import describe
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
    columns_of,
)
from release.data.table import Column, Table

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

_TOLERANCE = 1e-6
"""Of one step: how far floats may lie from the grid of an increment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violations:
    """How one constraint fares on a table.

    Attributes:
        constraint: `describe` of it.
        rows: rows to which it applies (nothing missing).
        violations: rows that violate it.
    """

    constraint: str
    rows: int
    violations: int


def violations(table: Table) -> tuple[Violations, ...]:
    """One count per constraint of the table's schema, in its order. The schema must be consistent."""
    return tuple(_count(table, constraint) for constraint in table.schema.constraints)


def violating(table: Table, constraint: Constraint) -> BoolArray:
    """Shape (n,): True in rows that violate the constraint."""
    return _judge(table, constraint)[1]


def _count(table: Table, constraint: Constraint) -> Violations:
    applies, broken = _judge(table, constraint)
    return Violations(
        constraint=describe(constraint), rows=int(applies.sum()), violations=int((applies & broken).sum())
    )


def _judge(table: Table, constraint: Constraint) -> tuple[BoolArray, BoolArray]:
    """(applies, violates), each of shape (n,)."""
    match constraint:
        case Impossible():
            hit = np.ones(len(table), dtype=bool)
            for name, what in constraint.where.items():
                hit &= matches(table.schema.column(name), table[name], what)
            return np.ones(len(table), dtype=bool), hit
        case LessEqual():
            left, right = table[constraint.left], table[constraint.right]
            a, b = (
                numbers(table.schema.column(constraint.left), left),
                numbers(table.schema.column(constraint.right), right),
            )
            applies = _present(table, columns_of(constraint))
            return applies, applies & ((a >= b) if constraint.strictly else (a > b))
        case Increment():
            column = table[constraint.column]
            steps = (column.values.astype(np.float64) - constraint.start) / constraint.step
            return column.present, column.present & (np.abs(steps - np.rint(steps)) > _TOLERANCE)
        case Allowed():
            return _judge_allowed(table, constraint)
        case Determines():
            return _judge_determines(table, constraint)


def matches(spec: ColumnSpec, column: Column, what: tuple[str, ...] | Range) -> BoolArray:
    """Shape (n,): True where the cell is one of the values (missing codes may be named), or lies in the range."""
    if isinstance(what, Range):
        low, high = spec.to_number(what.min), spec.to_number(what.max)
        values = column.values.astype(np.float64)
        return np.asarray(column.present & (values >= low) & (values <= high))
    return np.asarray(_places(spec, column, what) >= 0)


def numbers(spec: ColumnSpec, column: Column) -> npt.NDArray[np.float64]:
    """Values that can be compared: numbers, seconds for dates and datetimes, ranks of an ordinal's levels."""
    values = column.values.astype(np.float64)
    return values * 86_400.0 if spec.kind is ColumnKind.DATE else values


def _present(table: Table, names: tuple[str, ...]) -> BoolArray:
    result = np.ones(len(table), dtype=bool)
    for name in names:
        result &= table[name].present
        spec = table.schema.column(name)
        if spec.kind is ColumnKind.ORDINAL:  # a value outside the declared order has no rank
            ranks = len(table[name].levels) - (spec.levels is not None)
            result &= table[name].values.astype(np.int64) < ranks
    return result


def _places(spec: ColumnSpec, column: Column, values: tuple[str, ...]) -> IntArray:
    """Shape (n,): which of the listed values each cell is; -1 where none of them."""
    listed = {value: place for place, value in enumerate(values)}
    kinds = np.full(len(spec.missing) + 1, -1, dtype=np.int64)
    for kind, code in enumerate(spec.missing, start=1):
        kinds[kind] = listed.get(code.code, -1)
    if spec.kind.coded:
        by_level = np.array([listed.get(level, -1) for level in column.levels] + [-1], dtype=np.int64)
        places = by_level[column.values.astype(np.int64)]
    else:
        codes = {code.code for code in spec.missing}
        pairs = sorted((listed_number(spec, v), p) for v, p in listed.items() if v not in codes)
        places = np.full(len(column.values), -1, dtype=np.int64)
        if pairs:
            points = np.array([number for number, _ in pairs])
            spot = np.searchsorted(points, column.values).clip(max=len(points) - 1)
            found = points[spot] == column.values
            places[found] = np.array([place for _, place in pairs])[spot[found]]
    return np.asarray(np.where(column.missing == 0, places, kinds[column.missing]), dtype=np.int64)


def _listed(table: Table, names: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> IntArray:
    """Shape (n,): index of the listed combination that each row has in these columns; -1 where none."""
    codes = np.zeros(len(table), dtype=np.int64)
    keys = np.zeros(len(rows), dtype=np.int64)
    unknown = np.zeros(len(table), dtype=bool)
    for place, name in enumerate(names):
        values = tuple(dict.fromkeys(row[place] for row in rows))
        number = {value: k for k, value in enumerate(values)}
        cells = _places(table.schema.column(name), table[name], values)
        unknown |= cells < 0
        # Dense renumbering after each column keeps the product of sizes from overflowing.
        both = np.concatenate([keys, codes]) * len(values) + np.concatenate(
            [np.array([number[row[place]] for row in rows], dtype=np.int64), np.maximum(cells, 0)]
        )
        dense = np.unique(both, return_inverse=True)[1]
        keys, codes = dense[: len(rows)], dense[len(rows) :]
    lookup = np.full(int(max(keys.max(initial=0), codes.max(initial=0))) + 1, -1, dtype=np.int64)
    lookup[keys] = np.arange(len(rows))
    return np.where(unknown, -1, lookup[codes])


def _applies(table: Table, names: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> BoolArray:
    """Rows where every cell is present or is a missing code that the rows name."""
    result = np.ones(len(table), dtype=bool)
    for place, name in enumerate(names):
        named = tuple(dict.fromkeys(row[place] for row in rows))
        column = table[name]
        result &= column.present | (_places(table.schema.column(name), column, named) >= 0)
    return result


def _judge_allowed(table: Table, constraint: Allowed) -> tuple[BoolArray, BoolArray]:
    applies = _applies(table, constraint.columns, constraint.rows)
    return applies, applies & (_listed(table, constraint.columns, constraint.rows) < 0)


def _judge_determines(table: Table, constraint: Determines) -> tuple[BoolArray, BoolArray]:
    dependent = table.schema.column(constraint.dependent)
    column = table[constraint.dependent]
    if constraint.cuts:
        name = constraint.determinants[0]
        applies = table[name].present & column.present
        place = np.searchsorted(
            np.array(constraint.cuts), table[name].values.astype(np.float64), side="right"
        )
        values = tuple(dict.fromkeys(constraint.values))
        expected = np.array([values.index(value) for value in constraint.values])[place]
        return applies, applies & (_places(dependent, column, values) != expected)
    if constraint.table:
        heads = tuple(row[:-1] for row in constraint.table)
        values = tuple(dict.fromkeys(row[-1] for row in constraint.table))
        at = _listed(table, constraint.determinants, heads)
        expected = np.array([values.index(row[-1]) for row in constraint.table])[at]
        cells = _places(dependent, column, values)
        applies = (at >= 0) & (column.present | (cells >= 0))
        return applies, applies & (cells != expected)
    return _judge_learnt(table, constraint)


def _judge_learnt(table: Table, constraint: Determines) -> tuple[BoolArray, BoolArray]:
    """Without a public map: within each group of equal determinants all rows but the commonest value's violate it."""
    applies = _present(table, columns_of(constraint))
    group = np.zeros(len(table), dtype=np.int64)
    for name in constraint.determinants:
        codes = np.unique(table[name].values, return_inverse=True)[1]
        group = np.unique(group * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)[1]
    value = np.unique(table[constraint.dependent].values, return_inverse=True)[1]
    pairs, pair_of, counts = np.unique(
        (group * (int(value.max(initial=0)) + 1) + value)[applies], return_inverse=True, return_counts=True
    )
    groups = pairs // (int(value.max(initial=0)) + 1)
    order = np.lexsort((-counts, groups))
    first = np.ones(len(order), dtype=bool)
    first[1:] = groups[order][1:] != groups[order][:-1]
    commonest = np.zeros(len(pairs), dtype=bool)
    commonest[order[first]] = True
    broken = np.zeros(len(table), dtype=bool)
    broken[np.flatnonzero(applies)] = ~commonest[pair_of]
    return applies, broken


__all__ = [
    "Contradiction",
    "Violations",
    "contradictions",
    "describe",
    "matches",
    "numbers",
    "require_consistent",
    "violating",
    "violations",
]
