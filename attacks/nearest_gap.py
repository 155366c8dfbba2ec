"""The gap behind the nearest row: does one synthetic row stand much closer to this person than the next ones do?

Score: √d₆₅ − √d₁, the roots of the distances to the 65th and to the nearest synthetic row (Gower L1, each column's part cut at
1). How near chance alone comes to a person is read off the same release, so that no strangers are needed; the root makes
gaps in crowded and in empty places comparable. A record that was repeated up to 64 times still has its gap; measured on four
tables, the 65th is no worse a rival than the fifth for records that were copied once. In a release of fewer rows the farthest is the rival.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, MembershipAttack
from attacks.bench import F64, Bench
from release.protocols import Progress
from release.records import Exhibit

RIVAL = 65


def _score(bench: Bench, progress: Progress) -> F64 | None:
    near = bench.to_synthetic(RIVAL, progress=progress).distance.astype(np.float64)
    root = np.sqrt(near[:, : min(RIVAL, bench.synthetic.n_rows)])
    return bench.targets.per_unit(root[:, -1] - root[:, 0])


def _explain(bench: Bench) -> tuple[Exhibit, ...]:
    from attacks.explain import gap_without_columns

    return gap_without_columns("nearest_gap", bench, RIVAL)


ATTACK = MembershipAttack(
    name="nearest_gap",
    summary=(
        "Looks how far the synthetic row nearest to a person stands out from the next nearest ones. "
        "If it stands out more for people whose data were used, rows were made from single records, blurred or not."
    ),
    adversary=Adversary(
        goal="tell whether a known person was in the data, from a blurred copy",
        knowledge="none of the generator",
        data="the person's record, and the release",
    ),
    paper="a difference form of the nearest-neighbour distance ratio (Lowe 2004), as an attack and not as a share",
    score=_score,
    answers_jointly=True,
    explain=_explain,
)
