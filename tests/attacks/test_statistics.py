"""Intervals cover, thresholds are conservative, nothing is clipped."""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from attacks.risks import (
    detectable_difference,
    excess_p_value,
    excess_risk,
    jointly_low,
    paired_excess_risk,
    rate_difference,
)
from attacks.statistics import Thresholds, auc, clopper_pearson, joint_null, roc_points, tpr_at_fpr
from release.records import Measured, NotMeasured


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (20, 2000), (0, 2000)])
def test_clopper_pearson_is_scipys(hits, n):
    low, high = clopper_pearson(hits, n)
    result = stats.binomtest(hits, n)
    assert low == pytest.approx(result.proportion_ci(0.90, "exact").low, abs=1e-12)
    assert high == pytest.approx(result.proportion_ci(0.90, "exact").high, abs=1e-12)


def test_excess_risk_is_not_clipped_and_not_biased_by_centres():
    figure = excess_risk(70, 100, 100 - 23, 100)
    assert figure.estimate == pytest.approx((0.70 - 0.77) / 0.23)
    assert figure.low < figure.estimate < figure.high < 1
    assert figure.estimate < 0  # anonymeter says 0 ± 0 here


def test_excess_risk_where_the_controls_always_succeed_says_next_to_nothing():
    """A constant column: both arms always right. No excess, no alarm, and no proof of a small R either."""
    figure = excess_risk(2_000, 2_000, 2_000, 2_000)
    assert figure.estimate == 0.0
    assert figure.low < -1
    assert figure.high == pytest.approx(1.0)


@pytest.mark.parametrize("level", [0.95, 0.999])
@pytest.mark.parametrize(
    ("n", "failing", "risk"), [(60, 0.1, 0.0), (200, 0.03, 0.0), (2_000, 0.4, 0.0), (300, 0.3, 0.5)]
)
def test_excess_risk_covers_in_the_tails_and_with_few_failures(n, failing, risk, level):
    """20,000 draws: a delta method's lower end passes a true R = 0 ten times too often at (60, .1, .999)."""
    rng = np.random.default_rng(3)
    members, controls = rng.binomial(n, failing * (1 - risk), 20_000), rng.binomial(n, failing, 20_000)
    pairs, counts = np.unique(np.stack([members, controls]), axis=1, return_counts=True)
    figures = [excess_risk(n - x, n, n - y, n, level) for x, y in pairs.T.tolist()]
    missed = [
        sum(c for c, f in zip(counts, figures) if out(f)) / 20_000
        for out in (lambda f: f.low > risk, lambda f: f.high < risk)
    ]
    assert max(missed) <= (1 - level) * 1.25 + 3 * np.sqrt((1 - level) / 20_000)


def test_five_failures_against_none_are_no_certainty():
    """Fifty of each, the controls wrong five times and the members never: R = 1, and nearly nothing is shown."""
    assert excess_risk(50, 50, 45, 50, 0.9999).low < 0.0
    assert excess_risk(50, 50, 20, 50, 0.9999).low > 0.3


@pytest.mark.parametrize("n", [60, 230, 2_000])
@pytest.mark.parametrize("easy", [0.0, 0.37, 0.9])
def test_paired_excess_risk_covers_where_guesses_differ_in_difficulty(n, easy):
    """Half of the guesses succeed at .05, half at `easy`; members and controls are tried with the same ones: R = 0."""
    rng = np.random.default_rng(5)
    p = np.where(np.arange(n) % 2 == 0, 0.05, easy)
    members, controls = rng.random((700, n)) < p, rng.random((700, n)) < p
    figures = [
        paired_excess_risk(int((m & c).sum()), int((m & ~c).sum()), int((c & ~m).sum()), n)
        for m, c in zip(members, controls)
    ]
    assert np.mean([f.low > 0 for f in figures]) <= 0.07
    assert np.mean([f.high < 0 for f in figures]) <= 0.07
    unpaired = excess_risk(n * (0.05 + easy) / 2, n, n * (0.05 + easy) / 2, n)
    assert np.median([f.high - f.low for f in figures]) <= (unpaired.high - unpaired.low) * 1.02


def test_paired_excess_risk_at_its_ends():
    everything = paired_excess_risk(0, 500, 0, 500)
    assert everything.estimate == everything.high == 1.0
    nearly = paired_excess_risk(30, 468, 0, 500)
    assert nearly.low < nearly.estimate < nearly.high <= 1.0
    assert everything.low > 0.98
    nothing = paired_excess_risk(0, 0, 0, 500)
    assert (nothing.estimate, nothing.trials) == (0.0, 500)
    assert 0.0 < nothing.high < 0.02
    assert paired_excess_risk(0, 0, 40, 500).estimate < 0  # never clipped
    assert paired_excess_risk(500, 0, 0, 500).estimate == 0.0


def test_lower_ends_of_a_search_hold_jointly():
    """31 secrets without a leak: at its own level one or two lower ends of each release would pass zero."""
    rng = np.random.default_rng(0)
    hits = rng.binomial(2_000, 0.3, (60, 2, 31))
    alone = np.mean(
        [[excess_risk(a, 2_000, b, 2_000).low > 0 for a, b in zip(*run)] for run in hits.tolist()]
    )
    jointly = [
        any(jointly_low(partial(excess_risk, a, 2_000, b, 2_000), 31).low > 0 for a, b in zip(*run))
        for run in hits.tolist()
    ]
    assert alone == pytest.approx(0.05, abs=0.02)
    assert np.mean(jointly) <= 0.12
    one = excess_risk(700, 2_000, 600, 2_000)
    joint = jointly_low(partial(excess_risk, 700, 2_000, 600, 2_000), 31)
    assert (joint.high, joint.estimate) == (one.high, one.estimate)
    assert joint.low < one.low


def test_difference_of_nothing_at_2000_is_inside_the_healthcare_limit():
    assert rate_difference(0, 2000, 0, 2000).high < 0.002
    assert rate_difference(1, 2000, 0, 2000).high > 0.002


@pytest.mark.parametrize(("p", "q"), [(0.02, 0.02), (0.3, 0.25), (0.001, 0.001)])
def test_difference_covers(p, q):
    rng = np.random.default_rng(1)
    a, b = rng.binomial(1500, p, 800), rng.binomial(1500, q, 800)
    figures = [rate_difference(int(x), 1500, int(y), 1500) for x, y in zip(a, b)]
    assert np.mean([f.low <= p - q for f in figures]) >= 0.935
    assert np.mean([f.high >= p - q for f in figures]) >= 0.935


@pytest.mark.parametrize("alpha", [0.01, 0.1])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_tpr_interval_covers_with_the_thresholds_own_noise(alpha, shift):
    rng = np.random.default_rng(2)
    truth = stats.norm.sf(stats.norm.isf(alpha) - shift)
    figures = [tpr_at_fpr(rng.normal(shift, 1, 600), rng.normal(0, 1, 600), alpha) for _ in range(400)]
    assert np.mean([f.low <= truth for f in figures]) >= 0.935
    assert np.mean([f.high >= truth for f in figures]) >= 0.935
    # and it is no wider than it must be: not everything is covered
    assert np.mean([f.high >= truth for f in figures]) < 0.999


def test_tpr_threshold_is_conservative_under_ties():
    members, controls = np.r_[np.ones(50), np.zeros(50)], np.r_[np.ones(2), np.zeros(98)]
    assert tpr_at_fpr(members, controls, 0.01).estimate == 0.0  # 2 % of the controls tie: over 1 %
    assert tpr_at_fpr(members, controls, 0.1).estimate == 0.5


def test_tpr_needs_controls():
    figure = tpr_at_fpr(np.ones(50), np.zeros(50), 0.01)
    assert isinstance(figure, NotMeasured)
    assert figure.needed == 100


def test_thresholds_count_members_between_the_ranks():
    controls = np.arange(100.0)
    members = np.array([99.5, 98.5, 97.5, 50.0])
    thresholds = Thresholds.of(members, controls, 0.02)
    assert thresholds.counted == 3  # only the controls 99 and 98 lie above 97.5
    assert 0 <= thresholds.low() <= 0.75 <= thresholds.high() <= 1


def test_auc_is_the_probability_of_the_right_order_and_covers():
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 5, 40).astype(float), rng.integers(0, 4, 60).astype(float)
    slow = np.mean([(x > y) + 0.5 * (x == y) for x in a for y in b])
    assert auc(a, b).estimate == pytest.approx(slow)
    truth = stats.norm.cdf(0.5 / np.sqrt(2))
    figures = [auc(rng.normal(0.5, 1, 150), rng.normal(0, 1, 150)) for _ in range(400)]
    assert 0.925 <= np.mean([f.low <= truth for f in figures]) <= 0.985
    assert 0.925 <= np.mean([f.high >= truth for f in figures]) <= 0.985
    assert auc(np.ones(30), np.zeros(30)).low == pytest.approx(0.05 ** (1 / 30))


def test_excess_p_value_is_uniform_enough_and_finds_excess():
    rng = np.random.default_rng(4)
    p = [excess_p_value(int(x), 2000, int(y), 2000) for x, y in rng.binomial(2000, 0.02, (2000, 2))]
    assert np.mean(np.array(p) <= 0.05) <= 0.06
    assert np.mean(np.array(p) <= 0.05) >= 0.02
    assert excess_p_value(20, 2000, 0, 2000) < 1e-5


def test_detectable_difference_is_detected_four_times_in_five():
    effect = detectable_difference(0.05, 2000, 2000)
    rng = np.random.default_rng(5)
    hits = rng.binomial(2000, 0.05 + effect, 500), rng.binomial(2000, 0.05, 500)
    power = np.mean([rate_difference(int(a), 2000, int(b), 2000).low > 0 for a, b in zip(*hits)])
    assert 0.72 <= power <= 0.88


def test_joint_null_is_calm_on_noise_and_sure_of_a_leak():
    rng = np.random.default_rng(6)
    member = np.arange(800) < 400
    p = [joint_null(rng.normal(size=(5, 800)), member, 0.05, rng, 199).p_value for _ in range(60)]
    assert np.mean(np.array(p) <= 0.1) <= 0.2
    scores = rng.normal(size=(5, 800))
    scores[3, :40] += 6
    found = joint_null(scores, member, 0.01, rng, 199)
    assert found.p_value <= 0.01
    assert 0.95 <= found.level <= 0.99


def test_roc_points_rise_and_end_at_one():
    rng = np.random.default_rng(7)
    fpr, tpr = roc_points(rng.normal(1, 1, 300), rng.normal(0, 1, 300))
    assert fpr == sorted(fpr)
    assert tpr == sorted(tpr)
    assert fpr[-1] == tpr[-1] == 1.0


def test_a_measured_is_what_comes_back():
    assert isinstance(tpr_at_fpr(np.ones(200), np.zeros(200), 0.1), Measured)


@pytest.mark.parametrize(("controls", "shows"), [(150, False), (298, False), (299, True), (1_000, True)])
def test_what_is_called_detectable_can_be_detected(controls, shows):
    """All members above all controls: below 299 controls even that proves no rate at 1 %, and `detectable` says so."""
    found = tpr_at_fpr(np.full(500, 9.0), np.arange(controls) / controls, 0.01)
    assert found.estimate == 1.0
    assert (found.low > 0.01) is shows
    assert (found.detectable < 1.0) is shows
