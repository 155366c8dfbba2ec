from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, r2_score, roc_auc_score

from release.data.table import Table
from release.quality.intervals import (
    bootstrap_weights,
    from_replicates,
    measured,
    resample,
    variance_of_mean,
    with_refits,
)
from release.quality.scores import auc, average_precision, brier, one_against_rest, r_squared
from release.records import Measured, NotMeasured
from tests.release.quality.build import people


@pytest.mark.parametrize("decimals", [1, 8])
def test_weighted_scores_agree_with_scikit_learn(decimals):
    rng = np.random.default_rng(7)
    scores = rng.random(500).round(decimals)
    truth = rng.random(500) < scores
    weights = rng.integers(0, 4, size=(6, 500)).astype(float)
    for row, one, two in zip(
        weights, auc(scores, truth, weights), average_precision(scores, truth, weights), strict=True
    ):
        assert one == pytest.approx(roc_auc_score(truth, scores, sample_weight=row))
        assert two == pytest.approx(average_precision_score(truth, scores, sample_weight=row))
    probabilities = np.column_stack([1 - scores, scores])
    for row, one in zip(weights, brier(probabilities, truth.astype(int), weights), strict=True):
        assert one == pytest.approx(brier_score_loss(truth, scores, sample_weight=row))
    predicted = scores + rng.normal(size=500)
    for row, one in zip(weights, r_squared(predicted, scores, weights), strict=True):
        assert one == pytest.approx(r2_score(scores, predicted, sample_weight=row))


def test_several_classes_agree_with_scikit_learn():
    rng = np.random.default_rng(8)
    classes = rng.integers(0, 4, 400)
    probabilities = rng.dirichlet(np.ones(4), 400)
    expected = roc_auc_score(classes, probabilities, multi_class="ovr", average="macro")
    assert one_against_rest(auc, probabilities, classes, np.ones((1, 400)))[0] == pytest.approx(expected)


def test_no_positives_is_not_a_number_and_not_averaged_away():
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    found = auc(np.array([0.9, 0.2, 0.1]), np.array([True, False, False]), weights)
    assert found[0] == 1.0
    assert np.isnan(found[1])
    assert isinstance(from_replicates(1.0, found, 3), NotMeasured)
    assert isinstance(measured(float("nan"), 0.1, 3), NotMeasured)


def test_bootstrap_weights_keep_units_together_and_their_number():
    units = np.repeat(np.arange(30), 3)
    weights = np.concatenate(list(bootstrap_weights(units, 50, np.random.default_rng(1))))
    assert weights.shape == (50, 90)
    assert np.all(weights.sum(axis=1) == 90)
    assert np.all(weights.reshape(50, 30, 3) == weights.reshape(50, 30, 3)[:, :, :1])


def test_clustered_variance_is_that_of_the_unit_means():
    values = np.random.default_rng(2).normal(size=100)
    units = np.repeat(np.arange(100), 5)
    assert variance_of_mean(np.repeat(values, 5), units) == pytest.approx(values.var(ddof=1) / 100)
    assert variance_of_mean(values, np.arange(100)) == pytest.approx(values.var(ddof=1) / 100)


def test_intervals_are_cut_to_what_the_figure_can_be():
    found = measured(0.99, 0.1, 10, least=0.0, most=1.0)
    assert isinstance(found, Measured)
    assert found.high == 1.0
    assert found.low == pytest.approx(0.99 - 0.16449, abs=1e-4)


def test_refits_widen_an_interval_by_students_reach_in_squares():
    sampled = np.linspace(-1.0, 1.0, 201)
    refits = np.array([0.0, 0.1, 0.2, 0.3])
    alone = from_replicates(0.0, sampled, 7)
    both = with_refits(0.0, sampled, refits, 7)
    # Standard deviation of 0, .1, .2, .3 is √(.05 / 3); the 95 % point of Student's t with 3 degrees of freedom is 2.3534.
    reach = 2.3533634 * math.sqrt(0.05 / 3)
    assert both.high == pytest.approx(math.hypot(alone.high, reach), rel=1e-6)
    assert both.low == pytest.approx(-math.hypot(alone.low, reach), rel=1e-6)
    same = with_refits(0.0, sampled, np.zeros(4), 7)
    assert (same.low, same.high) == (alone.low, alone.high)
    assert isinstance(with_refits(0.0, sampled, np.array([0.0, np.nan]), 7), NotMeasured)
    assert isinstance(with_refits(0.0, sampled, np.array([0.0]), 7), NotMeasured)


def test_a_bootstrap_sample_by_unit_may_be_smaller_than_the_table():
    rng = np.random.default_rng(0)
    table = people(300, rng)
    table = Table(table.schema, table.columns, np.arange(300) // 3)
    sample = resample(table, rng, 40)
    assert sample.n_units == 40
    assert len(sample) == 120
    assert len(resample(table, rng)) == 300
