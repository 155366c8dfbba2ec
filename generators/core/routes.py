"""On which way measured marginals are summed up from the tables of a junction tree: each from the smallest table that has it.

Ten marginals inside one large clique would be ten walks through its table, and ten more to add their λ to it. Here a pair inside a measured
triple is summed from that triple's table, and tables on the way are made where they spare more walks than they cost. The sums are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from generators.core.domain import Clique, Domain
from generators.core.junction import JunctionTree
from generators.core.views import View, Views, full_view


@dataclass(frozen=True, slots=True, eq=False)
class Routes:
    """Tables below those of the tree; each stands after the one that it is summed from.

    Attributes:
        places: for each measured view the number of its table.
        cells: of each table.
        sources: from what each is summed: tree clique c (c ≥ 0), or table n (-1 - n).
        maps: for each table, which of its cells each cell of its source adds to; int32.
    """

    places: tuple[int, ...]
    cells: tuple[int, ...]
    sources: tuple[int, ...]
    maps: tuple[npt.NDArray[np.int32], ...]


def plan_routes(tree: JunctionTree, views: Views, wanted: Sequence[View]) -> Routes:
    """Routes to all wanted views, which differ. Raises ValueError where no tree clique holds one."""
    inside: dict[int, list[View]] = {}
    for view in wanted:
        home = tree.home(view.clique)
        if home is None:
            raise ValueError("a view's clique is not in the tree")
        inside.setdefault(home, []).append(view)
    plan = _Plan(views)
    for home, held in inside.items():
        plan.route(home, tree.layout[home], held)
    return Routes(
        tuple(plan.made[view] for view in wanted), tuple(plan.cells), tuple(plan.sources), tuple(plan.maps)
    )


class _Plan:
    def __init__(self, views: Views) -> None:
        self.views = views
        self.made: dict[View, int] = {}
        self.cells: list[int] = []
        self.sources: list[int] = []
        self.maps: list[npt.NDArray[np.int32]] = []

    def route(self, source: int, layout: Clique, wanted: list[View]) -> None:
        """To all of `wanted` from a table of full codes whose axes are `layout`."""
        while (dropped := _worth_dropping(self.views.domain, layout, wanted)) is not None:
            below = full_view(tuple(sorted(a for a in layout if a != dropped)))
            number = self._add(source, layout, below)
            if below in wanted:
                self.made[below] = number
            self.route(
                -1 - number, below.clique, [v for v in wanted if dropped not in v.clique and v != below]
            )
            wanted = [view for view in wanted if dropped in view.clique]
        for view in wanted:
            self.made[view] = self._add(source, layout, view)

    def _add(self, source: int, layout: Clique, view: View) -> int:
        number = len(self.cells)
        self.cells.append(self.views.cells(view))
        self.sources.append(source)
        self.maps.append(self.views.cell_map(layout, view))
        return number


def _worth_dropping(domain: Domain, layout: Clique, wanted: Sequence[View]) -> int | None:
    """The attribute without which a table spares most walks: k views from a table an n-th as large, for one walk more."""
    best, most = None, 1e-9
    for attribute in layout:
        spared = sum(attribute not in view.clique for view in wanted) * (1.0 - 1.0 / domain.sizes[attribute])
        if spared - 1.0 > most:
            best, most = attribute, spared - 1.0
    return best
