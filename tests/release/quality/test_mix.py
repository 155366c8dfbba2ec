"""A mix of slices that a request asks for: filled as asked, compared fairly, and its effect shown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from release.data.mix import condition, require_weights, shares_in_words
from release.data.schema import Range, Role, Slice, Unit
from release.errors import InputError, PlanError
from release.quality import FAILED, measure_quality
from release.quality.ground import at_mix, slice_mask
from release.quality.rebalance import REBALANCE, measure_rebalance, rebalanced
from release.quality.references import INDEPENDENT
from release.records import NotMeasured, Within
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

SCHEMA = people_schema()
OLD, MEN = SCHEMA.slices


def sample(rows, rng, where):
    """As a model: rows of the people's own distribution, by rejection."""
    made = people(max(rows, 1) * 30 if where else rows, rng)
    if not where:
        return made
    (name, what), *_ = where.items()
    values = made[name].values
    hit = (values >= what.low) & (values <= what.high) if isinstance(what, Within) else values == 1
    return made.take(np.flatnonzero(hit)[:rows])


BAD_WEIGHTS = {
    "nobody": ({"nobody": 0.4}, "no slice"),
    "a long name": ({"x" * 5000: 0.4}, "no slice"),
    "more than all": ({"old": 0.7, "men": 0.7}, "add up to 1.4"),
    "more than all of one": ({"old": 1.2}, "not above 0 and at most 1"),
    "nothing": ({"old": 0.0}, "not above 0"),
    "less than nothing": ({"old": -0.1}, "not above 0"),
    "not a number": ({"old": float("nan")}, "not above 0"),
    "endless": ({"old": float("inf")}, "not above 0"),
    "no row": ({"old": 1e-9}, "no row of the slice"),
}


@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_weights_that_are_no_mix_are_refused(case):
    weights, words = BAD_WEIGHTS[case]
    with pytest.raises(InputError, match=words):
        require_weights(SCHEMA, weights, 1000)
    with pytest.raises(InputError, match=words):
        rebalanced(SCHEMA, 1000, weights, sample, np.random.default_rng(0))


def test_a_slice_of_a_column_that_is_not_released_cannot_be_weighted():
    unit = Unit(name="person", column="id", max_rows=1)
    schema = schema_of(coded_spec("a", ["x"]), unit=unit, slices=[Slice(name="one", where={"id": ("7",)})])
    with pytest.raises(InputError, match="id, which is not released"):
        require_weights(schema, {"one": 0.5}, 100)


def test_weights_in_words():
    assert shares_in_words({"old": 0.3, "men": 0.2}) == "old 30 %, men 20 %, the rest 50 %"
    assert shares_in_words({"old": 0.25, "men": 0.75}) == "old 25 %, men 75 %"
    assert shares_in_words({}) == ""


def test_each_slice_has_exactly_its_share_more_or_less_than_the_model_gives():
    assert condition(OLD) == {"age": Within(low=75, high=90)}
    for weight in (0.4, 0.02, 1.0):
        table = rebalanced(SCHEMA, 1000, {"old": weight}, sample, np.random.default_rng(3))
        assert len(table) == 1000
        assert slice_mask(table, OLD.where).sum() == round(1000 * weight)
    # Overlapping slices: each at least its share.
    table = rebalanced(SCHEMA, 1000, {"old": 0.4, "men": 0.3}, sample, np.random.default_rng(3))
    assert slice_mask(table, OLD.where).mean() >= 0.4
    assert slice_mask(table, MEN.where).mean() >= 0.3
    outside = ~(slice_mask(table, OLD.where) | slice_mask(table, MEN.where))
    assert outside.mean() == pytest.approx(0.3)


def test_thirds_fill_the_table_and_the_same_randomness_gives_the_same_rows():
    thirds = {"old": 1 / 3, "men": 2 / 3}
    tables = [rebalanced(SCHEMA, 1000, thirds, sample, np.random.default_rng(3)) for _ in range(2)]
    assert len(tables[0]) == 1000
    for name in tables[0].columns:
        assert np.array_equal(tables[0][name].values, tables[1][name].values)
    assert len(np.unique(tables[0].units)) == 1000


def test_a_model_that_has_nobody_outside_the_slices_says_so():
    def only_men(rows, rng, where):
        made = sample(4 * rows + 50, rng, where)
        return made.take(np.flatnonzero(made["sex"].values == 1)[:rows])

    with pytest.raises(PlanError, match="lie outside the slices"):
        rebalanced(SCHEMA, 20, {"men": 0.5}, only_men, np.random.default_rng(0))


def test_the_real_table_at_a_mix_has_its_shares_and_keeps_its_units():
    real = people(5000, np.random.default_rng(1))
    mixed = at_mix(real, {"old": 0.4})
    assert abs(len(mixed) - 5000) <= 1
    assert slice_mask(mixed, OLD.where).mean() == pytest.approx(0.4, abs=0.002)
    # Within the slice and outside of it nobody is favoured.
    counts = np.bincount(mixed.units, minlength=5000)
    old = slice_mask(real, OLD.where)
    assert np.ptp(counts[old]) <= 1
    assert np.ptp(counts[~old]) <= 1
    once = at_mix(real, {"old": 0.4}, repeat=False)
    assert once.n_units == len(once) < 5000
    assert slice_mask(once, OLD.where).mean() == pytest.approx(0.4, abs=0.01)
    assert at_mix(real, {}) is real


def test_a_row_of_two_slices_counts_for_both():
    schema = schema_of(
        coded_spec("a", ["x", "y"]),
        coded_spec("b", ["x", "y"]),
        slices=[Slice(name="ax", where={"a": ("x",)}), Slice(name="bx", where={"b": ("x",)})],
    )
    real = table_of(schema, a=np.repeat([0, 0, 1, 1], 100), b=np.tile(np.repeat([0, 1], 100), 2))
    mixed = at_mix(real, {"ax": 0.4, "bx": 0.4})
    # Densities: both .8 + .8, one of them .8, none .2 / .25 = .8; of four equal groups: .4, .2, .2, .2.
    share = np.mean((mixed["a"].values == 0) & (mixed["b"].values == 0))
    assert share == pytest.approx(0.4, abs=0.01)


@pytest.fixture(scope="module")
def weighted():
    """An arena whose release is a perfect sample at a mix of 40 % old people."""
    rng = np.random.default_rng(5)
    weights = {"old": 0.4}
    release = rebalanced(SCHEMA, 3000, weights, sample, rng)
    arena = arena_of(people(4000, rng), release, people(3000, rng))
    return dataclasses.replace(arena, weights=weights, unweighted=people(3000, rng))


def test_fidelity_is_measured_at_the_mix_that_was_asked_for(weighted):
    names = ["marginals", "missingness", "cleanliness", "coverage", "two_sample", "bias", "references"]
    fair = {
        item.key: item.outcome
        for r in measure_quality(weighted, np.random.default_rng(0), names=names)
        for item in r.evidence
    }
    blind = dataclasses.replace(weighted, weights={}, unweighted=None)
    naive = {
        item.key: item.outcome
        for r in measure_quality(blind, np.random.default_rng(0), names=names)
        for item in r.evidence
    }
    distance, floor = fair["marginals", "tvd_2way_mean", ""], fair["marginals", "noise_floor_2way", ""]
    assert distance.estimate < 1.3 * floor.estimate
    assert naive["marginals", "tvd_2way_mean", ""].low > distance.high
    assert fair["two_sample", "two_sample_auc", ""].low < 0.5
    assert naive["two_sample", "two_sample_auc", ""].low > 0.55
    assert ("cleanliness", "dirt_ratio", "repeated rows") not in fair
    # Columns shuffled on their own have the real distributions: at the mix, the mix's.
    columns, level = (
        fair["references", "tvd_1way_mean", INDEPENDENT],
        fair["marginals", "noise_floor_1way", ""],
    )
    assert columns.estimate < 1.5 * level.estimate


def test_the_effect_is_measured_against_the_real_table_as_it_is(weighted):
    found = figures(REBALANCE.measure(weighted, np.random.default_rng(0)))
    assert found["weighted_slices", ""].estimate == 1.0
    assert found["share_asked", "slice:old"].estimate == 0.4
    assert found["share_after", "slice:old"].estimate == 0.4
    assert found["share_before", "slice:old"].estimate < 0.15
    assert found["share_real", "slice:old"].low < 0.1 < found["share_real", "slice:old"].high + 0.05
    assert found["tvd_2way_change", ""].low > 0.02
    assert found["tvd_2way_change", "slice:old"].estimate < 0.0
    for subject in ("", "slice:old", "slice:men"):
        before, then, change = (found[f"score_{what}", subject] for what in ("before", "after", "change"))
        assert change.estimate == pytest.approx(then.estimate - before.estimate)
        assert change.low <= change.estimate <= change.high


def test_no_mix_is_one_figure_and_a_mix_without_its_counterpart_a_reason(weighted):
    none = REBALANCE.measure(dataclasses.replace(weighted, weights={}), np.random.default_rng(0))
    assert [(item.metric, item.outcome.estimate) for item in none.evidence] == [("weighted_slices", 0.0)]
    lost = figures(
        REBALANCE.measure(dataclasses.replace(weighted, unweighted=None), np.random.default_rng(0))
    )
    assert isinstance(lost["score_change", ""], NotMeasured)


def test_a_study_compares_any_two_mixes(weighted):
    again = figures(
        measure_rebalance(weighted, weighted.unweighted, weighted.unweighted, {}, np.random.default_rng(0))
    )
    assert again["tvd_2way_change", ""].estimate == 0.0
    assert again["score_change", ""].estimate == 0.0
    assert ("share_asked", "slice:old") not in again


def test_tables_without_a_task_or_a_pair_give_reasons():
    schema = schema_of(
        number_spec("a", 0, 1, roles=[Role.QUASI_IDENTIFIER]),
        slices=[Slice(name="low", where={"a": Range(min=0, max=0.5)})],
    )
    table = table_of(schema, a=np.random.default_rng(0).random(300))
    arena = dataclasses.replace(arena_of(table, table, table, None), weights={"low": 0.5}, unweighted=table)
    found = figures(REBALANCE.measure(arena, np.random.default_rng(0)))
    assert "no prediction task" in found["score_change", ""].reason
    assert "one column" in found["tvd_2way_change", ""].reason


@pytest.mark.parametrize("case", ["30 rows", "nobody old in the real table", "nobody old in the release"])
def test_odd_tables_at_a_mix_give_reasons_never_a_crash(case):
    rng = np.random.default_rng(7)
    real, release, holdout = (people(400, rng) for _ in range(3))
    if case == "30 rows":
        release = release.take(np.arange(30))
    young = [table.take(np.flatnonzero(~slice_mask(table, OLD.where))) for table in (real, release)]
    if case == "nobody old in the real table":
        real = young[0]
    if case == "nobody old in the release":
        release = young[1]
    arena = dataclasses.replace(
        arena_of(real, release, holdout), weights={"old": 0.5}, unweighted=people(300, rng)
    )
    for report in measure_quality(arena, np.random.default_rng(0)):
        for item in report.evidence:
            if isinstance(item.outcome, NotMeasured):
                assert item.outcome.reason
                assert item.metric != FAILED
