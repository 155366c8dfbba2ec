"""`dp_autoregressive` through its public plan, seen from inside: what was accounted holds, and broken trainings are found out.

Fixed test noise. Power: a step's distance is 1/σ ≈ 2.2 at rate 1 and .53 at rate .3, so that the estimate's standard error is about .04 and .05 of
the claim; every break below is at least half as much again as the claim.
"""

from __future__ import annotations

import pytest

from generators.deep import stepper
from generators.deep.clipping import ClippedSum
from tests.generators.deep import white_box
from tests.generators.deep.white_box import POWER, audit, plan_of
from tests.seeded_noise import SeededRandomness


@pytest.fixture(scope="module")
def every_step():
    return plan_of(400.0, 100, 1.0)


@pytest.fixture(scope="module")
def sampled():
    return plan_of(200.0, 150, 0.3)


def seeded(run, scale=1.0):
    return SeededRandomness(1_000 + run, scale)


@pytest.mark.parametrize("name", ["every_step", "sampled"])
def test_a_unit_is_hidden_as_accounted_and_no_better(name, request, monkeypatch):
    plan = request.getfixturevalue(name)
    found = audit(monkeypatch, plan, 3, seeded)
    print(f"\nsampling rate {plan.recipe.rate:g}, σ = {plan.recipe.multiplier:.3f}: {found}")
    assert not found.refuted
    assert found.estimate >= POWER * found.claimed


class NotClipped(ClippedSum):
    def __init__(self, module, _clip):
        super().__init__(module, 1e9)


class TwiceTheCoins(SeededRandomness):
    def coins(self, n, rate):
        return super().coins(n, 2 * rate)


class NoNoiseOnBiases(SeededRandomness):
    def gaussian(self, n):
        return super().gaussian(n) * (n > 12)


BROKEN = {
    "no clipping": ("every_step", NotClipped, seeded),
    "half the noise": ("every_step", ClippedSum, lambda run: seeded(run, 0.5)),
    "parameters without noise": ("every_step", ClippedSum, NoNoiseOnBiases),
    "twice the coins": ("sampled", ClippedSum, TwiceTheCoins),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_training_is_refuted(request, monkeypatch, case):
    plan, clipped, randomness = BROKEN[case]
    monkeypatch.setattr(stepper, "ClippedSum", clipped)
    found = audit(monkeypatch, request.getfixturevalue(plan), 1, randomness)
    print(f"\n{case}: {found}")
    assert found.refuted


class NeverTheCanary(SeededRandomness):
    def coins(self, n, rate):
        drawn = super().coins(n, rate)
        drawn[len(white_box.CODES) - 1 :] = False
        return drawn


def test_a_unit_that_never_takes_part_is_not_taken_for_one_that_is_hidden(sampled, monkeypatch):
    found = audit(monkeypatch, sampled, 1, NeverTheCanary)
    assert found.estimate < POWER * found.claimed
