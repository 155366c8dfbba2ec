"""How surprising a set of equal cells is: the measure of "this match is no accident".

A forest of pairwise dependencies (Chow and Liu 1968) is read off the candidate itself. The probability of any subset
of a row's cells is then the product along the maximum-information tree over just those columns. Marginal-based
generators are such trees, or little more, so that their own accidental matches are not taken for copies; what
dependencies beyond pairs add is covered by a margin in the probes that use this.

Columns with many values are cut into at most 16 bins; inside a bin a value has its own frequency in the candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attacks.encoding import F32, I32, I64, Encoded

F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

BINS = 16
LARGEST_FIT = 100_000
"""Pairwise tables are counted on this many rows at most (evenly spaced): they estimate probabilities, and search nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class TreeRarity:
    """Pairwise model of a table.

    Attributes:
        known: per column, the codes seen, ascending. bin_of: per column, their bins. frequency: per column, log₂ p(code | bin).
        sizes: (d,) bins per column. log_single, single_offsets: log₂ p(bin), one column after the other.
        log_joint, offsets: log₂ p(bin_i, bin_j), pair after pair. information: (d, d) mutual information in bits.
    """

    known: tuple[npt.NDArray[np.generic], ...]
    bin_of: tuple[I64, ...]
    frequency: tuple[F64, ...]
    single: tuple[F64, ...]
    rows: int
    sizes: I64
    log_single: F32
    single_offsets: I64
    log_joint: F32
    offsets: I64
    information: F64

    @classmethod
    def of(cls, table: Encoded) -> TreeRarity:
        """Count the tables of all pairs of columns."""
        step = max(1, -(-table.n_rows // LARGEST_FIT))
        codes = table.codes[:, ::step]
        d, n = codes.shape
        known, bin_of, frequency, single = [], [], [], []
        bins = np.empty((d, n), np.int64)
        for place, column in enumerate(codes):
            values, inverse, counts = np.unique(column, return_inverse=True, return_counts=True)
            groups = _binned(counts)
            per_bin = np.bincount(groups, weights=counts, minlength=1)
            known.append(values)
            bin_of.append(groups)
            frequency.append(np.log2(counts / per_bin[groups]) if n else np.zeros(0))
            single.append(counts.astype(np.float64))
            bins[place] = groups[inverse] if n else 0
        sizes = np.array([int(groups.max(initial=0)) + 1 for groups in bin_of], np.int64)
        log_single, single_offsets = _log_singles(bins, sizes)
        log_joint, offsets, information = _log_joints(bins, sizes)
        return cls(
            tuple(known),
            tuple(bin_of),
            tuple(frequency),
            tuple(single),
            n,
            sizes,
            log_single,
            single_offsets,
            log_joint,
            offsets,
            information,
        )

    def cell_bits(self, rows: Encoded) -> F32:
        """(d, m) −log₂ of each cell's frequency; a value that does not occur counts as half an occurrence."""
        result = np.empty(rows.codes.shape, np.float32)
        for place, column in enumerate(rows.codes):
            where, seen = self._find(place, column)
            counts = (
                np.where(seen, self.single[place][where], 0.5)
                if len(self.single[place])
                else np.full(len(column), 0.5)
            )
            result[place] = -np.log2(counts / max(self.rows + 0.5, 1.0))
        return result

    def match_bits(self, rows: Encoded, match: Bool, number: I64) -> F64:
        """(m,) −log₂ of the probability that a random row has the cells of each row where `match` (d, m) is True.

        A number that stands in the row again counts once: `number` (d, m) gives equal ids to equal numbers, -1 to the rest.
        """
        from attacks import kernels

        d, m = rows.codes.shape
        bins = np.zeros((d, m), np.int32)
        within = np.zeros((d, m), np.float32)
        for place, column in enumerate(rows.codes):
            where, seen = self._find(place, column)
            if len(self.known[place]):
                bins[place] = np.where(seen, self.bin_of[place][where], 0)
                within[place] = np.where(seen, self.frequency[place][where], 0.0)
        bits = np.zeros(m)
        kernels.tree_bits(
            match,
            bins,
            within,
            number,
            self.information,
            self.offsets,
            self.sizes,
            self.log_joint,
            self.log_single,
            self.single_offsets,
            bits,
        )
        return bits

    def _find(self, place: int, column: I32) -> tuple[npt.NDArray[np.intp], Bool]:
        known = self.known[place]
        if not len(known):
            return np.zeros(len(column), np.intp), np.zeros(len(column), bool)
        where = np.minimum(np.searchsorted(known, column), len(known) - 1)
        return where, np.asarray(known[where] == column)


def _binned(counts: npt.NDArray[np.generic]) -> I64:
    """Groups of neighbouring codes with about equal numbers of rows; every frequent code has a bin of its own."""
    if len(counts) <= BINS:
        return np.arange(len(counts), dtype=np.int64)
    number = np.asarray(counts, np.float64)
    groups = np.floor((np.cumsum(number) - number / 2) / number.sum() * BINS).astype(np.int64)
    return np.asarray(np.unique(groups, return_inverse=True)[1], np.int64)


def _log_singles(bins: I64, sizes: I64) -> tuple[F32, I64]:
    parts = [
        _log_share(np.bincount(column, minlength=size)) for column, size in zip(bins, sizes, strict=True)
    ]
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    return np.concatenate(parts).astype(np.float32), offsets


def _log_joints(bins: I64, sizes: I64) -> tuple[F32, I64, F64]:
    d = len(sizes)
    offsets = np.zeros((d, d), np.int64)
    information = np.zeros((d, d))
    parts, start = [], 0
    for i in range(d):
        for j in range(i):
            table = np.bincount(bins[i] * sizes[j] + bins[j], minlength=int(sizes[i] * sizes[j]))
            log = _log_share(table).reshape(int(sizes[i]), int(sizes[j]))
            joint = 2.0**log
            independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
            information[i, j] = information[j, i] = float((joint * (log - np.log2(independent))).sum())
            for a, b, block in ((i, j, log), (j, i, log.T)):
                offsets[a, b] = start
                parts.append(np.ascontiguousarray(block).ravel())
                start += log.size
    return (np.concatenate(parts) if parts else np.zeros(1)).astype(np.float32), offsets, information


def _log_share(counts: npt.NDArray[np.generic]) -> F64:
    smooth = np.asarray(counts, np.float64) + 0.5
    return np.asarray(np.log2(smooth / smooth.sum()), np.float64)
