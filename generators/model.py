"""The fitted model of the marginal family: samples, conditions, states its errors, saves itself.

Rules: everything in it is post-processing of measured values; it never sees data. Saved as a directory of `model.json`
and `arrays.npz`, there whole or not at all.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from generators.core.compress import Compression
from generators.core.domain import Clique, Domain, FloatTable, StructuralZeros
from generators.core.inference import Fitted, Measurement, restore
from generators.core.inference import condition as conditioned
from generators.core.support import possible
from generators.core.thinning import draw
from generators.core.views import View, Views, full_view
from generators.encoding import Encoding
from generators.encoding.encoding import Condition
from release.canonical import from_json, to_json
from release.data.atomic import write_atomically
from release.data.table import Table
from release.errors import IntegrityError, PlanError, SchemaError
from release.records import PrivacyCost, Where

FORMAT = "sluicegate/marginal-model@1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Given:
    """A model under a condition.

    Attributes:
        condition: for decoding.
        single: attribute → likelihood of its full levels.
        joint: likelihoods over several attributes, which are never merged.
        fitted: the distribution given all of them, over the merged domain.
    """

    condition: Condition
    single: dict[int, FloatTable]
    joint: list[tuple[Clique, FloatTable]]
    fitted: Fitted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MarginalModel:
    """Raises SchemaError where the structural zeros leave no row that could be sampled.

    Attributes: who made it, what it cost, the encoding, the fit, what it was fitted to, structural zeros.
    """

    generator: str
    version: str
    cost: PrivacyCost
    encoding: Encoding
    compression: Compression
    fitted: Fitted
    measurements: tuple[Measurement, ...]
    zeros: tuple[StructuralZeros, ...]

    def __post_init__(self) -> None:
        if not possible(self.fitted.tree, self.fitted.theta):
            raise contradictory(self.compression.full.names)

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
        if not where:
            codes = draw(self.fitted, n, rng)
            return self.encoding.decode(self.compression.expand(codes, rng, {}), rng)
        given = self.given(where)
        codes = draw(given.fitted, n, rng)
        return self.encoding.decode(self.compression.expand(codes, rng, given.single), rng, given.condition)

    def given(self, where: Where) -> Given:
        """The model under a condition. PlanError where no row can meet it."""
        condition = self.encoding.condition(where)
        single, joint = self._evidence(condition)
        evidence = [((a,), self.compression.likelihood(a, share)) for a, share in single.items()]
        try:
            fitted = conditioned(self.fitted, [*evidence, *joint], self.zeros)
        except ValueError as error:
            raise PlanError(
                f"no row can meet the condition on {sorted(where)} all at once",
                mend="widen it; the structural zeros or the fitted model exclude it",
            ) from error
        return Given(condition=condition, single=single, joint=joint, fitted=fitted)

    def _evidence(
        self, condition: Condition
    ) -> tuple[dict[int, FloatTable], list[tuple[Clique, FloatTable]]]:
        """Likelihoods of single attributes' full levels, and those of several attributes (which are never merged)."""
        single: dict[int, FloatTable] = {}
        joint: list[tuple[Clique, FloatTable]] = []
        for names, likelihood in condition.factors:
            clique = tuple(self.compression.full.index(name) for name in names)
            if len(clique) == 1:
                single[clique[0]] = single.get(clique[0], 1.0) * likelihood
            else:
                joint.append((clique, likelihood))
        return single, joint

    def standard_errors(self, clique: tuple[str, ...]) -> FloatTable:
        """Standard deviation of the noise in each cell's count, for a marginal that was measured.

        At full resolution, shape = the attributes' (merged) sizes. Raises KeyError where the marginal of these attributes was not measured.
        Inference from the other marginals only makes the estimates better than this.
        """
        numbers = tuple(sorted(self.encoding.attributes.index(name) for name in clique))
        found = [m.precision for m in self.measurements if m.view == full_view(numbers)]
        if not found:
            raise KeyError(clique)
        return np.asarray(1.0 / np.sqrt(np.sum(found, axis=0)), dtype=np.float64)

    def save(self, directory: Path) -> None:
        arrays: dict[str, Any] = {**self.encoding.arrays(), **self.compression.to_arrays()}
        for k, measurement in enumerate(self.measurements):
            arrays[f"measured/{k}"] = measurement.counts
            if measurement.merged is not None:
                arrays[f"measured/{k}/merged"] = measurement.merged
        for a, groups in enumerate(self.fitted.views.groups):
            for r, grouping in enumerate(groups):
                arrays[f"groups/{a}/{r}"] = grouping
        for k, factor in enumerate(self.zeros):
            arrays[f"zeros/{k}"] = factor.allowed
        for k, multiplier in enumerate(self.fitted.multipliers.values()):
            arrays[f"multiplier/{k}"] = multiplier
        full = self.compression.full
        document = {
            "format": FORMAT,
            "generator": self.generator,
            "version": self.version,
            "cost": to_json(self.cost),
            "encoding": self.encoding.to_json(),
            "domain": {"names": list(full.names), "sizes": list(full.sizes), "ordered": list(full.ordered)},
            "groups": [len(groups) for groups in self.fitted.views.groups],
            "total": self.fitted.total,
            "loss": self.fitted.loss,
            "measurements": [
                {"clique": list(m.clique), "resolution": list(m.view.resolution), "sigma": m.sigma}
                for m in self.measurements
            ],
            "multipliers": [
                {"clique": list(view.clique), "resolution": list(view.resolution)}
                for view in self.fitted.multipliers
            ],
            "zeros": [list(factor.clique) for factor in self.zeros],
        }
        directory.parent.mkdir(parents=True, exist_ok=True)
        with write_atomically(directory, directory=True) as partial:
            (partial / "model.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
            np.savez(partial / "arrays.npz", **arrays)


def contradictory(columns: Sequence[str]) -> SchemaError:
    """That no row can keep the constraints, found only after the fit: a search at planning was cut short, or domains were learnt."""
    shown = ", ".join(columns[:8]) + (", …" if len(columns) > 8 else "")
    return SchemaError(
        f"the constraints on {shown} leave no row inside the domains that were declared or learnt; nothing can be sampled",
        mend="correct them, or declare the domains that are now learnt, so that contradictions are found before the charge",
    )


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
        full = Domain(
            names=tuple(document["domain"]["names"]),
            sizes=tuple(document["domain"]["sizes"]),
            ordered=tuple(document["domain"]["ordered"]),
        )
        compression = Compression.from_arrays(full, arrays)
        groups = tuple(
            tuple(arrays[f"groups/{a}/{r}"] for r in range(number))
            for a, number in enumerate(document["groups"])
        )
        views = Views(compression.merged, groups)
        zeros = tuple(
            StructuralZeros(tuple(clique), arrays[f"zeros/{k}"]) for k, clique in enumerate(document["zeros"])
        )
        multipliers = {
            _view(part): arrays[f"multiplier/{k}"] for k, part in enumerate(document["multipliers"])
        }
        measurements = tuple(
            Measurement(
                _view(part),
                arrays[f"measured/{k}"],
                float(part["sigma"]),
                arrays.get(f"measured/{k}/merged"),
            )
            for k, part in enumerate(document["measurements"])
        )
        return MarginalModel(
            generator=document["generator"],
            version=document["version"],
            cost=from_json(PrivacyCost, document["cost"]),
            encoding=Encoding.from_json(document["encoding"], arrays),
            compression=compression,
            fitted=restore(views, multipliers, zeros, total=document["total"], loss=document["loss"]),
            measurements=measurements,
            zeros=zeros,
        )
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise IntegrityError(
            f"the model in {directory.name} cannot be read: {error}", mend="restore it from its backup"
        ) from error


def _view(part: dict[str, Any]) -> View:
    return View(tuple(part["clique"]), tuple(part["resolution"]))
