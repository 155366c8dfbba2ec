"""All scores together, weighed by someone who knows who was in: the steward's own, strongest attack.

A logistic regression takes the ranks of all blind scores as features. It is trained on half of the labelled units of both arms
and scores the other half, and the other way round: no unit's own label ever enters its score. The two halves are
put on one scale by their ranks.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, MembershipAttack
from attacks.bench import F64, Bench, Bool
from attacks.classifier import ATTACK as CLASSIFIER
from attacks.dcr import ATTACK as DCR
from attacks.domias import ATTACK as DOMIAS
from attacks.dpi import ATTACK as DPI
from attacks.gen_lra import ATTACK as GEN_LRA
from attacks.marginal_ratio import ATTACK as MARGINAL_RATIO
from attacks.near_match import ATTACK as NEAR_MATCH
from attacks.near_subset import ATTACK as NEAR_SUBSET
from attacks.nearest_gap import ATTACK as NEAREST_GAP
from release.protocols import Progress

FEATURES: tuple[MembershipAttack, ...] = (
    DCR,
    NEAR_SUBSET,
    NEAR_MATCH,
    NEAREST_GAP,
    MARGINAL_RATIO,
    DOMIAS,
    GEN_LRA,
    DPI,
    CLASSIFIER,
)
FEWEST = 50
"""Units of each arm below which half of them teach nothing."""


def _score(bench: Bench, progress: Progress) -> F64 | None:
    targets = bench.targets
    if min(targets.n_members, targets.n_controls) < FEWEST:
        return None
    scores = [attack.scores(bench, progress) for attack in FEATURES]
    features = _features([score for score in scores if score is not None])
    return cross_fitted(features, targets.is_member, bench.stream("meta"))


def cross_fitted(features: F64, is_member: Bool, rng: np.random.Generator) -> F64:
    """(U,) scores in 0 … 1, each from a model that was trained on the other half."""
    from sklearn.linear_model import LogisticRegression

    half = np.zeros(len(is_member), bool)
    for arm in (is_member, ~is_member):
        units = rng.permutation(np.flatnonzero(arm))
        half[units[: len(units) // 2]] = True
    result = np.empty(len(is_member))
    for scored in (half, ~half):
        model = LogisticRegression(C=0.05, max_iter=500).fit(features[~scored], is_member[~scored])
        result[scored] = _ranks(model.decision_function(features[scored]))
    return result


def _features(scores: list[F64]) -> F64:
    """(U, 2 per score): the rank, and how far in the upper tail, which a leak of a few units is seen by."""
    columns = []
    for score in scores:
        rank = _ranks(score)
        columns.extend([rank - 0.5, -np.log10(1.0 - rank + 1.0 / len(rank)) - 0.434])
    return np.stack(columns, axis=1)


def _ranks(score: F64) -> F64:
    from scipy.stats import rankdata

    return np.asarray((rankdata(score) - 0.5) / len(score), np.float64)


ATTACK = MembershipAttack(
    name="meta",
    summary=(
        "Weighs all other membership scores by what they tell about half of the people, whose membership is known, and applies that to the other half. "
        "It is stronger than any outsider, so that its silence means more."
    ),
    adversary=Adversary(
        goal="tell whether a known person was in the data",
        knowledge="all other attacks' scores",
        data="records of both arms, of half of which it knows whether they were in",
    ),
    paper="stacked cross-fitted scores (Wolpert 1992)",
    score=_score,
    needs=f"fewer than {FEWEST} units in an arm",
    blind=False,
)
