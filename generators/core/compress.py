"""Merging rare levels: levels whose noisy count drowns in noise are measured and modelled as one.

As in MST's preprocessing (2108.04978, section 4): a level below a few σ would only add noise to every marginal with
its attribute. Sampled rows of a merged level are dealt to its levels by the one-way estimate. Post-processing of measured
one-way marginals; attributes that structural zeros speak of are left as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.core.domain import Domain, FloatTable
from generators.core.inference import Measurement


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Compression:
    """Attributes: full and merged domain; level → merged level; P(level | its merged level), per attribute."""

    full: Domain
    merged: Domain
    levels: tuple[npt.NDArray[np.int64], ...]
    shares: tuple[FloatTable, ...]

    @classmethod
    def of(
        cls,
        one_way: Sequence[tuple[FloatTable, float]],
        estimates: Sequence[FloatTable],
        full: Domain,
        kept: frozenset[int],
        threshold: float,
    ) -> Compression:
        """Merge what lies below `threshold` σ.

        Args:
            one_way: each attribute's measured counts and their σ.
            estimates: their non-negative estimates.
            full: the domain.
            kept: attributes to leave alone.
            threshold: in σ of a count; 0 merges nothing.
        """
        levels, shares = [], []
        for attribute, ((counts, sigma), estimate) in enumerate(zip(one_way, estimates, strict=True)):
            mapping = np.arange(full.sizes[attribute])
            if attribute not in kept:
                merge = _merge_runs if full.ordered[attribute] else _merge_rare
                mapping = merge(counts, threshold * sigma)
            mass = np.maximum(estimate, 1e-12)
            shares.append(mass / np.bincount(mapping, weights=mass)[mapping])
            levels.append(mapping)
        sizes = tuple(int(mapping.max()) + 1 for mapping in levels)
        return cls(
            full=full,
            merged=Domain(names=full.names, sizes=sizes, ordered=full.ordered),
            levels=tuple(levels),
            shares=tuple(shares),
        )

    @classmethod
    def none(cls, full: Domain) -> Compression:
        """Nothing is merged."""
        return cls(
            full=full,
            merged=full,
            levels=tuple(np.arange(size) for size in full.sizes),
            shares=tuple(np.ones(size) for size in full.sizes),
        )

    def touches(self, attribute: int) -> bool:
        """Whether levels of this attribute were merged."""
        return self.full.sizes[attribute] != self.merged.sizes[attribute]

    def fold(self, measured: Measurement) -> Measurement:
        """A one-way measurement of the full domain as one of the merged domain."""
        (attribute,) = measured.clique
        if not self.touches(attribute):
            return measured
        mapping = self.levels[attribute]
        counts = np.zeros(self.merged.sizes[attribute], dtype=np.int64)
        np.add.at(counts, mapping, measured.counts)
        return Measurement(measured.view, counts, measured.sigma, np.bincount(mapping))

    def likelihood(self, attribute: int, likelihood: FloatTable) -> FloatTable:
        """A likelihood of the attribute's levels as one of its merged levels."""
        merged = np.bincount(self.levels[attribute], weights=self.shares[attribute] * likelihood)
        return np.asarray(merged, dtype=np.float64)

    def expand(
        self,
        columns: Sequence[npt.NDArray[np.int32]],
        rng: np.random.Generator,
        likelihoods: Mapping[int, FloatTable],
    ) -> list[npt.NDArray[np.int32]]:
        """Rows of the merged domain as rows of the full one; `likelihoods` are those they were sampled under."""
        result = []
        for attribute, column in enumerate(columns):
            if not self.touches(attribute):
                result.append(column)
                continue
            mapping = self.levels[attribute]
            weight = self.shares[attribute] * likelihoods.get(attribute, 1.0)
            first = np.zeros(self.merged.sizes[attribute], dtype=np.int32)
            first[mapping] = np.arange(len(mapping), dtype=np.int32)
            expanded = first[column]
            (several,) = np.nonzero(np.bincount(mapping) > 1)
            for level in several:
                rows = np.flatnonzero(column == level)
                members = np.flatnonzero(mapping == level)
                p = weight[members]
                if len(rows) and p.sum() > 0:
                    expanded[rows] = _deal(members, p / p.sum(), len(rows), rng)
            result.append(expanded)
        return result

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """For an NPZ file."""
        found: dict[str, npt.NDArray[Any]] = {}
        for attribute in range(len(self.full)):
            if self.touches(attribute):
                found[f"merged/{attribute}/levels"] = self.levels[attribute]
                found[f"merged/{attribute}/shares"] = self.shares[attribute]
        return found

    @classmethod
    def from_arrays(cls, full: Domain, arrays: Mapping[str, npt.NDArray[Any]]) -> Compression:
        """What `to_arrays` wrote."""
        whole = cls.none(full)
        levels = tuple(
            np.asarray(arrays.get(f"merged/{a}/levels", whole.levels[a]), dtype=np.int64)
            for a in range(len(full))
        )
        shares = tuple(
            np.asarray(arrays.get(f"merged/{a}/shares", whole.shares[a]), dtype=np.float64)
            for a in range(len(full))
        )
        if any(len(mapping) != size for mapping, size in zip(levels, full.sizes, strict=True)):
            raise ValueError("a stored merging does not fit its domain")
        sizes = tuple(int(mapping.max()) + 1 for mapping in levels)
        return cls(
            full=full,
            merged=Domain(names=full.names, sizes=sizes, ordered=full.ordered),
            levels=levels,
            shares=shares,
        )


def _merge_rare(counts: FloatTable, least: float) -> npt.NDArray[np.int64]:
    """Levels with fewer than `least` together, after the others; the fullest stays by itself, also where it has fewer."""
    rare = counts < least
    rare[np.argmax(counts)] = False
    if rare.sum() < 2:
        return np.arange(len(counts))
    return np.where(rare, len(counts) - rare.sum(), np.cumsum(~rare) - 1)


def _merge_runs(counts: FloatTable, least: float) -> npt.NDArray[np.int64]:
    """Neighbours together until a run of m levels has at least `least`·√m, so that order is kept."""
    mapping = np.zeros(len(counts), dtype=np.int64)
    run = members = 0
    mass = 0.0
    for level, count in enumerate(counts):
        mapping[level] = run
        members += 1
        mass += float(count)
        if mass >= least * members**0.5:
            run, members, mass = run + 1, 0, 0.0
    if members and run:  # what is left at the end joins the last full run
        mapping[mapping == run] = run - 1
    return mapping


def _deal(
    members: npt.NDArray[np.int64], p: FloatTable, n: int, rng: np.random.Generator
) -> npt.NDArray[np.int32]:
    """`n` levels in numbers that are the expected ones rounded, in random order."""
    edges = np.floor(np.cumsum(p) * n + rng.random()).astype(np.int64)
    edges[-1] = n
    counts = np.diff(np.minimum(edges, n), prepend=0)
    return np.asarray(rng.permutation(np.repeat(members, counts)), dtype=np.int32)
