"""Can a model tell the release from the real table? Classifier two-sample test, and the pMSE ratio.

Rules: the test (Lopez-Paz & Oquab, 1610.06545) is a gradient boosting model cross-fitted over two halves by unit; 0.5 is "cannot
tell". The pMSE (Snoke et al., 1604.06651) is the mean squared distance of a logistic model's propensities from the release's
share c; divided by its expectation "correct synthesis", k c (1 − c)² / N for k slopes, it is 1 for rows drawn from the real table's own
distribution and 2 for a fresh real sample. Its interval treats the fit's statistic as noncentral χ²_k. At most `ROWS` rows a side; both sides are made equally large.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from release.data.table import Table, concatenate
from release.protocols import Arena, Progress, no_progress
from release.quality.features import FloatArray, lay_encoding, trainable
from release.quality.ground import Findings, Part, Pen, over_parts
from release.quality.intervals import (
    FEWEST_UNITS,
    IntArray,
    bootstrap_weights,
    from_replicates,
    measured,
    too_few,
)
from release.quality.models import thin
from release.quality.scores import auc
from release.quality.threads import one_thread
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport

ROWS = 20_000
REPEATS = 200
_METRICS = ("two_sample_auc", "pmse_ratio")


@dataclass(frozen=True, slots=True)
class TwoSample:
    """The `two_sample` probe."""

    name: str = "two_sample"
    summary: str = (
        "Trains a model to tell synthetic from real rows. Near 0.5 it cannot; near 1 the release gives itself away, and the columns "
        "that the model leans on say where."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """AUC of the cross-fitted classifier and pMSE ratio, of the whole and of every slice; the columns that tell."""
        return over_parts(
            arena, "telling tables apart", progress, lambda part: _measure_part(part, rng), repeat=False
        )


TWO_SAMPLE = TwoSample()


def _measure_part(part: Part, rng: np.random.Generator) -> Findings:
    pen = Pen(TWO_SAMPLE.name)
    few = too_few(part.real.n_units, part.synthetic.n_units, least=2 * FEWEST_UNITS)
    if few is not None:
        return Findings(evidence=pen.none(_METRICS, part.subject, few.reason, few.needed))
    size = min(ROWS, len(part.real), len(part.synthetic))
    sides = (thin(part.real, size, rng), thin(part.synthetic, size, rng))
    with one_thread():
        figure, exhibit = _classifier(pen, part.subject, sides, rng)
        propensities = pen("pmse_ratio", part.subject, *_pmse(sides))
    return Findings(evidence=(figure, propensities), exhibits=() if part.subject else (exhibit,))


def _classifier(
    pen: Pen, subject: str, sides: tuple[Table, Table], rng: np.random.Generator
) -> tuple[Evidence, Exhibit]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    both = concatenate(sides)
    label = np.repeat([0, 1], [len(side) for side in sides])
    names = tuple(both.columns)
    encoding = lay_encoding([both], names)
    matrix = encoding.trees(both)
    _, place = np.unique(both.units, return_inverse=True)
    fold = rng.permutation(int(place.max()) + 1)[place] % 2
    scores = np.zeros(len(both))
    drops = np.zeros(len(names))
    for held in (0, 1):
        train, test = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        model = HistGradientBoostingClassifier(
            max_iter=60,
            max_leaf_nodes=15,
            early_stopping=False,
            categorical_features=encoding.categorical,
            random_state=int(rng.integers(2**31)),
        )
        model.fit(trainable(matrix[train]), label[train])
        scores[test] = model.predict_proba(matrix[test])[:, 1]
        drops += _importance(model, matrix[test], label[test], rng) / 2
    weights = np.concatenate([np.ones((1, len(both))), *bootstrap_weights(both.units, REPEATS, rng)])
    # The two folds' models have scales of their own: the AUC is taken within each and averaged.
    within = [
        auc(scores[fold == held], label[fold == held] == 1, weights[:, fold == held]) for held in (0, 1)
    ]
    found = np.mean(within, axis=0)
    figure = from_replicates(float(found[0]), found[1:], min(side.n_units for side in sides))
    order = np.argsort(-drops)
    top = names[int(order[0])]
    return pen(
        "two_sample_auc", subject, figure, f"0.5: cannot be told apart; most telling column: {top}"
    ), Exhibit(
        probe=TWO_SAMPLE.name,
        title="Which columns give the release away",
        kind="bars",
        takeaway=f"Without {top} the model that tells synthetic from real rows would lose {max(drops[order[0]], 0.0):.3f} of its AUC.",
        data={
            "labels": [names[int(column)] for column in order[:12]],
            "values": [max(float(drops[column]), 0.0) for column in order[:12]],
            "names": ["fall of the AUC", ""],
        },
    )


def _importance(model: Any, matrix: FloatArray, label: IntArray, rng: np.random.Generator) -> FloatArray:
    """Fall of the AUC when a column is shuffled, shape (columns,); on at most 4,000 rows."""
    rows = rng.permutation(len(label))[:4000]
    matrix, positive, one = matrix[rows], label[rows] == 1, np.ones((1, len(rows)))
    whole = float(auc(model.predict_proba(matrix)[:, 1], positive, one)[0])
    drops = np.zeros(matrix.shape[1])
    for column in range(matrix.shape[1]):
        shuffled = matrix.copy()
        shuffled[:, column] = rng.permutation(shuffled[:, column])
        drops[column] = whole - float(auc(model.predict_proba(shuffled)[:, 1], positive, one)[0])
    return drops


def pmse_ratio(matrix: FloatArray, label: IntArray) -> tuple[float, int]:
    """(pMSE over its null expectation, number of slopes k) of a logistic model on `matrix` (n, p), labels 0/1 (n,)."""
    from sklearn.linear_model import LogisticRegression

    varied = matrix[:, matrix.std(axis=0) > 0]
    if not varied.shape[1]:
        return 0.0, 0
    centred = varied - varied.mean(axis=0)
    slopes = int(np.linalg.matrix_rank(centred.T @ centred, hermitian=True))
    share, n = float(label.mean()), len(label)
    with warnings.catch_warnings():
        # A separable table has no finite fit; the nearly unpenalised one says "told apart" well enough.
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=1e4, max_iter=100, solver="newton-cholesky").fit(centred, label)
    propensity = model.predict_proba(centred)[:, 1]
    return float(np.mean((propensity - share) ** 2)) * n / (slopes * share * (1 - share) ** 2), slopes


def _pmse(sides: tuple[Table, Table]) -> tuple[Measured | NotMeasured, str]:
    both = concatenate(sides)
    label = np.repeat([0, 1], [len(side) for side in sides])
    matrix = lay_encoding([both], tuple(both.columns)).linear(both, both)
    ratio, slopes = pmse_ratio(matrix, label)
    if not slopes:
        return NotMeasured(reason="no column varies"), ""
    share = float(label.mean())
    statistic = ratio * slopes * (1 - share)
    error = math.sqrt(2 * (slopes + 2 * max(statistic - slopes, 0.0))) / (slopes * (1 - share))
    note = f"{slopes} slopes; a release drawn from the real table's own distribution scores 1, a fresh real sample 2"
    return measured(ratio, error, min(side.n_units for side in sides), least=0.0), note
