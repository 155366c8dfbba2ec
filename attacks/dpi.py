"""Plagiarism index: of the records nearest to a person, how many are synthetic and how many are strangers?

Data Plagiarism Index: n_S / n_R among the k nearest of R ∪ S, each counted plus one. A copied person has synthetic
neighbours where strangers are rare.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, MembershipAttack
from attacks.bench import F64, Bench
from release.protocols import Progress

NEIGHBOURS = 30


def _score(bench: Bench, progress: Progress) -> F64 | None:
    strangers = bench.to_reference(NEIGHBOURS)
    if strangers is None:
        return None
    mine = bench.to_synthetic(NEIGHBOURS, progress=progress)
    both = np.concatenate([mine.distance, strangers.distance], axis=1)
    order = np.argsort(both, axis=1, kind="stable")[:, :NEIGHBOURS]
    n_synthetic = (order < NEIGHBOURS).sum(axis=1)
    counted = np.isfinite(np.take_along_axis(both, order, 1)).sum(axis=1)
    score = np.log((n_synthetic + 1.0) / (counted - np.minimum(n_synthetic, counted) + 1.0))
    # Counts are coarse; the mean distance to the synthetic neighbours orders people inside one count.
    near = np.where(np.isfinite(mine.distance), mine.distance, 0.0).mean(axis=1).astype(np.float64)
    return bench.targets.per_unit(score - 1e-3 * near / (1.0 + near))


ATTACK = MembershipAttack(
    name="dpi",
    summary=(
        "Counts how many of the records nearest to a person are synthetic and how many are strangers. "
        "More synthetic neighbours for people whose data were used means that the release crowds around them."
    ),
    adversary=Adversary(
        goal="tell whether a known person was in the data",
        knowledge="none of the generator",
        data="the person's record, the release, and some other people's records",
    ),
    paper="Data Plagiarism Index, in Synth-MIA 2509.18014",
    score=_score,
    needs="there is no reference: strangers' records to compare with",
)
