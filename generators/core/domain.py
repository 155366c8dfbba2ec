"""Attributes and their sizes: what the core knows of a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Clique = tuple[int, ...]
"""Attribute numbers in ascending order: the margins of one marginal."""

FloatTable = npt.NDArray[np.float64]

Codes = Sequence[npt.NDArray[np.integer[Any]]]
"""One vector of codes per attribute, all of one length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """Attributes by number.

    Attributes:
        names: for people and saved models.
        sizes: number of codes of each attribute, at least 1.
        ordered: whether neighbouring codes are neighbours in meaning (bins of a number); empty: none is.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    ordered: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        if not self.ordered:
            object.__setattr__(self, "ordered", (False,) * len(self.names))
        if len(self.ordered) != len(self.names):
            raise ValueError("`ordered` says one thing of each attribute")
        if len(self.names) != len(self.sizes) or len(set(self.names)) != len(self.names):
            raise ValueError("one size for each name, and no name twice")
        if any(size < 1 for size in self.sizes):
            raise ValueError("an attribute has at least one code")

    def __len__(self) -> int:
        """Number of attributes."""
        return len(self.sizes)

    def shape(self, clique: Iterable[int]) -> tuple[int, ...]:
        """Sizes of the attributes of a clique."""
        return tuple(self.sizes[attribute] for attribute in clique)

    def cells(self, clique: Iterable[int]) -> int:
        """Number of cells of a marginal: an exact Python integer, so that no product overflows."""
        return math.prod(self.shape(clique))

    def index(self, name: str) -> int:
        """The number of the attribute of that name. Raises ValueError."""
        return self.names.index(name)


@dataclass(frozen=True, slots=True, eq=False)
class StructuralZeros:
    """Combinations that do not exist, as public knowledge.

    Attributes:
        clique: which attributes.
        allowed: boolean, shape = the sizes of the clique.
    """

    clique: Clique
    allowed: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if tuple(sorted(set(self.clique))) != self.clique or self.allowed.ndim != len(self.clique):
            raise ValueError("a clique is ascending, and `allowed` has one axis for each attribute")
        if not self.allowed.any():
            raise ValueError("structural zeros that allow nothing")
