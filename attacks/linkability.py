"""Linkability: do two halves of a record, known to two parties, lead to the same synthetic row?

For each target the k nearest synthetic rows are found by one half of the columns and by the other; a row found by both
links the halves. The controls' rate is what correlations alone allow; R = (r_members − r_control)/(1 − r_control) is
what the release adds (WP216; anonymeter, 2211.10459). Both rates are raw, all units of both arms are tried, and R is
never clipped. Columns are dealt to the halves by their entropy in the release, so that both know about as much.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attacks.attack import Adversary, Attack
from attacks.bench import Bench, Bool
from attacks.distances import Neighbours, nearest
from attacks.encoding import I64
from attacks.explain import bare_risk, risk_without, some_of_each_arm
from attacks.risks import excess_risk
from release.protocols import Progress
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport

NAME = "linkability"
NEIGHBOURS = 5


def halves(bench: Bench) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Column numbers of the two halves: sorted by entropy, dealt 1-2-2-1-1-2-2-…"""
    order = by_entropy(bench)
    first = [column for rank, column in enumerate(order) if rank % 4 in {0, 3}]
    second = [column for rank, column in enumerate(order) if rank % 4 in {1, 2}]
    return tuple(sorted(first)), tuple(sorted(second))


def by_entropy(bench: Bench) -> list[int]:
    """Column numbers, greatest entropy in the release first."""
    if bench.base is not None:
        return by_entropy(bench.base)
    entropy = [_entropy(codes) for codes in bench.synthetic.codes]
    return sorted(range(len(entropy)), key=lambda place: (-entropy[place], place))


def linked_rows(one: Neighbours, other: Neighbours) -> Bool:
    """(m,) True where a synthetic row is among the nearest by both halves."""
    both = (one.index[:, :, None] == other.index[:, None, :]) & (one.index[:, :, None] >= 0)
    return np.asarray(both.any(axis=(1, 2)))


def linked_units(bench: Bench, progress: Progress) -> Bool:
    """(U,) units of which a row is linked."""

    def compute() -> Bool:
        first, second = halves(bench)
        if not first or not second:
            return np.zeros(len(bench.targets.is_member), bool)
        found = [bench.to_synthetic(NEIGHBOURS, half, progress) for half in (first, second)]
        return bench.targets.any_row(linked_rows(found[0], found[1]))

    return bench.once("linked", compute)


def _run(bench: Bench, progress: Progress) -> ProbeReport:
    targets = bench.targets
    outcome: Measured | NotMeasured
    if len(bench.encoding.names) < 2:
        outcome = NotMeasured(reason="a table of one column has no two halves to link")
        return ProbeReport(evidence=(_evidence(outcome),))
    if not targets.n_members or not targets.n_controls or not bench.synthetic.n_rows:
        outcome = NotMeasured(
            reason=f"{targets.n_members:,} members, {targets.n_controls:,} controls and {bench.synthetic.n_rows:,} "
            "synthetic rows: all three are needed",
            needed=1,
        )
        return ProbeReport(evidence=(_evidence(outcome),))
    linked = linked_units(bench, progress)
    hits = linked[targets.is_member], linked[~targets.is_member]
    outcome = excess_risk(int(hits[0].sum()), targets.n_members, int(hits[1].sum()), targets.n_controls)
    first, second = halves(bench)
    names = bench.encoding.names
    exhibit = Exhibit(
        probe=NAME,
        title="Linking two halves of a record through the release",
        kind="bars",
        takeaway=(
            f"{hits[0].mean():.1%} of members' halves meet in one synthetic row, {hits[1].mean():.1%} of controls' do: "
            "the difference is what the release adds."
        ),
        data={
            "bars": [
                {
                    "what": "linked",
                    "members": float(hits[0].mean()),
                    "controls": float(hits[1].mean()),
                }
            ],
            "halves": [[names[column] for column in first], [names[column] for column in second]],
            "top_units": [
                targets.surrogate[place] for place in np.flatnonzero(linked & targets.is_member)[:50].tolist()
            ],
        },
    )
    more: tuple[Exhibit, ...] = ()
    if isinstance(outcome, Measured) and outcome.low > 0:
        more = risk_without(NAME, "linking", *_counterfactual(bench), "on the units tried for this")
    return ProbeReport(evidence=(_evidence(outcome),), exhibits=(exhibit, *more))


def _counterfactual(bench: Bench) -> tuple[float, list[tuple[str, float]]]:
    """R on some units, and R without each column in turn (of its half only: the other half's search is shared)."""
    targets = bench.targets
    rows = np.flatnonzero(np.isin(targets.unit, some_of_each_arm(bench)))
    part = targets.rows.take(rows)
    member = targets.is_member[targets.unit[rows]]

    def search(columns: Sequence[int]) -> Neighbours:
        return nearest(part, bench.synthetic, NEIGHBOURS, np.array(columns, np.int64))

    def risk(one: Neighbours, other: Neighbours) -> float:
        linked = linked_rows(one, other)
        return bare_risk(linked[member], linked[~member])

    first, second = halves(bench)
    whole = search(first), search(second)
    left = []
    for half, other in ((first, whole[1]), (second, whole[0])):
        if len(half) < 2:
            continue
        for column in half:
            left.append((bench.encoding.names[column], risk(search([c for c in half if c != column]), other)))
    return risk(*whole), left


def _evidence(outcome: Measured | NotMeasured) -> Evidence:
    return Evidence(
        probe=NAME,
        metric="excess_risk",
        subject="",
        outcome=outcome,
        note="Excess risk R of linking two halves of a record, beyond what controls' records allow.",
    )


def _entropy(codes: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> float:
    counts: I64 = np.unique(codes, return_counts=True)[1].astype(np.int64)
    share = counts / max(int(counts.sum()), 1)
    return float(-(share * np.log2(share)).sum()) if len(counts) else 0.0


ATTACK = Attack(
    name=NAME,
    summary=(
        "Gives one half of a person's columns to one party and the other half to another, and sees whether the release brings "
        "both to the same synthetic row. If that works more often for people whose data were used, the release helps to join files."
    ),
    adversary=Adversary(
        goal="join two files about the same people",
        knowledge="none of the generator",
        data="two files, each with half of the columns, and the release",
    ),
    paper="WP216; anonymeter (2211.10459)",
    run=_run,
)
