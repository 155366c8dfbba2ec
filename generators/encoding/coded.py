"""Coded columns (categorical, ordinal, boolean, code) with a public domain: each declared value is a level.

Rules: levels are the declared values, then `OUTSIDE_LEVEL`, then one per kind of missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from release.data.schema import OUTSIDE_LEVEL, ColumnSpec
from release.data.table import Column, recode
from release.protocols import NoiseSource
from release.records import DpEvent

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedCode:
    """A coded column whose every value is a level.

    Attributes:
        spec: the column.
        values: the values in the order of their codes, `OUTSIDE_LEVEL` last.
    """

    spec: ColumnSpec
    values: tuple[str, ...]

    @property
    def size(self) -> int:
        """Values, then kinds of missing."""
        return len(self.values) + len(self.spec.missing)

    def encode(self, column: Column) -> IntArray:
        """The level of each row, shape (n,)."""
        plain = column.values if column.levels == self.values else recode(column, self.values)
        codes = plain.astype(np.int64)
        absent = column.missing != 0
        codes[absent] = len(self.values) + column.missing[absent].astype(np.int64) - 1
        return codes

    def decode(self, codes: IntArray, rng: np.random.Generator) -> Column:  # noqa: ARG002 - nothing to draw
        """A column whose rows lie in these levels."""
        missing = np.maximum(codes - len(self.values) + 1, 0).astype(np.uint8)
        return Column(np.where(missing == 0, codes, -1).astype(np.int32), missing, self.values)

    def labels(self) -> tuple[str, ...]:
        """What each level holds, for people."""
        return (*self.values, *(f'missing "{code.code}"' for code in self.spec.missing))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"type": "coded", "values": list(self.values)}

    def arrays(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """None."""
        return {}

    @classmethod
    def read(
        cls,
        spec: ColumnSpec,
        data: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],  # noqa: ARG003 - one signature for all codes
    ) -> CodedCode:
        """What `to_json` wrote."""
        return cls(spec=spec, values=tuple(data["values"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedPlan:
    """A coded column with a public domain that is kept at full size: costs nothing."""

    spec: ColumnSpec

    @property
    def events(self) -> tuple[DpEvent, ...]:
        """None: the domain is public."""
        return ()

    def describe(self) -> dict[str, Any]:
        """For people and digests."""
        return {"encoding": "declared values", "levels": len(self.spec.levels or ()) + 1, "rho": 0.0}

    def fit(self, column: Column, noise: NoiseSource) -> CodedCode:  # noqa: ARG002 - reads nothing
        """The declared values; reads nothing."""
        return CodedCode(spec=self.spec, values=(*(self.spec.levels or ()), OUTSIDE_LEVEL))
