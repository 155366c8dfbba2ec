"""The fitted model of the marginal family: samples, conditions, states its errors, saves itself.

Rules: everything in it is post-processing of measured values; it never sees data. Saved as a directory of `model.json`
and `arrays.npz`, written beside its place first and moved there whole.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from generators.core.domain import Domain, StructuralZeros
from generators.core.inference import Fitted, FloatTable, Measurement, restore
from generators.core.sampling import sample
from generators.encoding import Encoding
from release.canonical import from_json, to_json
from release.data.table import Table
from release.errors import FaultError, IntegrityError, PlanError
from release.records import PrivacyCost, Where

FORMAT = "sluicegate/marginal-model@1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarginalModel:
    """Attributes: who made it, what it cost, the encoding, the fit, what it was fitted to, structural zeros."""

    generator: str
    version: str
    cost: PrivacyCost
    encoding: Encoding
    fitted: Fitted
    measurements: tuple[Measurement, ...]
    zeros: tuple[StructuralZeros, ...]

    @property
    def published(self) -> tuple[tuple[str, ...], ...]:
        """The measured marginals, as tuples of column names, without repetition."""
        found: dict[tuple[str, ...], None] = {}
        for measurement in self.measurements:
            columns = [
                c for a in measurement.clique for c in self.encoding.columns_of(self.encoding.attributes[a])
            ]
            found[tuple(dict.fromkeys(columns))] = None
        return tuple(found)

    def sample(self, n: int, rng: np.random.Generator, where: Where | None = None) -> Table:
        if n < 0:
            raise PlanError(f"cannot sample {n} rows", mend="ask for 0 or more")
        if where:
            raise PlanError("this model cannot condition on columns", mend="sample without `where`")
        codes = sample(self.fitted.tree, self.fitted.theta, n, rng)
        return self.encoding.decode(codes, rng)

    def standard_errors(self, clique: tuple[str, ...]) -> FloatTable:
        """Standard deviation of the noise in each cell's estimated count, for a marginal that was measured.

        Shape = the attributes' sizes. Raises KeyError where the marginal of these attributes was not measured. Inference
        from the other marginals only makes the estimates better than this.
        """
        numbers = tuple(sorted(self.encoding.attributes.index(name) for name in clique))
        sigmas = [m.sigma for m in self.measurements if m.clique == numbers]
        if not sigmas:
            raise KeyError(clique)
        sigma = float(1.0 / np.sqrt(sum(1.0 / s**2 for s in sigmas)))
        return np.full(self.fitted.tree.domain.shape(numbers), sigma)

    def save(self, directory: Path) -> None:
        arrays: dict[str, Any] = dict(self.encoding.arrays())
        for k, measurement in enumerate(self.measurements):
            arrays[f"measured/{k}"] = measurement.counts
        for k, factor in enumerate(self.zeros):
            arrays[f"zeros/{k}"] = factor.allowed
        for k, multiplier in enumerate(self.fitted.multipliers.values()):
            arrays[f"multiplier/{k}"] = multiplier
        domain = self.fitted.tree.domain
        document = {
            "format": FORMAT,
            "generator": self.generator,
            "version": self.version,
            "cost": to_json(self.cost),
            "encoding": self.encoding.to_json(),
            "domain": {"names": list(domain.names), "sizes": list(domain.sizes)},
            "total": self.fitted.total,
            "loss": self.fitted.loss,
            "measurements": [{"clique": list(m.clique), "sigma": m.sigma} for m in self.measurements],
            "multipliers": [list(clique) for clique in self.fitted.multipliers],
            "zeros": [list(factor.clique) for factor in self.zeros],
        }
        if directory.exists():
            raise FaultError(f"{directory.name} exists already", mend="save to a new directory")
        partial = directory.with_name(f".{directory.name}.partial")
        partial.mkdir(parents=True, exist_ok=True)
        (partial / "model.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
        np.savez(partial / "arrays.npz", **arrays)
        partial.rename(directory)


def load_model(directory: Path) -> MarginalModel:
    """The model that `MarginalModel.save` wrote. Raises IntegrityError."""
    try:
        document = json.loads((directory / "model.json").read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise IntegrityError(
                f"the model's format is {document['format']!r}, not {FORMAT!r}",
                mend="load it with its own version",
            )
        with np.load(directory / "arrays.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        domain = Domain(names=tuple(document["domain"]["names"]), sizes=tuple(document["domain"]["sizes"]))
        zeros = tuple(
            StructuralZeros(tuple(clique), arrays[f"zeros/{k}"]) for k, clique in enumerate(document["zeros"])
        )
        multipliers = {
            tuple(clique): arrays[f"multiplier/{k}"] for k, clique in enumerate(document["multipliers"])
        }
        measurements = tuple(
            Measurement(tuple(part["clique"]), arrays[f"measured/{k}"], float(part["sigma"]))
            for k, part in enumerate(document["measurements"])
        )
        return MarginalModel(
            generator=document["generator"],
            version=document["version"],
            cost=from_json(PrivacyCost, document["cost"]),
            encoding=Encoding.from_json(document["encoding"], arrays),
            fitted=restore(domain, multipliers, zeros, total=document["total"], loss=document["loss"]),
            measurements=measurements,
            zeros=zeros,
        )
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise IntegrityError(
            f"the model in {directory.name} cannot be read: {error}", mend="restore it from its backup"
        ) from error
