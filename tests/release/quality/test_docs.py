"""docs/quality.md names every probe and every figure that a full measurement writes, and nothing that does not exist."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from release.quality import PROBES, measure_quality
from release.quality.coefficients import coverage_over_draws
from release.quality.rebalance import REBALANCE
from release.records import Task
from tests.release.quality.build import arena_of, people

PAGE = Path(__file__).resolve().parents[3] / "docs" / "quality.md"
BY_NAME = re.compile(r"^\| `([a-z_]+)` \| (.*?) \| ", re.MULTILINE)
FAMILIES = ("_gradient_boosting", "_linear", "_random_forest")
PROPERTIES = {"column_shapes", "column_pair_trends", "data_validity", "data_structure"}


def test_every_probe_and_figure_is_on_the_page():
    rows = {
        name: set(re.findall(r"`([a-z_0-9]+)`", metrics))
        for name, metrics in BY_NAME.findall(PAGE.read_text("utf-8"))
    }
    assert set(rows) == set(PROBES)
    rng = np.random.default_rng(1)
    arena = arena_of(people(1200, rng), people(1200, rng), people(800, rng))
    written = {name: set() for name in PROBES}
    for report in measure_quality(arena, np.random.default_rng(0)):
        for item in report.evidence:
            metric = item.metric
            for family in FAMILIES:
                metric = metric.removesuffix(family)
            written[item.probe].add(metric)
    weighted = dataclasses.replace(arena, weights={"old": 0.3}, unweighted=arena.training)
    written["rebalance"] = {item.metric for item in REBALANCE.measure(weighted, rng).evidence}
    for item in coverage_over_draws(Task(target="ill"), arena.training, [arena.synthetic] * 2, rng).evidence:
        written["coefficients"].add(item.metric)
    written["sdmetrics"] -= PROPERTIES
    written["associations"] = {
        metric.removesuffix("_difference_mean") if "association" not in metric else metric
        for metric in written["associations"]
    }
    written.pop("references")
    for name, metrics in written.items():
        assert metrics == rows[name], name
