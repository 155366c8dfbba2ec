"""What every quality probe stands on: the real table, the holdout, the slices, and how evidence is written.

Rules: the real side of a comparison is all that the generator saw (`training`), or the members where that is unknown;
the holdout is the controls, which no generator saw. Slices are the schema's. Where the request asked for a mix of slices, fidelity compares the
release with the real table brought to the same mix (`compared`): what was asked for is no infidelity, and what the mix does against the
real table as it is, is the probe `rebalance`. Utility is always tested on real units as they come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.constraints import matches
from release.data.schema import Range, Role, Slice
from release.data.table import Table
from release.protocols import Arena, Progress
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The real and synthetic rows of one slice; `subject` is "" for the whole, "slice:<name>" otherwise."""

    subject: str
    real: Table
    synthetic: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one part of a table showed."""

    evidence: Sequence[Evidence]
    exhibits: Sequence[Exhibit] = ()


def real_table(arena: Arena) -> Table:
    """All real rows that the generator saw, as they are."""
    return arena.training if arena.training is not None else arena.members


def compared(arena: Arena, *, repeat: bool = True) -> Table:
    """The real rows that the synthetic ones are compared with: at the mix that was asked for, if one was."""
    return at_mix(real_table(arena), arena.weights, repeat=repeat)


def at_mix(real: Table, weights: Mapping[str, float], *, repeat: bool = True) -> Table:
    """Real rows brought to a mix of slices, some repeated or left out; units keep their numbers.

    With `repeat` about as many rows as there were; without it no row stands twice (for measures of distances between rows),
    and so there are fewer.

    A row's importance is the mixture's density over the real one, Σ w/p over the named slices it lies in (p: the slice's real share),
    the rest's share for rows in none. Systematic resampling (Kitagawa, 1996): no randomness, and each row comes
    within one of its expected number of times. Intervals stay honest because they are by unit. A named slice without real rows adds nothing.
    """
    if not weights or not len(real):
        return real
    importance = np.zeros(len(real))
    outside = np.ones(len(real), dtype=bool)
    for part in real.schema.slices:
        if part.name in weights:
            inside = slice_mask(real, part.where)
            outside &= ~inside
            if inside.any():
                importance[inside] += weights[part.name] / inside.mean()
    rest = 1.0 - math.fsum(weights.values())
    if rest > 0 and outside.any():
        importance[outside] += rest / outside.mean()
    if not importance.any():
        return real
    scale = len(real) / importance.sum() if repeat else 1.0 / importance.max()
    # Rows of one importance one after the other, so that each slice comes within a row of its share.
    order = np.argsort(importance, kind="stable")
    marks = np.cumsum(importance[order]) * scale
    times = np.empty(len(real), dtype=np.int64)
    times[order] = np.diff(np.floor(marks + 0.5), prepend=0.0)
    times = times if repeat else np.minimum(times, 1)
    return real.take(np.repeat(np.arange(len(real)), times))


def over_parts(
    arena: Arena,
    what: str,
    progress: Progress,
    measure: Callable[[Part], Findings],
    *,
    repeat: bool = True,
) -> ProbeReport:
    """`measure` for the whole table and every declared slice, gathered in one report. `repeat` as in `at_mix`."""
    evidence: list[Evidence] = []
    exhibits: list[Exhibit] = []
    every = list(parts(arena, repeat=repeat))
    for number, part in enumerate(every):
        progress(number / len(every), f"{what} of {part.subject or 'the whole table'}")
        found = measure(part)
        evidence += found.evidence
        exhibits += found.exhibits
    return ProbeReport(evidence=tuple(evidence), exhibits=tuple(exhibits))


def parts(arena: Arena, *, repeat: bool = True) -> Iterator[Part]:
    """The whole table, then each declared slice; the real side as `compared` has it."""
    real = compared(arena, repeat=repeat)
    yield Part(subject="", real=real, synthetic=arena.synthetic)
    for part in real.schema.slices:
        yield Part(
            subject=slice_subject(part),
            real=real.take(np.flatnonzero(slice_mask(real, part.where))),
            synthetic=arena.synthetic.take(np.flatnonzero(slice_mask(arena.synthetic, part.where))),
        )


def slice_subject(part: Slice) -> str:
    """The subject under which a slice's figures stand."""
    return f"slice:{part.name}"


def within(table: Table, subject: str) -> Table:
    """The rows of the slice that a subject names ("slice:<name>"); all of them for ""."""
    for part in table.schema.slices:
        if slice_subject(part) == subject:
            return table.take(np.flatnonzero(slice_mask(table, part.where)))
    return table


def slice_mask(table: Table, where: Mapping[str, tuple[str, ...] | Range]) -> BoolArray:
    """Shape (n,): rows for which every condition holds. A missing value fulfils none, unless its code is listed.

    Conditions on columns that are not released (identifiers) hold for no row.
    """
    mask = np.ones(len(table), dtype=bool)
    for name, condition in where.items():
        if name not in table.columns:
            return np.zeros(len(table), dtype=bool)
        mask &= matches(table.schema.column(name), table[name], condition)
    return mask


def groups(table: Table, name: str) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """(codes (n,), -1 where missing; names) of a coded column."""
    column = table[name]
    return column.values.astype(np.int64), column.levels


def protected(table: Table) -> tuple[str, ...]:
    """Names of coded columns that are quasi-identifiers or sensitive: the subgroups of the bias checks."""
    wanted = {Role.QUASI_IDENTIFIER, Role.SENSITIVE}
    return tuple(spec.name for spec in table.schema.released if spec.kind.coded and wanted & set(spec.roles))


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes one probe's evidence."""

    probe: str

    def __call__(
        self, metric: str, subject: str, outcome: Measured | NotMeasured, note: str = ""
    ) -> Evidence:
        """One figure."""
        return Evidence(probe=self.probe, metric=metric, subject=subject, outcome=outcome, note=note)

    def none(
        self, metrics: tuple[str, ...], subject: str, reason: str, needed: int | None = None
    ) -> tuple[Evidence, ...]:
        """The same `NotMeasured` for several metrics."""
        return tuple(self(metric, subject, NotMeasured(reason=reason, needed=needed)) for metric in metrics)


def worst(figures: Mapping[str, Measured | NotMeasured]) -> tuple[str, Measured | NotMeasured]:
    """(subject, figure) of the largest estimate, its interval's ends widened to the largest of each.

    The maximum of several figures has its own sampling error: its low end is the largest low end, its high end
    the largest high end. Where one could not be measured there is no worst.
    """
    if not figures:
        return "", NotMeasured(reason="there is nothing to compare")
    missing = [name for name, figure in figures.items() if isinstance(figure, NotMeasured)]
    if missing:
        reason = figures[missing[0]]
        text = reason.reason if isinstance(reason, NotMeasured) else ""
        return missing[0], NotMeasured(
            reason=f"{len(missing)} of {len(figures)} could not be measured: {text}"
        )
    known = {name: figure for name, figure in figures.items() if isinstance(figure, Measured)}
    name = max(known, key=lambda key: known[key].estimate)
    return name, Measured(
        estimate=known[name].estimate,
        low=min(known[name].estimate, max(figure.low for figure in known.values())),
        high=max(figure.high for figure in known.values()),
        trials=min(figure.trials for figure in known.values()),
    )
