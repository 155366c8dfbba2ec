"""Nearest rows and best matches over encoded tables: the one costly step, shared by all probes.

Blocked brute force, exact, in threads over slices of the targets: no index structure helps in fifteen mixed
dimensions, and the searched side is never subsampled. Memory is a few blocks, whatever the tables' sizes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attacks.deadline import check
from attacks.encoding import F32, I32, I64, Encoded
from release.protocols import Progress, no_progress

TARGETS_PER_SLICE = 256
"""Targets per call of a compiled loop: about a second of work against a million rows, so that Ctrl-C answers soon."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The k nearest rows of each target, nearest first, ties by row number.

    Attributes:
        distance: (m, k) float32, sums over columns; infinity where there are fewer rows.
        index: (m, k) row numbers; -1 where there are fewer rows.
    """

    distance: F32
    index: I64

    def first(self, k: int) -> Neighbours:
        """The k nearest of these. Raises ValueError where so many were not searched."""
        if k > self.distance.shape[1]:
            raise ValueError(f"{k} neighbours are wanted, {self.distance.shape[1]} were searched")
        return Neighbours(self.distance[:, :k], self.index[:, :k])

    def merged(self, other: Neighbours, offset: int) -> Neighbours:
        """The nearest of both, where the other's rows stand behind `offset` rows of ours."""
        k = max(self.distance.shape[1], other.distance.shape[1])
        distance = np.concatenate([self.distance, other.distance], axis=1)
        index = np.concatenate([self.index, np.where(other.index >= 0, other.index + offset, -1)], axis=1)
        order = np.argsort(distance, axis=1, kind="stable")[:, :k]
        return Neighbours(np.take_along_axis(distance, order, 1), np.take_along_axis(index, order, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The row that shares the greatest weight of equal cells with each target.

    Attributes:
        score: (m,) shared weight; -1 where there are no rows. index: (m,) row number, -1 where there are no rows.
    """

    score: F32
    index: I64

    def merged(self, other: Matches, offset: int) -> Matches:
        """The better of both, ours where equal."""
        better = other.score > self.score
        return Matches(
            np.where(better, other.score, self.score).astype(np.float32),
            np.where(better, other.index + offset, self.index),
        )


def nearest(
    targets: Encoded,
    base: Encoded,
    k: int = 1,
    columns: npt.NDArray[np.int64] | None = None,
    progress: Progress = no_progress,
) -> Neighbours:
    """The k nearest rows of `base` by truncated Gower L1 over `columns` (all where None)."""
    from attacks import kernels

    used = np.arange(targets.values.shape[0]) if columns is None else columns
    m = targets.n_rows
    distance = np.full((m, k), np.inf, np.float32)
    index = np.full((m, k), -1, np.int64)

    def part(start: int, stop: int) -> None:
        kernels.nearest(
            np.ascontiguousarray(targets.values[:, start:stop]),
            base.values,
            used,
            k,
            distance[start:stop],
            index[start:stop],
        )

    in_threads(m, part, progress)
    return Neighbours(distance, index)


def nearest_without(
    targets: Encoded,
    base: Encoded,
    left_out: npt.NDArray[np.int64],
    progress: Progress = no_progress,
    columns: npt.NDArray[np.int64] | None = None,
) -> Neighbours:
    """The nearest row by all of `columns` (all where None) but one, for each one of `left_out`: arrays (m, len(left_out))."""
    from attacks import kernels

    used = np.arange(targets.values.shape[0]) if columns is None else columns
    m, q = targets.n_rows, len(left_out)
    distance = np.full((m, q), np.inf, np.float32)
    index = np.full((m, q), -1, np.int64)

    def part(start: int, stop: int) -> None:
        d = np.full((q, stop - start), np.inf, np.float32)
        i = np.full((q, stop - start), -1, np.int64)
        kernels.nearest_without(
            np.ascontiguousarray(targets.values[:, start:stop]), base.values, used, left_out, d, i
        )
        distance[start:stop] = d.T
        index[start:stop] = i.T

    in_threads(m, part, progress)
    return Neighbours(distance, index)


def best_match(targets: Encoded, base: Encoded, weights: F32, progress: Progress = no_progress) -> Matches:
    """The row of `base` with the greatest weight of cells equal to each target's; weights are (d, m)."""
    from attacks import kernels

    m = targets.n_rows
    score = np.full(m, -1.0, np.float32)
    index = np.full(m, -1, np.int64)

    def part(start: int, stop: int) -> None:
        kernels.best_match(
            np.ascontiguousarray(targets.codes[:, start:stop]),
            base.codes,
            np.ascontiguousarray(weights[:, start:stop]),
            score[start:stop],
            index[start:stop],
        )

    in_threads(m, part, progress)
    return Matches(score, index)


def graded_match(
    targets: Encoded, base: Encoded, reach: F32, weights: F32, k: int = 1, progress: Progress = no_progress
) -> F32:
    """(m, k) the greatest weights of near cells, greatest first, -1 where there are fewer rows.

    Reaches are (g, d), weights (g, d, m).
    """
    from attacks import kernels

    m = targets.n_rows
    score = np.full((m, k), -1.0, np.float32)

    def part(start: int, stop: int) -> None:
        kernels.graded_match(
            np.ascontiguousarray(targets.values[:, start:stop]),
            base.values,
            reach,
            np.ascontiguousarray(weights[:, :, start:stop]),
            score[start:stop],
        )

    in_threads(m, part, progress)
    return score


def row_hashes(codes: I32) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each row of codes (d, n): equal rows have equal hashes; others differ but for chance 2⁻⁶⁴."""
    result = np.full(codes.shape[1], 0x9E3779B97F4A7C15, np.uint64)
    for column in codes:
        mixed = column.astype(np.int64).view(np.uint64) + result * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
        mixed *= np.uint64(0x94D049BB133111EB)
        result = mixed ^ (mixed >> np.uint64(32))
    return result


def in_threads(m: int, part: Callable[[int, int], None], progress: Progress = no_progress) -> None:
    """Run `part(start, stop)` over slices of the targets; Ctrl-C and a probe's limit stop between slices."""
    slices = [(start, min(start + TARGETS_PER_SLICE, m)) for start in range(0, m, TARGETS_PER_SLICE)]
    workers = min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 16
    )
    pool = ThreadPoolExecutor(workers)
    try:
        running = [pool.submit(part, *piece) for piece in slices]
        for done, future in enumerate(running, start=1):
            future.result()
            check()
            progress(done / len(slices), f"{min(done * TARGETS_PER_SLICE, m):,} of {m:,} records compared")
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
