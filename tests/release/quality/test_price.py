"""The price of privacy: nothing where there is nothing to pay, its sign where there is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from release.quality.marginals import MARGINALS
from release.quality.price import HEADLINES, price_of_privacy
from release.quality.references import INDEPENDENT
from release.quality.tails import TAILS
from release.quality.two_sample import TWO_SAMPLE
from release.records import NotMeasured
from tests.release.quality.build import arena_of, figures, people


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(3)
    return (
        people(1500, rng),
        people(1200, rng),
        people(1500, rng),
        people(1500, rng, link=-1.0, tail=0.4, gone=0.4),
    )


CHEAP = (MARGINALS, TWO_SAMPLE, TAILS)
"""Without models of the target, which take most of the time."""


def test_a_release_as_good_as_its_baseline_costs_nothing(tables):
    real, holdout, good, _ = tables
    report = price_of_privacy(arena_of(real, good, holdout), good, "twin", np.random.default_rng(0))
    found = figures(report)
    for headline in HEADLINES:
        price = found[f"{headline.metric}_price", "twin"]
        assert price.low <= 0.0 <= price.high
        assert (headline.metric, "release") in found
        assert (headline.metric, "twin") in found
        assert (headline.metric, INDEPENDENT) in found
    (table,) = report.exhibits
    assert len(table.data["rows"]) == len(HEADLINES)
    assert all(len(row) == len(table.data["columns"]) for row in table.data["rows"])
    assert table.takeaway.startswith("No cost of privacy could be shown")


def test_a_worse_release_pays_and_a_better_one_gains(tables):
    real, holdout, good, bad = tables
    arena = arena_of(real, bad, holdout)
    paid = price_of_privacy(arena, good, "base", np.random.default_rng(0), probes=CHEAP)
    assert paid.exhibits[0].takeaway.startswith("Privacy costs most in the ")
    pays = figures(paid)
    arena = arena_of(real, good, holdout)
    gains = figures(price_of_privacy(arena, bad, "base", np.random.default_rng(0), probes=CHEAP))
    for metric in ("tvd_2way_mean_price", "two_sample_auc_price", "outlier_rate_ratio_price"):
        assert pays[metric, "base"].low > 0
        assert gains[metric, "base"].high < 0


def test_the_mix_is_left_out_and_missing_figures_have_reasons(tables):
    real, holdout, good, bad = tables
    arena = dataclasses.replace(arena_of(real, bad, holdout), weights={"old": 0.9}, unweighted=good)
    found = figures(price_of_privacy(arena, good, "base", np.random.default_rng(0), probes=CHEAP))
    assert found["tvd_2way_mean_price", "base"].estimate == 0.0
    thirty = good.take(np.arange(30))
    few = figures(price_of_privacy(arena, thirty, "base", np.random.default_rng(0), probes=CHEAP))
    for headline in HEADLINES:
        if headline.metric not in {"tvd_1way_mean", "two_sample_auc", "outlier_rate_ratio"}:
            continue
        assert isinstance(few[f"{headline.metric}_price", "base"], NotMeasured)
        assert few[f"{headline.metric}_price", "base"].reason.startswith("base: ")
