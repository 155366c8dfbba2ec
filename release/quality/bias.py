"""Bias: whether the release makes the difference between subgroups larger than it is in the real table.

Rules: the outcome is the target's rarer class (numeric targets: above the real median); a subgroup's gap is its outcome rate
less everybody else's; amplification is |gap in the release| − |gap in the real table|, so a positive figure is a gap
made larger. Subgroups are the levels of coded quasi-identifiers and sensitive columns that at least `SHARE` of the
real rows and `FEWEST_IN_GROUP` units have: below that, sampling alone would break any limit. Smaller groups
that matter are declared as slices and get a row of their own whatever their size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.table import Table
from release.protocols import Arena, Progress, no_progress
from release.quality.ground import Pen, compared, groups, protected, slice_mask, slice_subject
from release.quality.intervals import measured, too_few, variance_of_mean
from release.quality.models import Target, declared_tasks, lay_target
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport

SHARE = 0.05
FEWEST_IN_GROUP = 100

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
_METRIC = "outcome_gap_amplification"
_REFERENCE = "0: the gap of the real table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A subgroup's outcome rate less everybody else's, with its variance by unit."""

    value: float
    variance: float


@dataclass(frozen=True, slots=True)
class Bias:
    """The `bias` probe."""

    name: str = "bias"
    summary: str = (
        "Compares the difference in outcome between subgroups in the release and in the real table. A gap that the release makes "
        "larger would be learnt by whatever is trained on it."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Amplification by protected column, the worst, and by slice."""
        del rng
        progress(0.0, "subgroup gaps")
        pen = Pen(self.name)
        real, synthetic = compared(arena), arena.synthetic
        tasks = declared_tasks(real.schema, arena.task)
        if not tasks:
            return ProbeReport(
                evidence=pen.none((_METRIC,), "", "no outcome is declared (task or role target)")
            )
        few = too_few(real.n_units, synthetic.n_units)
        target = few if few is not None else lay_target(tasks[0], real, real)
        if isinstance(target, NotMeasured):
            return ProbeReport(evidence=pen.none((_METRIC,), "", target.reason, target.needed))
        real, synthetic = target.usable(real), target.usable(synthetic)
        few = too_few(real.n_units, synthetic.n_units)
        if few is not None:
            return ProbeReport(evidence=pen.none((_METRIC,), "", few.reason, few.needed))
        rates = outcome_rates(target, real, synthetic)
        evidence: list[Evidence] = []
        rows: list[tuple[str, float, float]] = []
        for column in protected(real):
            if column == target.name:
                continue
            found = dict(_column(column, real, synthetic, rates))
            if not found:
                continue
            level = max(found, key=lambda key: found[key][0].estimate)
            evidence.append(
                pen(_METRIC, column, found[level][0], f"worst of {len(found)} subgroups; {_REFERENCE}")
            )
            rows += [(f"{column} = {name}", one, two) for name, (_, one, two) in found.items()]
        evidence.append(_worst(pen, evidence))
        evidence += _slices(pen, target, real, synthetic, rates)
        return ProbeReport(evidence=tuple(evidence), exhibits=_picture(target, rows))


BIAS = Bias()


def outcome_rates(target: Target, real: Table, synthetic: Table) -> tuple[FloatArray, FloatArray]:
    """Whether each usable row has the outcome, as 0/1: the rarest class, or above the real median."""
    outcomes = [target.outcome(table) for table in (real, synthetic)]
    if target.classes:
        hits = [outcome == len(target.classes) - 1 for outcome in outcomes]
    else:
        middle = float(np.median(outcomes[0]))
        hits = [outcome > middle for outcome in outcomes]
    return hits[0].astype(np.float64), hits[1].astype(np.float64)


def gap(inside: BoolArray, outcome: FloatArray, units: npt.NDArray[np.int64]) -> Gap | None:
    """The subgroup's gap; None where it or its complement is empty. Variance of the two rates, by unit."""
    if not inside.any() or inside.all():
        return None
    within, without = outcome[inside], outcome[~inside]
    variance = variance_of_mean(within, units[inside]) + variance_of_mean(without, units[~inside])
    return Gap(value=float(within.mean() - without.mean()), variance=variance)


def amplification(real: Gap, synthetic: Gap, trials: int) -> Measured | NotMeasured:
    """|synthetic gap| − |real gap| with its interval."""
    error = float(np.sqrt(real.variance + synthetic.variance))
    return measured(abs(synthetic.value) - abs(real.value), error, trials, least=-1.0, most=1.0)


def _column(
    name: str, real: Table, synthetic: Table, rates: tuple[FloatArray, FloatArray]
) -> Iterator[tuple[str, tuple[Measured, float, float]]]:
    codes, levels = groups(real, name)
    other, other_levels = groups(synthetic, name)
    for code, level in enumerate(levels):
        inside = codes == code
        units = len(np.unique(real.units[inside]))
        if units < FEWEST_IN_GROUP or inside.mean() < SHARE:
            continue
        also = (
            other == other_levels.index(level) if level in other_levels else np.zeros(len(other), dtype=bool)
        )
        one, two = gap(inside, rates[0], real.units), gap(also, rates[1], synthetic.units)
        if one is None or two is None:
            continue
        figure = amplification(one, two, units)
        if isinstance(figure, Measured):
            yield level, (figure, one.value, two.value)


def _worst(pen: Pen, evidence: list[Evidence]) -> Evidence:
    known = {item.subject: item.outcome for item in evidence if isinstance(item.outcome, Measured)}
    if not known:
        reason = (
            f"no protected column has a subgroup of {SHARE:.0%} and {FEWEST_IN_GROUP} units in both tables"
        )
        return pen(_METRIC, "", NotMeasured(reason=reason, needed=FEWEST_IN_GROUP))
    name = max(known, key=lambda key: known[key].estimate)
    return pen(_METRIC, "", known[name], f"worst column: {name}; {_REFERENCE}")


def _slices(
    pen: Pen, target: Target, real: Table, synthetic: Table, rates: tuple[FloatArray, FloatArray]
) -> list[Evidence]:
    evidence = []
    for part in real.schema.slices:
        inside, also = slice_mask(real, part.where), slice_mask(synthetic, part.where)
        units = [len(np.unique(real.units[inside])), len(np.unique(synthetic.units[also]))]
        few = too_few(*units)
        one, two = gap(inside, rates[0], real.units), gap(also, rates[1], synthetic.units)
        if few is None and one is not None and two is not None:
            note = "the slice is defined by the outcome itself" if target.name in part.where else _REFERENCE
            evidence.append(pen(_METRIC, slice_subject(part), amplification(one, two, min(units)), note))
        else:
            reason = (
                few.reason if few is not None else "the slice is empty, or is everybody, in one of the tables"
            )
            evidence += pen.none((_METRIC,), slice_subject(part), reason)
    return evidence


def _picture(target: Target, rows: list[tuple[str, float, float]]) -> tuple[Exhibit, ...]:
    if not rows:
        return ()
    rows = sorted(rows, key=lambda row: abs(row[1]) - abs(row[2]))[:20]
    label, real, synthetic = rows[0]
    return (
        Exhibit(
            probe=BIAS.name,
            title=f"Gap in outcome ({target.name}) between a subgroup and everybody else",
            kind="bars",
            takeaway=f"{label} changes most: a gap of {synthetic:+.3f} in the release, {real:+.3f} in the real table.",
            data={
                "labels": [row[0] for row in rows],
                "values": [row[2] for row in rows],
                "reference": [row[1] for row in rows],
                "names": ["release", "real table"],
            },
        ),
    )
