"""Ways from a junction tree's tables to the measured marginals: the same sums, over fewer cells."""

from __future__ import annotations

import numpy as np
import pytest

from generators.core.descent import expand, project
from generators.core.domain import Domain
from generators.core.junction import build
from generators.core.routes import plan_routes
from generators.core.views import View, Views, full_view

DOMAIN = Domain(
    names=tuple("abcdef"), sizes=(7, 5, 6, 4, 2, 9), ordered=(True, False, True, True, False, True)
)
VIEWS = Views.of(DOMAIN, [np.arange(1.0, size + 1.0) for size in DOMAIN.sizes])
COARSE = View((0, 2), (1, 2))
MODELS = {
    "a marginal of its own": [full_view((0,))],
    "all of one clique": [full_view(c) for c in ((0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,))],
    "overlapping triples, large clique": [
        full_view(c) for c in ((0, 1, 2), (1, 2, 3), (0, 2, 3), (0, 3, 5), (1, 5), (2, 5), (0, 1), (3,))
    ],
    "coarse views": [
        COARSE,
        full_view((0, 2)),
        full_view((0, 1, 2)),
        View((0, 1, 2), (1, 0, 1)),
        full_view((4, 5)),
    ],
    "two parts": [full_view((0, 1)), full_view((0,)), full_view((2, 3)), full_view((4,)), full_view((5,))],
}


def arrays(routes):
    start = np.concatenate([[0], np.cumsum(routes.cells)]).astype(np.int64)
    map_offset = np.concatenate([[0], np.cumsum([len(m) for m in routes.maps])]).astype(np.int64)
    return start, np.array(routes.sources, dtype=np.int64), np.concatenate(routes.maps), map_offset


@pytest.mark.parametrize("wanted", MODELS.values(), ids=MODELS)
def test_the_sums_are_those_of_the_tree(wanted):
    tree = build(DOMAIN, [view.clique for view in wanted])
    routes = plan_routes(tree, VIEWS, wanted)
    start, source, maps, map_offset = arrays(routes)
    rng = np.random.default_rng(0)
    belief = rng.random(tree.cells)
    out = np.empty(start[-1])
    project(belief, start, source, maps, map_offset, tree.offset, out)
    values = np.zeros(start[-1])
    expected = np.zeros(tree.cells)
    for view, place in zip(wanted, routes.places, strict=True):
        home = tree.home(view.clique)
        here = slice(tree.offset[home], tree.offset[home + 1])
        index = VIEWS.cell_map(tree.layout[home], view)
        assert routes.cells[place] == VIEWS.cells(view)
        assert out[start[place] : start[place + 1]] == pytest.approx(
            np.bincount(index, weights=belief[here], minlength=VIEWS.cells(view))
        )
        own = rng.normal(size=VIEWS.cells(view))
        values[start[place] : start[place + 1]] = own
        expected[here] += own[index]
    theta = np.empty(tree.cells)
    expand(
        values,
        start,
        source,
        maps,
        map_offset,
        tree.offset,
        np.zeros(tree.cells),
        np.empty_like(values),
        theta,
    )
    assert theta == pytest.approx(expected)


@pytest.mark.parametrize("wanted", MODELS.values(), ids=MODELS)
def test_no_way_is_longer_than_straight_from_the_tree(wanted):
    tree = build(DOMAIN, [view.clique for view in wanted])
    routes = plan_routes(tree, VIEWS, wanted)
    straight = sum(DOMAIN.cells(tree.layout[tree.home(view.clique)]) for view in wanted)
    assert sum(len(index) for index in routes.maps) <= straight


def test_what_lies_inside_a_measured_triple_is_summed_from_it():
    wanted = MODELS["overlapping triples, large clique"]
    tree = build(DOMAIN, [view.clique for view in wanted])
    routes = plan_routes(tree, VIEWS, wanted)
    straight = sum(DOMAIN.cells(tree.layout[tree.home(view.clique)]) for view in wanted)
    assert sum(len(index) for index in routes.maps) < straight / 2
    pair = routes.places[wanted.index(full_view((0, 1)))]
    assert -1 - routes.sources[pair] == routes.places[wanted.index(full_view((0, 1, 2)))]


def test_sources_come_first():
    for wanted in MODELS.values():
        routes = plan_routes(build(DOMAIN, [view.clique for view in wanted]), VIEWS, wanted)
        assert all(-1 - source < number for number, source in enumerate(routes.sources) if source < 0)


def test_a_view_that_no_clique_holds_is_refused():
    tree = build(DOMAIN, [(0, 1), (2, 3)])
    with pytest.raises(ValueError, match="not in the tree"):
        plan_routes(tree, VIEWS, [full_view((0, 2))])
