"""Coded columns (categorical, ordinal, boolean, code): values → levels, where rare values may share one.

Rules: the public values and `OUTSIDE_LEVEL` each belong to one level; kinds of missing are levels after these. Inside
a shared level a value is drawn by noised counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.encoding.hierarchy import Hierarchy, read_hierarchy
from generators.encoding.wanted import Wanted
from release.data.schema import OUTSIDE_LEVEL, ColumnSpec
from release.data.table import Column
from release.protocols import NoiseSource
from release.records import DpEvent

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CodedCode:
    """A coded column as levels.

    Attributes:
        spec: the column.
        values: the values in the order of their codes; `OUTSIDE_LEVEL` among them.
        level: shape (V,), the level of each value; every level 0 … max has a value.
        weight: shape (V,), positive: how likely each value is inside its level, summing to 1 per level.
        hierarchy: the column's public code tree. Of learnt values: its nodes' names stand for values that were not kept.
    """

    spec: ColumnSpec
    values: tuple[str, ...]
    level: IntArray
    weight: FloatArray
    hierarchy: Hierarchy | None

    @classmethod
    def plain(
        cls, spec: ColumnSpec, values: tuple[str, ...], hierarchy: Hierarchy | None = None
    ) -> CodedCode:
        """Every value a level."""
        count = len(values)
        level = np.arange(count, dtype=np.int64)
        return cls(spec=spec, values=values, level=level, weight=np.ones(count), hierarchy=hierarchy)

    @property
    def present(self) -> int:
        """Number of levels that hold values."""
        return int(self.level.max()) + 1

    @property
    def size(self) -> int:
        """Levels of values, then kinds of missing."""
        return self.present + len(self.spec.missing)

    def encode(self, column: Column) -> IntArray:
        """The level of each row, shape (n,)."""
        if column.levels == self.values:
            plain = column.values.astype(np.int32)
        else:
            place = {value: code for code, value in enumerate(self.values)}
            stands = [place[self._standing(level, place)] for level in column.levels]
            plain = np.array([*stands, -1], dtype=np.int32)[column.values.astype(np.int64)]
        codes = np.where(plain >= 0, self.level[np.maximum(plain, 0)], -1)
        absent = column.missing != 0
        codes[absent] = self.present + column.missing[absent].astype(np.int64) - 1
        return np.asarray(codes, dtype=np.int64)

    def _standing(self, value: str, known: Mapping[str, int]) -> str:
        """The value that stands for one of the table's."""
        if value in known:
            return value
        node = "" if self.hierarchy is None else self.hierarchy.node_of(value)
        return node if node in known else OUTSIDE_LEVEL

    def decode(self, codes: IntArray, rng: np.random.Generator) -> Column:
        """A column whose rows lie in these levels; levels without weight must not occur."""
        missing = np.maximum(codes - self.present + 1, 0).astype(np.uint8)
        if self.present == len(self.values):  # each level holds one value
            values = np.append(np.argsort(self.level), np.full(len(self.spec.missing), -1))
            return Column(values.astype(np.int32)[codes], missing, self.values)
        order = np.argsort(self.level, kind="stable")
        ends = np.cumsum(self.weight[order])
        tops = np.append(0.0, np.bincount(self.level, self.weight, minlength=self.present).cumsum())
        levels = np.minimum(codes, self.present - 1)
        target = tops[levels] + rng.random(len(codes)) * (tops[levels + 1] - tops[levels])
        found = np.searchsorted(ends, target, side="right")
        first = np.searchsorted(self.level[order], levels, side="left")
        last = np.searchsorted(self.level[order], levels, side="right") - 1
        values = order[np.clip(found, first, last)]
        return Column(np.where(missing == 0, values, -1).astype(np.int32), missing, self.values)

    def narrow(self, wanted: Wanted) -> tuple[CodedCode, FloatArray]:
        """Only the wanted values: the code that draws these, and each level's share of them, shape (size,)."""
        chosen = np.array([value in wanted.values for value in self.values])
        weight = np.where(chosen, self.weight, 0.0)
        share = np.bincount(self.level, weight, minlength=self.present)
        kinds = [kind in wanted.missing for kind in range(1, len(self.spec.missing) + 1)]
        return replace(self, weight=weight), np.concatenate([share, np.array(kinds, dtype=np.float64)])

    def labels(self) -> tuple[str, ...]:
        """What each level holds, for people."""
        names = []
        for level in range(self.present):
            inside = np.flatnonzero(self.level == level)
            more = f" and {len(inside) - 1} more" if len(inside) > 1 else ""
            names.append(f"{self.values[inside[0]]}{more}")
        return (*names, *(f'missing "{code.code}"' for code in self.spec.missing))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        tree = None if self.hierarchy is None else self.hierarchy.model_dump(mode="json")
        return {"type": "coded", "values": list(self.values), "hierarchy": tree}

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """The levels and weights."""
        return {"level": self.level, "weight": self.weight}

    @classmethod
    def read(
        cls, spec: ColumnSpec, data: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> CodedCode:
        """What `to_json` and `arrays` wrote."""
        tree = None if data["hierarchy"] is None else read_hierarchy(data["hierarchy"])
        return cls(spec=spec, values=tuple(data["values"]), hierarchy=tree, **arrays)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPlan:
    """A coded column with a public domain that is kept at full size: costs nothing. `hierarchy`: its public code tree."""

    spec: ColumnSpec
    hierarchy: Hierarchy | None = None

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """None: the domain is public."""
        return ()

    @property
    def most_levels(self) -> int:
        """Values, `OUTSIDE_LEVEL`, kinds of missing."""
        return len(self.spec.levels or ()) + 1 + len(self.spec.missing)

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        return {"encoding": "declared values", "levels": self.most_levels, "rho": 0.0}

    def fit(self, column: Column | None, noise: NoiseSource) -> CodedCode:  # noqa: ARG002 - reads nothing
        """The declared values; reads nothing."""
        return CodedCode.plain(self.spec, (*(self.spec.levels or ()), OUTSIDE_LEVEL), self.hierarchy)
