"""Ways from a junction tree's tables to the measured marginals: the same sums, over fewer cells."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from generators.core.descent import beliefs, potentials
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


def straight(tree, wanted):
    """Cells that walks straight from the tree's own tables would go through."""
    return sum(DOMAIN.cells(tree.layout[tree.home(view.clique)]) for view in wanted)


@pytest.mark.parametrize("wanted", MODELS.values(), ids=MODELS)
def test_the_sums_are_those_of_the_tree(wanted):
    """Against maps from cell to cell: λ added to log-potentials, and the marginals of the distribution they make."""
    tree = build(DOMAIN, [view.clique for view in wanted])
    routes = plan_routes(tree, VIEWS, wanted)
    rng = np.random.default_rng(0)
    own = [rng.normal(size=VIEWS.shape(view)) for view in wanted]
    theta = potentials(tree, np.zeros(tree.cells), routes, routes.spread(wanted, own))
    expected = np.zeros(tree.cells)
    for view, table in zip(wanted, own, strict=True):
        home = tree.home(view.clique)
        index = VIEWS.cell_map(tree.layout[home], view)
        expected[tree.offset[home] : tree.offset[home + 1]] += table.reshape(-1)[index]
    assert theta == pytest.approx(expected)
    belief, sums, _ = beliefs(tree, theta, routes)
    for view, found in zip(wanted, routes.gather(VIEWS, wanted, sums), strict=True):
        home = tree.home(view.clique)
        index = VIEWS.cell_map(tree.layout[home], view)
        here = belief[tree.offset[home] : tree.offset[home + 1]]
        assert here.sum() == pytest.approx(1.0)
        folded = np.bincount(index, weights=here, minlength=VIEWS.cells(view))
        assert found.reshape(-1) == pytest.approx(folded)
        assert found.shape == VIEWS.shape(view)


@pytest.mark.parametrize("wanted", MODELS.values(), ids=MODELS)
def test_spreading_and_gathering_are_each_others_inverse(wanted):
    routes = plan_routes(build(DOMAIN, [view.clique for view in wanted]), VIEWS, wanted)
    rng = np.random.default_rng(1)
    tables = [rng.normal(size=VIEWS.shape(view)) for view in wanted]
    flat = routes.spread(wanted, tables)
    for table, back in zip(tables, routes.gather(VIEWS, wanted, flat), strict=True):
        assert np.array_equal(table, back)
    inside = np.zeros(len(flat), dtype=bool)
    for begin, end in routes.spans:
        inside[begin:end] = True
    assert inside.sum() == sum(table.size for table in tables)
    assert not flat[~inside].any()


@pytest.mark.parametrize("wanted", MODELS.values(), ids=MODELS)
def test_every_separator_has_a_table_below_its_parent(wanted):
    tree = build(DOMAIN, [view.clique for view in wanted])
    routes = plan_routes(tree, VIEWS, wanted)
    for clique, table in enumerate(routes.joint):
        parent = tree.parent[clique]
        assert (table < 0) == (parent < 0)
        if table >= 0:
            assert routes.first[parent] <= table < routes.first[parent + 1]
            cells = routes.start[table + 1] - routes.start[table]
            assert cells == DOMAIN.cells(tree.separator(clique))


def test_what_lies_inside_a_measured_triple_is_summed_from_it():
    """Ten marginals cost less than half of ten walks through the table of their clique."""
    wanted = [full_view(c) for k in (1, 2, 3) for c in combinations((0, 1, 2, 3), k)]
    tree = build(DOMAIN, [view.clique for view in wanted] + [(0, 1, 2, 3)])
    routes = plan_routes(tree, VIEWS, wanted)
    assert routes.cells < straight(tree, wanted) / 2
    pair = routes.places[wanted.index(full_view((1, 2)))]
    assert routes.source[pair] >= 0


def test_sources_come_first_and_in_the_same_clique():
    for wanted in MODELS.values():
        routes = plan_routes(build(DOMAIN, [view.clique for view in wanted]), VIEWS, wanted)
        for begin, end in zip(routes.first[:-1], routes.first[1:], strict=True):
            for table in range(begin, end):
                assert routes.source[table] == -1 or begin <= routes.source[table] < table


def test_a_view_that_no_clique_holds_is_refused():
    tree = build(DOMAIN, [(0, 1), (2, 3)])
    with pytest.raises(ValueError, match="not in the tree"):
        plan_routes(tree, VIEWS, [full_view((0, 2))])
