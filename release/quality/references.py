"""What to hold the figures against: a table whose columns know nothing of each other, and tables of other makers.

Rules: the reference "independent columns" is the real table with every column shuffled on its own (perfect 1-way marginals, no relations
at all): a release that is not clearly better has learnt no relations. Other references (the Independent generator, SDV's
non-private baseline, which shows the price of privacy) are handed in as tables by whoever may make them.
References stay in the workspace: shuffled columns are real values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from release.data.table import Column, Table
from release.protocols import Arena, Probe, Progress, no_progress
from release.quality.associations import ASSOCIATIONS
from release.quality.ground import Pen, compared
from release.quality.marginals import MARGINALS
from release.quality.tails import TAILS
from release.quality.tstr import TSTR
from release.quality.two_sample import TWO_SAMPLE
from release.records import Evidence, ProbeReport

INDEPENDENT = "independent columns"
HEADLINES: Mapping[str, tuple[str, ...]] = {
    "marginals": ("tvd_1way_mean", "tvd_2way_mean", "tvd_3way_mean"),
    "associations": ("association_difference_mean",),
    "tails": ("outlier_rate_ratio",),
    "two_sample": ("two_sample_auc",),
    "tstr": ("loss",),
}
"""The figures that are shown for references, by the probe that measures them."""
_QUICK: tuple[Probe, ...] = (MARGINALS, ASSOCIATIONS)
FULL: tuple[Probe, ...] = (MARGINALS, ASSOCIATIONS, TAILS, TWO_SAMPLE, TSTR)


def independent_columns(real: Table, rows: int, rng: np.random.Generator) -> Table:
    """`rows` rows whose columns are drawn from the real ones, each on its own; every row a unit."""
    columns: dict[str, Column] = {}
    for name, column in real.columns.items():
        chosen = rng.permutation(len(real)) if rows == len(real) else rng.integers(0, len(real), size=rows)
        columns[name] = column.take(chosen)
    return Table(real.schema, columns, np.arange(rows))


@dataclass(frozen=True, slots=True)
class References:
    """The `references` probe."""

    name: str = "references"
    summary: str = (
        "Measures a table whose columns know nothing of each other, made from the real one. A release should be far better than it, "
        "and near the noise floor."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Marginals and associations of the table with independent columns."""
        real = compared(arena)
        if not len(real) or not len(arena.synthetic):
            reason = "one of the tables has no rows"
            return ProbeReport(evidence=Pen(self.name).none(HEADLINES["marginals"], INDEPENDENT, reason))
        shuffled = independent_columns(real, len(arena.synthetic), rng)
        return measure_references(arena, {INDEPENDENT: shuffled}, rng, progress, probes=_QUICK)


REFERENCES = References()


def measure_references(
    arena: Arena,
    tables: Mapping[str, Table],
    rng: np.random.Generator,
    progress: Progress = no_progress,
    *,
    probes: Sequence[Probe] = FULL,
) -> ProbeReport:
    """The headline figures of other tables, as if each were the release; subject: the table's name, no slices.

    Evidence of a reference is of the probe `references`, so that no rule about the release can mistake it.
    """
    pen = Pen(REFERENCES.name)
    evidence: list[Evidence] = []
    for number, (name, table) in enumerate(tables.items()):
        for item in headlines(arena, table, rng, probes=probes):
            evidence.append(pen(item.metric, name, item.outcome, item.note))
        progress((number + 1) / len(tables), name)
    return ProbeReport(evidence=tuple(evidence))


def headlines(
    arena: Arena, table: Table, rng: np.random.Generator, *, probes: Sequence[Probe] = FULL
) -> Iterator[Evidence]:
    """The headline figures of a table as if it were the release: of the whole, no slices."""
    # The mix is that of slices, which are left out here: the real side is brought to it first.
    bare = dataclasses.replace(
        arena,
        members=_strip(arena.members),
        controls=_strip(arena.controls),
        training=_strip(compared(arena)),
        synthetic=_strip(table),
        weights={},
        unweighted=None,
    )
    for probe in probes:
        seen: set[str] = set()
        for item in probe.measure(bare, rng).evidence:
            if (
                item.metric in HEADLINES[probe.name]
                and item.metric not in seen
                and _is_headline(item, probe.name)
            ):
                seen.add(item.metric)
                yield item


def _is_headline(item: Evidence, probe: str) -> bool:
    return item.subject == "" or probe == TSTR.name


def _strip(table: Table) -> Table:
    return Table(table.schema.model_copy(update={"slices": ()}), table.columns, table.units)
