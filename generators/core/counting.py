"""Counting marginals: every wanted one in one pass over the rows.

Wanted marginals are packed into blocks (`core.covering`); the kernel walks the rows once, in chunks that stay in cache, and
increments all block tables; wanted marginals are folded from those.
Exact integers. Rows that repeat can be collapsed to weights first.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.core.covering import Block, cover
from generators.core.domain import Clique, Codes, Domain
from generators.core.jit import kernel

IntTable = npt.NDArray[np.int64]

_CHUNK = 1 << 13
_THREADS = 2

_WORTH = 200_000
"""Fewer rows than this are counted as they are: a pass over them takes milliseconds."""
_LOOK = 8
"""Collapsing goes on after the first n/8 rows only where at most 70 % of them differ."""


@kernel
def _count_blocks(
    narrow: Any,
    wide: Any,
    weights: Any,
    source: Any,
    stride: Any,
    offset: Any,
    begin: int,
    end: int,
    out: Any,
) -> None:
    """Add rows begin … end to the tables in `out`.

    narrow (a, n) uint8 and wide (b, n) int32 hold the columns; source[block, k] ≥ 0 is a row of `narrow`, < -1 is row
    -2 - source of `wide`, -1 ends the block. weights: (n,) or (1,) for rows that count once.
    """
    index = np.empty(_CHUNK, dtype=np.int32)
    weighted = weights.shape[0] > 1
    start = begin
    while start < end:
        m = min(_CHUNK, end - start)
        for block in range(source.shape[0]):
            base = np.int32(offset[block])
            first = True
            for k in range(source.shape[1]):
                column = source[block, k]
                if column == -1:
                    break
                step = np.int32(stride[block, k])
                if column >= 0:
                    values = narrow[column, start : start + m]
                    if first:
                        for i in range(m):
                            index[i] = base + np.int32(values[i]) * step
                    else:
                        for i in range(m):
                            index[i] += np.int32(values[i]) * step
                else:
                    codes = wide[-2 - column, start : start + m]
                    if first:
                        for i in range(m):
                            index[i] = base + codes[i] * step
                    else:
                        for i in range(m):
                            index[i] += codes[i] * step
                first = False
            if weighted:
                for i in range(m):
                    out[index[i]] += weights[start + i]
            else:
                for i in range(m):
                    out[index[i]] += 1
        start += m


@kernel
def _mix_in(codes: Any, state: Any) -> None:
    """Fold one column into the rows' 64-bit hashes (SplitMix64's output function); in place."""
    for i in range(codes.shape[0]):
        z = (state[i] ^ np.uint64(codes[i])) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state[i] = z ^ (z >> np.uint64(31))


@kernel
def _distinct(
    narrow: Any, wide: Any, weights: Any, hashes: Any, look: int, most: int, first: Any, total: Any
) -> int:
    """Write into `first` the number of the first row of each different one, into `total` its weight; how many there are.

    -1 where more than `most` differ, or more than 70 % of the first `look`. Rows of one hash are compared cell by cell.
    """
    n = hashes.shape[0]
    size = 16
    while size < 2 * most + 2:
        size *= 2
    mask = np.uint64(size - 1)
    slots = np.full(size, -1, dtype=np.int32)
    weighted = weights.shape[0] > 1
    found = 0
    for i in range(n):
        place = hashes[i] & mask
        while True:
            entry = slots[place]
            if entry < 0:
                if found >= most:
                    return -1
                slots[place] = found
                first[found] = i
                total[found] = weights[i] if weighted else 1
                found += 1
                break
            other = first[entry]
            same = hashes[other] == hashes[i]
            if same:
                for a in range(narrow.shape[0]):
                    if narrow[a, other] != narrow[a, i]:
                        same = False
                        break
            if same:
                for a in range(wide.shape[0]):
                    if wide[a, other] != wide[a, i]:
                        same = False
                        break
            if same:
                total[entry] += weights[i] if weighted else 1
                break
            place = (place + np.uint64(1)) & mask
        if i + 1 == look and found > 0.7 * look:
            return -1
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Coded rows, packed for the kernel. Private data: only a `Measurer` holds one in a run.

    Attributes:
        domain: what the codes mean.
        narrow: (attributes of at most 256 codes, n) uint8.
        wide: (the others, n) int32.
        place: for each attribute its row in `narrow` (≥ 0) or -2 - its row in `wide`.
        weights: (n,) int32 where rows were collapsed, else a single 1.
    """

    domain: Domain
    narrow: npt.NDArray[np.uint8]
    wide: npt.NDArray[np.int32]
    place: tuple[int, ...]
    weights: npt.NDArray[np.int32]

    @classmethod
    def of(cls, domain: Domain, codes: Codes, weights: npt.NDArray[np.int32] | None = None) -> Rows:
        """Pack one vector per attribute. Raises ValueError where a code is outside its attribute.

        Args:
            domain: what the codes mean.
            codes: one vector per attribute.
            weights: how many rows each stands for; one each where not given.
        """
        n = len(codes[0]) if codes else 0
        for column, size in zip(codes, domain.sizes, strict=True):
            if len(column) != n or (n and int(column.max()) >= size):
                raise ValueError("codes differ in length or lie outside their attribute")
        thin = [a for a, size in enumerate(domain.sizes) if size <= 256]
        thick = [a for a, size in enumerate(domain.sizes) if size > 256]
        narrow = np.empty((len(thin), n), dtype=np.uint8)
        wide = np.empty((len(thick), n), dtype=np.int32)
        place = [0] * len(domain)
        for row, attribute in enumerate(thin):
            narrow[row] = codes[attribute]
            place[attribute] = row
        for row, attribute in enumerate(thick):
            wide[row] = codes[attribute]
            place[attribute] = -2 - row
        one_each = np.ones(1, dtype=np.int32)
        return cls(domain, narrow, wide, tuple(place), one_each if weights is None else weights)

    def collapsed(self) -> Rows:
        """The same table with repeated rows as weights, where at least half of many rows are repeats; else itself."""
        n = len(self)
        if n < _WORTH:
            return self
        hashes = np.zeros(n, dtype=np.uint64)
        for columns in (self.narrow, self.wide):
            for column in columns:
                _mix_in(column, hashes)
        first, total = np.empty(n // 2, dtype=np.int32), np.empty(n // 2, dtype=np.int32)
        found = _distinct(self.narrow, self.wide, self.weights, hashes, n // _LOOK, n // 2, first, total)
        if found < 0:
            return self
        kept = first[:found]
        # A single weight would read as "one each".
        if found == 1:
            kept, total = np.repeat(kept, 2), np.array([total[0], 0], dtype=np.int32)
        return Rows(
            self.domain,
            np.ascontiguousarray(self.narrow[:, kept]),
            np.ascontiguousarray(self.wide[:, kept]),
            self.place,
            total[: len(kept)].copy(),
        )

    def __len__(self) -> int:
        """Number of packed rows (after collapsing: of different ones)."""
        return int(self.narrow.shape[1])

    def column(self, attribute: int) -> npt.NDArray[Any]:
        """The codes of one attribute, unweighted."""
        place = self.place[attribute]
        found: npt.NDArray[Any] = self.narrow[place] if place >= 0 else self.wide[-2 - place]
        return found


def count(rows: Rows, cliques: Sequence[Clique]) -> list[IntTable]:
    """The marginals of the cliques, each an int64 array of the shape of its attributes' sizes."""
    return count_blocks(rows, cover(rows.domain, cliques), cliques)


def count_blocks(rows: Rows, blocks: Sequence[Block], cliques: Sequence[Clique]) -> list[IntTable]:
    """The same by way of blocks that are known; those without any of the cliques are left out."""
    wanted = set(cliques)
    needed = [block for block in blocks if not wanted.isdisjoint(block.members)]
    found: dict[Clique, IntTable] = {}
    for block, table in zip(needed, _count_all(rows, [block.clique for block in needed]), strict=True):
        found.update(block.fold(rows.domain, table))
    return [found[clique] for clique in cliques]


def _count_all(rows: Rows, blocks: Sequence[Clique]) -> list[IntTable]:
    """One flat table per block. Work is cut into batches so that a batch's tables stay below 2^27 cells."""
    tables: list[IntTable] = []
    batch: list[Clique] = []
    cells = 0
    for block in blocks:
        size = rows.domain.cells(block)
        if batch and cells + size > 1 << 27:
            tables += _count_batch(rows, batch)
            batch, cells = [], 0
        batch.append(block)
        cells += size
    return tables + (_count_batch(rows, batch) if batch else [])


def _count_batch(rows: Rows, blocks: Sequence[Clique]) -> list[IntTable]:
    width = max(max((len(block) for block in blocks), default=1), 1)
    source = np.full((len(blocks), width), -1, dtype=np.int32)
    stride = np.zeros((len(blocks), width), dtype=np.int32)
    offset = np.zeros(len(blocks) + 1, dtype=np.int64)
    for number, block in enumerate(blocks):
        step = 1
        for k in range(len(block) - 1, -1, -1):
            source[number, k] = rows.place[block[k]]
            stride[number, k] = step
            step *= rows.domain.sizes[block[k]]
        offset[number + 1] = offset[number] + step
    n = len(rows)
    threads = _THREADS if n * len(blocks) > 2_000_000 else 1
    edges = np.linspace(0, n, threads + 1).astype(np.int64)
    parts = [np.zeros(int(offset[-1]), dtype=np.int32) for _ in range(threads)]

    def work(part: int) -> None:
        _count_blocks(
            rows.narrow,
            rows.wide,
            rows.weights,
            source,
            stride,
            offset,
            int(edges[part]),
            int(edges[part + 1]),
            parts[part],
        )

    if threads == 1:
        work(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
    total = parts[0].astype(np.int64)
    for part in parts[1:]:
        total += part
    return [total[offset[number] : offset[number + 1]] for number in range(len(blocks))]
