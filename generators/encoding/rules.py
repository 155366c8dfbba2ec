"""The schema's constraints, made ready for the encoding.

Rules: everything here is public. A rule either becomes a structural zero (`Zeros`: combinations of levels that the
model may not give mass to), an order (`Orders`, module `orders`), a fixed increment of a grid, or a derivation: the
dependent column leaves the model and is worked out from its determinants when rows are decoded.

A row in which a column of a rule is missing is not bound by it, unless the rule names that missing code itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from generators.encoding.coded import CodedCode
from generators.encoding.numeric import NumericCode
from generators.encoding.wanted import Wanted, number, parse
from release.data.schema import (
    OUTSIDE_LEVEL,
    Allowed,
    ColumnKind,
    ColumnSpec,
    Constraint,
    Determines,
    Impossible,
    Increment,
    LessEqual,
    Schema,
    columns_of,
)
from release.errors import PlanError

BoolArray = npt.NDArray[np.bool_]
Code = CodedCode | NumericCode

MOST_CELLS = 4_000_000
"""A structural zero over more combinations of levels than this is refused when planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zeros:
    """Combinations that do not exist, by value.

    Attributes:
        columns: which columns.
        rows: each a combination, one `Wanted` a column.
        bound: how many leading columns must match a row for the rule to bind. 0: the rule binds always.
        forbids: True: the rows do not exist. False: where the bound columns match, only these rows exist.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Wanted, ...], ...]
    bound: int
    forbids: bool

    def allowed(self, codes: Mapping[str, Code]) -> BoolArray:
        """Which combinations of levels may occur, of the shape of the columns' sizes."""
        mine = [codes[name] for name in self.columns]
        shape = tuple(code.size for code in mine)
        listed, binding = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
        masks: dict[tuple[int, Wanted], BoolArray] = {}
        for row in self.rows:
            places = []
            for axis, wanted in enumerate(row):
                if (axis, wanted) not in masks:
                    masks[axis, wanted] = mine[axis].narrow(wanted)[1] > 0
                places.append(np.flatnonzero(masks[axis, wanted]))
            listed[np.ix_(*places)] = True
            if self.bound:
                free = [np.arange(size) for size in shape[self.bound :]]
                binding[np.ix_(*places[: self.bound], *free)] = True
        if self.forbids:
            return ~listed
        allowed = listed | ~binding if self.bound else listed
        for axis, code in enumerate(mine):
            named = {kind for row in self.rows for kind in row[axis].missing}
            for kind in set(range(1, len(code.spec.missing) + 1)) - named:
                exempt: list[int | slice] = [slice(None)] * len(shape)
                exempt[axis] = code.present + kind - 1
                allowed[tuple(exempt)] = True
        return allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """A column that follows from others and so is not modelled.

    Attributes:
        spec: the dependent column.
        specs: the columns that it follows from.
        results: its possible values, as they stand in the file.
        table: determinant values (as they stand in the file) → index into `results`; empty where `cuts` say it.
        cuts: for one numeric determinant: value < cuts[0] → results[0], …, else results[-1].
    """

    spec: ColumnSpec
    specs: tuple[ColumnSpec, ...]
    results: tuple[str, ...]
    table: Mapping[tuple[str, ...], int]
    cuts: tuple[float, ...]

    @property
    def determinants(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(spec.name for spec in self.specs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """All of a schema's constraints.

    Attributes:
        increments: by column.
        orders: left ≤ right.
        derivations: by dependent column.
        zeros: structural zeros.
        demands: by column: what must be a union of levels, so that zeros are exact.
        unknown: functional dependencies whose map must be learnt.
    """

    increments: Mapping[str, Increment]
    orders: tuple[LessEqual, ...]
    derivations: Mapping[str, Derivation]
    zeros: tuple[Zeros, ...]
    demands: Mapping[str, tuple[Wanted, ...]]
    unknown: tuple[Determines, ...]


def compile_rules(schema: Schema, learnt: Sequence[Determines] = ()) -> Rules:
    """The rules of a schema; `learnt` holds the maps that were measured, which replace the ones without a table.

    Raises:
        PlanError: a constraint cannot be kept by construction.
    """
    known = {(rule.determinants, rule.dependent): rule for rule in learnt}
    released = {spec.name: spec for spec in schema.released}
    increments: dict[str, Increment] = {}
    orders: list[LessEqual] = []
    derivations: dict[str, Derivation] = {}
    zeros: list[Zeros] = []
    unknown: list[Determines] = []
    demands: dict[str, list[Wanted]] = {name: [] for name in released}
    given = [_filled(rule, known) for rule in schema.constraints]
    given = [rule for rule in given if all(name in released for name in columns_of(rule))]
    for rule in given:
        match rule:
            case Increment():
                if rule.column in increments and increments[rule.column] != rule:
                    raise PlanError(
                        f'column "{rule.column}" has two different increments', mend="keep one of them"
                    )
                increments[rule.column] = rule
            case LessEqual() if released[rule.left].kind is ColumnKind.ORDINAL:
                zeros.append(_ranked(rule, released))
            case LessEqual():
                orders.append(rule)
            case Determines() if not rule.table and not rule.cuts:
                unknown.append(rule)
            case Determines() if rule in learnt or _derivable(rule, released, given):
                derivations[rule.dependent] = _derivation(rule, released)
                zeros.extend(_outside(rule, released))
            case Determines():
                zeros.append(_determined(rule, released))
            case Impossible():
                row = tuple(parse(released[name], asked) for name, asked in rule.where.items())
                zeros.append(Zeros(columns=tuple(rule.where), rows=(row,), bound=0, forbids=True))
            case Allowed():
                rows = tuple(_row(rule.columns, row, released, rule.type) for row in rule.rows)
                zeros.append(Zeros(columns=rule.columns, rows=rows, bound=0, forbids=False))
    for zero in zeros:
        for row in zero.rows:
            for name, wanted in zip(zero.columns, row, strict=True):
                demands[name].append(wanted)
    for derivation in derivations.values():
        demands[derivation.determinants[0]].extend(
            Wanted(ranges=((cut, math.inf),)) for cut in derivation.cuts
        )
    return Rules(
        increments=increments,
        orders=tuple(orders),
        derivations={name: _composed(derivation, derivations) for name, derivation in derivations.items()},
        zeros=tuple(zeros),
        demands={name: tuple(dict.fromkeys(wants)) for name, wants in demands.items() if wants},
        unknown=tuple(unknown),
    )


def _filled(rule: Constraint, known: Mapping[tuple[tuple[str, ...], str], Determines]) -> Constraint:
    if isinstance(rule, Determines) and not rule.table and not rule.cuts:
        return known.get((rule.determinants, rule.dependent), rule)
    return rule


def _ranked(rule: LessEqual, released: Mapping[str, ColumnSpec]) -> Zeros:
    """Left ≤ right between ordinals of one domain: the pairs out of order do not exist."""
    levels = released[rule.left].levels or ()
    pairs = [(level, levels[: place + rule.strictly]) for place, level in enumerate(levels)]
    rows = tuple(
        (Wanted(values=frozenset((level,))), Wanted(values=frozenset(lower)))
        for level, lower in pairs
        if lower
    )
    return Zeros(columns=(rule.left, rule.right), rows=rows, bound=0, forbids=True)


def _row(
    columns: Sequence[str], row: Sequence[str], released: Mapping[str, ColumnSpec], what: str
) -> tuple[Wanted, ...]:
    if len(row) != len(columns):
        raise PlanError(
            f"a row of the constraint {what} over {list(columns)} has {len(row)} values, not {len(columns)}",
            mend="give one value per column",
        )
    return tuple(parse(released[name], (value,)) for name, value in zip(columns, row, strict=True))


def _derivable(rule: Determines, released: Mapping[str, ColumnSpec], given: Sequence[Constraint]) -> bool:
    """Whether the dependent follows from its determinants in every row that can be sampled."""
    others = [other for other in given if other is not rule and rule.dependent in columns_of(other)]
    if others or rule.dependent in rule.determinants:
        return False
    specs = [released[name] for name in rule.determinants]
    if any(spec.missing for spec in specs):
        return False
    if rule.cuts:
        return len(specs) == 1 and specs[0].kind.numeric
    listed = {row[:-1] for row in rule.table}
    if not all(spec.kind.coded and spec.levels is not None for spec in specs):
        return False
    return all(
        combination in listed for combination in itertools.product(*(spec.levels or () for spec in specs))
    )


def _derivation(rule: Determines, released: Mapping[str, ColumnSpec]) -> Derivation:
    spec = released[rule.dependent]
    specs = tuple(released[name] for name in rule.determinants)
    if rule.cuts:
        if len(rule.values) != len(rule.cuts) + 1 or list(rule.cuts) != sorted(set(rule.cuts)):
            raise PlanError(
                f'the constraint determines "{rule.dependent}" has {len(rule.cuts)} cuts and {len(rule.values)} values',
                mend="give rising cuts and one value more than cuts",
            )
        return Derivation(spec=spec, specs=specs, results=rule.values, table={}, cuts=rule.cuts)
    results = tuple(dict.fromkeys(row[-1] for row in rule.table))
    table: dict[tuple[str, ...], int] = {}
    for row in rule.table:
        _row((*rule.determinants, rule.dependent), row, released, rule.type)
        if table.setdefault(row[:-1], results.index(row[-1])) != results.index(row[-1]):
            raise PlanError(
                f'the constraint determines "{rule.dependent}" maps {list(row[:-1])} to two values',
                mend="keep one of them",
            )
    return Derivation(spec=spec, specs=specs, results=results, table=table, cuts=())


def _composed(derivation: Derivation, derivations: Mapping[str, Derivation]) -> Derivation:
    """A public map of a column that itself follows by a learnt map, as one map of that one's determinants."""
    inner = derivations.get(derivation.determinants[0])
    if inner is None or len(derivation.determinants) > 1 or inner.cuts:
        return derivation
    if derivation.cuts:
        numbers = [number(inner.spec, word) for word in inner.results]
        found = dict(enumerate(np.searchsorted(np.array(derivation.cuts), numbers, side="right").tolist()))
    else:
        known = {words[0]: place for words, place in derivation.table.items()}
        found = {k: known[word] for k, word in enumerate(inner.results) if word in known}
    table = {words: found[place] for words, place in inner.table.items() if place in found}
    return replace(derivation, specs=inner.specs, table=table, cuts=())


def _outside(rule: Determines, released: Mapping[str, ColumnSpec]) -> list[Zeros]:
    """A number cannot be derived from a determinant outside its domain: such rows are not sampled."""
    if released[rule.dependent].kind.coded or rule.cuts or any(OUTSIDE_LEVEL in row for row in rule.table):
        return []
    return [
        Zeros(
            columns=(name,),
            rows=tuple((parse(released[name], (value,)),) for value in released[name].levels or ()),
            bound=0,
            forbids=False,
        )
        for name in rule.determinants
        if released[name].kind.coded
    ]


def _determined(rule: Determines, released: Mapping[str, ColumnSpec]) -> Zeros:
    columns = (*rule.determinants, rule.dependent)
    if rule.cuts:
        spec = released[rule.determinants[0]]
        if len(rule.determinants) != 1 or not spec.kind.numeric or spec.kind is ColumnKind.REAL:
            raise PlanError(
                f'the constraint determines "{rule.dependent}" cannot cut {list(rule.determinants)} here',
                mend="cuts take one integer or date column where the column has missing codes or further rules",
            )
        edges = [-math.inf, *rule.cuts, math.inf]
        rows: tuple[tuple[Wanted, ...], ...] = tuple(
            (Wanted(ranges=((low, _whole_below(high)),)), parse(released[rule.dependent], (value,)))
            for low, high, value in zip(edges[:-1], edges[1:], rule.values, strict=True)
        )
    else:
        rows = tuple(_row(columns, row, released, rule.type) for row in rule.table)
    return Zeros(columns=columns, rows=rows, bound=len(rule.determinants), forbids=False)


def _whole_below(cut: float) -> float:
    """The largest whole number below a cut."""
    return cut if math.isinf(cut) else math.ceil(cut) - 1.0
