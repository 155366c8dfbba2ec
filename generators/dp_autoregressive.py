"""`dp_autoregressive`: a network that predicts each attribute from those before it, trained by DP-SGD on top of measured marginals.

After TabularARGN (2501.12012): any attribute given any others, so that conditional rows come by drawing the conditioned attributes first. Added
here is what small budgets need: a base of noisy marginals that the network starts from (`generators.deep.autoregressive`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from generators.deep.ar_model import AutoregressiveModel, load_autoregressive
from generators.deep.autoregressive import ArOptions, train
from generators.deep.base import fit_base, plan_base
from generators.deep.device import device_of
from generators.deep.recipe import SgdRecipe
from generators.deep.room import MOST_HIDDEN, require_network_room
from generators.deep.units import UnitRows
from generators.fitter import Fitter
from generators.groundwork import Groundwork, number, require_known
from release.data.schema import Schema
from release.data.table import Table
from release.protocols import NoiseSource, Progress, no_progress
from release.records import Budget, PrivacyCost, Task

BASE_SHARE = (0.5, 0.8)
"""Least and largest share of ρ (what the encoding leaves) for the base; training gets what that leaves. See `base_share`."""

_OPTIONS = frozenset(
    {
        "encoding",
        "encoding_share",
        "memory_mib",
        "base_share",
        "hidden",
        "steps",
        "sampling_rate",
        "clip",
        "learning_rate",
        "target_weight",
        "device",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoregressivePlan:
    """A configured network and its base. No data has been read.

    Attributes:
        groundwork: how columns become attributes.
        fitter: of the base.
        base_share: its share of ρ.
        recipe: of the private training.
        network: settings that are not part of the recipe.
        cost: of all three.
        options: as asked for.
    """

    groundwork: Groundwork
    fitter: Fitter
    base_share: float
    recipe: SgdRecipe
    network: ArOptions
    cost: PrivacyCost
    options: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        return {
            "generator": NAME,
            "version": metadata.version("sluicegate"),
            "options": dict(self.options),
            "encoding": self.groundwork.encoding.describe(),
            "base_share": self.base_share,
            "base": self.fitter.describe(),
            "training": {
                "steps": self.recipe.steps,
                "sampling_rate": self.recipe.rate,
                "clip": self.recipe.clip,
                "noise_multiplier": self.recipe.multiplier,
                "hidden": self.network.hidden,
                "learning_rate": self.network.learning_rate,
                "target_weight": self.network.target_weight,
                "device": self.network.device.value,
            },
        }

    def run(self, table: Table, noise: NoiseSource, progress: Progress = no_progress) -> AutoregressiveModel:
        base, codes = fit_base(NAME, self.groundwork, self.fitter, self.cost, table, noise, progress)
        network = train(
            base,
            codes,
            UnitRows(table.units, self.cost.max_rows_per_unit),
            self.network,
            self.recipe,
            self.groundwork.targets,
            noise.generator(),
            lambda done, what: progress(0.1 + 0.9 * done, what),
        )
        return AutoregressiveModel(
            generator=NAME, version=metadata.version("sluicegate"), base=base, network=network
        )


NAME = "dp_autoregressive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoregressive:
    """As it stands in the registry."""

    @property
    def name(self) -> str:
        return NAME

    @property
    def private(self) -> bool:
        return True

    @property
    def summary(self) -> str:
        return "a network on top of auto's marginals, by DP-SGD: for wide tables at ε near 10, elsewhere as auto or a little worse; a minute"

    def plan(
        self,
        schema: Schema,
        budget: Budget,
        task: Task | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> AutoregressivePlan:
        options = dict(options or {})
        require_known(NAME, options, _OPTIONS)
        network = _network_options(options)
        share = number(options, "base_share", base_share(budget.epsilon), 0.01, 0.95)
        groundwork = Groundwork.plan(schema, budget, task, options)
        fitter = plan_base(groundwork, share, options)
        require_network_room(groundwork.encoding, options, hidden=network.hidden, layers=3)
        recipe = SgdRecipe.solve(
            budget,
            (*groundwork.encoding.events, *fitter.events),
            rate=network.sampling_rate,
            steps=network.steps,
            clip=network.clip,
        )
        return AutoregressivePlan(
            groundwork=groundwork,
            fitter=fitter,
            base_share=share,
            recipe=recipe,
            network=network,
            cost=groundwork.cost((*fitter.events, recipe.event)),
            options=options,
        )

    def load(self, directory: Path) -> AutoregressiveModel:
        return load_autoregressive(directory)


def base_share(epsilon: float) -> float:
    """The base's share of ρ by default: half at ε ≥ 10, .7 at ε = 1: what noise drowns, a network does not learn."""
    least, largest = BASE_SHARE
    return min(largest, max(least, least + 0.2 * math.log10(10.0 / epsilon)))


def _network_options(options: Mapping[str, Any]) -> ArOptions:
    return ArOptions(
        hidden=int(number(options, "hidden", 64, 1, MOST_HIDDEN)),
        steps=int(number(options, "steps", 250, 1, 100_000)),
        sampling_rate=number(options, "sampling_rate", 0.1, 1e-6, 1.0),
        clip=number(options, "clip", 1.0, 1e-6, 1e6),
        learning_rate=number(options, "learning_rate", 5e-3, 1e-8, 1.0),
        target_weight=number(options, "target_weight", 1.0, 0.0, 100.0),
        device=device_of(options),
    )
