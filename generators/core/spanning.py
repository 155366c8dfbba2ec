"""Choosing a spanning tree of pairs privately (the selection of MST, 2108.04978, algorithm 2)."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from generators.core.domain import Clique
from generators.core.inference import Fitted, FloatTable
from generators.core.measurer import Contest, Measurer
from generators.core.views import View, full_view

NOISE_L1 = math.sqrt(2.0 / math.pi)
"""E|noise| of a cell, in σ."""

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
) -> list[View]:
    """Views of pairs that join all attributes, each chosen among those that join two components.

    Kruskal's algorithm with the exponential mechanism in place of the maximum: at most d - 1 choices of `epsilon`.

    Args:
        measurer: asked for the choices.
        independent: the model of one-way marginals, against which a pair's dependence is scored.
        epsilon: of each choice.
        sigma: the noise that measuring will leave on a cell, taken off a pair's score; 0: as in MST.
        coarse: each pair competes in all its resolutions.
        most_cells: pairs with more cells are never chosen; components that only they would join stay apart.
    """
    views, domain = measurer.views, measurer.domain
    component = list(range(len(domain)))
    pairs = [pair for pair in combinations(range(len(domain)), 2) if domain.cells(pair) <= most_cells]
    one_way = independent.one_way()
    estimates: dict[Clique, FloatTable] = {
        (a, b): independent.total * np.multiply.outer(one_way[a], one_way[b]) for a, b in pairs
    }
    candidates = [
        view for pair in pairs for view in (views.resolutions(pair) if coarse else [full_view(pair)])
    ]
    penalties = NOISE_L1 * sigma * np.array([float(views.cells(view)) for view in candidates])
    contest = measurer.contest(candidates, estimates, penalties=penalties)
    if len(pairs) > _MOST_PAIRS:
        return _attach(contest, candidates, one_way, epsilon)
    chosen: list[View] = []
    while True:
        open_views = [
            k for k, view in enumerate(candidates) if component[view.clique[0]] != component[view.clique[1]]
        ]
        if not open_views:
            return chosen
        view = candidates[contest.choose(open_views, epsilon, "choose tree")]
        chosen.append(view)
        left, right = (component[a] for a in view.clique)
        component = [left if c == right else c for c in component]


def _attach(
    contest: Contest, candidates: list[View], one_way: list[FloatTable], epsilon: float
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
    return [candidates[contest.choose(waiting[k], epsilon, "choose tree")] for k in sorted(waiting)]
