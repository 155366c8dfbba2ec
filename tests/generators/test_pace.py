"""What a run reports: stages at a readable rate, ε as the accountant has it, the time left."""

from __future__ import annotations

import re

import numpy as np
import pytest

from generators import get
from generators.core.measurer import RhoFilter
from generators.pace import LEAST_GAP, Pace
from release.privacy import accounting
from release.records import Budget
from tests.builders import make_schema, random_table
from tests.seeded_noise import SeededNoise

DELTA = 1e-7


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def paced(limit=1.0, begin=0.0):
    said, clock, spending = [], Clock(), RhoFilter(accounting.rho_for(limit, DELTA))
    pace = Pace(
        lambda done, what: said.append((done, what)),
        spending,
        before=0.0,
        delta=DELTA,
        limit=limit,
        begin=begin,
        clock=clock,
    )
    return pace, said, clock, spending


def test_epsilon_is_the_accountant_s_and_ends_at_the_plan_s():
    pace, said, clock, spending = paced(limit=2.0)
    spending.spend(spending.limit / 4)
    pace(0.3, "tree chosen")
    clock.now += 1
    spending.spend(spending.left)
    pace(1.0, "done")
    quarter = accounting.epsilon_of_rho(spending.limit / 4, DELTA)
    assert said[0][1] == f"tree chosen, ε {quarter:.3g} of 2 spent"
    assert quarter > 0.5 + 0.1  # a quarter of ρ is more than a quarter of ε
    assert said[1][1] == "done, ε 2 of 2 spent"


def test_a_thousand_ticks_a_second_become_ten_and_the_last_always_comes():
    pace, said, clock, _ = paced()
    for k in range(1000):
        pace(k / 1000, "round")
        clock.now += 0.001
    pace(1.0, "done")
    assert 1 / LEAST_GAP - 1 <= len(said) <= 1 / LEAST_GAP + 2
    assert said[-1][0] == 1.0


def test_time_left_is_said_of_long_runs_only():
    pace, said, clock, _ = paced()
    clock.now += 1.0
    pace(0.25, "early")
    clock.now += 9.0
    pace(0.5, "half way")
    clock.now += 590.0
    pace(0.75, "later")
    assert "left" not in said[0][1]
    assert said[1][1].endswith("about 10 s left")
    assert said[2][1].endswith("about 3 min left")


def test_done_runs_from_the_begin_to_one():
    pace, said, clock, _ = paced(begin=0.2)
    for done in (0.0, 0.5, 1.0):
        pace(done, "x")
        clock.now += 1
    assert [round(done, 9) for done, _ in said] == [0.2, 0.6, 1.0]


@pytest.mark.parametrize("name", ["independent", "mst", "aim", "auto", "wide"])
@pytest.mark.parametrize("learnt", [False, True])
def test_every_generator_says_what_it_spent_and_ends_at_its_cost(name, learnt, monkeypatch):
    monkeypatch.setattr("generators.pace.LEAST_GAP", 0.0)
    extra = {"income": (0.0, 90_000.0), "town": {"kind": "categorical"}} if learnt else {}
    schema = make_schema(a=["x", "y"], b=["p", "q", "r"], c=(0, 9), **extra)
    plan = get(name).plan(schema, Budget(epsilon=1.0, delta=DELTA))
    said = []
    plan.run(
        random_table(schema, 1_000, np.random.default_rng(0)),
        SeededNoise(1),
        lambda done, what: said.append((done, what)),
    )
    dones = [done for done, _ in said]
    assert dones == sorted(dones)
    assert dones[-1] == 1.0
    spent = [float(re.search(r"ε ([\d.e-]+) of", what).group(1)) for _, what in said if "ε" in what]
    assert len(spent) >= 2
    assert spent == sorted(spent)
    assert spent[-1] == pytest.approx(plan.cost.epsilon, rel=0.02)
    assert all("ε" in what for _, what in said[1:])
