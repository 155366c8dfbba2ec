"""Choosing a spanning tree of pairs privately (the selection of MST, 2108.04978, algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from generators.core import junction
from generators.core.domain import Clique, Domain, FloatTable
from generators.core.inference import Fitted
from generators.core.measurer import Contest, Measurer
from generators.core.views import View, full_view, left_by_noise

_MOST_PAIRS = 4_000
"""With more pairs than this each exponential mechanism over all of them would take long."""


def choose_tree(
    measurer: Measurer,
    independent: Fitted,
    epsilon: float,
    *,
    sigma: float = 0.0,
    coarse: bool = False,
    most_cells: float = np.inf,
    weight: Callable[[Clique], float] = lambda _pair: 1.0,
) -> list[View]:
    """Views of pairs that join all attributes, each chosen among those that join two components.

    Kruskal's algorithm with the exponential mechanism in place of the maximum: at most d - 1 choices of `epsilon`.

    Args:
        measurer: asked for the choices.
        independent: the model of one-way marginals and structural zeros, against which a pair's dependence is scored.
        epsilon: of each choice.
        sigma: of the noise whose L1 error (`views.left_by_noise`) is taken off a pair's score; 0: as in MST.
        coarse: each pair competes in all its resolutions.
        most_cells: of the junction tree of structural zeros and chosen pairs; components that only a larger one would join
            stay apart.
        weight: of a pair's score, public.
    """
    views, domain = measurer.views, measurer.domain
    room = _Room(domain, [tuple(sorted(layout)) for layout in independent.tree.layout], most_cells)
    component = list(range(len(domain)))
    pairs = [pair for pair in combinations(range(len(domain)), 2) if domain.cells(pair) <= most_cells]
    one_way = independent.one_way()
    estimates: dict[Clique, FloatTable] = {}
    for pair in pairs:
        held = independent.marginal(pair) if room.holds(pair) else None
        if held is None:
            held = np.multiply.outer(one_way[pair[0]], one_way[pair[1]])
        estimates[pair] = independent.total * held
    candidates = [
        view for pair in pairs for view in (views.resolutions(pair) if coarse else [full_view(pair)])
    ]
    if not candidates:
        return []
    penalties = left_by_noise(views, candidates, estimates, sigma)
    weights = np.array([weight(view.clique) for view in candidates])
    contest = measurer.contest(candidates, estimates, penalties=penalties, weights=weights)
    if len(pairs) > _MOST_PAIRS:
        return _attach(contest, candidates, one_way, epsilon, room)
    chosen: list[View] = []
    while True:
        open_views = [
            k for k, view in enumerate(candidates) if component[view.clique[0]] != component[view.clique[1]]
        ]
        open_views = room.fitting(candidates, open_views)
        if not open_views:
            return chosen
        view = candidates[contest.choose(open_views, epsilon, "choose tree")]
        chosen.append(view)
        room.add(view.clique)
        left, right = (component[a] for a in view.clique)
        component = [left if c == right else c for c in component]


class _Room:
    """What still fits into the junction tree of the cliques so far. Public."""

    def __init__(self, domain: Domain, cliques: Sequence[Clique], most_cells: float) -> None:
        self.domain = domain
        self.cliques = list(cliques)
        self.most_cells = most_cells
        self.group = list(range(len(domain)))
        for clique in cliques:
            for attribute in clique[1:]:
                self._join(clique[0], attribute)
        self.cells = junction.tree_cells(domain, self.cliques)
        self._alone = set(range(len(domain))) - {a for clique in cliques if len(clique) > 1 for a in clique}
        self._held = {pair for clique in cliques for pair in combinations(clique, 2)}

    def holds(self, pair: Clique) -> bool:
        """Whether one clique of structural zeros has both."""
        return pair in self._held

    def fitting(self, candidates: Sequence[View], numbers: Sequence[int]) -> list[int]:
        """Those of `numbers` whose clique still fits. A pair that closes a circle may make far larger cliques."""
        circles = [k for k in numbers if self._circle(candidates[k].clique)]
        sizes = dict.fromkeys(circles, self.cells)
        if circles:
            cells = junction.candidate_cells(
                self.domain, self.cliques, [candidates[k].clique for k in circles]
            )
            sizes = dict(zip(circles, cells.tolist(), strict=True))
        return [
            k
            for k in numbers
            if sizes.get(k, self.cells + self.domain.cells(candidates[k].clique)) <= self.most_cells
        ]

    def add(self, pair: Clique) -> None:
        """The pair was chosen."""
        self.cliques.append(pair)
        if self._circle(pair):
            self.cells = junction.tree_cells(self.domain, self.cliques)
        elif pair not in self._held:  # a clique of its own, in place of those of attributes that stood alone
            self.cells += self.domain.cells(pair) - sum(self.domain.sizes[a] for a in self._alone & set(pair))
        self._alone -= set(pair)
        self._join(*pair)

    def _circle(self, pair: Clique) -> bool:
        return self.group[pair[0]] == self.group[pair[1]] and pair not in self._held

    def _join(self, one: int, other: int) -> None:
        left, right = self.group[one], self.group[other]
        if left != right:
            self.group = [left if g == right else g for g in self.group]


def _attach(
    contest: Contest, candidates: list[View], one_way: list[FloatTable], epsilon: float, room: _Room
) -> list[View]:
    """One attribute after another joins those before it, the most informative (by noisy entropy) first.

    Each choice is among the pairs of one attribute, so that all choices together look at each pair once.
    """
    entropy = [-float(np.sum(p * np.log(np.maximum(p, 1e-300)))) for p in one_way]
    rank = {
        attribute: k for k, attribute in enumerate(sorted(range(len(one_way)), key=lambda a: -entropy[a]))
    }
    waiting: dict[int, list[int]] = {}
    for k, view in enumerate(candidates):
        waiting.setdefault(max(rank[a] for a in view.clique), []).append(k)
    chosen: list[View] = []
    for place in sorted(waiting):
        if fitting := room.fitting(candidates, waiting[place]):
            chosen.append(candidates[contest.choose(fitting, epsilon, "choose tree")])
            room.add(chosen[-1].clique)
    return chosen
