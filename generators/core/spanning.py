"""Choosing a spanning tree of pairs privately (the selection of MST, 2108.04978, algorithm 2)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from generators.core.domain import Clique
from generators.core.inference import Fitted
from generators.core.measurer import Measurer


def choose_tree(
    measurer: Measurer,
    independent: Fitted,
    epsilon: float,
    *,
    given: Sequence[Clique] = (),
    most_cells: float = np.inf,
) -> list[Clique]:
    """Pairs that join all attributes, each chosen among those that join two components; not counting `given`.

    Kruskal's algorithm with the exponential mechanism in place of the maximum: at most d - 1 choices of `epsilon`.

    Args:
        measurer: asked for the choices.
        independent: the model of one-way marginals, against which a pair's dependence is scored.
        epsilon: of each choice.
        given: cliques that are in the model anyhow (structural zeros).
        most_cells: pairs with more cells are never chosen; components that only they would join stay apart.
    """
    domain = measurer.domain
    component = list(range(len(domain)))

    def join(clique: Clique) -> None:
        target = component[clique[0]]
        for attribute in clique[1:]:
            source = component[attribute]
            if source != target:
                component[:] = [target if c == source else c for c in component]

    for clique in given:
        join(clique)
    pairs = [pair for pair in combinations(range(len(domain)), 2) if domain.cells(pair) <= most_cells]
    one_way = independent.one_way()
    estimates = [independent.total * np.multiply.outer(one_way[a], one_way[b]) for a, b in pairs]
    contest = measurer.contest(pairs, estimates)
    chosen: list[Clique] = []
    while True:
        open_pairs = [k for k, (a, b) in enumerate(pairs) if component[a] != component[b]]
        if not open_pairs:
            return chosen
        pair = pairs[contest.choose(open_pairs, epsilon, "choose tree")]
        chosen.append(pair)
        join(pair)
