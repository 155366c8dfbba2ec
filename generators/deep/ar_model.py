"""The fitted autoregressive model: samples, conditions, saves itself. It never sees data.

A directory of `model.json`, `network.safetensors` and `base/`, the marginal model that it stands on. It is there whole or not at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generators.core.sampling import sample
from generators.core.thinning import factor, thinned
from generators.deep.backbone import Backbone
from generators.deep.network import Network
from generators.deep.room import MOST_HIDDEN
from generators.deep.sampling import Evidence, draw
from generators.deep.weights import load_weights, save_weights
from generators.model import MarginalModel, load_model
from release.data.atomic import write_atomically
from release.data.table import Table
from release.errors import IntegrityError, PlanError
from release.records import PrivacyCost, Where

FORMAT = "sluicegate/autoregressive-model@2"

MOST_DRAWN = 400_000
"""Rows that may be drawn from the network in order to be thinned (`generators.core.thinning`); drawing is slower than thinning."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AutoregressiveModel:
    """Attributes: who made it, the base (its cost is the whole plan's), the network over the base's merged domain."""

    generator: str
    version: str
    base: MarginalModel
    network: Network

    @property
    def cost(self) -> PrivacyCost:
        """Of the whole plan."""
        return self.base.cost

    @property
    def published(self) -> tuple[tuple[str, ...], ...]:
        return self.base.published

    def sample(self, n: int, rng: np.random.Generator, where: Where | None = None) -> Table:
        if n < 0:
            raise PlanError(f"cannot sample {n} rows", mend="ask for 0 or more")
        base = self.base
        given = base.given(where) if where else None
        evidence = None
        if given:
            single = {a: base.compression.likelihood(a, share) for a, share in given.single.items()}
            backbone = Backbone.of(given.fitted)
            same = backbone.contexts == self.network.backbone.contexts
            evidence = Evidence(
                backbone=backbone if same else self.network.backbone.restricted(single),
                single=single,
                joint=given.joint,
            )
        sizes = self.network.sizes
        times = 1 if evidence else min(factor(n, sizes), _power_of_two(MOST_DRAWN // max(n, 1)))
        drawn = draw(self.network, n * times, rng, evidence)
        if drawn is None and given:  # no proposal met the condition: the base's rows do
            drawn = np.stack(sample(given.fitted.tree, given.fitted.theta, n, rng), axis=1)
        columns = thinned(np.asarray(drawn, dtype=np.int32), n, sizes, rng)
        return base.encoding.decode(
            base.compression.expand(columns, rng, given.single if given else {}),
            rng,
            given.condition if given else None,
        )

    def save(self, directory: Path) -> None:
        document = {
            "format": FORMAT,
            "generator": self.generator,
            "version": self.version,
            "hidden": self.network.hidden,
            "order": list(self.network.order),
            "target": self.network.target,
        }
        directory.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(directory, directory=True) as partial:
            (partial / "model.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
            save_weights(self.network.module, partial / "network.safetensors")
            self.base.save(partial / "base")


def load_autoregressive(directory: Path) -> AutoregressiveModel:
    """The model that `AutoregressiveModel.save` wrote. Raises IntegrityError."""
    base = load_model(directory / "base")
    try:
        document = json.loads((directory / "model.json").read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise IntegrityError(
                f"the model's format is {document['format']!r}, not {FORMAT!r}",
                mend="load it with its own version",
            )
        order, hidden, target = list(document["order"]), int(document["hidden"]), document["target"]
        generator, version = document["generator"], document["version"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"the model in {directory.name} cannot be read: {error}", mend="restore it from its backup"
        ) from error
    backbone = Backbone.of(base.fitted)
    if (
        order != list(backbone.order)
        or target not in (None, *range(len(order)))
        or not 1 <= hidden <= MOST_HIDDEN
    ):
        raise IntegrityError(
            f"the model in {directory.name} does not fit its base's attributes",
            mend="restore it from its backup",
        )
    network = Network(backbone, hidden, target)
    load_weights(network.module, directory / "network.safetensors")
    network.module.eval()
    return AutoregressiveModel(generator=generator, version=version, base=base, network=network)


def _power_of_two(most: int) -> int:
    return 1 << max(0, most.bit_length() - 1) if most else 1
