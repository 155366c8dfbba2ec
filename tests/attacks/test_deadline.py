"""A probe past its limit is unproven with the limit named, whoever was slow, and the evidence does not depend on how slow."""

import dataclasses

import numpy as np
import pytest

from attacks import runner
from attacks.arena_size import ATTACK as ARENA
from attacks.bench import Bench
from attacks.copies import ATTACK as COPIES
from attacks.dcr import ATTACK as DCR
from attacks.deadline import OutOfTimeError, at_most, check
from attacks.distances import in_threads
from attacks.membership import Maximum
from attacks.near_subset import ATTACK as NEAR_SUBSET
from attacks.runner import SuitePlan
from release.canonical import Sha256, canonical_bytes, to_json
from release.records import Measured, NotMeasured, Ruling
from tests.attacks import tiers
from tests.attacks.arenas import mixed_table, split_arena

LIMIT = 60.0


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def small():
    return split_arena(mixed_table(1500, np.random.default_rng(3)), np.random.default_rng(1), units=300)


def evaluated(arena, clock, *probes, controls=False):
    plan = SuitePlan(
        name="quick",
        summary="for a test",
        probes=tuple(p.name for p in probes),
        controls=controls,
        limit=LIMIT,
    )
    suite = runner.run(probes, [plan], clock)
    return suite(arena, Sha256("0" * 64), "quick", np.random.default_rng(0))


def slow(attack, clock, seconds):
    """The same attack, whose scores take so long before it reports progress."""

    def score(bench, progress):
        clock.now += seconds
        progress(0.5, "half of it")
        return attack.score(bench, progress)

    return dataclasses.replace(attack, score=score)


def test_a_slow_probe_gives_a_reason_and_hides_no_other(small):
    clock = Clock()
    result = evaluated(small, clock, slow(DCR, clock, 61), ARENA)
    found = {item.key: item.outcome for item in result.evidence}
    assert isinstance(found["arena", "members", ""], Measured)
    failed = found["dcr", "failed", ""]
    assert isinstance(failed, NotMeasured)
    assert "60 s" in failed.reason
    assert [key for key in found if key[0] == "dcr"] == [("dcr", "failed", "")]


def test_a_probe_inside_its_limit_is_left_alone(small):
    clock = Clock()
    found = {item.key: item.outcome for item in evaluated(small, clock, slow(DCR, clock, 59), ARENA).evidence}
    assert isinstance(found["dcr", "auc", ""], Measured)


def test_the_maximum_does_not_quietly_do_without_a_slow_attack(small):
    clock = Clock()
    late = slow(NEAR_SUBSET, clock, 61)
    found = {
        item.key: item.outcome
        for item in evaluated(small, clock, DCR, late, Maximum(over=(DCR, late))).evidence
    }
    assert isinstance(found["membership", "failed", ""], NotMeasured)
    assert ("membership", "max_tpr_at_fpr_1pct", "") not in found


def test_each_probe_has_its_own_limit(small):
    clock = Clock()
    found = {
        item.key
        for item in evaluated(small, clock, slow(DCR, clock, 40), slow(NEAR_SUBSET, clock, 40)).evidence
    }
    assert ("near_subset", "auc", "") in found


def test_the_same_evidence_however_late(small):
    texts = []
    for seconds in (61, 61_000):
        clock = Clock()
        texts.append(canonical_bytes(to_json(evaluated(small, clock, slow(DCR, clock, seconds), ARENA))))
    assert texts[0] == texts[1]


def test_controls_past_their_limit_are_none_and_say_so(small, monkeypatch):
    clock = Clock()

    def late(*args):
        clock.now += 61
        check()
        raise AssertionError

    monkeypatch.setattr(runner, "run_controls", late)
    result = evaluated(small, clock, DCR, controls=True)
    assert result.controls == ()
    assert [item.outcome for item in result.evidence if item.probe == "controls"]


def test_what_is_out_of_time_is_unproven_in_a_policy_with_the_reason(small):
    clock = Clock()

    def late(bench, progress):
        clock.now += 61
        progress(0.1, "")
        return COPIES.run(bench, progress)

    result = evaluated(small, clock, dataclasses.replace(COPIES, run=late))
    assert tiers.findings(result)["exact-copies", ""] is Ruling.UNPROVEN
    assert "60 s" in tiers.reasons(result)["exact-copies", ""]


def test_searches_and_shared_results_look_at_the_limit(small):
    clock = Clock()
    bench = Bench.of(small, np.random.default_rng(0))
    with at_most(LIMIT, clock):
        bench.once("a", lambda: 1)
        clock.now = 61.0
        assert bench.once("a", lambda: 2) == 1
        with pytest.raises(OutOfTimeError):
            bench.once("b", lambda: 1)
        with pytest.raises(OutOfTimeError):
            in_threads(10, lambda start, stop: None)
    check()  # outside of a limit nothing is stopped
