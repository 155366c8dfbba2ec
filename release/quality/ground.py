"""What every quality probe stands on: the real table, the holdout, the slices, and how evidence is written.

Rules: the real side of a comparison is all that the generator saw (`training`), or the members where that is unknown;
the holdout is the controls, which no generator saw. Slices are the schema's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.constraints import matches
from release.data.schema import Range, Role, Slice
from release.data.table import Table
from release.protocols import Arena
from release.records import Evidence, Measured, NotMeasured

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The real and synthetic rows of one slice; `subject` is "" for the whole, "slice:<name>" otherwise."""

    subject: str
    real: Table
    synthetic: Table


def real_table(arena: Arena) -> Table:
    """The real rows that the synthetic ones are compared with."""
    return arena.training if arena.training is not None else arena.members


def parts(arena: Arena, *, whole: bool = True) -> Iterator[Part]:
    """The whole table (unless `whole` is False), then each declared slice."""
    real = real_table(arena)
    if whole:
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
