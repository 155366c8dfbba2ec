"""What a plan may set about the encoding, with the defaults that measured best (docs/generators.md says on what)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from generators.encoding.hierarchy import Hierarchy, read_hierarchy
from release.errors import PlanError


class Binner(StrEnum):
    """How the bins of a numeric column are found."""

    TREE = "tree"
    """Adaptive noisy b-ary tree of discrete Gaussian counts (`tree.py`): bins, spikes and shape from one measurement."""
    PRIVTREE = "privtree"
    """PrivTree (1601.03229) for the bins, then one noisy histogram inside them for the shape."""
    QUANTILES = "quantiles"
    """Recursive exponential mechanism (2110.05429) for the bins, then one noisy histogram for the shape."""


WHOLE = (
    ("max_bins", 2, 65_000),
    ("identity", 1, 65_000),
    ("fan_out", 2, 4_096),
    ("max_levels", 2, 65_000),
)
REAL = (("bin_mass", 0.0, 1e6), ("texture", 0.0, 0.9), ("shape", 0.01, 0.99), ("bounds", 0.01, 0.9))


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingOptions:
    """Options of `plan_encoding`. All are public.

    Attributes:
        binner: see `Binner`.
        max_bins: most bins of one numeric column, spikes not counted.
        identity: numeric columns with at most so many possible values keep every value as a level, at no cost.
        fan_out: children of the root of the noisy tree.
        shares: of a column's budget, level by level of the noisy tree.
        bin_mass: a bin holds at least so many σ (of the best counts), as far as the noisy counts can tell.
        texture: share of a numeric column's budget for its texture (round numbers, weekdays, hours); 0: none.
        shape: share of the bins' budget that PrivTree and the quantiles leave for the shape inside the bins.
        bounds: share of a column's budget for its bounds (and decimals), where these are to be learnt.
        max_levels: coded columns with more levels than this merge the rare ones, under budget.
        hierarchies: public code trees by name, besides the built-in ones.
        weights: share of the budget per column, relative to 1 for the columns that are not named.
    """

    binner: Binner = Binner.TREE
    max_bins: int = 20
    identity: int = 40
    fan_out: int = 16
    shares: tuple[float, ...] = (0.45, 0.35, 0.15, 0.05)
    bin_mass: float = 3.0
    texture: float = 0.1
    shape: float = 0.5
    bounds: float = 0.2
    max_levels: int = 512
    hierarchies: tuple[Hierarchy, ...] = ()
    weights: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        for name, low, high in WHOLE:
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise PlanError(
                    f"encoding option {name} = {value} is not a whole number in [{low}, {high}]",
                    mend="choose one inside",
                )
        for name, least, most in REAL:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise PlanError(
                    f"encoding option {name} = {value} is not a number in [{least:g}, {most:g}]",
                    mend="choose one inside",
                )
        for name, numbers in (("weights", [w for _, w in self.weights]), ("shares", list(self.shares))):
            if any(not 0 < number < 1e6 for number in numbers):
                raise PlanError(
                    f"encoding option {name} holds a number that is not in (0, 1e6)", mend="remove it"
                )
        if not self.shares:
            raise PlanError("encoding option shares is empty", mend="give one share per level of the tree")

    def weight(self, column: str) -> float:
        """The column's relative share of the budget."""
        return dict(self.weights).get(column, 1.0)

    @classmethod
    def parse(cls, options: Mapping[str, Any] | None) -> EncodingOptions:
        """From plain JSON values. Raises `PlanError` for an unknown name or a value of the wrong type."""
        if options is not None and not isinstance(options, Mapping):
            raise PlanError(
                f"option encoding is {options!r:.60}, not a mapping of encoding options",
                mend='write it as JSON, such as {"binner": "tree"}',
            )
        given = dict(options or {})
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(given) - known):
            raise PlanError(f"unknown encoding options {unknown}", mend=f"known are {sorted(known)}")
        try:
            if "binner" in given:
                given["binner"] = Binner(given["binner"])
            if "shares" in given:
                given["shares"] = tuple(float(share) for share in given["shares"])
            if "hierarchies" in given:
                given["hierarchies"] = tuple(read_hierarchy(document) for document in given["hierarchies"])
            if "weights" in given:
                given["weights"] = tuple(
                    sorted((str(name), float(w)) for name, w in dict(given["weights"]).items())
                )
            return cls(**given)
        except (TypeError, ValueError) as error:
            raise PlanError(
                f"an encoding option has a wrong value: {error}", mend="see EncodingOptions"
            ) from error
