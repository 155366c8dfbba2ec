"""Missing values: as many, in the same columns, together in the same rows.

Rules: every kind of missing counts as missing for the rate; the pattern is which columns of a row are missing together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.table import Table
from release.protocols import Arena, Progress, no_progress
from release.quality.ground import Findings, Part, Pen, over_parts, worst
from release.quality.intervals import absolute, measured, too_few, variance_of_mean
from release.records import Exhibit, ProbeReport


@dataclass(frozen=True, slots=True)
class Missingness:
    """The `missingness` probe."""

    name: str = "missingness"
    summary: str = (
        "Compares how often values are missing in each column, and which columns are missing together. A difference means that "
        "an analysis which drops or fills missing values will go differently on the real table."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Rates by column and the worst, patterns; the worst and the pattern for every slice."""
        del rng
        return over_parts(arena, "missing values", progress, _measure_part)


MISSINGNESS = Missingness()
_METRICS = ("missing_rate_difference", "missing_pattern_tvd")


def patterns(real: Table, synthetic: Table) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """(pattern number of each real row, of each synthetic row, number of patterns)."""
    packed = [
        np.packbits(np.column_stack([~column.present for column in table.columns.values()]), axis=1)
        for table in (real, synthetic)
    ]
    _, place = np.unique(np.concatenate(packed), axis=0, return_inverse=True)
    place = place.reshape(-1)
    return place[: len(real)], place[len(real) :], int(place.max(initial=-1)) + 1


def _measure_part(part: Part) -> Findings:
    pen = Pen(MISSINGNESS.name)
    few = too_few(part.real.n_units, part.synthetic.n_units)
    if few is not None:
        return Findings(evidence=pen.none(_METRICS, part.subject, few.reason, few.needed))
    trials = min(part.real.n_units, part.synthetic.n_units)
    figures, rates, chance = {}, {}, {}
    for name in part.real.columns:
        gone = [(~table[name].present).astype(np.float64) for table in (part.real, part.synthetic)]
        rates[name] = (float(gone[0].mean()), float(gone[1].mean()))
        error = np.sqrt(
            variance_of_mean(gone[0], part.real.units) + variance_of_mean(gone[1], part.synthetic.units)
        )
        figures[name] = absolute(rates[name][0] - rates[name][1], float(error), trials)
        # The mean of |difference| of two real samples of these sizes, by the normal approximation.
        spread = variance_of_mean(gone[0], part.real.units)
        chance[name] = math.sqrt(2 / math.pi * spread * (1 + len(part.real) / len(part.synthetic)))
    name, figure = worst(figures)
    evidence = [
        pen("missing_rate_difference", part.subject, figure, f"worst column: {name}; {_floor(chance[name])}")
    ]
    exhibits: list[Exhibit] = []
    if not part.subject:
        evidence += [
            pen("missing_rate_difference", column, found, _floor(chance[column]))
            for column, found in figures.items()
        ]
        shown = [column for column, pair in rates.items() if max(pair) > 0]
        if shown:
            exhibits.append(
                Exhibit(
                    probe=MISSINGNESS.name,
                    title="Share of missing values by column",
                    kind="bars",
                    takeaway=f"{name} differs most: {rates[name][1]:.3f} missing in the release, {rates[name][0]:.3f} in the real table.",
                    data={
                        "labels": shown,
                        "values": [rates[column][1] for column in shown],
                        "reference": [rates[column][0] for column in shown],
                        "names": ["release", "real table"],
                    },
                )
            )
    one, other, count = patterns(part.real, part.synthetic)
    shares = [np.bincount(one, minlength=count) / len(one), np.bincount(other, minlength=count) / len(other)]
    sign = 0.5 * np.sign(shares[0] - shares[1])
    variance = variance_of_mean(sign[one], part.real.units) + variance_of_mean(
        sign[other], part.synthetic.units
    )
    distance = 0.5 * float(np.abs(shares[0] - shares[1]).sum())
    found = measured(distance, float(np.sqrt(variance)), trials, least=0.0, most=1.0)
    sizes = 1 / part.real.n_units + 1 / part.synthetic.n_units
    level = float(np.sqrt(shares[0] * (1 - shares[0]) * sizes / (2 * math.pi)).sum())
    note = f"{count} pattern{'s' * (count != 1)} of missing columns; {_floor(level)}"
    evidence.append(pen("missing_pattern_tvd", part.subject, found, note))
    return Findings(evidence=evidence, exhibits=exhibits)


def _floor(level: float) -> str:
    return f"two real samples of these sizes would differ by about {level:.4f}"
