"""Scores of predictions under row weights, vectorised over bootstrap samples.

Rules: weights come as (k, n) and a score as (k,); all weights 1 gives the plain score. AUC is the Mann-Whitney statistic with
ties counted half; average precision is the step-wise sum of scikit-learn; several classes are averaged one against
rest, each class of equal weight (Hand & Till's simpler relative, as scikit-learn's `roc_auc_score(multi_class="ovr")`).
A sample without positives or without negatives gives NaN, which the caller must not average away.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def auc(scores: FloatArray, positive: BoolArray, weights: FloatArray) -> FloatArray:
    """Area under the ROC curve, shape (k,), for scores (n,), labels (n,), weights (k, n)."""
    order, last = _sorted_groups(scores)
    w = weights[:, order]
    good = np.cumsum(np.where(positive[order], w, 0.0), axis=1)[:, last]
    bad = np.cumsum(np.where(positive[order], 0.0, w), axis=1)[:, last]
    good_in, bad_in = np.diff(good, prepend=0.0), np.diff(bad, prepend=0.0)
    # Descending scores: a group's positives beat the negatives below it, and half of those within it.
    below = bad[:, -1:] - bad
    total = good[:, -1] * bad[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((good_in * (below + 0.5 * bad_in)).sum(axis=1) / np.where(total > 0, total, np.nan))


def average_precision(scores: FloatArray, positive: BoolArray, weights: FloatArray) -> FloatArray:
    """Area under the precision-recall curve as the step-wise sum Σ (R_i − R_{i−1}) P_i, shape (k,)."""
    order, last = _sorted_groups(scores)
    w = weights[:, order]
    good = np.cumsum(np.where(positive[order], w, 0.0), axis=1)[:, last]
    every = np.cumsum(w, axis=1)[:, last]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(every > 0, good / every, 0.0)
        total = np.where(good[:, -1] > 0, good[:, -1], np.nan)
        return np.asarray((np.diff(good, prepend=0.0) * precision).sum(axis=1) / total)


def brier(probabilities: FloatArray, classes: npt.NDArray[np.int64], weights: FloatArray) -> FloatArray:
    """Mean over rows of ½ Σ_c (p_c − [y = c])², shape (k,): the usual Brier score for two classes."""
    truth = np.eye(probabilities.shape[1])[classes]
    loss = 0.5 * ((probabilities - truth) ** 2).sum(axis=1)
    return np.asarray(weights @ loss / weights.sum(axis=1))


def r_squared(predicted: FloatArray, truth: FloatArray, weights: FloatArray) -> FloatArray:
    """1 − Σ w (y − ŷ)² / Σ w (y − ȳ_w)², shape (k,)."""
    total = weights.sum(axis=1)
    mean = weights @ truth / total
    spread = weights @ truth**2 - total * mean**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1.0 - (weights @ (truth - predicted) ** 2) / np.where(spread > 0, spread, np.nan))


def one_against_rest(
    score: Callable[[FloatArray, BoolArray, FloatArray], FloatArray],
    probabilities: FloatArray,
    classes: npt.NDArray[np.int64],
    weights: FloatArray,
) -> FloatArray:
    """`score` of the second class for two classes, else the plain mean over classes; shape (k,)."""
    width = probabilities.shape[1]
    wanted = (1,) if width == 2 else range(width)
    every = [score(probabilities[:, c], classes == c, weights) for c in wanted]
    return np.asarray(np.mean(every, axis=0))


def _sorted_groups(scores: FloatArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(order of descending scores, place of the last row of each group of equal scores)."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    return order, last
