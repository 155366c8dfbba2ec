"""Distances, associations and two-sample figures against other people's implementations and by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from release.quality.associations import (
    ASSOCIATIONS,
    correlation,
    correlation_ratio,
    cramers_v,
)
from release.quality.cleanliness import CLEANLINESS, repeated
from release.quality.coverage import COVERAGE, geometry, precision_curve, recall_curve, summed
from release.quality.rules import RULES
from release.quality.shapes import SHAPES, compare
from release.quality.two_sample import TWO_SAMPLE, pmse_ratio
from tests.release.quality.build import (
    arena_of,
    coded_spec,
    figures,
    number_spec,
    people,
    schema_of,
    table_of,
)


def measure(probe, synthetic, *, n=3000):
    rng = np.random.default_rng(11)
    return figures(
        probe.measure(arena_of(people(n, rng), synthetic, people(2000, rng)), np.random.default_rng(0))
    )


@pytest.mark.parametrize("decimals", [0, 6])
def test_distances_agree_with_scipy(decimals):
    rng = np.random.default_rng(1)
    one, two = rng.normal(0, 2, 700).round(decimals), rng.normal(0.3, 3, 500).round(decimals)
    shape = compare(one, np.arange(700), two, np.arange(500))
    assert shape.ks == pytest.approx(stats.ks_2samp(one, two).statistic)
    assert shape.wasserstein == pytest.approx(stats.wasserstein_distance(one, two) / one.std())


def test_errors_and_floors_agree_with_repetition():
    found = {
        "ks": [],
        "w": [],
        "ks_error": [],
        "w_error": [],
        "ks_null": [],
        "w_null": [],
        "ks_floor": [],
        "w_floor": [],
    }
    for seed in range(200):
        rng = np.random.default_rng(seed)
        one, two, same = rng.normal(0, 1, 400), rng.normal(1, 1, 300), rng.normal(0, 1, 300)
        far = compare(one, np.arange(400), two, np.arange(300))
        near = compare(one, np.arange(400), same, np.arange(300))
        for key, value in zip(
            found,
            (
                far.ks,
                far.wasserstein * one.std(),
                far.ks_error,
                far.wasserstein_error * one.std(),
                near.ks,
                near.wasserstein,
                near.ks_floor,
                near.wasserstein_floor,
            ),
            strict=True,
        ):
            found[key].append(value)
    assert np.mean(found["ks_error"]) == pytest.approx(np.std(found["ks"]), rel=0.2)
    assert np.mean(found["w_error"]) == pytest.approx(np.std(found["w"]), rel=0.2)
    assert np.mean(found["ks_null"]) == pytest.approx(np.mean(found["ks_floor"]), rel=0.15)
    assert np.mean(found["w_null"]) == pytest.approx(np.mean(found["w_floor"]), rel=0.15)


def test_shapes_see_a_squeezed_column():
    synthetic = people(3000, np.random.default_rng(1))
    columns = dict(synthetic.columns)
    age = columns["age"]
    columns["age"] = type(age)(np.clip(age.values, 40, 60), age.missing)
    found = measure(SHAPES, type(synthetic)(synthetic.schema, columns, synthetic.units))
    same = measure(SHAPES, synthetic)
    assert found["ks", "age"].low > 0.2
    assert found["ks_worst", ""].estimate == found["ks", "age"].estimate
    assert same["ks_worst", ""].estimate < 0.05


def test_association_measures_agree_with_others():
    rng = np.random.default_rng(2)
    a = rng.integers(0, 4, 500)
    b = np.where(rng.random(500) < 0.4, a, rng.integers(0, 3, 500))
    table = pd.crosstab(a, b).to_numpy(float)
    # Bergsma's correction by hand from scipy's χ².
    r, k = table.shape
    phi2 = max(0.0, stats.chi2_contingency(table, correction=False).statistic / 500 - (r - 1) * (k - 1) / 499)
    expected = math.sqrt(phi2 / (min(r - (r - 1) ** 2 / 499, k - (k - 1) ** 2 / 499) - 1))
    assert cramers_v(table) == pytest.approx(expected)
    assert cramers_v(np.outer([10.0, 20.0], [5.0, 5.0])) == 0.0
    assert cramers_v(np.diag([50.0, 50.0])) == pytest.approx(1.0)
    x = rng.normal(size=500) + a
    f = stats.f_oneway(*(x[a == level] for level in range(4))).statistic
    eta = math.sqrt(1 / (1 + (500 - 4) / (f * 3)))
    assert correlation_ratio(x, a.astype(np.int32), 4, np.ones(500)) == pytest.approx(eta)
    assert correlation_ratio(np.ones(500), a.astype(np.int32), 4, np.ones(500)) == 0.0
    y = x + rng.normal(size=500)
    assert correlation(x, y, np.ones(500)) == pytest.approx(stats.pearsonr(x, y).statistic)
    ranks = [stats.rankdata(v) for v in (x, y)]
    assert correlation(*ranks, np.ones(500)) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert correlation(np.ones(500), y, np.ones(500)) == 0.0


def test_associations_see_a_lost_relation():
    rng = np.random.default_rng(3)
    schema = schema_of(number_spec("a", -9, 9), number_spec("b", -9, 9), coded_spec("c", ["x", "y"]))

    def draw(follow):
        a = rng.normal(size=3000).clip(-9, 9)
        b = (follow * a + rng.normal(size=3000)).clip(-9, 9)
        return table_of(schema, a=a, b=b, c=(b > 0).astype(int))

    real = draw(1.0)
    lost, same = (
        figures(ASSOCIATIONS.measure(arena_of(real, draw(follow), real, None), np.random.default_rng(0)))
        for follow in (0.0, 1.0)
    )
    assert lost["pearson_difference_mean", ""].estimate == pytest.approx(math.sqrt(0.5), abs=0.05)
    assert lost["association_difference_worst", ""].low > 0.5
    assert same["association_difference_worst", ""].estimate < 0.06


def test_two_sample_sees_a_difference_and_leaves_a_fair_sample_alone():
    same = measure(TWO_SAMPLE, people(3000, np.random.default_rng(1)))
    assert same["two_sample_auc", ""].low < 0.5 < same["two_sample_auc", ""].high
    assert same["pmse_ratio", ""].low < 2.0 < same["pmse_ratio", ""].high
    wrong = measure(TWO_SAMPLE, people(3000, np.random.default_rng(1), gone=0.3))
    assert wrong["two_sample_auc", ""].low > 0.55
    assert wrong["pmse_ratio", ""].low > 5


def test_pmse_has_its_published_expectation():
    # Two fresh samples: the mean is 2 (c = ½), the published null (synthesis from the fitted model) is 1.
    ratios = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        matrix = rng.normal(size=(1200, 5))
        ratio, slopes = pmse_ratio(matrix, np.repeat([0, 1], 600))
        assert slopes == 5
        ratios.append(ratio)
    # One ratio has a standard deviation of 2 √(2/5); the mean of 40 of 0.2.
    assert np.mean(ratios) == pytest.approx(2.0, abs=0.6)


def test_coverage_by_hand():
    # Real points on a line at 0 … 99, synthetic the same points: all inside, each covered, none authentic.
    real = np.column_stack([np.arange(100.0), np.zeros(100)])
    found = geometry(real, real.copy())
    ones = np.ones(100)
    assert summed(precision_curve(found, ones, ones)) == pytest.approx(1.0, abs=0.02)
    assert recall_curve(found, ones)[-1] == 1.0
    assert not found.authentic.any()
    far = geometry(real, real + np.array([0.0, 500.0]))
    assert precision_curve(far, ones, ones).max() == 0.0
    assert summed(precision_curve(far, ones, ones)) == pytest.approx(0.0, abs=1e-9)
    assert recall_curve(far, ones).max() == 0.0
    assert far.authentic.all()
    # Mode collapse: every synthetic row at the centre is inside every support, and covers almost nobody.
    centre = geometry(real, np.tile([49.5, 0.0], (100, 1)))
    assert precision_curve(centre, ones, ones)[1:].min() == 1.0
    assert recall_curve(centre, ones)[-1] == pytest.approx(0.02)


def test_coverage_names_its_reference():
    rng = np.random.default_rng(11)
    arena = arena_of(people(1000, rng), people(1000, rng), people(1000, rng))
    report = COVERAGE.measure(arena, np.random.default_rng(0))
    found = figures(report)
    assert found["alpha_precision", ""].low > 0.9
    assert all("held-out real rows score" in item.note for item in report.evidence)


def test_too_clean_is_seen():
    found = measure(CLEANLINESS, people(3000, np.random.default_rng(1), gone=0.01))
    assert found["dirt_ratio", "incomplete rows"].high < 0.3
    kinds = [key for key in found if key[1] and not key[1].startswith("slice:")]
    least = min(kinds, key=lambda key: found[key].estimate)
    assert found["dirt_ratio", ""] == found[least]
    same = measure(CLEANLINESS, people(3000, np.random.default_rng(2)))
    assert same["dirt_ratio", "incomplete rows"].low < 1 < same["dirt_ratio", "incomplete rows"].high


def test_repeated_rows_by_hand():
    schema = schema_of(number_spec("a", -5, 5), coded_spec("b", ["x", "y"]))
    a = np.array([0.0, -0.0, 1.0, 1.0, 0.0, 0.0])
    gone = np.array([0, 0, 0, 0, 1, 1], dtype=bool)
    table = table_of(schema, a=a, b=[0, 0, 0, 1, 0, 0], missing={"a": gone})
    assert repeated(table).tolist() == [False, True, False, False, False, True]
    rng = np.random.default_rng(0)
    many = people(5000, rng)
    frame = many.to_frame()
    assert np.array_equal(repeated(many), frame.duplicated().to_numpy())


def test_rules_count_what_is_broken():
    from release.data.schema import LessEqual

    schema = schema_of(
        number_spec("a", 0, 10),
        number_spec("b", 0, 10),
        constraints=[LessEqual(type="less-equal", left="a", right="b")],
    )
    good = table_of(schema, a=np.full(100, 1.0), b=np.full(100, 2.0))
    bad = table_of(
        schema, a=np.where(np.arange(100) < 7, 3.0, 1.0), b=np.where(np.arange(100) < 2, 11.0, 2.0)
    )
    found = figures(RULES.measure(arena_of(good, bad, good, None), np.random.default_rng(0)))
    assert found["violations", "a ≤ b"].estimate == 5
    assert found["violations", "range of b"].estimate == 2
    assert found["violations", ""].estimate == found["violations", ""].high == 7
    assert (
        figures(RULES.measure(arena_of(good, good, good, None), np.random.default_rng(0)))[
            "violations", ""
        ].high
        == 0
    )


def test_association_errors_agree_with_repetition_on_tables_that_are_thinned(monkeypatch):
    # 800 rows a side, errors from 200 of them: the spread must still be that of 800.
    monkeypatch.setattr("release.quality.associations.RESAMPLED_ROWS", 200)
    schema = schema_of(number_spec("a", -9, 9), number_spec("b", -9, 9))
    values, errors = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        tables = []
        for follow in (1.0, 0.2):
            a = rng.normal(size=800).clip(-9, 9)
            tables.append(table_of(schema, a=a, b=(follow * a + rng.normal(size=800)).clip(-9, 9)))
        found = figures(ASSOCIATIONS.measure(arena_of(*tables, tables[0], None), rng))
        figure = found["pearson_difference_mean", ""]
        values.append(figure.estimate)
        errors.append((figure.high - figure.estimate) / 1.6449)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.25)
