"""On which way marginals are summed up from the tables of a junction tree: one axis at a time, each from the smallest table that has it.

Every step folds one axis of a table: it sums the axis away, or its codes into groups. Such a step is a loop over runs of neighbouring cells,
without a map from cell to cell, and several marginals share it: a pair inside a measured triple is summed from that triple's table. The
separators that belief propagation sends its messages over are marginals like others. The same steps backwards add a marginal's λ to the
log-potentials of its tree clique.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from generators.core.domain import Clique, Domain, FloatTable
from generators.core.junction import JunctionTree
from generators.core.views import View, Views, full_view

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Routes:
    """Tables below those of the tree, all in one flat vector; those of one tree clique stand together, each after the one it is summed from.

    A table is its source, an array (outer, size, inner), with the middle axis folded to `width` places.

    Attributes:
        places: for each wanted view the number of its table.
        axes: for each wanted view its attributes in the order of its table's axes.
        spans: (runs, 2) where the cells of wanted tables begin and end; between them lie those of tables that are only on the way.
        first: (tree cliques + 1,) where the tables of each tree clique begin.
        joint: for each tree clique the table, below its parent, of its separator; -1 for a root.
        start: (tables + 1,) where each table's cells begin.
        source: the table that each is summed from; -1: the tree clique's own.
        step: (tables, 5) of each table its outer, size, inner and width, and where its axis's grouping begins in `groups`; -1: summed away.
        groups: flat: for each code of a grouped axis its group.
    """

    places: tuple[int, ...]
    axes: tuple[Clique, ...]
    spans: Ints
    first: Ints
    joint: Ints
    start: Ints
    source: Ints
    step: Ints
    groups: Ints

    @property
    def cells(self) -> int:
        """Cells that all steps together walk through."""
        return int(self.step[:, :3].prod(axis=1).sum())

    def spread(self, views: Sequence[View], tables: Sequence[FloatTable]) -> FloatTable:
        """One flat vector over all tables from one table for each wanted view; 0 in those that are only on the way."""
        flat = np.zeros(int(self.start[-1]))
        for place, axes, view, table in zip(self.places, self.axes, views, tables, strict=True):
            turned = table.transpose([view.clique.index(a) for a in axes])
            flat[self.start[place] : self.start[place + 1]] = turned.reshape(-1)
        return flat

    def gather(self, views: Views, wanted: Sequence[View], flat: FloatTable) -> list[FloatTable]:
        """For each wanted view its table, of the view's shape, from such a vector."""
        found = []
        for place, axes, view in zip(self.places, self.axes, wanted, strict=True):
            shape = dict(zip(view.clique, views.shape(view), strict=True))
            table = flat[self.start[place] : self.start[place + 1]].reshape([shape[a] for a in axes])
            found.append(np.ascontiguousarray(table.transpose([axes.index(a) for a in view.clique])))
        return found


def plan_routes(tree: JunctionTree, views: Views, wanted: Sequence[View]) -> Routes:
    """Routes to all wanted views, which differ, and to every separator. Raises ValueError where no tree clique holds a view."""
    inside: list[dict[View, None]] = [{} for _ in tree.layout]
    homes: list[int] = []
    for view in wanted:
        home = tree.home(view.clique)
        if home is None:
            raise ValueError("a view's clique is not in the tree")
        homes.append(home)
        inside[home][view] = None
    separators = [full_view(tuple(sorted(tree.separator(c)))) for c in range(len(tree.layout))]
    for clique, parent in enumerate(tree.parent):
        if parent >= 0:
            inside[parent][separators[clique]] = None
    plan = _Plan(views)
    made: list[dict[View, int]] = []
    first = [0]
    for layout, held in zip(tree.layout, inside, strict=True):
        made.append(plan.ways(layout, list(held)))
        first.append(len(plan.steps))
    places = tuple(made[home][view] for home, view in zip(homes, wanted, strict=True))
    joint = [made[p][separators[c]] if p >= 0 else -1 for c, p in enumerate(tree.parent)]
    start, source, step = plan.arrays()
    return Routes(
        places=places,
        axes=tuple(plan.steps[place].axes for place in places),
        spans=_runs(start, sorted(places)),
        first=np.array(first, dtype=np.int64),
        joint=np.array(joint, dtype=np.int64),
        start=start,
        source=source,
        step=step,
        groups=np.concatenate([np.zeros(0, dtype=np.int64), *plan.groups]),
    )


def _runs(start: Ints, tables: Sequence[int]) -> Ints:
    """Begin and end of each run of neighbouring tables."""
    found: list[list[int]] = []
    for table in tables:
        begin, end = int(start[table]), int(start[table + 1])
        if found and found[-1][1] == begin:
            found[-1][1] = end
        else:
            found.append([begin, end])
    return np.array(found, dtype=np.int64).reshape(-1, 2)


class Ways(NamedTuple):
    """Ways from one table to marginals of it: `places` of the wanted ones, and as in `Routes`."""

    places: tuple[int, ...]
    start: Ints
    source: Ints
    step: Ints


def plan_ways(domain: Domain, layout: Clique, wanted: Sequence[Clique]) -> Ways:
    """Ways from a table whose axes are `layout` to cliques inside it."""
    plan = _Plan(Views.full(domain))
    made = plan.ways(layout, [full_view(clique) for clique in wanted])
    return Ways(tuple(made[full_view(clique)] for clique in wanted), *plan.arrays())


class _Step(NamedTuple):
    """One table: its axes' attributes, and how it is folded from its source (`Routes`)."""

    axes: Clique
    source: int
    outer: int
    size: int
    inner: int
    width: int = 1
    group: int = -1


class _Plan:
    """Steps in the making."""

    def __init__(self, views: Views) -> None:
        self.views = views
        self.steps: list[_Step] = []
        self.groups: list[Ints] = []

    def arrays(self) -> tuple[Ints, Ints, Ints]:
        """Of all tables `start`, `source` and `step`, as in `Routes`."""
        cells = [step.outer * step.width * step.inner for step in self.steps]
        return (
            np.cumsum([0, *cells], dtype=np.int64),
            np.array([step.source for step in self.steps], dtype=np.int64),
            np.array([step[2:] for step in self.steps], dtype=np.int64).reshape(-1, 5),
        )

    def ways(self, layout: Clique, wanted: Sequence[View]) -> dict[View, int]:
        """To all wanted views from a tree clique's own table; the number of each one's table."""
        made: dict[View, int] = {}
        self._route(-1, layout, wanted, made)
        return made

    def _route(self, source: int, layout: Clique, wanted: Sequence[View], made: dict[View, int]) -> None:
        """From a table of full codes. What most views can do without is summed away first, of the largest axes."""
        sizes = self.views.domain.sizes
        smaller = [view for view in wanted if len(view.clique) < len(layout)]
        for view in wanted:
            if view not in smaller:
                made[view] = self._grouped(source, layout, view)
        while smaller:
            spared = {a: sum(a not in view.clique for view in smaller) for a in layout}
            dropped = max(
                (a for a in layout if spared[a]), key=lambda a: (spared[a] * (1.0 - 1.0 / sizes[a]), sizes[a])
            )
            below = self._fold(source, layout, [sizes[a] for a in layout], dropped)
            rest = [view for view in smaller if dropped not in view.clique]
            self._route(below, self.steps[below].axes, rest, made)
            smaller = [view for view in smaller if dropped in view.clique]

    def _grouped(self, source: int, layout: Clique, view: View) -> int:
        """The view of a table of its attributes' full codes, an axis at a time; of a tree clique's own at least a copy."""
        shape = [self.views.domain.sizes[a] for a in layout]
        resolution = dict(zip(view.clique, view.resolution, strict=True))
        for attribute in layout:
            if resolution[attribute]:
                grouping = self.views.grouping(attribute, resolution[attribute])
                source = self._fold(source, layout, shape, attribute, grouping)
                shape[layout.index(attribute)] = self.views.size(attribute, resolution[attribute])
        if source < 0:
            self.steps.append(_Step(layout, source, outer=1, size=1, inner=math.prod(shape)))
            return len(self.steps) - 1
        return source

    def _fold(
        self, source: int, layout: Clique, shape: Sequence[int], attribute: int, grouping: Ints | None = None
    ) -> int:
        """A table with one axis summed away, or into groups."""
        axis = layout.index(attribute)
        step = _Step(layout, source, math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :]))
        if grouping is None:
            step = step._replace(axes=layout[:axis] + layout[axis + 1 :])
        else:
            step = step._replace(width=int(grouping.max()) + 1, group=sum(map(len, self.groups)))
            self.groups.append(grouping.astype(np.int64))
        self.steps.append(step)
        return len(self.steps) - 1
