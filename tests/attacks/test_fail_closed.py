"""What goes wrong inside a suite blocks: scores that are no numbers, faults of probes and controls, sampled arms."""

import dataclasses

import numpy as np
import pytest

from attacks import bench as benches
from attacks import runner
from attacks.arena_size import ATTACK as ARENA
from attacks.bench import Bench
from attacks.dcr import ATTACK as DCR
from attacks.membership import Maximum
from attacks.near_subset import ATTACK as NEAR_SUBSET
from attacks.one_run import ATTACK as ONE_RUN
from attacks.runner import SuitePlan
from release.canonical import Sha256
from release.errors import FaultError
from release.records import Measured, NotMeasured
from tests.attacks.arenas import mixed_table, split_arena


@pytest.fixture(scope="module")
def small():
    return split_arena(mixed_table(1500, np.random.default_rng(3)), np.random.default_rng(1), units=300)


def outcomes(arena, *probes, controls=False):
    plan = SuitePlan(
        name="quick", summary="for a test", probes=tuple(probe.name for probe in probes), controls=controls
    )
    run_suite = runner.run(probes, [plan])
    result = run_suite(arena, Sha256("0" * 64), "quick", np.random.default_rng(0))
    return {item.key: item.outcome for item in result.evidence}, result.controls


def with_scores(attack, spoil):
    def score(bench, progress):
        found = attack.score(bench, progress)
        return spoil(found)

    return dataclasses.replace(attack, score=score)


def one_nan(scores):
    return np.where(np.arange(len(scores)) == 0, np.nan, scores)


@pytest.mark.parametrize("spoil", [one_nan, lambda scores: np.full(len(scores), np.nan)])
def test_scores_that_are_no_numbers_are_no_measurement_of_any_attack(small, spoil):
    spoilt = with_scores(NEAR_SUBSET, spoil)
    found, _ = outcomes(small, DCR, spoilt, Maximum(over=(DCR, spoilt)))
    assert isinstance(found["dcr", "auc", ""], Measured)
    assert isinstance(found["near_subset", "failed", ""], NotMeasured)
    assert isinstance(found["membership", "failed", ""], NotMeasured)
    assert not [key for key in found if key[0] == "membership" and key[1].startswith("max_")]


@pytest.mark.parametrize("error", [TypeError, RuntimeError, KeyError, ZeroDivisionError])
def test_a_probe_that_fails_blocks_and_does_not_hide_the_others(small, error):
    def fails(bench, progress):
        raise error("a cell value")

    found, _ = outcomes(small, dataclasses.replace(ARENA, name="broken", run=fails), ARENA)
    assert isinstance(found["arena", "members", ""], Measured)
    assert "a cell value" not in found["broken", "failed", ""].reason


@pytest.mark.parametrize(
    "error",
    [OSError("disk"), MemoryError(), FaultError("disk"), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_the_probes_fault_passes_through_and_can_be_resumed(small, error):
    def fails(bench, progress):
        raise error

    with pytest.raises(type(error)):
        outcomes(small, dataclasses.replace(ARENA, name="broken", run=fails))


def test_controls_that_fail_leave_none_and_say_so(small, monkeypatch):
    def fails(*args):
        raise RuntimeError("a fault")

    monkeypatch.setattr(runner, "run_controls", fails)
    found, controls = outcomes(small, DCR, controls=True)
    assert controls == ()
    assert isinstance(found["controls", "failed", ""], NotMeasured)


def test_of_large_arms_only_what_is_attacked_counts(small, monkeypatch):
    monkeypatch.setattr(benches, "LARGEST_ARM", 200)
    bench = Bench.of(small, np.random.default_rng(0))
    figures = {item.metric: item.outcome for item in ARENA.run(bench, lambda done, what: None).evidence}
    assert small.members.n_units > 200
    assert figures["members"].low == bench.targets.n_members == 200
    assert figures["controls"].low == 200
    coins = dataclasses.replace(small, randomised_split=True)
    report = ONE_RUN.run(Bench.of(coins, np.random.default_rng(0)), lambda done, what: None)
    assert isinstance(report.evidence[0].outcome, NotMeasured)
    assert "coins" in report.evidence[0].outcome.reason
