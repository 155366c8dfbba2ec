"""Too clean is a red flag: real tables have duplicates, gaps, odd codes and odd rows; a release that lacks them was smoothed.

Rules: each figure is a rate in the release over the rate in the real table (half a row added to both counts): rows with an outlier in any
numeric column, rows with any missing value, cells outside the declared domain, rows that repeat an earlier row of their own
table. Below 1 is cleaner than real. A kind of dirt that the real table hardly has (fewer than `FEWEST` rows) is not a figure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.schema import OUTSIDE_LEVEL
from release.data.table import Table
from release.protocols import Arena, Progress, no_progress
from release.quality.ground import Findings, Part, Pen, over_parts
from release.quality.intervals import too_few
from release.quality.tails import extremes, outside, rate_ratio
from release.records import Exhibit, Measured, NotMeasured, ProbeReport

FEWEST = 20
_METRIC = "dirt_ratio"
_REPEATED = "repeated rows"
_REFERENCE = "1: as in the real table; below 1: cleaner than real"
_KINDS = ("outlying rows", "incomplete rows", "rows outside the domain", _REPEATED)

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cleanliness:
    """The `cleanliness` probe."""

    name: str = "cleanliness"
    summary: str = (
        "Compares how much dirt the two tables have: outliers, gaps, odd codes, repeated rows. A release much cleaner than the real table "
        "lets models look better than they will be."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """One ratio for each kind of dirt that the real table has, and the cleanest; the cleanest of every slice."""
        del rng
        # A real table brought to a mix holds rows twice that stand once in it: their repeats say nothing.
        kinds = tuple(kind for kind in _KINDS if kind != _REPEATED) if arena.weights else _KINDS
        return over_parts(arena, "dirt", progress, lambda part: _measure_part(part, kinds))


CLEANLINESS = Cleanliness()


def _measure_part(part: Part, kinds: tuple[str, ...]) -> Findings:
    pen = Pen(CLEANLINESS.name)
    few = too_few(part.real.n_units, part.synthetic.n_units)
    if few is not None:
        return Findings(evidence=pen.none((_METRIC,), part.subject, few.reason, few.needed))
    trials = min(part.real.n_units, part.synthetic.n_units)
    figures: dict[str, Measured | NotMeasured] = {}
    for kind, (one, two) in dirt(part.real, part.synthetic).items():
        if kind in kinds and int(one.sum()) >= FEWEST:
            figures[kind] = rate_ratio(one, two, part, trials)
    known = {kind: figure for kind, figure in figures.items() if isinstance(figure, Measured)}
    evidence = []
    if not part.subject:
        evidence += [pen(_METRIC, kind, figure, _REFERENCE) for kind, figure in figures.items()]
    if not known:
        reason = f"the real table has no kind of dirt in {FEWEST} rows"
        return Findings(evidence=[*evidence, pen(_METRIC, part.subject, NotMeasured(reason=reason))])
    least = min(known, key=lambda kind: known[kind].estimate)
    evidence.append(pen(_METRIC, part.subject, known[least], f"cleanest: {least}; {_REFERENCE}"))
    return Findings(evidence=evidence, exhibits=() if part.subject else (_picture(known, least),))


def dirt(real: Table, synthetic: Table) -> dict[str, tuple[BoolArray, BoolArray]]:
    """Which real and which synthetic rows have each kind of dirt."""
    ends = {spec.name: extremes(real[spec.name]) for spec in real.schema.released if spec.kind.numeric}
    found: dict[str, tuple[BoolArray, BoolArray]] = {}
    sides = [_one(table, ends) for table in (real, synthetic)]
    for kind in _KINDS:
        found[kind] = (sides[0][kind], sides[1][kind])
    return found


def _one(table: Table, ends: dict[str, tuple[float, float]]) -> dict[str, BoolArray]:
    n = len(table)
    odd, gaps, foreign = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    for spec in table.schema.released:
        column = table[spec.name]
        gaps |= ~column.present
        if spec.kind.numeric:
            odd |= outside(column, *ends[spec.name])
        elif OUTSIDE_LEVEL in column.levels:
            foreign |= column.present & (column.values == column.levels.index(OUTSIDE_LEVEL))
    return dict(zip(_KINDS, (odd, gaps, foreign, repeated(table)), strict=True))


def repeated(table: Table) -> BoolArray:
    """Rows that are equal, cell for cell, to an earlier row."""
    key = np.zeros(len(table), dtype=np.uint64)
    for place, column in enumerate(table.columns.values()):
        # Signed zeros are one value; 64 mixed bits keep different rows apart (collisions: n² / 2⁶⁵).
        bits = (column.values.astype(np.float64) + 0.0).view(np.uint64) + column.missing * _MIX[0]
        key = _mix(key + _mix(bits + np.uint64(place)))
    _, first = np.unique(key, return_index=True)
    again = np.ones(len(table), dtype=bool)
    again[first] = False
    return again


_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def _mix(key: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea & Flood, 2014): a bijection that spreads every bit."""
    key = key + _MIX[0]
    key = (key ^ (key >> np.uint64(30))) * _MIX[1]
    key = (key ^ (key >> np.uint64(27))) * _MIX[2]
    return np.asarray(key ^ (key >> np.uint64(31)))


def _picture(known: dict[str, Measured], least: str) -> Exhibit:
    figure = known[least]
    word = "cleaner than" if figure.high < 1 else "about as dirty as" if figure.low <= 1 else "dirtier than"
    return Exhibit(
        probe=CLEANLINESS.name,
        title="Dirt, release over real table",
        kind="intervals",
        takeaway=f"In {least} the release is {word} the real table: {figure.estimate:.2f} times as many.",
        data={
            "labels": list(known),
            "values": [one.estimate for one in known.values()],
            "low": [one.low for one in known.values()],
            "high": [one.high for one in known.values()],
            "reference": 1.0,
        },
    )
