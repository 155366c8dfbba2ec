"""Real rows, or rare parts of them, that stand in the release: more often for members than for controls.

A match counts only where it can be no accident: under a tree model of the release, fewer than one in a million releases of this
size would hold such a row (or such a set of equal cells, in whichever columns) by chance. Whole rows and parts are
counted per unit, and the controls' share is taken off. Before comparing, white space, letter case, the order of
columns and float jitter are normalised away (2606.16952).
"""

from __future__ import annotations

import math

import numpy as np

from attacks.attack import Adversary, Attack
from attacks.bench import Bench, Bool
from attacks.distances import row_hashes
from attacks.near_subset import synthetic_bits
from attacks.risks import rate_difference
from release.protocols import Progress
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport

NAME = "copies"
CHANCE_BITS = 20.0
"""A match counts where chance would bring it less than once in 2²⁰ ≈ a million releases."""
PARTIAL_MARGIN_BITS = 10.0
"""On top for parts of rows: dependencies beyond pairs make sets of cells up to 1,000 times more frequent than a tree says."""


def exact_hits(bench: Bench) -> Bool:
    """(U,) units with a row that stands whole in the release and is too rare for chance."""

    def compute() -> Bool:
        rows = bench.targets.rows
        found = np.isin(row_hashes(rows.codes), row_hashes(bench.synthetic.codes))
        return bench.targets.any_row(found & (whole_row_bits(bench) >= _needed(bench)))

    return bench.once("exact_hits", compute)


def partial_hits(bench: Bench, progress: Progress) -> Bool:
    """(U,) units with a row of which a rare part (or all) stands in the release."""

    def compute() -> Bool:
        enough = synthetic_bits(bench, progress) >= _needed(bench) + PARTIAL_MARGIN_BITS
        return bench.targets.any_row(enough) | exact_hits(bench)

    return bench.once("partial_hits", compute)


def whole_row_bits(bench: Bench) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(rows,) bits of each target's whole row under the tree."""
    if bench.base is not None:
        return whole_row_bits(bench.base)
    rows = bench.targets.rows
    return bench.once("whole_bits", lambda: bench.match_bits(np.ones(rows.codes.shape, bool)))


def _needed(bench: Bench) -> float:
    return CHANCE_BITS + math.log2(max(bench.synthetic.n_rows, 1))


def _run(bench: Bench, progress: Progress) -> ProbeReport:
    evidence, bars = [], []
    for metric, hits, what in (
        ("excess_exact_share", exact_hits(bench), "whole records"),
        ("excess_partial_share", partial_hits(bench, progress), "rare parts of records"),
    ):
        outcome = _excess(bench, hits)
        evidence.append(
            Evidence(
                probe=NAME,
                metric=metric,
                subject="",
                outcome=outcome,
                note=f"Share of members whose {what} stand in the release, beyond the same share of controls.",
            )
        )
        members = bench.targets.is_member
        bars.append({"what": what, "members": _share(hits[members]), "controls": _share(hits[~members])})
    found = partial_hits(bench, progress) & bench.targets.is_member
    exhibit = Exhibit(
        probe=NAME,
        title="Records found again in the release",
        kind="bars",
        takeaway=(
            f"{int(found.sum()):,} of {bench.targets.n_members:,} members have a whole record or a rare part of one in the release."
        ),
        data={
            "bars": bars,
            "top_units": [bench.targets.surrogate[place] for place in np.flatnonzero(found)[:50].tolist()],
        },
    )
    return ProbeReport(evidence=tuple(evidence), exhibits=(exhibit,))


def _share(hits: Bool) -> float:
    return float(hits.mean()) if len(hits) else 0.0


def _excess(bench: Bench, hits: Bool) -> Measured | NotMeasured:
    members, n, m = bench.targets.is_member, bench.targets.n_members, bench.targets.n_controls
    if not n or not m:
        return NotMeasured(reason=f"{n:,} members and {m:,} controls: both are needed", needed=1)
    return rate_difference(int(hits[members].sum()), n, int(hits[~members].sum()), m)


ATTACK = Attack(
    name=NAME,
    summary=(
        "Searches the release for real records, whole or in rare parts, after undoing changes of case, spacing and rounding. "
        "More finds among people whose data were used than among others means that records were copied."
    ),
    adversary=Adversary(
        goal="find real records in the release",
        knowledge="none of the generator",
        data="the release and records of people, some of whom were in the data",
    ),
    paper="normalisation of matches: 2606.16952; tree model: Chow and Liu 1968",
    run=_run,
)
