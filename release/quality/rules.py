"""Rule validity: how many synthetic rows break what the schema says always holds. None should.

Rules: every constraint, and every numeric column's declared bounds, step and decimals. A count is exact, so its interval is a point.
A constraint that the real rows themselves break is named in the note: then the constraint, not the release, may be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from release.data.constraints import violations
from release.data.schema import ColumnSpec, Range
from release.data.table import Column, Table
from release.protocols import Arena, Progress, no_progress
from release.quality.ground import Pen, real_table
from release.quality.intervals import too_few
from release.records import Evidence, Exhibit, Measured, ProbeReport


@dataclass(frozen=True, slots=True)
class Rules:
    """The `rules` probe."""

    name: str = "rules"
    summary: str = (
        "Counts rows of the release that break a declared constraint or lie outside a declared range. Any is a defect that a user will stumble "
        "over."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """A count for each constraint and each declared range, and their sum."""
        del rng
        progress(0.0, "constraints and ranges")
        pen = Pen(self.name)
        real, synthetic = real_table(arena), arena.synthetic
        few = too_few(synthetic.n_units)
        if few is not None:
            return ProbeReport(evidence=pen.none(("violations",), "", few.reason, few.needed))
        evidence: list[Evidence] = []
        rows: list[list[str | int]] = []
        broken = 0
        in_real = {subject: count for subject, _, count in counts(real)}
        for subject, applies, count in counts(synthetic):
            note = f"{in_real[subject]} real rows break it, too" if in_real[subject] else ""
            evidence.append(pen("violations", subject, _count(count, applies), note))
            rows.append([subject, applies, count, in_real[subject]])
            broken += count
        note = (
            f"{len(rows)} constraints and ranges"
            if rows
            else "the schema declares no constraint and no range"
        )
        evidence.insert(0, pen("violations", "", _count(broken, len(synthetic)), note))
        return ProbeReport(evidence=tuple(evidence), exhibits=_picture(rows, broken))


RULES = Rules()


def _count(count: int, trials: int) -> Measured:
    return Measured(estimate=float(count), low=float(count), high=float(count), trials=trials)


def counts(table: Table) -> Iterator[tuple[str, int, int]]:
    """(subject, rows it applies to, rows that break it) of every constraint and every declared range."""
    seen: dict[str, int] = {}
    for found in violations(table):
        seen[found.constraint] = seen.get(found.constraint, 0) + 1
        number = seen[found.constraint]
        yield (
            found.constraint if number == 1 else f"{found.constraint} ({number})",
            found.rows,
            found.violations,
        )
    for spec in table.schema.released:
        if isinstance(spec.domain, Range):
            column = table[spec.name]
            yield f"range of {spec.name}", int(column.present.sum()), _outside(spec, spec.domain, column)


def _outside(spec: ColumnSpec, domain: Range, column: Column) -> int:
    values = column.values[column.present].astype(np.float64)
    low, high = spec.to_number(domain.min), spec.to_number(domain.max)
    wrong = (values < low) | (values > high)
    if domain.step is not None:
        steps = (values - low) / domain.step
        # Spikes are declared single values and need not lie on the steps; neither need the upper bound.
        free = np.isin(values, (*domain.spikes, high))
        wrong |= ~free & (np.abs(steps - np.round(steps)) > 1e-6)
    if domain.decimals is not None:
        wrong |= np.abs(values - np.round(values, domain.decimals)) > 1e-9 * np.maximum(1.0, np.abs(values))
    return int(wrong.sum())


def _picture(rows: list[list[str | int]], broken: int) -> tuple[Exhibit, ...]:
    if not rows:
        return ()
    takeaway = (
        f"No row breaks any of the {len(rows)} constraints and ranges."
        if not broken
        else f"{broken} breaches of {sum(bool(row[2]) for row in rows)} of the {len(rows)} constraints and ranges."
    )
    return (
        Exhibit(
            probe=RULES.name,
            title="Constraints and ranges",
            kind="table",
            takeaway=takeaway,
            data={
                "columns": [
                    "rule",
                    "rows it applies to",
                    "broken in the release",
                    "broken in the real table",
                ],
                "rows": rows,
            },
        ),
    )
