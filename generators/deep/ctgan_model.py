"""The fitted `dp_ctgan`: base rows drawn from measured marginals, refined by the network. It never sees data.

Conditions: base rows are drawn under the condition, by inference, and the refinement cannot leave it, because a level's likelihood multiplies
the network's softmax. A refined row that breaks a structural zero, or a condition over several attributes, is given back as its base row,
which breaks none.

A directory of `model.json`, `generator.safetensors` and `base/`. Written beside its place first and moved there whole.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from generators.core.domain import Clique
from generators.core.sampling import sample
from generators.core.thinning import factor, thinned
from generators.deep.adversary import CHUNK, FloatTable, IntArray, Refiner
from generators.deep.room import MOST_HIDDEN
from generators.deep.weights import load_weights, save_weights
from generators.model import MarginalModel, load_model
from release.data.atomic import write_atomically
from release.data.table import Table
from release.errors import IntegrityError, PlanError
from release.records import PrivacyCost, Where

BoolArray = npt.NDArray[np.bool_]

FORMAT = "sluicegate/ctgan-model@1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CtganModel:
    """Attributes: who made it, the base (its cost is the whole plan's), the network over the base's merged domain."""

    generator: str
    version: str
    base: MarginalModel
    refiner: Refiner

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
        single = given.single if given else {}
        fitted = given.fitted if given else base.fitted
        times = factor(n, self.refiner.sizes)
        rows = np.stack(sample(fitted.tree, fitted.theta, n * times, rng), axis=1)
        likelihoods = [
            base.compression.likelihood(a, single[a]) if a in single else None
            for a in range(len(self.refiner.sizes))
        ]
        factors = [(zero.clique, zero.allowed.astype(np.float64)) for zero in base.zeros]
        refined = self._refined(rows.astype(np.int64), likelihoods, rng)
        broken = _broken(refined, [*factors, *(given.joint if given else ())])
        refined[broken] = rows[broken]
        columns = thinned(refined.astype(np.int32), n, self.refiner.sizes, rng)
        return base.encoding.decode(
            base.compression.expand(columns, rng, single), rng, given.condition if given else None
        )

    def _refined(
        self, rows: IntArray, likelihoods: Sequence[FloatTable | None], rng: np.random.Generator
    ) -> IntArray:
        import torch

        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        parts = [np.zeros_like(rows[:0])]
        with torch.no_grad():
            for start in range(0, len(rows), CHUNK):
                logits = self.refiner.logits(torch.from_numpy(rows[start : start + CHUNK]), generator)
                parts.append(self.refiner.draw(logits, generator, likelihoods).numpy())
        return np.concatenate(parts)

    def save(self, directory: Path) -> None:
        document = {
            "format": FORMAT,
            "generator": self.generator,
            "version": self.version,
            "hidden": self.refiner.hidden,
            "spread": self.refiner.spread,
        }
        directory.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(directory, directory=True) as partial:
            (partial / "model.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
            save_weights(self.refiner.module, partial / "generator.safetensors")
            self.base.save(partial / "base")


def load_ctgan(directory: Path) -> CtganModel:
    """The model that `CtganModel.save` wrote. Raises IntegrityError."""
    base = load_model(directory / "base")
    try:
        document = json.loads((directory / "model.json").read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise IntegrityError(
                f"the model's format is {document['format']!r}, not {FORMAT!r}",
                mend="load it with its own version",
            )
        generator, version, hidden = document["generator"], document["version"], int(document["hidden"])
        spread = float(document["spread"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"the model in {directory.name} cannot be read: {error}", mend="restore it from its backup"
        ) from error
    if not (1 <= hidden <= MOST_HIDDEN and 0.0 < spread < 1.0):
        raise IntegrityError(
            f"the model in {directory.name} says hidden = {hidden} and spread = {spread:g}, which none has",
            mend="restore it from its backup",
        )
    refiner = Refiner(base.compression.merged.sizes, hidden, spread)
    load_weights(refiner.module, directory / "generator.safetensors")
    return CtganModel(generator=generator, version=version, base=base, refiner=refiner)


def _broken(rows: IntArray, factors: Sequence[tuple[Clique, FloatTable]]) -> BoolArray:
    """Shape (n,): rows that some factor excludes. Attributes of several-attribute factors are never merged."""
    result = np.zeros(len(rows), dtype=np.bool_)
    for clique, allowed in factors:
        result |= allowed[tuple(rows[:, a] for a in clique)] <= 0
    return result
