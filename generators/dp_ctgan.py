"""`dp_ctgan`: a conditional GAN whose discriminator is trained by DP-SGD, on rows drawn from measured marginals.

The networks and what is left out of CTGAN: `generators.deep.adversary`. The base takes `base_share` of ρ; the noise of training is solved
from what that leaves. Several accounted steps of the discriminator go with each step of the generator (2302.02936).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from generators.deep.adversary import GanOptions, train
from generators.deep.base import fit_base, plan_base
from generators.deep.ctgan_model import CtganModel, load_ctgan
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

NAME = "dp_ctgan"

BASE_SHARE = 0.5
"""Share of ρ (what the encoding leaves) for the base; training gets what that leaves."""

_OPTIONS = frozenset(
    {
        *("encoding", "encoding_share", "memory_mib", "base_share", "device"),
        *("steps", "sampling_rate", "clip", "critic_steps", "generator_steps"),
        *("hidden", "spread", "critic_hidden", "generator_rate", "critic_rate", "penalty", "batch"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CtganPlan:
    """A configured GAN and its base. No data has been read.

    Attributes:
        groundwork: how columns become attributes.
        fitter: of the base.
        recipe: of the discriminator's training.
        networks: settings that cost nothing.
        cost: of all of it.
        options: as asked for.
    """

    groundwork: Groundwork
    fitter: Fitter
    recipe: SgdRecipe
    networks: GanOptions
    cost: PrivacyCost
    options: Mapping[str, Any]

    def describe(self) -> dict[str, Any]:
        return {
            "generator": NAME,
            "version": metadata.version("sluicegate"),
            "options": dict(self.options),
            "encoding": self.groundwork.encoding.describe(),
            "base": self.fitter.describe(),
            "training": {
                "steps": self.recipe.steps,
                "sampling_rate": self.recipe.rate,
                "clip": self.recipe.clip,
                "noise_multiplier": self.recipe.multiplier,
                **asdict(self.networks),
                "device": self.networks.device.value,
            },
        }

    def run(self, table: Table, noise: NoiseSource, progress: Progress = no_progress) -> CtganModel:
        base, codes = fit_base(NAME, self.groundwork, self.fitter, self.cost, table, noise, progress)
        refiner = train(
            base,
            codes,
            UnitRows(table.units, self.cost.max_rows_per_unit),
            self.networks,
            self.recipe,
            noise.generator(),
            lambda done, what: progress(0.1 + 0.9 * done, what),
        )
        return CtganModel(generator=NAME, version=metadata.version("sluicegate"), base=base, refiner=refiner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ctgan:
    """As it stands in the registry."""

    @property
    def name(self) -> str:
        return NAME

    @property
    def private(self) -> bool:
        return True

    @property
    def summary(self) -> str:
        return "experimental: a GAN by DP-SGD that refines rows of measured pairs; conditions; minutes; not better than auto"

    def plan(
        self,
        schema: Schema,
        budget: Budget,
        task: Task | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> CtganPlan:
        options = dict(options or {})
        require_known(NAME, options, _OPTIONS)
        networks = GanOptions(
            hidden=int(number(options, "hidden", 128, 1, MOST_HIDDEN)),
            spread=number(options, "spread", 0.005, 1e-6, 0.5),
            critic_hidden=int(number(options, "critic_hidden", 64, 1, MOST_HIDDEN)),
            generator_rate=number(options, "generator_rate", 1e-3, 1e-8, 1.0),
            critic_rate=number(options, "critic_rate", 2e-3, 1e-8, 1.0),
            penalty=number(options, "penalty", 10.0, 0.0, 1e6),
            critic_steps=int(number(options, "critic_steps", 2, 1, 1_000)),
            generator_steps=int(number(options, "generator_steps", 1, 1, 1_000)),
            batch=int(number(options, "batch", 1_024, 1, 1 << 20)),
            device=device_of(options),
        )
        share = number(options, "base_share", BASE_SHARE, 0.01, 0.95)
        groundwork = Groundwork.plan(schema, budget, task, options)
        widest = max(networks.hidden, networks.critic_hidden)
        fitter = plan_base(groundwork, share, options)
        require_network_room(groundwork.encoding, options, hidden=widest, layers=3)
        recipe = SgdRecipe.solve(
            budget,
            (*groundwork.encoding.events, *fitter.events),
            rate=number(options, "sampling_rate", 0.1, 1e-6, 1.0),
            steps=int(number(options, "steps", 200, 1, 100_000)),
            clip=number(options, "clip", 1.0, 1e-6, 1e6),
        )
        return CtganPlan(
            groundwork=groundwork,
            fitter=fitter,
            recipe=recipe,
            networks=networks,
            cost=groundwork.cost((*fitter.events, recipe.event)),
            options=options,
        )

    def load(self, directory: Path) -> CtganModel:
        return load_ctgan(directory)
