"""Sweep, rebalancing, collapse, provenance, questions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from release.canonical import from_json, to_json
from release.data.schema import Provenance
from release.errors import GateError, InputError
from release.quality.collapse import run_collapse
from release.quality.models import Family
from release.quality.provenance import may_source, released, require_source
from release.quality.questions import QUESTIONS, for_card, require_answers, required_of
from release.quality.references import independent_columns
from release.quality.sweep import (
    Mix,
    Mixing,
    Recommendation,
    Sweep,
    SweepPlan,
    for_partner,
    require_unchanged,
)
from release.quality.sweep_run import _cap, run_sweep
from release.records import Kind, Measured, NotMeasured, Purpose, Task
from tests.release.quality.build import figures, people


def mix_of(**plan):
    settings = {"task": Task(target="ill"), "seeds": 3, "family": Family.LINEAR, **plan}
    return Mix(training="a" * 64, holdout="b" * 64, candidate="c" * 64, model="m", plan=SweepPlan(**settings))


def sweep_of(sampler, n=1500, **plan):
    rng = np.random.default_rng(1)
    training, holdout = people(n, rng), people(3000, rng)
    return run_sweep(mix_of(**plan), training, sampler, holdout, np.random.default_rng(2))


def good(rows, rng):
    return people(rows, rng)


def broken(rows, rng):
    return people(rows, rng, link=-1.0)


def test_real_only_wins_over_a_release_that_says_the_opposite():
    sweep = sweep_of(broken, ratios=(0.0, 0.5, 1.0))
    assert sweep.real_only_wins
    assert sweep.cap == 0.0
    assert sweep.peak.estimate == 0.0
    assert sweep.finding.startswith("Real only is better")
    losses = {point.ratio: point.gain for point in sweep.points if point.subject == ""}
    assert losses[1.0].high < losses[0.5].low < 0
    assert losses[0.0].estimate == losses[0.0].low == losses[0.0].high == 0.0


def test_a_perfect_release_may_replace_everything():
    sweep = sweep_of(good)
    assert sweep.cap == 1.0
    assert not sweep.real_only_wins
    assert sweep.peak.low <= sweep.peak.estimate <= sweep.peak.high
    assert {point.subject for point in sweep.points} == {"", "slice:old", "slice:men"}


def test_additions_help_a_scarce_anchor():
    sweep = sweep_of(good, ratios=(0.0, 1.0), additions=(8.0,), anchor=60, seeds=5)
    added = [p for p in sweep.points if p.mixing is Mixing.ADD and p.subject == "" and p.ratio == 8.0]
    assert added[0].gain.low > 0
    assert "800% as many synthetic rows help" in sweep.report().exhibits[1].takeaway


def test_a_sweep_is_reproducible_stored_and_bound_to_its_mix():
    one, two = sweep_of(good, ratios=(0.0, 1.0)), sweep_of(good, ratios=(0.0, 1.0))
    assert one == two
    assert from_json(Sweep, to_json(one)) == one
    require_unchanged(one, one.mix)
    changes = {
        "candidate": {"candidate": "d" * 64},
        "training rows": {"training": "d" * 64},
        "holdout": {"holdout": "d" * 64},
        "model": {"model": "n"},
        "plan": {"plan": dataclasses.replace(one.mix.plan, seeds=4)},
    }
    for word, change in changes.items():
        with pytest.raises(GateError, match=word):
            require_unchanged(one, dataclasses.replace(one.mix, **change))
    report = one.report()
    found = figures(report)
    assert len(found) == len(report.evidence)
    assert found["recommended_cap", ""].estimate == one.cap
    assert report.exhibits[0].data["x"] == [0.0, 1.0]


def test_weights_make_a_headline_of_the_slices():
    sweep = sweep_of(good, ratios=(0.0, 1.0), weights={"men": 3.0, "": 1.0})
    by = {point.subject: point.score.estimate for point in sweep.points if point.ratio == 1.0}
    assert by["weighted"] == pytest.approx(0.75 * by["slice:men"] + 0.25 * by[""])


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"ratios": (0.5, 1.0)}, "0 \\(real only\\)"),
        ({"ratios": (0.0, 1.5)}, "shares from 0 to 1"),
        ({"ratios": (0.0, 0.5, 0.5)}, "stands twice"),
        ({"seeds": 1}, "no interval"),
        ({"weights": {"nobody": 1.0}}, "no slice"),
        ({"weights": {"men": float("nan")}}, "not shares"),
        ({"additions": (0.0,)}, "multiples"),
    ],
)
def test_senseless_sweeps_are_refused(plan, message):
    with pytest.raises(InputError, match=message):
        sweep_of(good, **plan)


def test_a_sweep_without_a_usable_target_says_why():
    rng = np.random.default_rng(0)
    small = people(100, rng)
    found = run_sweep(mix_of(), small.take(np.flatnonzero(small["ill"].values == 0)), good, small, rng)
    assert isinstance(found, NotMeasured)


def test_collapse_sees_a_generator_that_loses_ever_more_and_leaves_a_faithful_one_alone():
    rng = np.random.default_rng(4)
    training = people(2000, rng)

    def shrink(table, rng):
        # Loses dependence at once, and a part of the tails in each generation.
        made = independent_columns(table, len(table), rng)
        income = made["income"]
        keep = ~income.present | (income.values < np.quantile(income.values[income.present], 0.97))
        rows = np.flatnonzero(keep)
        return made.take(rng.choice(rows, size=len(table)))

    bad = figures(run_collapse(training, shrink(training, rng), shrink, 5, np.random.default_rng(0)))
    fair = figures(
        run_collapse(
            training,
            people(2000, rng),
            lambda table, rng: people(len(table), rng),
            5,
            np.random.default_rng(0),
        )
    )
    assert bad["tvd_2way_growth", ""].low > 0
    assert fair["tvd_2way_growth", ""].low < 0 < fair["tvd_2way_growth", ""].high
    assert bad["tvd_2way_mean", "generation 5"].low > bad["tvd_2way_mean", "generation 1"].high
    assert bad["distinct_share", "generation 5"].high < fair["distinct_share", "generation 5"].low
    assert fair["entropy_ratio", "generation 5"].low < 1.005
    with pytest.raises(InputError, match="generations"):
        run_collapse(training, training, shrink, 0, rng)
    short = figures(run_collapse(training, training, shrink, 2, np.random.default_rng(0)))
    assert isinstance(short["tvd_2way_growth", ""], NotMeasured)
    assert isinstance(short["tvd_2way_mean", "generation 2"], Measured)


COLLECTED = Provenance(kind=Kind.COLLECTED, source="a survey", licence="public")
MADE = Provenance(kind=Kind.GENERATED, source="a survey", licence="public", depth=1, real_anchor="survey")


def test_a_synthetic_source_needs_its_real_anchor():
    require_source(COLLECTED, {})
    assert may_source(MADE, {"survey": COLLECTED})
    cases = {
        "not a dataset": (MADE, {}),
        "is generated, not collected": (MADE, {"survey": MADE}),
        "3 synthetic generations": (MADE.model_copy(update={"depth": 3}), {"survey": COLLECTED}),
        "no real anchor": (MADE.model_copy(update={"real_anchor": None}), {"survey": COLLECTED}),
    }
    for message, (source, known) in cases.items():
        with pytest.raises(GateError, match=message):
            require_source(source, known)


def test_depth_is_tracked():
    once = released(COLLECTED, "survey")
    assert (once.kind, once.depth, once.real_anchor) == (Kind.GENERATED, 1, "survey")
    assert released(once, "synthetic survey").depth == 2
    assert released(once, "synthetic survey").real_anchor == "survey"


ANSWERS = {
    "kind": "generated",
    "why-not-real": "consent covers no transfer",
    "volume-or-coverage": "volume",
    "intended-use": "predict illness, clinic B",
    "permitted-uses": "model development",
    "source-licence": "data use agreement 7",
}


def test_questions_that_must_be_answered():
    require_answers(ANSWERS, Purpose.TRAINING, COLLECTED)
    assert len({question.key for question in QUESTIONS}) == len(QUESTIONS)
    assert "label-model" in {question.key for question in required_of(Purpose.ANALYSIS, MADE)}
    assert "volume-or-coverage" not in {question.key for question in required_of(Purpose.ANALYSIS, COLLECTED)}
    faults = {
        "intended-use": {**ANSWERS, "intended-use": " "},
        "is no question": {**ANSWERS, "shoe-size": "44"},
        "not one of": {**ANSWERS, "volume-or-coverage": "fame"},
        "characters": {**ANSWERS, "permitted-uses": "x" * 5000},
    }
    for message, answers in faults.items():
        with pytest.raises(InputError, match=message):
            require_answers(answers, Purpose.TRAINING, COLLECTED)
    card = for_card({**ANSWERS, "cold-start": " "})
    assert [answer for _, answer in card] == list(ANSWERS.values())


def test_the_cap_lies_between_what_is_shown_harmless_and_what_is_not_shown_harmful():
    def gain(low, high):
        return Measured(estimate=(low + high) / 2, low=low, high=high, trials=5)

    gains = {0.0: gain(0, 0), 0.25: gain(-0.01, 0.01), 0.5: gain(-0.05, 0.0), 0.75: gain(-0.09, -0.03)}
    assert _cap(gains, lambda one: one.low >= -0.02) == 0.25
    assert _cap(gains, lambda one: one.high >= -0.02) == 0.5
    sweep = sweep_of(good, ratios=(0.0, 0.5, 1.0))
    assert sweep.cap <= sweep.cap_at_most
    found = figures(sweep.report())["recommended_cap", ""]
    assert (found.low, found.high) == (sweep.cap, sweep.cap_at_most)


def test_the_partner_learns_one_of_five_shares_and_the_target():
    sweep = dataclasses.replace(sweep_of(good, ratios=(0.0, 1.0)), cap=0.6)
    assert for_partner(to_json(sweep)) == Recommendation(share=0.5, target="ill")
    for odd in (
        {},
        {"cap": 0.5},
        {"cap": 0.5, "mix": None},
        {"cap": 0.5, "mix": {"plan": {"task": {"target": 3}}}},
    ):
        assert for_partner(odd) is None
