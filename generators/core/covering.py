"""Which marginals are counted together: blocks, larger marginals whose table stays in cache, from which wanted ones are folded.

105 pairs of 15 small attributes become about 30 blocks, and as many passes over the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.core.domain import Clique, Domain
from generators.core.folding import fold_down
from generators.core.routes import Ways, plan_ways

BLOCK_CELLS = 1 << 15
"""Cells of a block: 128 KiB of int32, so that it stays in a core's cache beside the rows."""

_GREEDY = 6_000
"""With more wanted marginals than this the greedy cover would take longer than it saves."""

_ATTRIBUTES = 12
"""Attributes of a block: those of one level cost no cells, but each is an axis, and an array has at most 32."""

_GROWS = 3
"""Blocks grow from cliques of at most so many attributes."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A marginal to count, those to fold from it, and on which way."""

    clique: Clique
    members: tuple[Clique, ...]
    ways: Ways

    @classmethod
    def of(cls, domain: Domain, clique: Clique, members: Sequence[Clique]) -> Block:
        """Plan the way to all members, which lie inside the clique."""
        return cls(clique, tuple(members), plan_ways(domain, clique, members))

    def fold(self, domain: Domain, table: npt.NDArray[np.int64]) -> Iterator[tuple[Clique, npt.NDArray[Any]]]:
        """Each member with its marginal, of its attributes' shape, from the block's own, flat."""
        ways = self.ways
        sums = np.empty(int(ways.start[-1]), dtype=np.int64)
        none = np.zeros(0, dtype=np.int64)
        fold_down(table, sums, 0, len(ways.source), ways.start, ways.source, ways.step, none)
        for clique, place in zip(self.members, ways.places, strict=True):
            yield clique, sums[ways.start[place] : ways.start[place + 1]].reshape(domain.shape(clique))


def cover(domain: Domain, cliques: Sequence[Clique], *, most_cells: int = BLOCK_CELLS) -> list[Block]:
    """Blocks that together contain every wanted clique, each clique in one.

    Greedy: start from a wanted clique that is not covered yet, add the attribute that covers most further ones while the
    table has at most `most_cells`.
    """
    if len(cliques) > _GREEDY:
        return _by_groups(domain, cliques)
    left = dict.fromkeys(sorted(set(cliques), key=lambda clique: (-domain.cells(clique), clique)))
    blocks: list[Block] = []
    while left:
        block = set(next(iter(left)))
        members = [next(iter(left))]
        if len(block) <= _GROWS:
            while len(block) < _ATTRIBUTES:
                cells = domain.cells(block)
                open_to = [
                    a for a in range(len(domain)) if a not in block and cells * domain.sizes[a] <= most_cells
                ]
                gain, best = max(((_gain(left, block, a), -a) for a in open_to), default=(0, 0))
                if gain <= (len(block) == 2):
                    break
                block.add(-best)
            inside = [c for k in (1, 2, 3) for c in combinations(sorted(block), k) if c in left]
            members = inside if members[0] in inside else [*members, *inside]
        for clique in members:
            del left[clique]
        blocks.append(Block.of(domain, tuple(sorted(block)), members))
    return blocks


def _gain(left: dict[Clique, None], block: set[int], attribute: int) -> int:
    """How many wanted pairs and triples the attribute would bring into the block."""
    found = sum((min(attribute, b), max(attribute, b)) in left for b in block)
    for b, c in combinations(block, 2):
        found += tuple(sorted((attribute, b, c))) in left
    return found


def _by_groups(domain: Domain, cliques: Sequence[Clique]) -> list[Block]:
    """A quick cover for very many pairs: attributes in groups, a block for each two groups; the rest by themselves."""
    group = [0] * len(domain)
    number, cells, width = 0, 1, 0
    for attribute, size in enumerate(domain.sizes):
        if cells * size > BLOCK_CELLS**0.5 or 2 * width >= _ATTRIBUTES:
            number, cells, width = number + 1, 1, 0
        group[attribute] = number
        cells *= size
        width += 1
    members: dict[tuple[int, int], list[Clique]] = {}
    alone: list[Clique] = []
    for clique in dict.fromkeys(cliques):
        if len(clique) == 2:
            members.setdefault((group[clique[0]], group[clique[1]]), []).append(clique)
        else:
            alone.append(clique)
    return [
        *(Block.of(domain, clique, [clique]) for clique in alone),
        *(
            Block.of(domain, tuple(sorted({a for pair in pairs for a in pair})), pairs)
            for pairs in members.values()
        ),
    ]
