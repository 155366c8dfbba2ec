"""Audits of the deep generators with the product's own noise, for `bench_deep.py --audit [distances] [trainings] [releases]`.

From the inside out: `dp_autoregressive`'s training seen by one who knows all but the canary, in many runs
(`tests.generators.deep.white_box`); trainings of both with many canaries, in one run each (`tests.generators.deep.one_run`), and what that audit
makes of the same trainings with less noise; and the attack suite's `one_run_epsilon` on releases of both, as a reviewer sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from generators import get
from generators.deep import stepper
from generators.deep.randomness import SystemRandomness
from tests.generators.deep import one_run, white_box

SETTINGS = {
    "dp_autoregressive, every unit in every step": replace(
        one_run.EVERY_STEP, canaries=8_000, levels=400, guesses=400
    ),
    "dp_autoregressive, each with probability .2": replace(
        one_run.SAMPLED, canaries=4_000, levels=300, guesses=400
    ),
    "dp_ctgan's discriminator, every unit in every step": one_run.GAN,
}

FAULTS = {"as it is": 1.0, "half the noise": 0.5, "a third of it": 1 / 3, "a tenth of it": 0.1}
"""What the noise is multiplied by."""

ARM = 3_000
"""Members on average, and controls."""
REFERENCE = 1_500
SHORT = {"steps": 60}
"""Of the releases' trainings."""
SEED = 0
"""Of the split and the attack; the noise has none."""


def distances() -> None:
    """What is claimed of a unit, and what is measured in many runs."""
    print("distances: dp_autoregressive's training seen from inside, many runs")
    for epsilon, steps, rate in ((400.0, 100, 1.0), (200.0, 150, 0.3)):
        plan = white_box.plan_of(epsilon, steps, rate)
        with pytest.MonkeyPatch.context() as patch:
            found = white_box.audit(patch, plan, 10)
        print(f"  sampling rate {rate:g}, noise multiplier {plan.recipe.multiplier:.3f}: {found}", flush=True)


class Quieter(SystemRandomness):
    """The product's noise times a factor: a fault for the audit to find."""

    __slots__ = ("_factor",)

    def __init__(self, factor: float) -> None:
        super().__init__()
        self._factor = factor

    def gaussian(self, n: int) -> np.ndarray:
        return self._factor * super().gaussian(n)


def trainings() -> None:
    """Each setting as it is, with too little noise, and not clipped."""
    print("trainings: training alone, seen from inside, many canaries in one run each")
    for name, setting in SETTINGS.items():
        print(f"  {name}, noise multiplier {setting.plan().recipe.multiplier:.2f}")
        for fault, factor in FAULTS.items():
            print(f"    {fault}: {_train(setting, lambda factor=factor: Quieter(factor))}", flush=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stepper, "ClippedSum", one_run.NotClipped)
            print(f"    not clipped: {_train(setting, SystemRandomness)}", flush=True)


def _train(setting: one_run.Setting, randomness: Callable[[], Any]) -> one_run.Found:
    coins = SystemRandomness().coins(setting.canaries, 0.5)
    with pytest.MonkeyPatch.context() as patch:
        return one_run.audit(patch, setting, coins, randomness)


def releases() -> None:
    """As a reviewer sees it: the bound beside the claim, what could have been shown, and whether planted members are found."""
    from attacks import one_run as probe
    from attacks.bench import Bench
    from attacks.controls import instruments, run_controls
    from release.privacy.noise import SystemNoise
    from release.protocols import Arena, no_progress
    from release.records import Budget, Measured
    from tests.attacks.leaks import distinct
    from tests.shared_schemas import load_shared

    print(
        f"releases: one_run_epsilon of the attack suite, Adult, {ARM:,} members and as many controls on average"
    )
    table = distinct(load_shared("adult"))
    rng = np.random.default_rng(SEED)
    reference, units = np.split(rng.permutation(np.unique(table.units))[: REFERENCE + 2 * ARM], [REFERENCE])
    coins = SystemRandomness().coins(len(units), 0.5)
    members = table.take_units(units[coins])
    for generator in ("dp_autoregressive", "dp_ctgan"):
        for epsilon in (1.0, 10.0):
            budget = Budget(epsilon=epsilon, delta=table.schema.largest_delta)
            plan = get(generator).plan(table.schema, budget, None, SHORT)
            model = plan.run(members, SystemNoise())
            bench = Bench.of(
                Arena(
                    members=members,
                    controls=table.take_units(units[~coins]),
                    reference=table.take_units(reference),
                    training=members,
                    synthetic=model.sample(len(members), np.random.default_rng(SEED)),
                    claim=plan.cost,
                    published=model.published,
                    randomised_split=True,
                ),
                np.random.default_rng(SEED),
            )
            (evidence,) = probe.ATTACK.run(bench, no_progress).evidence
            found = evidence.outcome
            if not isinstance(found, Measured):
                raise TypeError(f"nothing was measured: {found.reason}")
            wanted = tuple(one for one in instruments(bench, {}) if one.probe == probe.NAME)
            controls = "; ".join(
                f"{c.kind.value} {c.name}: {'passed' if c.passed else 'FAILED'}, p = {c.p_value:.2g}"
                for c in run_controls(bench, wanted)
            )
            print(
                f"  {generator}: claimed ε = {plan.cost.epsilon:.2f}, at least {found.low:.2f}"
                f" ({found.detectable:.2f} at most); {controls}",
                flush=True,
            )


AUDITS = {"distances": distances, "trainings": trainings, "releases": releases}
"""By name on the command line."""


def run(names: Sequence[str]) -> None:
    """These, or all where none is named, printed."""
    torch.set_num_threads(1)
    stepper.SECONDS_BETWEEN_REPORTS = 1e9
    for name in names or AUDITS:
        AUDITS[name]()
