"""Attribute disclosure: where the release leaves no doubt about a secret, is it right about members in particular?

For each target, the synthetic rows with its quasi-identifiers. TCAP (Taub and others 2018): where they all agree on the
sensitive column, the share of targets for whom that value is right. DiSCO (Raab and others 2024, 2406.16826): the share of
all targets that are so disclosed and rightly. Both less the controls' figure; one row per unit. Without doubt is exact
equality, for numbers too.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, Attack
from attacks.bench import Bench, Bool
from attacks.distances import row_hashes
from attacks.inference import one_row_each, secrets
from attacks.qi_linkage import linked_secrets, most_frequent, quasi_identifiers, why_not
from attacks.risks import rate_difference
from release.protocols import Progress
from release.records import Evidence, Measured, NotMeasured, ProbeReport

NAME = "disclosure"
METRICS = ("tcap_difference", "disco_difference")


def disclosed(bench: Bench, column: int) -> tuple[Bool, Bool]:
    """(U,) targets whose synthetic rows leave no doubt about a column, and those for whom it is right too."""
    known, targets = quasi_identifiers(bench), one_row_each(bench)
    row, found = most_frequent(bench.synthetic, targets, known, column)
    doubtful = _ambiguous_keys(bench, column)
    certain = found & ~np.isin(row_hashes(targets.codes[known]), doubtful)
    return certain, certain & (bench.synthetic.codes[column, row] == targets.codes[column])


def _ambiguous_keys(bench: Bench, column: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
    keys = row_hashes(bench.synthetic.codes[quasi_identifiers(bench)])
    order = np.argsort(keys, kind="stable")
    ordered, codes = keys[order], bench.synthetic.codes[column][order]
    differs = (ordered[1:] == ordered[:-1]) & (codes[1:] != codes[:-1])
    return np.asarray(np.unique(ordered[1:][differs]), np.uint64)


def _run(bench: Bench, progress: Progress) -> ProbeReport:
    missing = why_not(bench)
    if missing is not None:
        names = secrets(bench.arena.members.schema)
        return ProbeReport(
            evidence=tuple(
                Evidence(probe=NAME, metric=metric, subject=name, outcome=missing)
                for name in names
                for metric in METRICS
            )
        )
    member = bench.targets.is_member
    evidence: list[Evidence] = []
    columns = linked_secrets(bench)
    for done, column in enumerate(columns.tolist(), start=1):
        certain, right = disclosed(bench, column)
        n, m = int(member.sum()), int((~member).sum())
        of = int((certain & member).sum()), int((certain & ~member).sum())
        hits = int((right & member).sum()), int((right & ~member).sum())
        tcap: Measured | NotMeasured = (
            rate_difference(hits[0], of[0], hits[1], of[1])
            if min(of)
            else NotMeasured(
                reason=f"the release leaves doubt about all but {of[0]} members and {of[1]} controls"
            )
        )
        disco = rate_difference(hits[0], n, hits[1], m)
        evidence.extend(
            Evidence(
                probe=NAME,
                metric=metric,
                subject=bench.encoding.names[column],
                outcome=outcome,
                note="Secrets that the release leaves no doubt about, rightly: for members beyond controls.",
            )
            for metric, outcome in zip(METRICS, (tcap, disco), strict=True)
        )
        progress(done / len(columns), bench.encoding.names[column])
    return ProbeReport(evidence=tuple(evidence))


ATTACK = Attack(
    name=NAME,
    summary=(
        "Looks for people about whom the release leaves no doubt: every row with their quasi-identifiers has the same sensitive value. "
        "If it is right about people whose data were used more often than about others, it discloses attributes."
    ),
    adversary=Adversary(
        goal="learn a sensitive value with certainty",
        knowledge="none of the generator",
        data="the person's quasi-identifiers, and the release",
    ),
    paper="TCAP: Taub and others 2018; DiSCO: Raab, Nowok, Dibben 2406.16826",
    run=_run,
)
