"""The marginals that compete to be measured: pairs and triples, with public weights and the noise they would leave.

All of it follows from public facts and noised counts. Which of them keep the junction tree inside its size cap is asked
anew each round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from generators.core import junction
from generators.core.covering import Block, cover
from generators.core.domain import Clique, Domain, StructuralZeros
from generators.core.inference import Measurement
from generators.core.views import View, Views, full_view

MOST_TRIPLES = 6_000
"""With more triples than this only those with the task's target compete: counting them all each round would cost more
than they bring."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Views with their weights and numbers of cells (shape (candidates,)), their different cliques, and the blocks to count these by."""

    views: tuple[View, ...]
    cliques: tuple[Clique, ...]
    blocks: tuple[Block, ...]
    weights: npt.NDArray[np.float64]
    cells: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls,
        views: Views,
        targets: Sequence[int],
        *,
        most_cells: float,
        weight: Callable[[Clique], float],
        coarse: bool = False,
    ) -> Candidates:
        """Pairs and triples with at most `most_cells` cells.

        Args:
            views: of the domain.
            targets: the task's target's attributes.
            most_cells: larger ones would drown in their own noise.
            weight: of a clique.
            coarse: in all resolutions.
        """
        d = len(views.domain)
        cliques: list[Clique] = list(combinations(range(d), 2))
        triples = combinations(range(d), 3)
        if d * (d - 1) * (d - 2) // 6 <= MOST_TRIPLES:
            cliques += triples
        else:
            cliques += [triple for triple in triples if set(targets).intersection(triple)]
        found = [
            view
            for clique in cliques
            for view in (views.resolutions(clique) if coarse else (full_view(clique),))
            if views.cells(view) <= most_cells
        ]
        different = tuple(dict.fromkeys(view.clique for view in found))
        return cls(
            views=tuple(found),
            cliques=different,
            blocks=tuple(cover(views.domain, different)),
            weights=np.array([weight(view.clique) for view in found]),
            cells=np.array([float(views.cells(view)) for view in found]),
        )

    def fitting(
        self,
        domain: Domain,
        measurements: Sequence[Measurement],
        zeros: Sequence[StructuralZeros],
        most_cells: float,
    ) -> npt.NDArray[np.intp]:
        """Numbers of those with which the junction tree has at most `most_cells` cells."""
        if not self.views:
            return np.zeros(0, dtype=np.intp)
        model = {m.clique for m in measurements} | {factor.clique for factor in zeros}
        sizes = junction.candidate_cells(domain, model, self.cliques)
        fits = dict(zip(self.cliques, sizes <= most_cells, strict=True))
        return np.flatnonzero([fits[view.clique] for view in self.views])
