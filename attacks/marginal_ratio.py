"""Marginal ratios: are this person's cells fuller in the release than among strangers, in the marginals it was made from?

MAMA-MIA (2410.05506): the score is the sum over the marginals f that the generator measured of p_S(x_f) / p_R(x_f). The
strongest simple attack on marginal-based generators. The measured marginals come from the candidate's own record; where
none is known, all pairs of columns are used, with equal weights.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, MembershipAttack
from attacks.bench import F64, Bench
from attacks.marginals import binned, cliques
from release.protocols import Progress
from release.records import Exhibit


def _score(bench: Bench, progress: Progress) -> F64 | None:
    tables = binned(bench)
    if tables is None:
        return None
    used = cliques(bench, tables.sizes)
    total = np.zeros(bench.targets.rows.n_rows)
    for done, clique in enumerate(used, start=1):
        total += tables.ratio(clique)
        progress(done / len(used), f"marginal {done:,} of {len(used):,}")
    return bench.targets.per_unit(total / len(used))


def _explain(bench: Bench) -> tuple[Exhibit, ...]:
    from attacks.explain import telling_marginals

    return telling_marginals("marginal_ratio", bench)


ATTACK = MembershipAttack(
    name="marginal_ratio",
    summary=(
        "Compares how full a person's cells are in the release with how full they are among strangers, in the marginals the generator measured. "
        "If cells of people whose data were used are fuller, the noise was too small to hide them."
    ),
    adversary=Adversary(
        goal="tell whether a known person was in the data",
        knowledge="the algorithm, and which marginals it measured",
        data="the person's record, the release, and some other people's records",
    ),
    paper="MAMA-MIA 2410.05506",
    score=_score,
    explain=_explain,
    needs="there is no reference: strangers' records to compare with",
)
