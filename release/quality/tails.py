"""Tails: whether the outliers, extremes and rare categories of the real table are there, as often as there.

Rules: an outlier is a present value farther than 1.5 interquartile ranges outside the real quartiles (Tukey); a column has a tail to
measure where at least `TAIL_SHARE` of its real values are outliers (rarer ones no private release of ten thousand
rows can count); what other columns gained or lost is the metric `outlier_rate_difference`. An extreme is a value beyond the real 1 % or
99 % point. Ratios are synthetic over real with half a row added to both counts, their intervals those of the logarithm,
by unit. A rare category is one that fewer than 1 % of the real rows have, and at least `FEWEST_RARE` rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.table import Column, Table
from release.protocols import Arena, Progress, no_progress
from release.quality.ground import Findings, Part, Pen, over_parts
from release.quality.intervals import Z, measured, too_few, variance_of_mean
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport

FEWEST_OUTLIERS = 20
"""A column with fewer real outliers has no tail that could be measured."""
TAIL_SHARE = 0.01
_REFERENCE = "1: as often as in the real table"
FENCE = 1.5
"""Tukey's factor (Exploratory Data Analysis, 1977, section 2D)."""
FEWEST_RARE = 5
RARE_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Tails:
    """The `tails` probe."""

    name: str = "tails"
    summary: str = (
        "Compares how often extreme values and rare categories occur. A ratio well below 1 means that the release has lost its "
        "tails, above 1 that it has invented some; models of rare events need them."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Ratios by column and the worst; the worst of every slice; coverage of rare categories."""
        del rng
        return over_parts(arena, "tails", progress, _measure_part)


TAILS = Tails()


def fences(column: Column) -> tuple[float, float]:
    """Tukey's fences of the present values; of none (−∞, ∞)."""
    values = column.values[column.present].astype(np.float64)
    if not len(values):
        return (-math.inf, math.inf)
    low, high = np.quantile(values, [0.25, 0.75])
    return (float(low - FENCE * (high - low)), float(high + FENCE * (high - low)))


def extremes(column: Column) -> tuple[float, float]:
    """The 1 % and 99 % points of the present values; of none (−∞, ∞)."""
    values = column.values[column.present].astype(np.float64)
    if not len(values):
        return (-math.inf, math.inf)
    low, high = np.quantile(values, [0.01, 0.99], method="inverted_cdf")
    return (float(low), float(high))


def outside(column: Column, low: float, high: float) -> npt.NDArray[np.bool_]:
    """Present values below `low` or above `high`, shape (n,)."""
    values = column.values.astype(np.float64)
    return np.asarray(column.present & ((values < low) | (values > high)))


def rate_ratio(
    real: npt.NDArray[np.bool_], synthetic: npt.NDArray[np.bool_], part: Part, trials: int
) -> Measured | NotMeasured:
    """Synthetic rate over real rate, half a row added to each count; interval of its logarithm, by unit."""
    rates, relative = [], 0.0
    for hits, table in ((real, part.real), (synthetic, part.synthetic)):
        n = len(table)
        rate = (float(hits.sum()) + 0.5) / (n + 1)
        # An empty count has no spread of its own: at least the Poisson one of the half row added.
        variance = max(
            variance_of_mean(hits.astype(np.float64), table.units),
            rate * (1 - rate) / n if not hits.any() else 0.0,
        )
        relative += variance / rate**2
        rates.append(rate)
    ratio = rates[1] / rates[0]
    spread = math.exp(Z * math.sqrt(relative))
    if not math.isfinite(spread):
        return NotMeasured(reason="too few outliers for a ratio")
    return Measured(estimate=ratio, low=ratio / spread, high=ratio * spread, trials=trials)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Ratios by column that has a tail, differences by column, and the columns without a tail."""

    ratios: Mapping[str, Measured | NotMeasured]
    differences: Mapping[str, Measured | NotMeasured]
    bare: tuple[str, ...]


def _compare(part: Part, ends: Callable[[Column], tuple[float, float]], least_share: float) -> _Found:
    trials = min(part.real.n_units, part.synthetic.n_units)
    ratios: dict[str, Measured | NotMeasured] = {}
    differences: dict[str, Measured | NotMeasured] = {}
    bare = []
    for spec in part.real.schema.released:
        if not spec.kind.numeric:
            continue
        low, high = ends(part.real[spec.name])
        hits = [outside(table[spec.name], low, high) for table in (part.real, part.synthetic)]
        error = math.sqrt(
            sum(
                variance_of_mean(hit.astype(np.float64), table.units)
                for hit, table in zip(hits, (part.real, part.synthetic), strict=True)
            )
        )
        differences[spec.name] = measured(
            float(hits[1].mean() - hits[0].mean()), error, trials, least=-1.0, most=1.0
        )
        if int(hits[0].sum()) < max(FEWEST_OUTLIERS, least_share * len(part.real)):
            bare.append(spec.name)
            continue
        ratios[spec.name] = rate_ratio(hits[0], hits[1], part, trials)
    return _Found(ratios=ratios, differences=differences, bare=tuple(bare))


def _measure_part(part: Part) -> Findings:
    pen = Pen(TAILS.name)
    metrics = ("outlier_rate_ratio",) if part.subject else ("outlier_rate_ratio", "rare_category_coverage")
    few = too_few(part.real.n_units, part.synthetic.n_units)
    if few is not None:
        return Findings(evidence=pen.none(metrics, part.subject, few.reason, few.needed))
    outliers = _compare(part, fences, TAIL_SHARE)
    evidence = [_worst(pen, "outlier_rate_ratio", part.subject, outliers)]
    exhibits: list[Exhibit] = []
    if not part.subject:
        far = _compare(part, extremes, 0.0)
        evidence += [
            pen("outlier_rate_ratio", name, figure, _REFERENCE) for name, figure in outliers.ratios.items()
        ]
        evidence += [
            pen("outlier_rate_difference", name, figure, "0: as in the real table")
            for name, figure in outliers.differences.items()
        ]
        evidence.append(_worst(pen, "extreme_rate_ratio", "", far))
        evidence += [
            pen("extreme_rate_ratio", name, figure, _REFERENCE) for name, figure in far.ratios.items()
        ]
        evidence.append(_coverage(pen, part.real, part.synthetic))
        exhibits += _picture("Outliers", "outliers", outliers.ratios)
        exhibits += _picture("Extreme values", "values beyond the real 1 % and 99 % points", far.ratios)
    return Findings(evidence=evidence, exhibits=exhibits)


def _worst(pen: Pen, metric: str, subject: str, found: _Found) -> Evidence:
    known = {name: figure for name, figure in found.ratios.items() if isinstance(figure, Measured)}
    without = f"; no measurable tail: {', '.join(found.bare)}" if found.bare else ""
    if len(known) < len(found.ratios):
        return pen(metric, subject, NotMeasured(reason="a column's ratio could not be measured"), without)
    if not known:
        reason = f"no numeric column has a tail of {FEWEST_OUTLIERS} real values or more"
        return pen(metric, subject, NotMeasured(reason=reason), without)
    name = max(known, key=lambda key: abs(math.log(known[key].estimate)))
    return pen(metric, subject, known[name], f"worst column: {name}; {_REFERENCE}{without}")


def rare_levels(column: Column) -> list[str]:
    """Levels that fewer than `RARE_SHARE` of the rows have, and at least `FEWEST_RARE` rows."""
    counts = np.bincount(column.values[column.present].astype(np.int64), minlength=len(column.levels))
    return [
        level
        for level, count in zip(column.levels, counts.tolist(), strict=True)
        if FEWEST_RARE <= count < RARE_SHARE * len(column.values)
    ]


def _coverage(pen: Pen, real: Table, synthetic: Table) -> Evidence:
    """Share of the real table's rare categories that the release has at all; Wilson interval over categories."""
    found, total = 0, 0
    for spec in real.schema.released:
        if not spec.kind.coded:
            continue
        other = synthetic[spec.name]
        seen = {other.levels[code] for code in np.unique(other.values[other.present]).tolist()}
        rare = rare_levels(real[spec.name])
        total += len(rare)
        found += sum(level in seen for level in rare)
    if not total:
        reason = f"no category is rarer than {RARE_SHARE:.0%} with at least {FEWEST_RARE} rows"
        return pen("rare_category_coverage", "", NotMeasured(reason=reason))
    share = found / total
    centre = (share + Z**2 / (2 * total)) / (1 + Z**2 / total)
    half = Z * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2)) / (1 + Z**2 / total)
    outcome = Measured(
        estimate=share,
        low=max(0.0, min(share, centre - half)),
        high=min(1.0, max(share, centre + half)),
        trials=total,
    )
    return pen(
        "rare_category_coverage", "", outcome, f"{found} of {total} rare categories occur in the release"
    )


def _picture(title: str, what: str, ratios: Mapping[str, Measured | NotMeasured]) -> list[Exhibit]:
    known = {name: figure for name, figure in ratios.items() if isinstance(figure, Measured)}
    if not known:
        return []
    name = max(known, key=lambda key: abs(math.log(known[key].estimate)))
    figure = known[name]
    word = "too few" if figure.high < 1 else "too many" if figure.low > 1 else "about as many"
    ends = f"{figure.estimate:.2f} times the real rate ({figure.low:.2f} to {figure.high:.2f})"
    return [
        Exhibit(
            probe=TAILS.name,
            title=f"{title}, release over real table, by column",
            kind="intervals",
            takeaway=f"{name}, the column that is farthest off, has {word} {what}: {ends}.",
            data={
                "labels": list(known),
                "values": [figure.estimate for figure in known.values()],
                "low": [figure.low for figure in known.values()],
                "high": [figure.high for figure in known.values()],
                "reference": 1.0,
            },
        )
    ]
