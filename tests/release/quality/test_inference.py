"""Regressions, fairness, references, SDMetrics: against independent implementations and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize

from release.data.schema import Role, Unit
from release.quality.coefficients import (
    COEFFICIENTS,
    Regression,
    coverage_over_draws,
    least_squares,
    logistic,
    overlaps,
    same_signs,
)
from release.quality.fairness import FAIRNESS, gap_of
from release.quality.intervals import resample
from release.quality.references import INDEPENDENT, REFERENCES, independent_columns, measure_references
from release.quality.sdmetrics_reports import SDMETRICS, frame
from release.records import Measured, NotMeasured, Task
from tests.release.quality.build import (
    arena_of,
    coded_spec,
    figures,
    number_spec,
    people,
    people_schema,
    schema_of,
    table_of,
)


def test_least_squares_with_robust_errors_by_hand():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(300, 2)), rng.normal(size=300)
    found = least_squares(x, y, np.arange(300))
    design = np.column_stack([x, np.ones(300)])
    beta, *_ = np.linalg.lstsq(design, y, rcond=None)
    inverse = np.linalg.inv(design.T @ design)
    meat = design.T @ np.diag((y - design @ beta) ** 2) @ design
    assert found.coefficients == pytest.approx(beta[:2])
    assert found.errors == pytest.approx(
        np.sqrt(np.diag(inverse @ meat @ inverse))[:2] * math.sqrt(300 / 299)
    )
    # Every row twice under the same unit must change nothing.
    twice = least_squares(np.repeat(x, 2, axis=0), np.repeat(y, 2), np.repeat(np.arange(300), 2))
    assert twice.errors == pytest.approx(found.errors)


def test_logistic_agrees_with_a_general_optimiser():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(500, 3))
    y = (rng.random(500) < 1 / (1 + np.exp(-(x @ [1.0, -0.5, 0.0] + 0.3)))).astype(float)
    design = np.column_stack([x, np.ones(500)])

    def loss(beta):
        z = design @ beta
        return np.sum(np.logaddexp(0, z) - y * z)

    expected = optimize.minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-8}).x
    found = logistic(x, y, np.arange(500))
    assert found.coefficients == pytest.approx(expected[:3], abs=1e-4)
    separable = logistic(x[:, :1], (x[:, 0] > 0).astype(float), np.arange(500))
    assert np.all(np.isfinite(separable.coefficients))


def test_overlap_by_hand():
    # Intervals ±1.96 round 0 and round 1.96: they share half of each.
    one = Regression(coefficients=np.array([0.0, 0.0]), errors=np.array([1.0, 1.0]))
    two = Regression(coefficients=np.array([1.959964, 100.0]), errors=np.array([1.0, 1.0]))
    assert overlaps(one, two) == pytest.approx([0.5, -1.0], abs=1e-6)
    strong = Regression(coefficients=np.array([5.0, -5.0, 0.1]), errors=np.ones(3))
    assert same_signs(strong, Regression(coefficients=np.array([1.0, 1.0, -9.0]), errors=np.ones(3))) == (
        1,
        2,
    )


def test_resampling_keeps_units_whole():
    schema = schema_of(number_spec("a", 0, 99), unit=Unit(name="person", column="id", max_rows=3))
    units = np.array([5, 5, 7, 5, 9, 9])
    table = table_of(schema, units=units, a=units)
    drawn = resample(table, np.random.default_rng(0))
    assert drawn.n_units == 3
    for unit in np.unique(drawn.units):
        values = drawn["a"].values[drawn.units == unit]
        assert len(set(values.tolist())) == 1
        assert len(values) == (units == values[0]).sum()


def test_coefficients_see_a_reversed_effect():
    rng = np.random.default_rng(3)
    real = people(4000, rng)
    same, reversed_ = (
        figures(
            COEFFICIENTS.measure(arena_of(real, people(4000, rng, link=link), real), np.random.default_rng(0))
        )
        for link in (1.0, -1.0)
    )
    assert same["sign_agreement", "ill"].estimate == 1.0
    assert same["interval_overlap_mean", "ill"].low > 0.5
    assert reversed_["sign_agreement", "ill"].high < 0.8
    assert reversed_["interval_overlap_mean", "ill"].high < same["interval_overlap_mean", "ill"].low


def test_naive_coverage_of_bootstrap_draws_is_honest_and_of_biased_ones_not():
    rng = np.random.default_rng(4)
    real = people(2000, rng)
    good = [resample(real, rng) for _ in range(25)]
    bad = [people(2000, rng, link=0.3) for _ in range(5)]
    honest, wrong = (
        figures(coverage_over_draws(Task(target="ill"), real, draws, rng))["naive_coverage", "ill"]
        for draws in (good, bad)
    )
    # 25 draws × 8 coefficients, correlated within a draw: a standard error near 0.03.
    assert honest.estimate == pytest.approx(0.95, abs=0.07)
    assert wrong.estimate < 0.8
    assert isinstance(
        figures(coverage_over_draws(Task(target="ill"), real, good[:1], rng))["naive_coverage", "ill"],
        NotMeasured,
    )


def test_gaps_by_hand():
    inside = np.array([1, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
    hit = np.array([1, 1, 0, 0, 1, 1, 0, 0], dtype=bool)
    chosen = np.array([1, 1, 1, 0, 1, 0, 0, 0], dtype=bool)
    predicted = np.full(8, 0.7)
    parity, odds, calibration = gap_of(inside, hit, predicted, chosen, np.ones((1, 8)))
    assert parity[0] == pytest.approx(0.75 - 0.25)
    assert odds[0] == pytest.approx(0.5)
    assert calibration[0] == pytest.approx(0.2)
    nobody = gap_of(inside, np.zeros(8, dtype=bool), predicted, chosen, np.ones((1, 8)))
    assert np.isnan(nobody[1][0])


def test_fairness_sees_a_model_that_learnt_a_wider_gap():
    rng = np.random.default_rng(5)
    schema = people_schema()
    real, controls = people(5000, rng, schema=schema, gap=0.5), people(4000, rng, schema=schema, gap=0.5)
    wide = figures(
        FAIRNESS.measure(
            arena_of(real, people(5000, rng, schema=schema, gap=4.0), controls), np.random.default_rng(0)
        )
    )
    assert wide["demographic_parity_amplification", "sex"].low > 0.1
    assert wide["demographic_parity_amplification", ""].low > 0.1
    assert wide["equalised_odds_amplification", "sex"].low > 0.05
    number = figures(FAIRNESS.measure(arena_of(real, real, controls, "income"), np.random.default_rng(0)))
    assert all(isinstance(figure, NotMeasured) for figure in number.values())


def test_independent_columns_keep_columns_and_lose_relations():
    rng = np.random.default_rng(6)
    schema = schema_of(
        coded_spec("a", ["x", "y"]),
        coded_spec("b", ["x", "y"]),
        coded_spec("y", ["n", "p"], roles=[Role.TARGET]),
    )
    a = rng.integers(0, 2, 2000)
    real = table_of(schema, a=a, b=a, y=a)
    made = independent_columns(real, 2000, rng)
    assert (made["a"].values == 1).sum() == (a == 1).sum()
    found = figures(REFERENCES.measure(arena_of(real, real, real, "y"), np.random.default_rng(0)))
    assert found["tvd_1way_mean", INDEPENDENT].estimate == 0.0
    # Perfectly equal columns against independent ones: half of the mass moves.
    assert found["tvd_2way_mean", INDEPENDENT].estimate == pytest.approx(0.5, abs=0.05)
    assert found["association_difference_mean", INDEPENDENT].estimate == pytest.approx(1.0, abs=0.05)


def test_other_makers_tables_are_references_and_never_the_release():
    rng = np.random.default_rng(7)
    arena = arena_of(people(1500, rng), people(1500, rng), people(1000, rng))
    report = measure_references(arena, {"sdv": people(1500, rng, link=-1.0)}, np.random.default_rng(0))
    assert {item.probe for item in report.evidence} == {"references"}
    found = figures(report)
    assert found["loss", "sdv"].low > 0.05
    assert len(found) == len(report.evidence)


def test_sdmetrics_scores_are_its_own():
    import warnings

    rng = np.random.default_rng(8)
    real, synthetic = people(800, rng), people(800, rng, gone=0.4)
    found = figures(SDMETRICS.measure(arena_of(real, synthetic, real), np.random.default_rng(0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sdmetrics.single_column import KSComplement, TVComplement

        shapes = [
            (KSComplement if spec.kind.numeric else TVComplement).compute(
                frame(real)[spec.name], frame(synthetic)[spec.name]
            )
            for spec in real.schema.released
        ]
    assert found["column_shapes", ""].estimate == pytest.approx(np.mean(shapes))
    assert isinstance(found["diagnostic_score", ""], Measured)
