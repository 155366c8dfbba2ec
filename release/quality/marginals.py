"""Total variation distances of the 1-, 2- and sampled 3-way marginals, real against synthetic.

Rules: TVD(P, Q) = ½ Σ |p − q| over cells (`release.quality.grid`), missing included. The plug-in distance of two samples
of the *same* population is above 0; that level is the noise floor, simulated at the same two sample sizes and shown
beside every figure. Intervals are first order (influence function ½ sign(p − q), clustered by unit): honest about
sampling, and on the safe side near the floor, where the plug-in distance is biased upwards.
This module does not judge: limits are the policy's.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from release.data.table import Table
from release.protocols import Arena, Progress, no_progress
from release.quality.grid import CodeArray, Grid, lay_grid
from release.quality.ground import Findings, Part, Pen, over_parts, worst
from release.quality.intervals import (
    Clusters,
    FloatArray,
    IntArray,
    bootstrap_weights,
    measured,
    too_few,
)
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport

PAIR_CELLS = 64
"""Most cells of a column in 2-way tables; the rarest levels are merged."""
TRIPLE_CELLS = 16
MOST_PAIRS = 2_016
"""All pairs of 64 columns. Beyond it pairs are sampled, and the evidence's note says so."""
TRIPLES = 60
FLOOR_REPEATS = 12
CLUSTERED_REPEATS = 4
"""Draws of the floor where a unit has several rows: each is a pass over the rows."""

_METRICS = {
    1: ("tvd_1way_mean", "noise_floor_1way"),
    2: ("tvd_2way_mean", "noise_floor_2way"),
    3: ("tvd_3way_mean", "noise_floor_3way"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """Distances of several marginals of one width.

    Attributes:
        columns: names of each marginal's columns.
        tvd: the distances, shape (k,).
        floor: distances of two real samples of the same two sizes, shape (k, draws).
        error: standard error of each distance, shape (k,).
        mean_error: standard error of the mean distance (the marginals share rows, so it is not error/√k).
        trials: units on the smaller side.
    """

    columns: tuple[tuple[str, ...], ...]
    tvd: FloatArray
    floor: FloatArray
    error: FloatArray
    mean_error: float
    trials: int

    def mean(self) -> Measured | NotMeasured:
        """The mean distance with its interval."""
        return measured(float(self.tvd.mean()), self.mean_error, self.trials, least=0.0, most=1.0)

    def each(self) -> tuple[Measured | NotMeasured, ...]:
        """Every distance with its interval."""
        return tuple(
            measured(float(tvd), float(error), self.trials, least=0.0, most=1.0)
            for tvd, error in zip(self.tvd, self.error, strict=True)
        )


def total_variation(p: npt.NDArray[np.floating[Any]], q: npt.NDArray[np.floating[Any]]) -> float:
    """½ Σ |p − q| of two distributions over the same cells."""
    return float(0.5 * np.abs(p - q).sum())


def flat(codes: Sequence[CodeArray], sizes: Sequence[int], columns: Sequence[int]) -> CodeArray:
    """Cell number of each row, shape (n,), in the marginal of these columns (places in the grid)."""
    cell = codes[columns[0]]
    for place in columns[1:]:
        cell = cell * np.int32(sizes[place]) + codes[place]
    return cell


def distances(
    grid: Grid, real: Table, synthetic: Table, marginals: Sequence[tuple[int, ...]], rng: np.random.Generator
) -> Distances:
    """Distances of the given marginals (places in the grid) between the grid's first two tables.

    Cost: one counting pass and one look-up pass a marginal. `real` and `synthetic` give the units alone.
    """
    floor_of = _Floor.of(real, len(synthetic), rng)
    influence = [np.zeros(len(real), dtype=np.float32), np.zeros(len(synthetic), dtype=np.float32)]
    tvd, floor, error = (
        np.zeros(len(marginals)),
        np.zeros((len(marginals), floor_of.repeats)),
        np.zeros(len(marginals)),
    )
    clusters = [Clusters.of(table.units) for table in (real, synthetic)]
    for number, columns in enumerate(marginals):
        size = int(np.prod([grid.sizes[place] for place in columns]))
        cells = [flat(codes, grid.sizes, columns) for codes in grid.codes[:2]]
        counts = [np.bincount(cell, minlength=size) for cell in cells]
        shares = [count / count.sum() for count in counts]
        sign = (0.5 * np.sign(shares[0] - shares[1])).astype(np.float32)
        tvd[number] = total_variation(shares[0], shares[1])
        floor[number] = floor_of(cells[0], counts[0])
        variance = 0.0
        for side, table in enumerate((real, synthetic)):
            if len(marginals) > 1:
                influence[side] += sign[cells[side]]
            if clusters[side].count == len(table):
                mean = float(shares[side] @ sign)
                variance += (float(shares[side] @ sign**2) - mean**2) / max(len(table) - 1, 1)
            else:
                variance += clusters[side].variance_of_mean(sign[cells[side]])
        error[number] = np.sqrt(max(variance, 0.0))
    if len(marginals) > 1:
        total = sum(clusters[side].variance_of_mean(influence[side] / len(marginals)) for side in (0, 1))
        mean_error = float(np.sqrt(total))
    else:
        mean_error = float(error[0])
    return Distances(
        columns=tuple(tuple(grid.names[place] for place in columns) for columns in marginals),
        tvd=tvd,
        floor=floor,
        error=error,
        mean_error=mean_error,
        trials=min(real.n_units, synthetic.n_units),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Floor:
    """How far apart two samples of the real distribution lie, at the real and the synthetic size.

    Where units are rows: multinomial draws. Where a unit has several rows: bootstrap by unit, two samples of the real
    size, rescaled to the two sizes to first order (the distance goes as the root of the summed variances).
    """

    n: int
    m: int
    rng: np.random.Generator
    weights: FloatArray | None

    @classmethod
    def of(cls, real: Table, m: int, rng: np.random.Generator) -> _Floor:
        if real.n_units == len(real):
            return cls(len(real), m, rng, None)
        return cls(
            len(real),
            m,
            rng,
            np.concatenate(list(bootstrap_weights(real.units, 2 * CLUSTERED_REPEATS, rng))),
        )

    @property
    def repeats(self) -> int:
        """How many draws there are."""
        return FLOOR_REPEATS if self.weights is None else len(self.weights) // 2

    def __call__(self, cells: CodeArray, counts: IntArray) -> FloatArray:
        if self.weights is None:
            p = counts[counts > 0] / counts.sum()
            first = self.rng.multinomial(self.n, p, size=FLOOR_REPEATS) / self.n
            second = self.rng.multinomial(self.m, p, size=FLOOR_REPEATS) / self.m
            return np.asarray(0.5 * np.abs(first - second).sum(axis=1))
        drawn = [np.bincount(cells, weights=row, minlength=len(counts)) for row in self.weights]
        shares = [count / count.sum() for count in drawn]
        found = np.array([total_variation(a, b) for a, b in zip(shares[::2], shares[1::2], strict=True)])
        return np.asarray(found * np.sqrt((1 / self.n + 1 / self.m) / (2 / self.n)))


def pairs_of(grid: Grid, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """All pairs of columns, or a sample of `MOST_PAIRS` of them."""
    pairs: list[tuple[int, ...]] = list(itertools.combinations(range(len(grid.names)), 2))
    if len(pairs) <= MOST_PAIRS:
        return pairs
    chosen = np.sort(rng.choice(len(pairs), size=MOST_PAIRS, replace=False))
    return [pairs[place] for place in chosen]


def triples_of(grid: Grid, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Up to `TRIPLES` different triples of columns."""
    width = len(grid.names)
    if width < 3:
        return []
    if width <= 8:
        every = list(itertools.combinations(range(width), 3))
        keep = np.sort(rng.permutation(len(every))[:TRIPLES])
        return [every[place] for place in keep]
    found: dict[tuple[int, ...], None] = {}
    while len(found) < TRIPLES:
        found[tuple(sorted(rng.choice(width, size=3, replace=False).tolist()))] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class Marginals:
    """The `marginals` probe."""

    name: str = "marginals"
    summary: str = (
        "Compares how often each value, pair and triple of values occurs in the real and the synthetic table. "
        "A distance well above the noise floor means that analyses of these columns would come out differently."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """1-, 2- and 3-way distances of the whole table, 1- and 2-way ones of every slice."""
        found = over_parts(arena, "marginals", progress, lambda part: _measure_part(part, rng))
        declared = float(len(arena.synthetic.schema.slices))
        count = Measured(estimate=declared, low=declared, high=declared, trials=1)
        slices = Pen(self.name)("declared_slices", "", count, "slices that the schema declares")
        return ProbeReport(evidence=(*found.evidence, slices), exhibits=found.exhibits)


MARGINALS = Marginals()


def _measure_part(part: Part, rng: np.random.Generator) -> Findings:
    pen = Pen(MARGINALS.name)
    widths = (1, 2) if part.subject else (1, 2, 3)
    names = tuple(name for width in widths for name in _METRICS[width])
    few = too_few(part.real.n_units, part.synthetic.n_units)
    if few is not None:
        return Findings(evidence=pen.none((*names, "tvd_1way_worst"), part.subject, few.reason, few.needed))
    evidence: list[Evidence] = []
    exhibits: list[Exhibit] = []
    fine = lay_grid([part.real, part.synthetic])
    one = distances(fine, part.real, part.synthetic, [(place,) for place in range(len(fine.names))], rng)
    column = dict(zip(fine.names, one.each(), strict=True))
    if not part.subject:
        levels = one.floor.mean(axis=1)
        errors = one.floor.std(axis=1, ddof=1) / np.sqrt(one.floor.shape[1])
        for (name, figure), level, error in zip(
            column.items(), levels.tolist(), errors.tolist(), strict=True
        ):
            evidence.append(pen("tvd_1way", name, figure, f"noise floor {level:.3f}"))
            floor = measured(level, error, one.trials, least=0.0, most=1.0)
            evidence.append(pen("noise_floor_1way", name, floor, "interval: simulation error"))
        exhibits.append(_bars(one))
    name, figure = worst(column)
    chance = dict(zip(fine.names, one.floor.mean(axis=1).tolist(), strict=True))
    floor_note = f"; noise floor {chance[name]:.3f}" if name in chance else ""
    evidence.append(pen("tvd_1way_worst", part.subject, figure, f"worst column: {name}{floor_note}"))
    evidence += _means(pen, part.subject, 1, one)
    for width, limit, choose in ((2, PAIR_CELLS, pairs_of), (3, TRIPLE_CELLS, triples_of)):
        if width not in widths:
            continue
        grid = fine.coarse(limit)
        marginals = choose(grid, rng)
        if not marginals:
            reason = f"the table has {len(fine.names)} column(s), a {width}-way marginal needs {width}"
            evidence += pen.none(_METRICS[width], part.subject, reason)
            continue
        found = distances(grid, part.real, part.synthetic, marginals, rng)
        evidence += _means(pen, part.subject, width, found)
        if width == 2 and not part.subject:
            exhibits.append(_matrix(found, fine.names))
    return Findings(evidence=evidence, exhibits=exhibits)


def _means(pen: Pen, subject: str, width: int, found: Distances) -> list[Evidence]:
    mean, floor = _METRICS[width]
    draws = found.floor.mean(axis=0)
    level, error = float(draws.mean()), float(draws.std(ddof=1) / np.sqrt(len(draws)))
    note = f"mean of {len(found.columns)} marginals; two real samples of these sizes differ by {level:.3f}"
    return [
        pen(mean, subject, found.mean(), note),
        pen(
            floor,
            subject,
            measured(level, error, found.trials, least=0.0, most=1.0),
            "interval: simulation error",
        ),
    ]


def beyond_chance(what: str, name: str, distance: float, floor: float) -> str:
    """One sentence on the figure that lies farthest above its noise floor, or least below it."""
    if distance <= floor:
        return (
            f"No {what} is farther from the real table than two real samples of these sizes are from each other; {name} comes nearest to "
            f"that: {distance:.3f} against {floor:.3f}."
        )
    return (
        f"The {what} {name} is farthest from the real table beyond chance: {distance:.3f}, where two real samples would differ by "
        f"{floor:.3f} on average."
    )


def _bars(found: Distances) -> Exhibit:
    names = [columns[0] for columns in found.columns]
    floor = found.floor.mean(axis=1)
    place = int(np.argmax(found.tvd - floor))
    return Exhibit(
        probe=MARGINALS.name,
        title="Distance of each column's distribution",
        kind="bars",
        takeaway=beyond_chance("column", names[place], float(found.tvd[place]), float(floor[place])),
        data={
            "labels": names,
            "values": found.tvd.tolist(),
            "reference": floor.tolist(),
            "names": ["release", "noise floor"],
        },
    )


def _matrix(found: Distances, names: tuple[str, ...]) -> Exhibit:
    place = {name: number for number, name in enumerate(names)}
    values: list[list[float | None]] = [[None] * len(names) for _ in names]
    for (left, right), tvd in zip(found.columns, found.tvd.tolist(), strict=True):
        values[place[left]][place[right]] = values[place[right]][place[left]] = tvd
    floor = found.floor.mean(axis=1)
    worst_pair = int(np.argmax(found.tvd - floor))
    left, right = found.columns[worst_pair]
    return Exhibit(
        probe=MARGINALS.name,
        title="Distance of each pair of columns",
        kind="matrix",
        takeaway=beyond_chance(
            "pair", f"{left} × {right}", float(found.tvd[worst_pair]), float(floor[worst_pair])
        ),
        data={"labels": list(names), "values": values},
    )
