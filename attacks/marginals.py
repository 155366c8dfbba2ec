"""Common coarse bins of all tables, and how much denser a cell is in the release than among strangers.

Bins are cut on release and reference together (never on the arms): every frequent value alone, at most 16 a column. The
ratio of a marginal is (share in the release) / (share in the reference), smoothed by one row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attacks.bench import F64, Bench
from attacks.encoding import I32, I64, Encoded

BINS = 16
LARGEST_CLIQUE = 100_000
"""Cells; larger published marginals are not used: hardly any cell would hold two rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """Rows in common bins.

    Attributes:
        targets: (d, rows) of the bench's targets. synthetic, reference: (d, n). sizes: (d,) bins per column.
    """

    targets: I64
    synthetic: I64
    reference: I64
    sizes: I64

    def ratio(self, clique: tuple[int, ...]) -> F64:
        """(rows,) share of each target's cell in the release over its share in the reference."""
        sizes = self.sizes[list(clique)]
        keys = [_keys(table, clique, sizes) for table in (self.targets, self.synthetic, self.reference)]
        cells = int(np.prod(sizes))
        mine, strangers = (np.bincount(key, minlength=cells) for key in keys[1:])
        release = mine[keys[0]] / max(len(keys[1]), 1)
        return np.asarray(release / ((strangers[keys[0]] + 1.0) / (len(keys[2]) + 1.0)), np.float64)

    def table(self, which: I64, clique: tuple[int, ...]) -> F64:
        """Counts of a clique's cells in one of the tables, as an array of its bins."""
        sizes = self.sizes[list(clique)]
        counts = np.bincount(_keys(which, clique, sizes), minlength=int(np.prod(sizes)))
        return counts.reshape(tuple(sizes.tolist())).astype(np.float64)


def binned(bench: Bench) -> Binned | None:
    """The bench's tables in common bins; None without a reference."""
    reference = bench.reference
    if reference is None or not reference.n_rows:
        return None

    def compute() -> Binned:
        maps = _maps(bench, reference)
        parts = [
            np.stack([_apply(maps[column], codes) for column, codes in enumerate(table.codes)])
            for table in (bench.targets.rows, bench.synthetic, reference)
        ]
        sizes = np.array(
            [max(int(part[column].max(initial=0)) for part in parts) + 1 for column in range(len(maps))]
        )
        return Binned(parts[0], parts[1], parts[2], sizes.astype(np.int64))

    return bench.once("binned", compute)


def cliques(bench: Bench, sizes: I64) -> list[tuple[int, ...]]:
    """The marginals the generator learnt from, as column numbers; all pairs where none is known or none fits."""
    place = {name: number for number, name in enumerate(bench.encoding.names)}
    published = {
        tuple(sorted(place[name] for name in clique if name in place)) for clique in bench.arena.published
    }
    fitting = sorted(
        clique for clique in published if clique and np.prod(sizes[list(clique)]) <= LARGEST_CLIQUE
    )
    d = len(sizes)
    return fitting or [(i, j) for j in range(d) for i in range(j)] or [(0,)]


@dataclass(frozen=True, slots=True, eq=False)
class _Map:
    edges: npt.NDArray[np.generic]
    levels: npt.NDArray[np.generic]
    missing_from: int
    numeric: bool


def _maps(bench: Bench, reference: Encoded) -> list[_Map]:
    encoding = bench.encoding
    result = []
    for column in range(len(encoding.names)):
        pooled = np.concatenate([bench.synthetic.codes[column], reference.codes[column]])
        end = int(encoding.missing_from[column])
        present = pooled[(pooled < end) & (pooled >= 0)]
        if encoding.numeric[column]:
            places = np.linspace(0, 1, BINS + 1)[1:-1]
            edges = np.unique(np.quantile(present, places, method="lower")) if len(present) else np.zeros(0)
            result.append(_Map(edges, np.zeros(0), end, numeric=True))
        else:
            values, counts = np.unique(present, return_counts=True)
            kept = values[np.argsort(-counts, kind="stable")[: BINS - 1]]
            result.append(_Map(np.zeros(0), np.sort(kept), end, numeric=False))
    return result


def _apply(how: _Map, codes: I32) -> I64:
    """Bins: 0 for the rest, 1 … for values, then one for each kind of missing."""
    if how.numeric:
        bins = 1 + np.searchsorted(how.edges, codes, side="left")
        last = len(how.edges) + 1
    else:
        where = np.minimum(np.searchsorted(how.levels, codes), max(len(how.levels) - 1, 0))
        known = how.levels[where] == codes if len(how.levels) else np.zeros(len(codes), bool)
        bins = np.where(known, where + 1, 0)
        last = len(how.levels)
    return np.where(codes > how.missing_from, last + codes.astype(np.int64) - how.missing_from, bins).astype(
        np.int64
    )


def _keys(table: I64, clique: tuple[int, ...], sizes: I64) -> I64:
    key = np.zeros(table.shape[1], np.int64)
    for column, size in zip(clique, sizes.tolist(), strict=True):
        key = key * size + table[column]
    return key
