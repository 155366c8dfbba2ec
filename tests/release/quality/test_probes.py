"""What each probe must see, and what it must leave alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from release.data.schema import Role
from release.quality.bias import BIAS
from release.quality.missingness import MISSINGNESS
from release.quality.models import Family, Target, encoding_for
from release.quality.tails import TAILS
from release.quality.tstr import TSTR, choose
from release.records import Measured, NotMeasured
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


def measure(probe, synthetic, *, n=6000, task="ill"):
    rng = np.random.default_rng(11)
    return figures(
        probe.measure(arena_of(people(n, rng), synthetic, people(4000, rng), task), np.random.default_rng(0))
    )


def test_missing_rates_by_hand():
    schema = schema_of(number_spec("a", 0, 1), number_spec("b", 0, 1))
    zero = np.zeros(100)
    first = np.arange(100) < 20
    real = table_of(schema, a=zero, b=zero, missing={"a": first, "b": first})
    synthetic = table_of(schema, a=zero, b=zero, missing={"a": first, "b": ~first & (np.arange(100) < 40)})
    found = figures(MISSINGNESS.measure(arena_of(real, synthetic, real, None), np.random.default_rng(0)))
    assert found["missing_rate_difference", ""].estimate == 0.0
    assert found["missing_rate_difference", ""].high == pytest.approx(
        1.6449 * math.sqrt(2 * 0.16 / 99), abs=1e-4
    )
    # Patterns: real {none .8, both .2}; synthetic {none .6, a .2, b .2}: ½ (.2 + .2 + .2 + .2).
    assert found["missing_pattern_tvd", ""].estimate == pytest.approx(0.4)


def test_missing_rates_see_what_was_filled_in():
    found = measure(MISSINGNESS, people(6000, np.random.default_rng(1), gone=0.0))
    assert found["missing_rate_difference", ""].low > 0.08
    assert found["missing_rate_difference", "income"].low > 0.08
    same = measure(MISSINGNESS, people(6000, np.random.default_rng(1)))
    assert same["missing_rate_difference", ""].high < 0.03


def test_outlier_ratio_by_hand():
    schema = schema_of(number_spec("a", -10_000, 10_000), coded_spec("b", ["x", "y", "z"]))
    # Quartiles near 1.25 and 3.75, fences near -2.5 and 7.5: of 100 outliers at 9, 50 stay.
    values = np.concatenate([np.linspace(0, 5, 4900), np.full(100, 9.0)])
    real = table_of(schema, a=values, b=[0] * 4980 + [1] * 20)
    synthetic = table_of(schema, a=np.concatenate([values[:4950], np.full(50, 1.0)]), b=[0] * 5000)
    found = figures(TAILS.measure(arena_of(real, synthetic, real, None), np.random.default_rng(0)))
    ratio = found["outlier_rate_ratio", "a"]
    assert ratio.estimate == pytest.approx(50.5 / 100.5)
    spread = math.exp(1.6449 * math.sqrt((1 - 0.01) / 50 + (1 - 0.02) / 100))
    assert ratio.high / ratio.estimate == pytest.approx(spread, rel=0.02)
    assert found["outlier_rate_difference", "a"].estimate == pytest.approx(-0.01)
    assert found["rare_category_coverage", ""].estimate == 0.0
    assert found["rare_category_coverage", ""].trials == 1


def test_tails_cut_off_are_seen():
    found = measure(TAILS, people(6000, np.random.default_rng(1), tail=0.6))
    assert found["outlier_rate_ratio", "income"].high < 0.9
    same = measure(TAILS, people(6000, np.random.default_rng(1)))
    assert same["outlier_rate_ratio", ""].low > 0.5
    assert same["outlier_rate_ratio", ""].high < 2.0


def test_a_tail_lost_altogether_is_a_small_ratio_with_an_interval():
    rng = np.random.default_rng(1)
    synthetic = people(3000, rng)
    middle = synthetic["income"].present & (np.abs(synthetic["income"].values - 20_000) < 10_000)
    found = measure(TAILS, synthetic.take(np.flatnonzero(middle)))
    assert found["extreme_rate_ratio", "income"].high < 0.5
    ratio = found["outlier_rate_ratio", "income"]
    assert ratio.estimate < 0.05
    assert 0 < ratio.low < ratio.high < 0.5


def test_gap_amplification_by_hand():
    schema = schema_of(coded_spec("g", ["a", "b"], roles=[Role.SENSITIVE]), coded_spec("y", ["no", "yes"]))
    group = np.repeat([0, 1], 500)
    # Real: 20 % and 40 %, a gap of .2; synthetic: 10 % and 50 %, a gap of .4.
    real = table_of(
        schema, g=group, y=np.concatenate([np.arange(500) < 100, np.arange(500) < 200]).astype(int)
    )
    more = table_of(
        schema, g=group, y=np.concatenate([np.arange(500) < 50, np.arange(500) < 250]).astype(int)
    )
    found = figures(BIAS.measure(arena_of(real, more, real, "y"), np.random.default_rng(0)))
    figure = found["outcome_gap_amplification", "g"]
    assert figure.estimate == pytest.approx(0.2)
    error = math.sqrt((0.16 + 0.24 + 0.09 + 0.25) / 499)
    assert figure.low == pytest.approx(0.2 - 1.6449 * error, abs=1e-3)
    less = figures(BIAS.measure(arena_of(more, real, real, "y"), np.random.default_rng(0)))
    assert less["outcome_gap_amplification", "g"].estimate == pytest.approx(-0.2)


def test_bias_sees_a_widened_gap_and_leaves_a_fair_sample_alone():
    wide = measure(BIAS, people(6000, np.random.default_rng(1), gap=3.0))
    assert wide["outcome_gap_amplification", "sex"].low > 0.1
    assert wide["outcome_gap_amplification", "slice:men"].low > 0.1
    same = measure(BIAS, people(6000, np.random.default_rng(1)))
    assert same["outcome_gap_amplification", ""].low < 0 < same["outcome_gap_amplification", ""].high


def test_tstr_sees_broken_dependence_and_leaves_a_fair_sample_alone():
    broken = measure(TSTR, people(6000, np.random.default_rng(1), link=0.0))
    assert broken["loss", "ill"].low > 0.1
    assert broken["loss", "slice:men"].low > 0.1
    same = measure(TSTR, people(6000, np.random.default_rng(1)))
    assert same["loss", "ill"].high < 0.02
    assert same["trtr_score", "ill"].estimate > 0.7
    assert same["tstr_score", "ill"].estimate == pytest.approx(
        same["trtr_score", "ill"].estimate - same["loss", "ill"].estimate
    )
    assert {f"loss_{family}" for family in ("gradient_boosting", "linear", "random_forest")} <= {
        metric for metric, _ in same
    }


def test_tstr_of_a_number():
    found = measure(TSTR, people(4000, np.random.default_rng(1), link=0.0), n=4000, task="income")
    assert found["trtr_score", "income"].low > 0.05
    assert found["loss", "income"].low > 0.02


def test_beside_several_targets_each_slice_has_one_loss_of_each():
    """A figure that stands twice makes a verdict invalid."""
    plain = people_schema()
    columns = tuple(
        c.model_copy(update={"roles": (*c.roles, Role.TARGET)}) if c.name == "income" else c
        for c in plain.columns
    )
    schema = plain.model_copy(update={"columns": columns})
    tables = [people(1500, np.random.default_rng(k), schema=schema) for k in range(3)]
    report = TSTR.measure(arena_of(*tables, task=None), np.random.default_rng(0))
    places = [(item.metric, item.subject) for item in report.evidence]
    assert len(places) == len(set(places))
    assert {("loss", "slice:men, ill"), ("loss", "slice:men, income")} <= set(places)


def test_tstr_without_a_task_says_so():
    rng = np.random.default_rng(1)
    schema = schema_of(number_spec("a", 0, 1), number_spec("b", 0, 1))
    table = table_of(schema, a=rng.random(200), b=rng.random(200))
    found = figures(TSTR.measure(arena_of(table, table, table, None), rng))
    assert isinstance(found["loss", ""], NotMeasured)
    assert all(not isinstance(figure, Measured) for figure in found.values())


def test_the_family_is_chosen_on_own_rows():
    rng = np.random.default_rng(2)
    schema = schema_of(number_spec("a", -9, 9), number_spec("b", -9, 9), coded_spec("y", ["n", "p"]))
    a, b = rng.normal(size=(2, 2000)).clip(-9, 9)
    straight = (a + b + rng.normal(size=2000) > 0).astype(int)
    crossed = (a * b > 0).astype(int)
    chosen = {}
    for name, y in (("straight", straight), ("crossed", crossed), ("constant", np.zeros(2000, dtype=int))):
        table = table_of(schema, a=a, b=b, y=y)
        target = Target(name="y", features=("a", "b"), classes=("n", "p"))
        chosen[name] = choose(target, table, encoding_for(target, [table]), tuple(Family), 0, rng)
    assert chosen["straight"] is Family.LINEAR
    assert chosen["crossed"] in {Family.GRADIENT_BOOSTING, Family.RANDOM_FOREST}
    assert chosen["constant"] is None
