"""Distance to the closest record, as a log-ratio: is the release closer to this person than strangers are?

Score: log d(x, R) − log d(x, S), Gower L1 with each column's part cut at 1. The reference R tells how far the nearest
stranger usually is, so that people in crowded places do not look like members. Without a reference: −log d(x, S).
The share of distances to the closest record is no gate (2505.01524, 2312.05114): only the ROC of this score is.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, Leak, MembershipAttack
from attacks.bench import F64, Bench
from release.protocols import Progress
from release.records import Exhibit

SMALLEST = 1e-4
"""Added to distances (sums over columns), so that a copy is very near and not infinitely so."""


def _score(bench: Bench, progress: Progress) -> F64 | None:
    near = bench.to_synthetic(1, progress=progress).distance[:, 0].astype(np.float64)
    score = -np.log(near + SMALLEST)
    reference = bench.to_reference(1)
    if reference is not None:
        score = score + np.log(reference.distance[:, 0].astype(np.float64) + SMALLEST)
    return bench.targets.per_unit(score)


def _explain(bench: Bench) -> tuple[Exhibit, ...]:
    from attacks.explain import without_columns

    return without_columns("dcr", bench, SMALLEST)


ATTACK = MembershipAttack(
    name="dcr",
    summary=(
        "Looks for the synthetic row nearest to each real person and compares it with the nearest stranger's row. "
        "If people whose data were used find nearer rows than people whose data were not, the release gives away who was in."
    ),
    adversary=Adversary(
        goal="tell whether a known person was in the data",
        knowledge="none of the generator",
        data="the person's whole record, the release, and some other people's records",
    ),
    paper="log-ratio form of distance to the closest record; TPR at low FPR after Carlini and others (2112.03570)",
    score=_score,
    explain=_explain,
    answers_for=(Leak.VERBATIM, Leak.ISOLATED),
    answers_jointly=True,
)
