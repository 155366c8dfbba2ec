"""How columns hang together: Pearson, Spearman, Cramér's V, correlation ratio; real against synthetic.

Rules: two numeric columns: Pearson's r and Spearman's ρ over rows where both are present; two coded columns: Cramér's V with
Bergsma's bias correction (doi:10.1016/j.jkss.2012.10.002), missing a level of its own; one of each: the correlation ratio η of the
number over the levels. Standard errors come from a bootstrap by unit of both tables; at most `ROWS` rows are used, and `RESAMPLED_ROWS` for the errors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from release.data.table import Table
from release.protocols import Arena, Progress, no_progress
from release.quality.grid import CodeArray, lay_grid
from release.quality.ground import Findings, Part, Pen, over_parts, worst
from release.quality.intervals import FloatArray, absolute, bootstrap_weights, measured, too_few
from release.quality.models import thin
from release.quality.threads import one_thread
from release.records import Exhibit, Measured, NotMeasured, ProbeReport

ROWS = 50_000
RESAMPLED_ROWS = 10_000
LEVELS = 30
REPEATS = 20
MOST_COLUMNS = 40
"""Wider tables are measured on this many columns, chosen at random; the note says so."""

BoolArray = npt.NDArray[np.bool_]


class Association(StrEnum):
    """Which measure fits a pair of columns."""

    PEARSON = "pearson"
    SPEARMAN = "spearman"
    CRAMER = "cramers_v"
    RATIO = "correlation_ratio"


def cramers_v(table: FloatArray) -> float:
    """Bias-corrected Cramér's V of a contingency table (rows × columns); 0 where a margin has one level."""
    total = float(table.sum())
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    table = table[rows > 0][:, columns > 0]
    r, k = table.shape
    if min(r, k) < 2 or total < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    phi2 = float(((table - expected) ** 2 / expected).sum()) / total
    phi2 = max(0.0, phi2 - (r - 1) * (k - 1) / (total - 1))
    least = min(r - (r - 1) ** 2 / (total - 1), k - (k - 1) ** 2 / (total - 1)) - 1
    return float(np.sqrt(min(1.0, phi2 / least))) if least > 0 else 0.0


def correlation_ratio(values: FloatArray, codes: CodeArray, size: int, weights: FloatArray) -> float:
    """η = √(between-level variance / variance) of weighted values; 0 for a constant."""
    total = float(weights.sum())
    if total <= 0:
        return 0.0
    mean = float(weights @ values) / total
    spread = float(weights @ (values - mean) ** 2)
    mass = np.bincount(codes, weights=weights, minlength=size)
    sums = np.bincount(codes, weights=weights * (values - mean), minlength=size)
    between = float((sums[mass > 0] ** 2 / mass[mass > 0]).sum())
    return float(np.sqrt(min(1.0, between / spread))) if spread > 1e-12 * total * (mean**2 + 1e-300) else 0.0


def correlation(one: FloatArray, two: FloatArray, weights: FloatArray) -> float:
    """Weighted Pearson correlation; 0 where one of the two is constant."""
    total = float(weights.sum())
    if total <= 0:
        return 0.0
    a, b = one - float(weights @ one) / total, two - float(weights @ two) / total
    variance = float(weights @ a**2) * float(weights @ b**2)
    return float(np.clip((weights @ (a * b)) / np.sqrt(variance), -1.0, 1.0)) if variance > 1e-24 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One table, ready for weighted association measures."""

    names: tuple[str, ...]
    numeric: tuple[bool, ...]
    codes: tuple[CodeArray, ...]
    sizes: tuple[int, ...]
    values: tuple[FloatArray, ...]
    """Standardised numbers (empty for coded columns)."""
    ranks: tuple[FloatArray, ...]
    present: tuple[BoolArray, ...]

    def matrix(self, pairs: list[tuple[Association, int, int]], weights: FloatArray) -> FloatArray:
        """The measure of each pair under row weights (n,), shape (pairs,)."""
        return np.array([self._one(kind, a, b, weights) for kind, a, b in pairs])

    def _one(self, kind: Association, a: int, b: int, weights: FloatArray) -> float:
        if kind is Association.CRAMER:
            cells = self.codes[a] * np.int32(self.sizes[b]) + self.codes[b]
            table = np.bincount(cells, weights=weights, minlength=self.sizes[a] * self.sizes[b])
            return cramers_v(table.astype(np.float64).reshape(self.sizes[a], self.sizes[b]))
        if kind is Association.RATIO:
            number, code = (a, b) if self.numeric[a] else (b, a)
            weights = weights * self.present[number]
            return correlation_ratio(self.values[number], self.codes[code], self.sizes[code], weights)
        both = weights * (self.present[a] & self.present[b])
        source = self.values if kind is Association.PEARSON else self.ranks
        return correlation(source[a], source[b], both)


def _sides(real: Table, synthetic: Table, keep: tuple[int, ...]) -> tuple[_Side, _Side]:
    from scipy.stats import rankdata

    grid = lay_grid([real, synthetic]).coarse(LEVELS)
    specs = real.schema.released
    sides = []
    for number, table in enumerate((real, synthetic)):
        values, ranks, present = [], [], []
        for place in keep:
            column = table[specs[place].name]
            present.append(column.present)
            if not specs[place].kind.numeric:
                values.append(np.empty(0))
                ranks.append(np.empty(0))
                continue
            numbers = column.values.astype(np.float64)
            inside = numbers[column.present]
            middle, scale = (float(inside.mean()), float(inside.std())) if len(inside) else (0.0, 0.0)
            values.append(np.where(column.present, (numbers - middle) / (scale or 1.0), 0.0))
            rank = np.zeros(len(numbers))
            if len(inside):
                rank[column.present] = rankdata(inside) / len(inside) - 0.5
            ranks.append(rank)
        sides.append(
            _Side(
                names=tuple(specs[place].name for place in keep),
                numeric=tuple(specs[place].kind.numeric for place in keep),
                codes=tuple(grid.codes[number][place] for place in keep),
                sizes=tuple(grid.sizes[place] for place in keep),
                values=tuple(values),
                ranks=tuple(ranks),
                present=tuple(present),
            )
        )
    return sides[0], sides[1]


def _pairs(numeric: tuple[bool, ...]) -> Iterator[tuple[Association, int, int]]:
    for a, b in itertools.combinations(range(len(numeric)), 2):
        if numeric[a] and numeric[b]:
            yield Association.PEARSON, a, b
            yield Association.SPEARMAN, a, b
        elif numeric[a] or numeric[b]:
            yield Association.RATIO, a, b
        else:
            yield Association.CRAMER, a, b


def association_matrix(table: Table) -> tuple[list[str], list[list[float | None]]]:
    """(column names, associations of one table): Spearman's |ρ|, Cramér's V, correlation ratio; None on the diagonal."""
    width = len(table.schema.released)
    side, _ = _sides(table, table, tuple(range(width)))
    pairs = [pair for pair in _pairs(side.numeric) if pair[0] is not Association.PEARSON]
    values: list[list[float | None]] = [[None] * width for _ in range(width)]
    for (_, a, b), found in zip(pairs, side.matrix(pairs, np.ones(len(table))).tolist(), strict=True):
        values[a][b] = values[b][a] = abs(found)
    return list(side.names), values


@dataclass(frozen=True, slots=True)
class Associations:
    """The `associations` probe."""

    name: str = "associations"
    summary: str = (
        "Compares how strongly each pair of columns hangs together. A large difference means that a relation has been lost or "
        "invented."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Mean and worst difference by measure, for the whole table and every slice."""
        with one_thread():
            return over_parts(arena, "associations", progress, lambda part: _measure_part(part, rng))


ASSOCIATIONS = Associations()
_METRICS = ("association_difference_mean", "association_difference_worst")


def _measure_part(part: Part, rng: np.random.Generator) -> Findings:
    pen = Pen(ASSOCIATIONS.name)
    few = too_few(part.real.n_units, part.synthetic.n_units)
    if few is not None:
        return Findings(evidence=pen.none(_METRICS, part.subject, few.reason, few.needed))
    tables = (thin(part.real, ROWS, rng), thin(part.synthetic, ROWS, rng))
    width = len(part.real.schema.released)
    keep = tuple(range(width))
    if width > MOST_COLUMNS:
        keep = tuple(sorted(rng.choice(width, size=MOST_COLUMNS, replace=False).tolist()))
    sides = _sides(*tables, keep)
    pairs = list(_pairs(sides[0].numeric))
    if not pairs:
        return Findings(
            evidence=pen.none(_METRICS, part.subject, f"the table has {width} column(s), a pair needs two")
        )
    plain = [side.matrix(pairs, np.ones(len(table))) for side, table in zip(sides, tables, strict=True)]
    draws = _draws(tables, keep, pairs, rng)
    difference = plain[1] - plain[0]
    errors = np.sqrt(draws[0].var(axis=0, ddof=1) + draws[1].var(axis=0, ddof=1))
    # The mean's error follows the draws of the whole matrix, seen through the signs of the differences.
    sign = np.sign(difference) / len(pairs)
    mean_error = float(np.sqrt(sum((draw @ sign).var(ddof=1) for draw in draws)))
    trials = min(table.n_units for table in tables)
    names = [f"{sides[0].names[a]} × {sides[0].names[b]} ({kind.value})" for kind, a, b in pairs]
    figures = {
        name: absolute(float(gap), float(error), trials)
        for name, gap, error in zip(names, difference, errors, strict=True)
    }
    name, figure = worst(figures)
    # The mean of |difference| of two tables of the same population, by the normal approximation.
    chance = float(np.sqrt(2 / np.pi) * errors.mean())
    note = f"{len(pairs)} measures" + (
        f" of {MOST_COLUMNS} columns drawn at random" if width > MOST_COLUMNS else ""
    )
    note += f"; two real samples of these sizes would differ by about {chance:.3f}"
    mean = measured(float(np.abs(difference).mean()), mean_error, trials, least=0.0)
    evidence = [
        pen(_METRICS[0], part.subject, mean, note),
        pen(
            _METRICS[1], part.subject, figure, f"worst pair: {name}; chance alone: about {chance:.3f} a pair"
        ),
    ]
    if part.subject:
        return Findings(evidence=evidence)
    kinds = np.array([kind.value for kind, _, _ in pairs])
    for kind in dict.fromkeys(kinds.tolist()):
        of = kinds == kind
        error = float(
            np.sqrt(sum((draw[:, of] @ (np.sign(difference[of]) / of.sum())).var(ddof=1) for draw in draws))
        )
        figure = measured(float(np.abs(difference[of]).mean()), error, trials, least=0.0)
        evidence.append(pen(f"{kind}_difference_mean", "", figure, f"{int(of.sum())} pairs"))
    return Findings(
        evidence=evidence,
        exhibits=(_matrix(sides[0].names, pairs, plain), _table(names, plain, figures)),
    )


def _draws(
    tables: tuple[Table, Table],
    keep: tuple[int, ...],
    pairs: list[tuple[Association, int, int]],
    rng: np.random.Generator,
) -> list[FloatArray]:
    """Measures under bootstrap weights, shape (REPEATS, pairs) a side, with the spread of the whole tables.

    Larger tables are resampled on at most `RESAMPLED_ROWS` rows; the deviations from their mean shrink with the root of the units.
    """
    small = (thin(tables[0], RESAMPLED_ROWS, rng), thin(tables[1], RESAMPLED_ROWS, rng))
    found = []
    for side, table, whole in zip(_sides(*small, keep), small, tables, strict=True):
        blocks = bootstrap_weights(table.units, REPEATS, rng)
        drawn = np.array([side.matrix(pairs, weights) for block in blocks for weights in block])
        middle = drawn.mean(axis=0)
        found.append(middle + (drawn - middle) * np.sqrt(table.n_units / whole.n_units))
    return found


def _matrix(
    names: tuple[str, ...], pairs: list[tuple[Association, int, int]], plain: list[FloatArray]
) -> Exhibit:
    values: list[list[float | None]] = [[None] * len(names) for _ in names]
    farthest, text = -1.0, ""
    for (kind, a, b), real, synthetic in zip(pairs, plain[0].tolist(), plain[1].tolist(), strict=True):
        if kind is Association.PEARSON:
            continue
        values[a][b] = values[b][a] = abs(synthetic - real)
        if abs(synthetic - real) > farthest:
            farthest, text = abs(synthetic - real), f"{names[a]} × {names[b]}"
    return Exhibit(
        probe=ASSOCIATIONS.name,
        title="Difference in association (Spearman, Cramér's V, correlation ratio) of each pair",
        kind="matrix",
        takeaway=f"{text} changed most: its association differs by {farthest:.3f}.",
        data={"labels": list(names), "values": values},
    )


def _table(names: list[str], plain: list[FloatArray], figures: dict[str, Measured | NotMeasured]) -> Exhibit:
    order = np.argsort(-np.abs(plain[1] - plain[0]), kind="stable")[:15]
    rows: list[list[str | float]] = []
    for place in order.tolist():
        figure = figures[names[place]]
        high = figure.high if isinstance(figure, Measured) else 1.0
        rows.append([names[place], float(plain[0][place]), float(plain[1][place]), high])
    return Exhibit(
        probe=ASSOCIATIONS.name,
        title="The pairs whose association changed most",
        kind="table",
        takeaway=f"{names[int(order[0])]} went from {rows[0][1]:.3f} in the real table to {rows[0][2]:.3f} in the release.",
        data={"columns": ["pair", "real", "release", "difference at most"], "rows": rows},
    )
