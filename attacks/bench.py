"""The shared workings of one run: encodings, distances and scores, computed once and used by every probe.

A bench holds one candidate in the coding common to all tables. `planted` gives a bench for the same candidate with
rows added: it reuses this one's distances and compares the targets with the new rows alone. Targets are the units of
both arms in one list; which of them are members is known to the bench, and read only where evidence is made of scores.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from attacks.deadline import check
from attacks.distances import Matches, Neighbours, best_match, nearest
from attacks.encoding import F32, I64, Encoded, Encoding, Scaling, encode
from attacks.rarity import TreeRarity
from release.protocols import Arena, Progress, no_progress

F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
T = TypeVar("T")
LABEL_FREE = "queries"
"""First part of the keys of what a bench with other labels may keep: it comes from the release alone."""

SHARED_NEIGHBOURS = 65
"""Whole rows are searched once for so many neighbours; attacks that want fewer take the first of them."""
LARGEST_ARM = 6_600
"""More units per arm are not attacked: 10 % above what the strictest built-in tier asks for."""


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The attacked units' rows: members first, then controls.

    Attributes:
        rows: their cells. unit: (rows,) 0 … U − 1. is_member: (U,). number: (U,) unit number in its arm's table.
        surrogate: (U,) id shown to stewards: the arm's letter and that number ("m000012").
    """

    rows: Encoded
    unit: I64
    is_member: Bool
    number: I64
    surrogate: tuple[str, ...]

    @property
    def n_members(self) -> int:
        """Number of member units."""
        return int(self.is_member.sum())

    @property
    def n_controls(self) -> int:
        """Number of control units."""
        return int((~self.is_member).sum())

    def per_unit(self, row_scores: npt.NDArray[np.floating[Any]]) -> F64:
        """The largest score of each unit's rows."""
        result = np.full(len(self.is_member), -np.inf)
        np.maximum.at(result, self.unit, row_scores.astype(np.float64))
        return result

    def any_row(self, hits: Bool) -> Bool:
        """Units of which at least one row is hit."""
        result = np.zeros(len(self.is_member), bool)
        result[self.unit[hits]] = True
        return result


@dataclass(slots=True, eq=False)
class Bench:
    """See the module. Mutable only in its cache.

    Attributes:
        arena: what is attacked. encoding: all tables. targets: whose membership is asked. synthetic: the candidate's rows.
        reference: rows of further units, or None. seed: of the run's randomness. base: the bench that this one adds `planted_rows` to.
    """

    arena: Arena
    encoding: Encoding
    targets: Targets
    synthetic: Encoded
    reference: Encoded | None
    seed: int
    base: Bench | None = None
    added: Encoded | None = None
    _cache: dict[Hashable, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, arena: Arena, rng: np.random.Generator, scaling: Scaling = Scaling.ROBUST) -> Bench:
        """Encode an arena's tables together; arms above `LARGEST_ARM` units are sampled."""
        tables = {"members": arena.members, "controls": arena.controls, "synthetic": arena.synthetic}
        real = ["members", "controls"]
        if arena.reference is not None and len(arena.reference):
            tables["reference"] = arena.reference
            real.append("reference")
        encoding = encode(tables, real, scaling)
        return cls(
            arena=arena,
            encoding=encoding,
            targets=_targets(encoding.tables["members"], encoding.tables["controls"], rng),
            synthetic=encoding.tables["synthetic"],
            reference=encoding.tables.get("reference"),
            seed=int(rng.integers(2**63)),
        )

    def planted(self, rows: Encoded) -> Bench:
        """The same candidate with these rows added."""
        return Bench(
            arena=self.arena,
            encoding=self.encoding,
            targets=self.targets,
            synthetic=join(self.synthetic, rows),
            reference=self.reference,
            seed=self.seed,
            base=self,
            added=rows,
        )

    def replaced(self, synthetic: Encoded, reference: Encoded | None = None) -> Bench:
        """Another candidate (and reference, where given) against the same targets."""
        return Bench(
            arena=self.arena,
            encoding=self.encoding,
            targets=self.targets,
            synthetic=synthetic,
            reference=self.reference if reference is None else reference,
            seed=self.seed,
        )

    def relabelled(self, is_member: Bool) -> Bench:
        """The same candidate with other units called members: for nulls."""
        return Bench(
            arena=self.arena,
            encoding=self.encoding,
            targets=replace(self.targets, is_member=is_member),
            synthetic=self.synthetic,
            reference=self.reference,
            seed=self.seed,
            _cache={key: value for key, value in self._cache.items() if _is_label_free(key)},
        )

    def stream(self, name: str) -> np.random.Generator:
        """Randomness of one use, the same whatever else ran before: from the run's seed and the name."""
        return np.random.Generator(np.random.PCG64([self.seed, *name.encode()]))

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The result of `compute`, computed once per bench and key."""
        if key not in self._cache:
            check()
            self._cache[key] = compute()
        return cast(T, self._cache[key])

    # ------------------------------------------------------------------ shared distances

    def to_synthetic(
        self, k: int = 1, columns: tuple[int, ...] | None = None, progress: Progress = no_progress
    ) -> Neighbours:
        """The k nearest synthetic rows of each target row; by all columns at most `SHARED_NEIGHBOURS`."""
        if columns is None:
            return self._to_synthetic(SHARED_NEIGHBOURS, None, progress).first(k)
        return self._to_synthetic(k, columns, progress)

    def _to_synthetic(self, k: int, columns: tuple[int, ...] | None, progress: Progress) -> Neighbours:
        def compute() -> Neighbours:
            used = None if columns is None else np.array(columns, np.int64)
            if self.base is not None and self.added is not None:
                mine = nearest(self.targets.rows, self.added, min(k, max(self.added.n_rows, 1)), used)
                return self.base._to_synthetic(k, columns, progress).merged(mine, self.base.synthetic.n_rows)
            return nearest(self.targets.rows, self.synthetic, k, used, progress)

        return self.once(("to_synthetic", k, columns), compute)

    def to_reference(self, k: int = 1, progress: Progress = no_progress) -> Neighbours | None:
        """The k nearest reference rows of each target row, at most `SHARED_NEIGHBOURS`; None without a reference."""
        if self.base is not None:
            return self.base.to_reference(k, progress)
        reference = self.reference
        if reference is None:
            return None
        return self.once(
            "to_reference",
            lambda: nearest(self.targets.rows, reference, SHARED_NEIGHBOURS, progress=progress),
        ).first(k)

    def match_synthetic(self, progress: Progress = no_progress) -> Matches:
        """The synthetic row that shares the rarest set of equal cells with each target row."""

        def compute() -> Matches:
            weights = self.cell_weights()
            if self.base is not None and self.added is not None:
                mine = best_match(self.targets.rows, self.added, weights)
                return self.base.match_synthetic(progress).merged(mine, self.base.synthetic.n_rows)
            return best_match(self.targets.rows, self.synthetic, weights, progress)

        return self.once("match_synthetic", compute)

    def cell_weights(self) -> F32:
        """(d, rows) −log₂ of each target cell's frequency in the candidate (of the first bench in a chain)."""
        return (
            self.base.cell_weights()
            if self.base is not None
            else self.once("weights", lambda: self.tree.cell_bits(self.targets.rows))
        )

    def target_numbers(self) -> I64:
        """(d, rows) an id of the number in each target cell, equal across columns; -1 for categories and missing."""
        if self.base is not None:
            return self.base.target_numbers()
        return self.once("numbers", lambda: _number_ids(self.encoding, self.targets.rows))

    def match_bits(self, match: Bool) -> F64:
        """(rows,) bits of the target cells where `match` (d, rows) is True, by the tree."""
        return self.tree.match_bits(self.targets.rows, match, self.target_numbers())

    @property
    def tree(self) -> TreeRarity:
        """How probable cells are, by a tree over the candidate's own columns (of the first bench in a chain)."""
        return (
            self.base.tree
            if self.base is not None
            else self.once("tree", lambda: TreeRarity.of(self.synthetic))
        )


def _is_label_free(key: Hashable) -> bool:
    return isinstance(key, tuple) and key[0] == LABEL_FREE


def _number_ids(encoding: Encoding, rows: Encoded) -> I64:
    known = np.unique(np.concatenate(encoding.numbers)) if encoding.numbers else np.zeros(0)
    result = np.full(rows.codes.shape, -1, np.int64)
    for column, numbers in enumerate(encoding.numbers):
        if len(numbers):
            present = (rows.codes[column] >= 0) & (rows.codes[column] < len(numbers))
            values = numbers[np.where(present, rows.codes[column], 0)]
            result[column] = np.where(present, np.searchsorted(known, values), -1)
    return result


def join(first: Encoded, second: Encoded) -> Encoded:
    """Rows of both below each other; units stay different."""
    offset = int(first.units.max(initial=-1)) + 1
    return Encoded(
        np.concatenate([first.values, second.values], axis=1),
        np.concatenate([first.codes, second.codes], axis=1),
        np.concatenate([first.units, second.units + offset]),
    )


def _targets(members: Encoded, controls: Encoded, rng: np.random.Generator) -> Targets:
    picked = [_limited(arm, rng) for arm in (members, controls)]
    rows = join(*picked)
    labels, unit = np.unique(rows.units, return_inverse=True)
    n_members = len(np.unique(picked[0].units))
    own = np.concatenate([np.unique(arm.units) for arm in picked])
    return Targets(
        rows=rows,
        unit=unit.astype(np.int64),
        is_member=np.arange(len(labels)) < n_members,
        number=own,
        surrogate=tuple(
            f"{'m' if place < n_members else 'c'}{number:06d}" for place, number in enumerate(own.tolist())
        ),
    )


def _limited(arm: Encoded, rng: np.random.Generator) -> Encoded:
    units = np.unique(arm.units)
    if len(units) <= LARGEST_ARM:
        return arm
    kept = np.sort(rng.choice(units, LARGEST_ARM, replace=False))
    return arm.take(np.flatnonzero(np.isin(arm.units, kept)))
