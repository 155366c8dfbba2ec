"""A small slice of the leak grid (`make bench-attacks` runs all of it): the demo's health table at the tier's smallest sizes.

One seed each: a leak of this size is caught in at least 95 % of seeds, a null passes in at least 90 %; the seeds are fixed.
"""

import numpy as np
import pytest

import attacks
from attacks.runner import SuitePlan, run
from release.canonical import Sha256
from tests.attacks import leaks, tiers
from tests.shared_schemas import load_shared

FAST = tuple(name for name in attacks.STANDARD if name not in {"classifier", "meta"})
WITHOUT_CONTROLS = run(
    attacks.PROBES, (SuitePlan(name="standard", summary="for tests", probes=FAST, controls=False),)
)
LEAKS = {
    "verbatim 5 %": leaks.verbatim(0.05),
    "near copy": leaks.near_copy(1.0),
    "isolated 3 %": leaks.isolated(0.03),
    "60 % of columns": leaks.columns_copied(1.0),
    "subgroup": leaks.subgroup_secret(0.1),
    "unnoised tree": leaks.unnoised_tree,
}


@pytest.fixture(scope="module")
def meps():
    return leaks.scene(load_shared("meps"), np.random.default_rng(1), 2_000, 500)


def judged(arena):
    return tiers.findings(WITHOUT_CONTROLS(arena, Sha256("0" * 64), "standard", np.random.default_rng(0)))


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_broken(meps, name):
    candidate, leaked = LEAKS[name](meps, np.random.default_rng(2))
    assert len(leaked)
    assert tiers.broken(judged(meps.with_candidate(candidate)))


def test_strangers_are_met(meps):
    assert not tiers.unmet(judged(meps.arena))


def test_one_percent_of_300_is_unproven():
    scene = leaks.scene(load_shared("meps"), np.random.default_rng(3), 300, 300)
    candidate, _ = leaks.verbatim(0.01)(scene, np.random.default_rng(4))
    rulings = judged(scene.with_candidate(candidate))
    assert {str(ruling) for ruling in rulings.values()} >= {"unproven"}
    assert rulings["exact-copies", ""] != "met"
