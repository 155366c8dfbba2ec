"""A leak that was repeated: near copies of one record are each other's rivals, and must not hide each other."""

from dataclasses import replace

import numpy as np
import pytest

import attacks
from attacks import near_match, nearest_gap
from attacks.attack import Leak
from attacks.bench import Bench
from attacks.controls import instruments, run_controls
from attacks.plants import REPEATED, plant
from attacks.statistics import Thresholds
from tests.attacks import leaks
from tests.attacks.arenas import mixed_table

BLURRED = {
    attack.name: attack for attack in (near_match.ATTACK, nearest_gap.ATTACK) if attack in attacks.MEMBERSHIP
}
SHARE = 0.05


@pytest.fixture(scope="module")
def scene():
    """2,000 members and controls of four categories and four numbers; 3,000 strangers' rows carry the leak."""
    return leaks.scene(mixed_table(7_500, np.random.default_rng(11)), np.random.default_rng(1), 2_000, 500)


def found(arena, name):
    """TPR at 1 % FPR."""
    bench = Bench.of(arena, np.random.default_rng(0))
    scores, member = BLURRED[name].scores(bench), bench.targets.is_member
    return Thresholds.of(scores[member], scores[~member], 0.01).counted / member.sum()


@pytest.mark.parametrize("name", BLURRED)
@pytest.mark.parametrize("times", [1, 2, 12, 40])
def test_repeated_near_copies_are_seen_as_well_as_one(scene, name, times):
    """A rival of the fifth or ninth rank saw none of twelve copies: every rank up to twelve is a copy."""
    candidate, leaked = leaks.repeated(times, SHARE)(scene, np.random.default_rng(2))
    assert len(leaked) == 100
    assert found(scene.with_candidate(candidate), name) > SHARE * 0.4


def test_any_number_of_copies_stands_out_from_strangers(scene):
    candidate, _ = leaks.repeated(200, 0.02)(scene, np.random.default_rng(3))
    assert found(scene.with_candidate(candidate), "near_match") > 0.02 * 0.4


@pytest.mark.parametrize("name", BLURRED)
@pytest.mark.parametrize("seed", range(4))
def test_strangers_repeated_are_nobodys_leak(scene, name, seed):
    """The other side: rows of strangers a dozen times over are as near to members as to controls."""
    order = np.random.default_rng(seed).permutation(np.unique(scene.carrier.units))
    few = scene.carrier.take_units(order[:100])
    apart = leaks.Scene(replace(scene.arena, members=few))
    candidate, _ = leaks.repeated(12, 1.0)(apart, np.random.default_rng(seed))
    assert found(scene.with_candidate(candidate), name) <= 0.02


def test_a_release_with_fewer_rows_than_rivals_still_has_a_gap(scene):
    small = scene.members.take_units(np.unique(scene.members.units)[:20])
    bench = Bench.of(scene.with_candidate(small), np.random.default_rng(0))
    scores = nearest_gap.ATTACK.scores(bench)
    assert np.isfinite(scores).all()
    own = np.isin(bench.targets.number, np.unique(small.units)) & bench.targets.is_member
    assert scores[own].min() > np.median(scores)


def test_the_control_plants_a_dozen_copies_each_moved_by_itself(scene):
    bench = Bench.of(scene.arena, np.random.default_rng(0))
    planted = plant(bench, Leak.REPEATED, np.array([3, 5]))
    rows = len(np.flatnonzero(np.isin(bench.targets.unit, [3, 5])))
    assert planted.n_rows == REPEATED * rows
    numbers = planted.values[bench.encoding.numeric]
    assert len(np.unique(numbers, axis=1).T) == planted.n_rows


def test_the_control_is_caught_and_missed_without_sight(scene):
    bench = Bench.of(scene.arena, np.random.default_rng(0))
    blind = {
        name: replace(
            attack, score=lambda bench, progress: bench.stream("x").random(len(bench.targets.is_member))
        )
        for name, attack in BLURRED.items()
    }
    for chosen, passes in ((BLURRED, True), (blind, False)):
        jointly = [one for one in instruments(bench, chosen) if one.probe == "membership"]
        own = [c for c in run_controls(bench, tuple(jointly)) if c.name == Leak.REPEATED]
        assert [c.passed for c in own] == [passes]


def test_the_counterfactual_names_the_column_that_carries_the_copies(scene):
    """Near copies of which only one column is the members' own: without it nothing is left, without another nearly all."""
    from attacks.explain import gap_without_columns

    rng = np.random.default_rng(5)
    units = scene.share(1.0, rng)
    rows = leaks.mixed(scene.members.take_units(units), scene.carrier, {"income"}, rng)
    arena = scene.with_candidate(rows)
    bench = Bench.of(arena, np.random.default_rng(0))
    income = bench.encoding.names.index("income")
    # In these distances only income and visits count: every other column is the same for all.
    for table in (bench.targets.rows, bench.synthetic):
        for column in range(len(bench.encoding.names)):
            if column not in {income, bench.encoding.names.index("visits")}:
                table.values[column] = 0.0
    (exhibit,) = gap_without_columns("nearest_gap", bench, nearest_gap.RIVAL)
    left = dict(exhibit.data["rows"])
    assert left["visits"] > left["income"]
    assert left["sex"] == left["(nothing)"]
