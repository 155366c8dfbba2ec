"""A classifier of "synthetic or stranger": whom does it take for synthetic?

Gradient-boosted trees are trained on synthetic rows against reference rows (weighted to equal halves); the score is the
log-odds that a person's record is synthetic. It finds regions where the release is too dense that no fixed distance knows of.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, MembershipAttack
from attacks.bench import F64, Bench
from attacks.encoding import MISSING_BASE, Encoded
from release.protocols import Progress

MOST_ROWS = 20_000
"""Synthetic rows that train the classifier; the searched side of no attack is subsampled, and nothing is searched here."""
FEWEST = 50
ROUNDS = 60


def _score(bench: Bench, progress: Progress) -> F64 | None:
    reference = bench.reference
    if reference is None or reference.n_rows < FEWEST or bench.synthetic.n_rows < FEWEST:
        return None
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = bench.stream("classifier")
    n = bench.synthetic.n_rows
    rows = np.sort(rng.choice(n, MOST_ROWS, replace=False)) if n > MOST_ROWS else np.arange(n)
    features = np.concatenate([_features(bench.synthetic.take(rows)), _features(reference)])
    labels = np.r_[np.ones(len(rows)), np.zeros(reference.n_rows)]
    weights = np.where(labels == 1, 0.5 / len(rows), 0.5 / reference.n_rows) * len(labels)
    progress(0.2, f"training on {len(labels):,} rows")
    model = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        max_leaf_nodes=15,
        min_samples_leaf=10,
        learning_rate=0.1,
        early_stopping=False,
        random_state=int(rng.integers(2**31)),
    ).fit(features, labels, sample_weight=weights)
    return bench.targets.per_unit(model.decision_function(_features(bench.targets.rows)))


def _features(rows: Encoded) -> F64:
    """(n, d): numbers as they are scaled, categories as their codes, missing as NaN (trees split on it)."""
    values = rows.values.T.astype(np.float64)
    values[values >= MISSING_BASE] = np.nan
    return values


ATTACK = MembershipAttack(
    name="classifier",
    summary=(
        "Learns to tell synthetic records from strangers' records and asks whom it takes for synthetic. "
        "If people whose data were used are taken for synthetic more often, the release resembles them too closely."
    ),
    adversary=Adversary(
        goal="tell whether a known person was in the data",
        knowledge="none of the generator",
        data="the person's record, the release, and some other people's records",
    ),
    paper="classifier two-sample form of DOMIAS (2302.12580)",
    score=_score,
    needs=f"fewer than {FEWEST} strangers' or synthetic records to learn from",
)
