"""Whether some row inside the declared domains can keep all constraints at once: an exact search over classes of values.

How: values of a column that no constraint tells apart are one class; kinds of missing are classes of their own. A value outside the
domain is in none, so that a schema which only such rows could satisfy counts as contradictory. Domains are made consistent with each
constraint (generalised arc consistency for tables and maps, bounds for orders), then one supported combination is searched for,
component by component. A domain that is still to be learnt may hold anything.

The search is bounded: where it does not come to an end, `rows_exist` says None, and the structural zeros of the fitted encoding are
asked instead (`generators.groundwork`). Grids are taken as wide as they may be: a schema that some row satisfies is never refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
    Schema,
    columns_of,
)

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
Domains = dict[str, BoolArray]
"""Column → its classes that are still possible; arrays are replaced, never written to."""

MOST_WORK, _TABLE_WORK = 5e7, 1_000.0
"""Cells of tables and domains that one search may look at, a second or two; each look at a table counts as so many more."""

_NEAR, _ROUNDING = 1e-6, 1e-14
"""Of one step, and of a value: as near to a grid, a value is on it."""


def conflict(schema: Schema, listed: Sequence[tuple[int, Constraint]]) -> tuple[tuple[int, Constraint], ...]:
    """Constraints (with their numbers) that no row can keep all at once, none of which could be left out; () where rows exist.

    The constraints must be well formed, and their orders without circles.
    """
    for component in _components(listed):
        if rows_exist(schema, [rule for _, rule in component]) is False:
            core = list(component)
            for part in component:
                fewer = [other for other in core if other is not part]
                if rows_exist(schema, [rule for _, rule in fewer]) is False:
                    core = fewer
            return tuple(core)
    return ()


def said(core: Sequence[tuple[int, Constraint]]) -> str:
    """The fact about a conflict, for people."""
    if len(core) == 1:
        return f"no row inside the declared domains can keep it: {describe(core[0][1])}"
    names = [f"constraints[{number}] ({describe(rule)})" for number, rule in core]
    return f"{', '.join(names[:-1])} and {names[-1]} contradict each other: no row inside the declared domains keeps all of them"


def rows_exist(schema: Schema, rules: Sequence[Constraint]) -> bool | None:
    """Whether some row keeps all of them; None where the search was cut short."""
    problem = _Problem(schema, rules)
    stack = [{name: np.ones(variable.size, dtype=np.bool_) for name, variable in problem.variables.items()}]
    while stack:
        domains = stack.pop()
        if problem.work > MOST_WORK:
            return None
        if not problem.consistent(domains):
            continue
        left = {name: int(domain.sum()) for name, domain in domains.items()}
        name = min((name for name in left if left[name] > 1), key=left.__getitem__, default=None)
        if name is None:
            return True
        # Kinds of missing come last among the classes, and are tried first: few rules bind them.
        first = int(np.flatnonzero(domains[name])[-1])
        alone = np.arange(len(domains[name])) == first
        stack.append({**domains, name: domains[name] & ~alone})
        stack.append({**domains, name: alone})
    return False


def _components(listed: Sequence[tuple[int, Constraint]]) -> list[list[tuple[int, Constraint]]]:
    """Constraints that share columns, directly or through others, in their order."""
    groups: list[tuple[set[str], list[tuple[int, Constraint]]]] = []
    for part in listed:
        names, mine = set(columns_of(part[1])), [part]
        apart = []
        for other, parts in groups:
            if other & names:
                names |= other
                mine = [*parts, *mine]
            else:
                apart.append((other, parts))
        groups = [*apart, (names, mine)]
    return [sorted(parts, key=lambda part: part[0]) for _, parts in groups]


# ---------------------------------------------------------------------------------------------- classes of values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Variable:
    """A column's values as classes: present ones in order, then its kinds of missing.

    Attributes:
        spec: the column.
        start, step: values are start + k · step; step 0: any number.
        low, high: shape (present,): the smallest and largest value of each class, as stored (ranks for ordinals).
        place: for coded columns: value → its class. Values that no constraint names share the last class.
    """

    spec: ColumnSpec
    start: float
    step: float
    low: FloatArray
    high: FloatArray
    place: Mapping[str, int]

    @property
    def present(self) -> int:
        return len(self.low)

    @property
    def size(self) -> int:
        return self.present + len(self.spec.missing)

    @property
    def unit(self) -> float:
        """What a value is multiplied by before it is compared: dates beside datetimes are seconds."""
        return 86_400.0 if self.spec.kind is ColumnKind.DATE else 1.0

    def of(self, value: str) -> int:
        """The class of a listed value or missing code; -1 where no row can hold it."""
        kinds = [code.code for code in self.spec.missing]
        if value in kinds:
            return self.present + kinds.index(value)
        if self.spec.kind.coded:
            return self.place.get(value, -1)
        number = _number(self.spec, value)
        inside = np.flatnonzero(self.between(number, number))
        return int(inside[0]) if len(inside) else -1

    def between(self, bottom: float, top: float) -> BoolArray:
        """Shape (present,): classes inside an interval of stored values."""
        if self.step == 0.0:
            return np.asarray((self.low >= bottom) & (self.high <= top))
        slack = _NEAR * self.step
        low, high = bottom - slack - _ROUNDING * abs(bottom), top + slack + _ROUNDING * abs(top)
        return np.asarray((self.low >= low) & (self.high <= high))

    def mask(self, what: tuple[str, ...] | Range) -> BoolArray:
        """Shape (size,): classes that are meant."""
        found = np.zeros(self.size, dtype=np.bool_)
        if isinstance(what, Range):
            found[: self.present] = self.between(_number(self.spec, what.min), _number(self.spec, what.max))
        else:
            places = [place for value in what if (place := self.of(value)) >= 0]
            found[places] = True
        return found

    def above(self, bound: float, *, strictly: bool) -> float:
        """The smallest value ≥ (or >) a bound, both as compared."""
        position = math.inf if self.step == 0.0 else (bound / self.unit - self.start) / self.step
        if not math.isfinite(position):
            return math.nextafter(bound, math.inf) if strictly else bound
        near = round(position)
        k = near + strictly if abs(position - near) <= _NEAR else math.ceil(position)
        return (self.start + k * self.step) * self.unit

    def below(self, bound: float, *, strictly: bool) -> float:
        """The largest value ≤ (or <) a bound, both as compared."""
        position = math.inf if self.step == 0.0 else (bound / self.unit - self.start) / self.step
        if not math.isfinite(position):
            return math.nextafter(bound, -math.inf) if strictly else bound
        near = round(position)
        k = near - strictly if abs(position - near) <= _NEAR else math.floor(position)
        return (self.start + k * self.step) * self.unit


def _number(spec: ColumnSpec, value: float | str) -> float:
    """A domain value as stored; numbers may stand as text, because lists hold text."""
    return float(value) if spec.kind in {ColumnKind.INTEGER, ColumnKind.REAL} else spec.to_number(value)


def _variable(spec: ColumnSpec, rules: Sequence[Constraint]) -> _Variable:
    if spec.kind.numeric:
        return _numeric(spec, rules)
    ranked = any(isinstance(rule, LessEqual) and spec.name in columns_of(rule) for rule in rules)
    codes = {code.code for code in spec.missing}
    named = spec.levels or () if ranked else _named(spec.name, rules)
    known = [value for value in dict.fromkeys(named) if value not in codes]
    if spec.levels is not None:
        levels = frozenset(spec.levels)
        known = [value for value in known if value in levels]
    others = spec.levels is None or len(known) < len(spec.levels)
    ranks = np.arange(len(known) + others, dtype=np.float64)
    place = {value: k for k, value in enumerate(known)}
    return _Variable(spec=spec, start=0.0, step=1.0, low=ranks, high=ranks, place=place)


def _named(name: str, rules: Iterable[Constraint]) -> list[str]:
    """Values of a column that constraints list."""
    found: list[str] = []
    for rule in rules:
        if name not in columns_of(rule):
            continue
        match rule:
            case Impossible(where=where):
                what = where[name]
                found.extend(what if isinstance(what, tuple) else ())
            case Allowed(columns=columns, rows=rows):
                found.extend(row[columns.index(name)] for row in rows)
            case Determines(values=values) if rule.cuts:
                found.extend(values if name == rule.dependent else ())
            case Determines(table=table):
                place = (*rule.determinants, rule.dependent).index(name)
                found.extend(row[place] for row in table)
    return found


def _numeric(spec: ColumnSpec, rules: Sequence[Constraint]) -> _Variable:
    start, step = _grid(spec, rules)
    codes = {code.code for code in spec.missing}
    points = [_number(spec, value) for value in _named(spec.name, rules) if value not in codes]
    spans = [(point, point) for point in points]
    cuts: list[float] = []
    for rule in rules:
        if isinstance(rule, Impossible) and isinstance(what := rule.where.get(spec.name), Range):
            spans.append((_number(spec, what.min), _number(spec, what.max)))
        elif isinstance(rule, Determines) and rule.cuts and spec.name in rule.determinants:
            cuts.extend(rule.cuts)
    bottom, top = spec.bounds or (-math.inf, math.inf)
    if step == 0.0:
        begins = {
            bottom,
            *cuts,
            *(low for low, _ in spans),
            *(np.nextafter(high, np.inf) for _, high in spans),
        }
        first = np.array(sorted(begin for begin in begins if bottom <= begin <= top))
        last = np.append(np.nextafter(first[1:], -np.inf), top)
        return _Variable(spec=spec, start=0.0, step=0.0, low=first, high=last, place={})

    def up(value: float) -> float:
        return float(np.ceil((value - start) / step - _NEAR))

    def down(value: float) -> float:
        return float(np.floor((value - start) / step + _NEAR))

    low, high = up(bottom), down(top)
    begins = {low, *map(up, cuts), *(up(a) for a, _ in spans), *(down(b) + 1.0 for _, b in spans)}
    first = np.array(sorted(begin for begin in begins if low <= begin <= high), dtype=np.float64)
    last = np.append(first[1:] - 1.0, high)[: len(first)]
    return _Variable(
        spec=spec, start=start, step=step, low=start + first * step, high=start + last * step, place={}
    )


def _grid(spec: ColumnSpec, rules: Sequence[Constraint]) -> tuple[float, float]:
    """(start, step) of one grid that the column keeps; there may be further ones, which are not counted."""
    for rule in rules:
        if isinstance(rule, Increment) and rule.column == spec.name:
            return rule.start, rule.step
    domain = spec.domain
    if isinstance(domain, Range) and domain.step is not None and spec.bounds is not None:
        return spec.bounds[0], domain.step
    if spec.kind is ColumnKind.REAL:
        decimals = domain.decimals if isinstance(domain, Range) else None
        return 0.0, 0.0 if decimals is None else 10.0**-decimals
    return 0.0, 1.0


# ---------------------------------------------------------------------------------------------- consistency


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Listed:
    """A table: rows of classes that exist; with `bound` leading columns, they only bind rows with these heads.

    Attributes:
        names: the columns.
        rows: shape (m, columns) class numbers; -1 in a row that cannot be.
        heads: shape (h, bound), the different heads.
        exempt: for each column, shape (size,): kinds of missing that no row names, and which the table does not bind.
    """

    names: tuple[str, ...]
    rows: IntArray
    heads: IntArray
    exempt: tuple[BoolArray, ...]

    def narrow(self, domains: Domains) -> bool:
        """Only what some row of the table supports; False where nothing is left of a column."""
        mine = [domains[name] for name in self.names]
        alive = _alive(self.rows, mine)
        spared = [bool((domain & exempt).any()) for domain, exempt in zip(mine, self.exempt, strict=True)]
        bound = self.heads.shape[1]
        free = _unlisted(self.heads, mine[:bound]) if bound else []
        for axis, name in enumerate(self.names):
            if any(other for place, other in enumerate(spared) if place != axis):
                continue
            supported = self.exempt[axis].copy()
            supported[self.rows[alive, axis]] = True
            if bound and axis < bound:
                supported |= free[axis]
            elif bound and any(part.any() for part in free):
                continue
            domains[name] = domains[name] & supported
            if not domains[name].any():
                return False
        return True


def _alive(rows: IntArray, domains: Sequence[BoolArray]) -> BoolArray:
    alive = (rows >= 0).all(axis=1)
    for axis, domain in enumerate(domains):
        alive &= domain[rows[:, axis]]
    return np.asarray(alive)


def _unlisted(heads: IntArray, domains: Sequence[BoolArray]) -> list[BoolArray]:
    """For each column of the heads: classes of the domain that stand in some combination which is no head."""
    alive = heads[_alive(heads, domains)]
    sizes = [int(domain.sum()) for domain in domains]
    found = []
    for axis, domain in enumerate(domains):
        others = math.prod(size for place, size in enumerate(sizes) if place != axis)
        taken = np.bincount(alive[:, axis], minlength=len(domain))
        found.append(domain & (taken < others))
    return found


class _Problem:
    """Variables and constraints, and how much work was done on them."""

    def __init__(self, schema: Schema, rules: Sequence[Constraint]) -> None:
        names = dict.fromkeys(name for rule in rules for name in columns_of(rule))
        self.variables = {name: _variable(schema.column(name), rules) for name in names}
        self.tables = [table for rule in rules if (table := self._listed(rule)) is not None]
        self.hits = [
            {name: self.variables[name].mask(what) for name, what in rule.where.items()}
            for rule in rules
            if isinstance(rule, Impossible)
        ]
        self.orders = [rule for rule in rules if isinstance(rule, LessEqual)]
        self.cells = 100.0 + sum(_TABLE_WORK + table.rows.size for table in self.tables)
        self.cells += sum(variable.size for variable in self.variables.values())
        self.work = 0.0

    def _listed(self, rule: Constraint) -> _Listed | None:
        if isinstance(rule, Allowed):
            return self._table(rule.columns, rule.rows, 0)
        if isinstance(rule, Determines) and rule.table:
            return self._table((*rule.determinants, rule.dependent), rule.table, len(rule.determinants))
        if isinstance(rule, Determines) and rule.cuts:
            mine, other = self.variables[rule.determinants[0]], self.variables[rule.dependent]
            which = np.searchsorted(np.array(rule.cuts) - _NEAR * mine.step, mine.low, side="right")
            results = np.array([other.of(value) for value in rule.values], dtype=np.int64)
            heads = np.arange(mine.present, dtype=np.int64)[:, None]
            rows = np.concatenate([heads, results[which][:, None]], axis=1)
            names = (rule.determinants[0], rule.dependent)
            return _Listed(names=names, rows=rows, heads=heads, exempt=self._exempt(names, rows))
        return None

    def _table(self, names: tuple[str, ...], listed: tuple[tuple[str, ...], ...], bound: int) -> _Listed:
        places = []
        for axis, name in enumerate(names):
            known = {value: self.variables[name].of(value) for value in {row[axis] for row in listed}}
            places.append(np.array([known[row[axis]] for row in listed], dtype=np.int64))
        rows = np.stack(places, axis=1)
        heads = np.unique(rows[:, :bound], axis=0) if bound else rows[:0, :0]
        return _Listed(names=names, rows=rows, heads=heads, exempt=self._exempt(names, rows))

    def _exempt(self, names: Sequence[str], rows: IntArray) -> tuple[BoolArray, ...]:
        found = []
        for axis, name in enumerate(names):
            exempt = np.arange(self.variables[name].size) >= self.variables[name].present
            exempt[rows[rows[:, axis] >= 0, axis]] = False
            found.append(exempt)
        return tuple(found)

    def consistent(self, domains: Domains) -> bool:
        """Narrow the domains until every constraint supports what is left; False where nothing is."""
        if not all(domain.any() for domain in domains.values()):
            return False
        left = -1
        while left != (left := sum(int(domain.sum()) for domain in domains.values())):
            self.work += self.cells
            kept = all(table.narrow(domains) for table in self.tables)
            if not (kept and all(_missed(hit, domains) for hit in self.hits) and self._in_order(domains)):
                return False
        return True

    def _in_order(self, domains: Domains) -> bool:
        """Push the lower ends up and the upper ends down along the orders. Exact where every domain is one class."""
        names = dict.fromkeys(name for rule in self.orders for name in (rule.left, rule.right))
        low, high, sure = {}, {}, {}
        for name in names:
            variable, domain = self.variables[name], domains[name]
            here = domain[: variable.present]
            sure[name] = not domain[variable.present :].any()
            low[name] = float(variable.low[here].min(initial=math.inf)) * variable.unit
            high[name] = float(variable.high[here].max(initial=-math.inf)) * variable.unit
        for _ in names:  # as many rounds as the longest chain could have links
            for rule in self.orders:
                left, right = rule.left, rule.right
                if sure[left]:
                    above = self.variables[right].above(low[left], strictly=rule.strictly)
                    low[right] = max(low[right], above)
                if sure[right]:
                    below = self.variables[left].below(high[right], strictly=rule.strictly)
                    high[left] = min(high[left], below)
        for name in names:
            variable = self.variables[name]
            slack = _NEAR * variable.step * variable.unit
            reach = (variable.high * variable.unit >= low[name] - slack) & (
                variable.low * variable.unit <= high[name] + slack
            )
            kinds = np.ones(len(variable.spec.missing), dtype=np.bool_)
            domains[name] = domains[name] & np.append(reach, kinds)
            if not domains[name].any():
                return False
        return True


def _missed(hit: Mapping[str, BoolArray], domains: Domains) -> bool:
    """Keep out of an impossible combination; False where nothing else is left."""
    outside = [name for name, mask in hit.items() if (domains[name] & ~mask).any()]
    if len(outside) == 1:
        domains[outside[0]] = domains[outside[0]] & ~hit[outside[0]]
    return bool(outside)
