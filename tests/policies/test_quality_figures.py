"""A policy can put a limit on any quality figure, for the whole and for each slice, and the pessimistic end decides."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pydantic import TypeAdapter

from policies.rules.at_least import AtLeast
from policies.rules.at_most import AtMost
from policies.rules.between import Between
from release.quality import FAILED, PROBES, measure_quality
from release.quality.rebalance import rebalanced
from release.records import EvidenceSet, Measured, NotMeasured, Purpose, Ruling
from tests.release.quality.build import arena_of, people

RULES = TypeAdapter(AtMost | AtLeast | Between)


@pytest.fixture(scope="module")
def evidence():
    """Everything that a full measurement of a release at a mix writes."""
    rng = np.random.default_rng(1)

    def sample(rows, rng, where):
        made = people(rows * 8 if where else rows, rng)
        return made.take(np.flatnonzero(made["sex"].values == 1)[:rows]) if where else made

    arena = arena_of(people(1200, rng), people(1200, rng), people(900, rng))
    mixed = rebalanced(arena.synthetic.schema, 1200, {"men": 0.7}, sample, rng)
    arena = dataclasses.replace(arena, weights={"men": 0.7}, unweighted=arena.synthetic, synthetic=mixed)
    reports = measure_quality(arena, np.random.default_rng(0))
    items = tuple(item for report in reports for item in report.evidence)
    return EvidenceSet(
        candidate="0" * 64, suite="standard", probes=tuple(PROBES), evidence=items, controls=()
    )


def judged(evidence, kind, item, **limits):
    rule = RULES.validate_python(
        {
            "id": "r",
            "kind": kind,
            "layer": "utility",
            "title": "t",
            "needs_controls": False,
            "figure": {"probe": item.probe, "metric": item.metric, "subjects": (item.subject,)},
            **limits,
        },
        strict=False,
    )
    (finding,) = rule.judge(evidence, None, Purpose.ANALYSIS)
    return finding.ruling


@pytest.mark.parametrize("probe", PROBES)
def test_every_figure_can_be_limited_and_its_pessimistic_end_decides(evidence, probe):
    items = [item for item in evidence.evidence if item.probe == probe]
    assert items
    for item in items:
        figure = item.outcome
        if isinstance(figure, NotMeasured):
            assert judged(evidence, "at-most", item, limit=1e9) is Ruling.UNPROVEN
            continue
        assert isinstance(figure, Measured)
        low, high = figure.low, figure.high
        step = 1e-6 + 1e-6 * max(abs(low), abs(high))
        assert judged(evidence, "at-most", item, limit=high + step) is Ruling.MET
        assert judged(evidence, "at-most", item, limit=low - step) is Ruling.BROKEN
        assert judged(evidence, "at-least", item, limit=low - step) is Ruling.MET
        assert judged(evidence, "at-least", item, limit=high + step) is Ruling.BROKEN
        assert judged(evidence, "between", item, lower=low - step, upper=high + step) is Ruling.MET
        if high - low > 4 * step:
            middle = (low + high) / 2
            assert judged(evidence, "at-most", item, limit=middle) is Ruling.UNPROVEN
            assert judged(evidence, "at-least", item, limit=middle) is Ruling.UNPROVEN


PER_SLICE = {
    "marginals": "tvd_2way_mean",
    "shapes": "ks_worst",
    "associations": "association_difference_mean",
    "missingness": "missing_rate_difference",
    "tails": "outlier_rate_ratio",
    "cleanliness": "dirt_ratio",
    "bias": "outcome_gap_amplification",
    "coverage": "beta_recall",
    "two_sample": "two_sample_auc",
    "tstr": "loss",
    "coefficients": "interval_overlap_mean",
    "rebalance": "score_change",
}
"""A headline of each probe that looks at slices; the others speak of the whole: rules, fairness, references, sdmetrics."""


@pytest.mark.parametrize("probe", PER_SLICE)
def test_each_declared_slice_has_its_own_figures_under_one_pattern(evidence, probe):
    rule = AtMost.model_validate_json(
        '{"id": "r", "kind": "at-most", "layer": "fidelity", "title": "t", "limit": 1e9, "needs_controls": false, "figure": '
        f'{{"probe": "{probe}", "metric": "{PER_SLICE[probe]}", "subjects": ["slice:*"]}}}}'
    )
    findings = rule.judge(evidence, None, Purpose.ANALYSIS)
    assert [finding.subject for finding in findings] == ["slice:men", "slice:old"]


def test_every_figure_says_what_it_is_held_against(evidence):
    """A note with a reference, unless the figure is one itself, a score that the pair beside it explains, or a count."""
    plain = {
        ("marginals", "declared_slices"),
        ("rebalance", "weighted_slices"),
        ("rules", "violations"),
    }
    for item in evidence.evidence:
        if isinstance(item.outcome, Measured) and (item.probe, item.metric) not in plain:
            assert item.note, item.key


def test_a_probe_that_fails_is_quoted_by_the_rules(evidence, monkeypatch):
    class Broken:
        name, summary = "tails", "for tests"

        def measure(self, arena, rng, progress=None):
            raise ZeroDivisionError

    monkeypatch.setattr("release.quality.PROBES", {**PROBES, "tails": Broken()})
    rng = np.random.default_rng(1)
    arena = arena_of(people(200, rng), people(200, rng), people(200, rng))
    (report,) = measure_quality(arena, rng, names=["tails"])
    assert [item.metric for item in report.evidence] == [FAILED]
    alone = dataclasses.replace(evidence, evidence=report.evidence)
    rule = AtMost.model_validate_json(
        '{"id": "r", "kind": "at-most", "layer": "fidelity", "title": "t", "limit": 1, "needs_controls": false, '
        '"figure": {"probe": "tails", "metric": "outlier_rate_ratio"}}'
    )
    (finding,) = rule.judge(alone, None, Purpose.ANALYSIS)
    assert finding.ruling is Ruling.UNPROVEN
    assert "ZeroDivisionError" in finding.reason
