"""Candidates that leak known units, and candidates that leak nobody, at the level of tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from attacks.bench import Bench
from attacks.vulnerable import isolation
from release.data.schema import Role
from release.data.table import Column, Table, concatenate
from release.protocols import Arena

Maker = Callable[["Scene", np.random.Generator], tuple[Table, np.ndarray]]
"""(scene, rng) → (candidate, unit numbers of the leaked members)."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An arena whose candidate is a private release (or strangers' rows), to plant leaks in."""

    arena: Arena

    @property
    def members(self) -> Table:
        return self.arena.members

    @property
    def carrier(self) -> Table:
        return self.arena.synthetic

    def with_candidate(self, table: Table) -> Arena:
        return replace(self.arena, synthetic=table)

    def share(self, share: float, rng: np.random.Generator) -> np.ndarray:
        units = np.unique(self.members.units)
        return rng.permutation(units)[: max(1, round(share * len(units)))]


def distinct(table: Table) -> Table:
    """One row of every group of equal rows, where a row is a unit: some sources list a person twice, and a twin is no leak."""
    if table.schema.unit.column is not None:
        return table
    from attacks.distances import row_hashes
    from attacks.encoding import encode

    hashes = row_hashes(encode({"t": table}, ["t"]).tables["t"].codes)
    return table.take(np.sort(np.unique(hashes, return_index=True)[1]))


def scene(
    table: Table, rng: np.random.Generator, units: int, reference: int, carrier: Table | None = None
) -> Scene:
    """Members, controls and reference drawn by unit; the carrier is the other rows where none is given."""
    order = rng.permutation(np.unique(table.units))
    members, controls, others, rest = (
        table.take_units(part) for part in np.split(order, np.cumsum([units, units, reference]))
    )
    return Scene(
        Arena(
            members=members,
            controls=controls,
            reference=others,
            training=concatenate([members, rest]),
            synthetic=rest if carrier is None else carrier,
            claim=None,
            randomised_split=True,
        )
    )


def planted(into: Scene, rows: Table) -> Table:
    """The carrier with these rows in the place of as many of its own (or behind them, where it is smaller)."""
    kept = (
        into.carrier.take(np.arange(len(rows), len(into.carrier)))
        if len(into.carrier) > len(rows)
        else into.carrier
    )
    return concatenate([kept, rows])


def verbatim(share: float) -> Maker:
    def make(into: Scene, rng):
        units = into.share(share, rng)
        return planted(into, into.members.take_units(units)), units

    return make


def near_copy(share: float, shift: float = 0.1) -> Maker:
    """Numbers moved by 0.1 standard deviations; categories as they are."""

    def make(into: Scene, rng):
        units = into.share(share, rng)
        rows = into.members.take_units(units)
        columns = {}
        for spec in rows.schema.released:
            column = rows.columns[spec.name]
            if spec.kind.numeric:
                spread = float(np.std(into.members.columns[spec.name].values.astype(float)))
                moved = column.values + rng.normal(0, shift * spread, len(rows))
                moved = moved if column.values.dtype == np.float64 else np.round(moved).astype(np.int64)
                column = Column(np.where(column.present, moved, column.values), column.missing, column.levels)
            columns[spec.name] = column
        return planted(into, Table(rows.schema, columns, rows.units)), units

    return make


def repeated(times: int, share: float, shift: float = 0.1) -> Maker:
    """These members' near copies, so many of each, every one moved by itself: no two rows are equal, and no nearest row stands alone."""

    def make(into: Scene, rng):
        units = into.share(share, rng)
        one = replace(
            into.arena, members=into.members.take_units(units), synthetic=into.members.take(np.zeros(0, int))
        )
        parts = [near_copy(1.0, shift)(Scene(one), rng)[0] for _ in range(times)]
        return planted(into, concatenate(parts)), units

    return make


def isolated(share: float) -> Maker:
    """The most isolated members, verbatim."""

    def make(into: Scene, rng):
        bench = Bench.of(into.arena, np.random.default_rng(0))
        lonely = isolation(bench)[bench.targets.is_member]
        numbers = bench.targets.number[bench.targets.is_member]
        units = numbers[np.argsort(-lonely, kind="stable")[: max(1, round(share * len(numbers)))]]
        return planted(into, into.members.take_units(units)), units

    return make


def columns_copied(share: float, of_columns: float = 0.6) -> Maker:
    """A random 60 % of the columns of these members; the others from random carrier rows."""

    def make(into: Scene, rng):
        units = into.share(share, rng)
        rows = into.members.take_units(units)
        names = [spec.name for spec in rows.schema.released]
        kept = set(rng.permutation(names)[: max(1, round(of_columns * len(names)))].tolist())
        return planted(into, mixed(rows, into.carrier, kept, rng)), units

    return make


def subgroup_secret(share: float) -> Maker:
    """Quasi-identifiers and secrets of one subgroup (one value of a quasi-identifier, up to this share), four times over."""

    def make(into: Scene, rng):
        schema = into.members.schema
        wanted = round(share * into.members.n_units)
        best = None
        for spec in schema.with_role(Role.QUASI_IDENTIFIER):
            column = into.members.columns[spec.name]
            for value in np.unique(column.values[column.present]):
                units = np.unique(into.members.units[(column.values == value) & column.present])
                if len(units) >= wanted // 2 and (
                    best is None or abs(len(units) - wanted) < abs(len(best) - wanted)
                ):
                    best = units
        units = best if best is not None else into.share(share, rng)
        rows = into.members.take_units(units)
        kept = {s.name for role in (Role.QUASI_IDENTIFIER, Role.SENSITIVE) for s in schema.with_role(role)}
        copies = [mixed(rows, into.carrier, kept, rng) for _ in range(4)]
        return planted(into, concatenate(copies)), units

    return make


def mixed(rows: Table, fillers: Table, kept: set[str], rng: np.random.Generator) -> Table:
    """Rows with the kept columns their own and the others from random filler rows."""
    other = fillers.take(rng.integers(len(fillers), size=len(rows)))
    both = concatenate([rows, other])
    columns = {
        name: (
            column.take(np.arange(len(rows)))
            if name in kept
            else column.take(np.arange(len(rows), 2 * len(rows)))
        )
        for name, column in both.columns.items()
    }
    return Table(rows.schema, columns, rows.units)


def smote(into: Scene, rng: np.random.Generator) -> tuple[Table, np.ndarray]:
    """SMOTE over the members: numbers between a row and one of its 5 nearest, categories of one of both."""
    return _interpolated(into, rng), np.unique(into.members.units)


def smoothed_bootstrap(into: Scene, rng: np.random.Generator) -> tuple[Table, np.ndarray]:
    """Members drawn with replacement, numbers moved by 0.1 sd: everybody shines through."""
    drawn = into.members.take(rng.integers(len(into.members), size=len(into.members)))
    leaked, units = near_copy(1.0)(Scene(replace(into.arena, members=drawn, synthetic=drawn.take([0]))), rng)
    del units
    return leaked, np.unique(drawn.units)


def _interpolated(into: Scene, rng: np.random.Generator) -> Table:
    from attacks.distances import nearest
    from attacks.encoding import encode

    rows = into.members
    coded = encode({"m": rows}, ["m"]).tables["m"]
    index = nearest(coded, coded, 6).index
    partner = rows.take(index[np.arange(len(rows)), rng.integers(1, index.shape[1], len(rows))])
    weight = rng.random(len(rows))
    columns = {}
    for spec in rows.schema.released:
        a, b = rows.columns[spec.name], partner.columns[spec.name]
        if spec.kind.numeric:
            value = a.values + weight * (b.values - a.values)
            value = value if a.values.dtype == np.float64 else np.round(value).astype(np.int64)
            fits = a.present & b.present
            columns[spec.name] = Column(
                np.where(fits, value, a.values).astype(a.values.dtype), a.missing, a.levels
            )
        else:
            first = rng.random(len(rows)) < 0.5
            columns[spec.name] = Column(
                np.where(first, a.values, b.values), np.where(first, a.missing, b.missing), a.levels
            )
    return Table(rows.schema, columns, np.arange(len(rows)))


def unnoised_tree(into: Scene, rng: np.random.Generator) -> tuple[Table, np.ndarray]:
    """A tree of exact pair marginals of 300 members, sampled: what MST would be without its noise."""
    from attacks.rarity import TreeRarity

    units = np.sort(rng.permutation(np.unique(into.members.units))[:300])
    rows = into.members.take_units(units)
    bench = Bench.of(replace(into.arena, members=rows, synthetic=rows), np.random.default_rng(0))
    information = TreeRarity.of(bench.synthetic).information.copy()
    d = len(information)
    codes = bench.synthetic.codes
    picked = np.empty((d, len(rows)), np.int64)
    picked[0] = rng.integers(len(rows), size=len(rows))
    inside = [0]
    while len(inside) < d:
        outside = [column for column in range(d) if column not in inside]
        part = information[np.ix_(inside, outside)]
        a, b = np.unravel_index(int(part.argmax()), part.shape)
        parent, child = inside[int(a)], outside[int(b)]
        by_value = {value: np.flatnonzero(codes[parent] == value) for value in np.unique(codes[parent])}
        picked[child] = [rng.choice(by_value[codes[parent, row]]) for row in picked[parent]]
        inside.append(child)
    columns = {name: column.take(picked[place]) for place, (name, column) in enumerate(rows.columns.items())}
    return Table(rows.schema, columns, np.arange(len(rows))), units
