"""From leaves to the levels of a numeric column, and back: which cell inside a level.

Rules: levels are disjoint intervals of cells, in order, covering the grid. A spike is a level of one cell. Pure
post-processing: everything here follows from public facts and noised counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from generators.encoding.texture import Texture
from generators.encoding.tree import STANDS_OUT, Leaves

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

FLOOR = 1e-6
"""Share of a level's mass that is spread evenly over it, so that no cell of the domain is impossible."""


CHUNK = 1 << 15
"""Rows that are drawn at a time where each has an interval of its own."""

SPIKE = 4.0
"""A spike is a single value that stands out (`tree.STANDS_OUT`) and holds at least this part of a bin's mass."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bins:
    """Levels and the shape inside them.

    Attributes:
        starts: shape (L,), first cell of each level; starts[0] = 0; level i ends before starts[i + 1].
        size: number of cells.
        first: shape (m,), first cell of each piece; a piece lies inside one level and has an even density.
        last: shape (m,), last cell of each piece, inclusive.
        mass: shape (m,), positive; the pieces of one level sum to 1, or to the selected share of it.
    """

    starts: IntArray
    size: int
    first: IntArray
    last: IntArray
    mass: FloatArray

    def levels(self, cells: IntArray) -> IntArray:
        """The level of each cell."""
        return np.asarray(np.searchsorted(self.starts, cells, side="right") - 1, dtype=np.int64)

    @property
    def ends(self) -> IntArray:
        """Shape (L,), last cell of each level, inclusive."""
        return np.append(self.starts[1:] - 1, self.size - 1)

    @property
    def share(self) -> FloatArray:
        """Shape (L,): mass of each level: 1, or its selected share."""
        return np.asarray(
            np.bincount(self.levels(self.first), self.mass, minlength=len(self.starts)), dtype=np.float64
        )

    def select(self, ranges: Sequence[tuple[int, int]], texture: Texture | None = None) -> Bins:
        """Only the cells inside these disjoint, ordered, inclusive ranges; levels keep their numbers."""
        first, last, mass = [], [], []
        whole = _inside(self.first, self.last, texture)
        for low, high in ranges:
            cut_first, cut_last = np.maximum(self.first, low), np.minimum(self.last, high)
            inside = np.flatnonzero(cut_first <= cut_last)
            first.append(cut_first[inside])
            last.append(cut_last[inside])
            kept = _inside(cut_first[inside], cut_last[inside], texture) / whole[inside]
            mass.append(self.mass[inside] * kept)
        empty = np.empty(0, dtype=np.int64)
        return Bins(
            starts=self.starts,
            size=self.size,
            first=np.concatenate([empty, *first]),
            last=np.concatenate([empty, *last]),
            mass=np.concatenate([np.empty(0), *mass]),
        )

    def floor(self, levels: IntArray, at_most: IntArray) -> IntArray:
        """The largest selected cell of each row's level that is ≤ `at_most`; -1 where there is none."""
        if not len(self.first):
            return np.full(len(levels), -1, dtype=np.int64)
        piece = np.searchsorted(self.first, at_most, side="right") - 1
        found = np.where(piece >= 0, np.minimum(self.last[np.maximum(piece, 0)], at_most), -1)
        ends = self.ends[levels]
        beyond = found > ends
        if beyond.any():
            found[beyond] = self.floor(levels[beyond], ends[beyond])
        return np.where(found >= self.starts[levels], found, -1)

    def ceil(self, levels: IntArray, at_least: IntArray) -> IntArray:
        """The smallest selected cell of each row's level that is ≥ `at_least`; `size` where there is none."""
        if not len(self.first):
            return np.full(len(levels), self.size, dtype=np.int64)
        wanted = np.maximum(at_least, self.starts[levels])
        piece = np.searchsorted(self.last, wanted, side="left")
        inside = piece < len(self.first)
        found = np.where(
            inside, np.maximum(self.first[np.minimum(piece, len(self.first) - 1)], wanted), self.size
        )
        return np.where(found <= self.ends[levels], found, self.size)

    def draw(
        self,
        levels: IntArray,
        rng: np.random.Generator,
        low: IntArray | None = None,
        high: IntArray | None = None,
        texture: Texture | None = None,
    ) -> IntArray:
        """A cell of each row's level, shape (n,), by the shape inside; `low` and `high` truncate it (inclusive).

        The truncated interval must hold a selected cell.
        """
        if not len(levels):  # a condition may leave no cell at all, and then no row
            return np.empty(0, dtype=np.int64)
        if low is None and high is None:
            return self._drawn(levels, rng, texture)
        low = self.starts[levels] if low is None else np.maximum(low, self.starts[levels])
        high = self.ends[levels] if high is None else np.minimum(high, self.ends[levels])
        ends = np.cumsum(self.mass)
        before = self._below(low, ends)
        upto = self._below(high + 1, ends)
        target = before + rng.random(len(levels)) * (upto - before)
        piece = np.minimum(np.searchsorted(ends, target, side="right"), len(ends) - 1)
        if texture is None:
            width = (self.last - self.first + 1)[piece]
            inside = (target - (ends - self.mass)[piece]) / self.mass[piece]
            cells = self.first[piece] + np.clip(np.floor(inside * width), 0, width - 1).astype(np.int64)
        else:
            cells = texture.draw(self.first, self.last, piece, rng)
            bounded = (self.first[piece] < low) | (self.last[piece] > high)
            rows = np.flatnonzero(bounded & (self.first[piece] <= high) & (self.last[piece] >= low))
            first, last = np.maximum(self.first[piece], low)[rows], np.minimum(self.last[piece], high)[rows]
            for some in np.array_split(np.arange(len(rows)), len(rows) // CHUNK + 1):
                cells[rows[some]] = texture.draw(first[some], last[some], np.arange(len(some)), rng)
        # Rounding may leave the interval by one cell at its ends, or land on a piece next door.
        low = self.ceil(levels, low)
        return np.asarray(np.minimum(np.maximum(cells, low), self.floor(levels, high)), dtype=np.int64)

    def _drawn(self, levels: IntArray, rng: np.random.Generator, texture: Texture | None) -> IntArray:
        """`draw` without truncation: the common case, and many rows."""
        home = self.levels(self.first)
        every = np.arange(len(self.starts))
        begins = np.searchsorted(home, every, side="left")
        stops = np.searchsorted(home, every, side="right") - 1
        ends = np.cumsum(self.mass)
        share = self.share
        base = np.append(0.0, ends)[begins]
        # Levels of one piece of one cell need no draw: spikes, and columns whose every value is a level.
        plain = (begins == stops) & (self.first[np.minimum(begins, len(home) - 1)] == self.last[stops])
        cells = self.first[np.minimum(begins, len(home) - 1)][levels]
        rows = np.flatnonzero(~plain[levels])
        mine = levels[rows]
        target = base[mine] + rng.random(len(rows)) * share[mine]
        piece = np.searchsorted(ends, target, side="right")
        piece = np.minimum(np.maximum(piece, begins[mine]), stops[mine])
        if texture is not None:
            cells[rows] = texture.draw(self.first, self.last, piece, rng)
            return np.asarray(cells, dtype=np.int64)
        width = (self.last - self.first + 1).astype(np.float64)
        inside = np.floor(rng.random(len(rows)) * width[piece]).astype(np.int64)
        cells[rows] = np.minimum(self.first[piece] + inside, self.last[piece])
        return np.asarray(cells, dtype=np.int64)

    def _below(self, cells: IntArray, ends: FloatArray) -> FloatArray:
        """Mass of the selected cells below each cell."""
        piece = np.searchsorted(self.first, cells, side="right") - 1
        known = np.maximum(piece, 0)
        width = (self.last - self.first + 1)[known]
        part = np.clip((cells - self.first[known]) / width, 0.0, 1.0)
        return np.where(piece >= 0, ends[known] - self.mass[known] * (1.0 - part), 0.0)


def _inside(first: IntArray, last: IntArray, texture: Texture | None) -> FloatArray:
    """How much lies in each interval, relative to others of the same piece."""
    if texture is None:
        return (last - first + 1).astype(np.float64)
    return texture.mass(first, last)


def bins_from(
    leaves: Leaves,
    size: int,
    *,
    max_bins: int,
    smallest: float,
    cuts: Iterable[int] = (),
    spikes: Iterable[int] = (),
    chosen: IntArray | None = None,
) -> Bins:
    """Levels of nearly equal mass, spikes kept apart.

    Args:
        leaves: disjoint intervals with masses, covering the grid.
        size: number of cells.
        max_bins: most bins besides spikes.
        smallest: a bin holds at least this mass where it can.
        cuts: public cells at which a level must begin (constraints).
        spikes: public cells that are a level of their own.
        chosen: first cells of bins that were chosen already; they are kept, and only cuts and spikes added.
    """
    spiked = sorted({spike for spike in spikes if 0 <= spike < size})
    forced = {cut for cut in cuts if 0 < cut < size}
    forced |= {edge for spike in spiked for edge in (spike, spike + 1) if 0 < edge < size}
    inner = forced if chosen is None else forced | set(chosen[chosen > 0].tolist())
    first, last, mass = _split_at(leaves, sorted(inner))
    if chosen is not None:
        edges = np.union1d(chosen, np.array(sorted(forced), dtype=np.int64))
        return normalised(edges, size, first, last, mass)
    total = float(mass.sum())
    single = first == last
    declared = np.isin(first, np.array(spiked, dtype=np.int64)) & single
    density = mass / (last - first + 1)
    around = np.maximum(np.append(0.0, density[:-1]), np.append(density[1:], 0.0))
    stands_out = (mass >= STANDS_OUT * around) & (mass >= max(smallest, total / (SPIKE * max_bins)))
    heavy = declared | (single & stands_out)
    rest = float(mass[~heavy].sum())
    target = max(rest / max_bins, smallest, 1e-9)
    begins = np.isin(first, np.array(sorted(forced), dtype=np.int64)) | heavy
    begins[1:] |= heavy[:-1]
    begins[0] = True
    # A leaf goes to the bin that the middle of its mass falls into, counted from the last level that had to begin.
    middle = np.cumsum(mass) - mass / 2
    segment = np.cumsum(begins) - 1
    offset = (np.cumsum(mass) - mass)[begins][segment]
    place = np.floor((middle - offset) / target)
    begins[1:] |= (place[1:] != place[:-1]) & (segment[1:] == segment[:-1])
    edges = first[begins]
    return normalised(edges, size, first, last, mass)


def normalised(starts: IntArray, size: int, first: IntArray, last: IntArray, mass: FloatArray) -> Bins:
    """Bins whose pieces sum to 1 per level, each piece with a floor of even density."""
    level = np.searchsorted(starts, first, side="right") - 1
    width = (last - first + 1).astype(np.float64)
    total = np.bincount(level, mass, minlength=len(starts))
    widths = np.bincount(level, width, minlength=len(starts))
    even = width / widths[level]
    known = total[level] > 0
    shaped = np.where(known, mass / np.where(known, total[level], 1.0), even)
    return Bins(starts=starts, size=size, first=first, last=last, mass=(1 - FLOOR) * shaped + FLOOR * even)


def identity_bins(size: int) -> Bins:
    """Every cell is a level."""
    cells = np.arange(size, dtype=np.int64)
    return Bins(starts=cells, size=size, first=cells, last=cells, mass=np.ones(size))


def _split_at(leaves: Leaves, edges: Sequence[int]) -> tuple[IntArray, IntArray, FloatArray]:
    """The leaves cut at these cells, mass shared by width."""
    inner = np.setdiff1d(np.array(edges, dtype=np.int64), leaves.first)
    first = np.sort(np.concatenate([leaves.first, inner]))
    last = np.append(first[1:] - 1, leaves.last[-1])
    parent = np.searchsorted(leaves.first, first, side="right") - 1
    share = (last - first + 1) / (leaves.last - leaves.first + 1)[parent]
    return first, last, leaves.mass[parent] * share
