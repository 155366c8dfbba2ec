"""Functional dependencies whose map is not public: learnt under the budget, so that every sampled row follows one map.

How: the levels of the determinants times those of the dependent are counted once with discrete Gaussian noise (one
unit's k rows change these counts by at most k in L2 norm); each combination of determinants gets the dependent level
with the largest noisy count. The dependent then leaves the model and is derived, as with a public map.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from generators.encoding.coded import CodedCode
from generators.encoding.rules import Code
from generators.encoding.wanted import written
from release.data.schema import Determines
from release.data.table import Table
from release.errors import PlanError
from release.privacy import accounting
from release.protocols import NoiseSource
from release.records import DpEvent, Mechanism

MOST_PAIRS = 1_000_000
"""A map over more combinations of determinants and dependent is refused when planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPlan:
    """A map to be learnt.

    Attributes:
        rule: the constraint, without table and cuts.
        rho: what it spends.
        rows: the contribution bound k.
    """

    rule: Determines
    rho: float
    rows: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{' × '.join(self.rule.determinants)} → {self.rule.dependent}"

    @property
    def multiplier(self) -> float:
        """σ / k of every count."""
        return math.sqrt(1.0 / (2.0 * self.rho))

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """One histogram."""
        return (
            DpEvent(
                label=f"map {self.name}", mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=self.multiplier
            ),
        )

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        return {
            "encoding": "learnt map",
            "sigma": self.multiplier * self.rows,
            "rho": accounting.rho_of(self.events),
        }

    def fit(self, table: Table, codes: Mapping[str, Code], noise: NoiseSource) -> Determines:
        """The rule with the map that was measured."""
        names = (*self.rule.determinants, self.rule.dependent)
        mine = [codes[name] for name in names]
        shape = tuple(code.size for code in mine)
        levels = [code.encode(table[name]) for code, name in zip(mine, names, strict=True)]
        places = np.ravel_multi_index(tuple(levels), shape)
        counts = np.bincount(places, minlength=math.prod(shape)).astype(np.int64)
        noisy = noise.discrete_gaussian(counts, self.multiplier * self.rows).reshape(shape)
        best = np.argmax(noisy, axis=-1)
        words = [_words(code) for code in mine]
        rows = tuple(
            (*(word[k] for word, k in zip(words[:-1], place, strict=True)), words[-1][int(best[place])])
            for place in itertools.product(*(range(size) for size in shape[:-1]))
        )
        return self.rule.model_copy(update={"table": rows})


def require_learnable(rule: Determines, most: Mapping[str, int], single: Mapping[str, bool]) -> None:
    """Raise `PlanError` where the map cannot be learnt.

    Args:
        rule: a functional dependency without a map.
        most: most levels of each column.
        single: whether each level of a column holds one value.
    """
    names = (*rule.determinants, rule.dependent)
    several = [name for name in names if not single[name]]
    pairs = math.prod(most[name] for name in names)
    if several or pairs > MOST_PAIRS:
        fact = f"{several} have too many values" if several else f"it has {pairs:,} combinations of values"
        raise PlanError(
            f"the map {list(rule.determinants)} → {rule.dependent} cannot be learnt: {fact}",
            mend="give it in the schema, as a table or as cuts",
        )


def _words(code: Code) -> tuple[str, ...]:
    """Each level's value as it stands in the file. Levels hold one value each."""
    missing = tuple(kind.code for kind in code.spec.missing)
    if isinstance(code, CodedCode):
        return (*code.values, *missing)
    values = ((code.grid.origin + code.grid.step * code.bins.starts) / code.grid.scale).tolist()
    return (*(written(code.spec, value) for value in values), *missing)
