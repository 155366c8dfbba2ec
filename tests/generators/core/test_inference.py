"""The inference core against brute-force enumeration of the whole domain."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from generators.core.domain import Domain, StructuralZeros
from generators.core.inference import (
    Measurement,
    condition,
    fit,
    log_partition,
    propagate,
    restore,
)
from generators.core.junction import build, candidate_cells, maximal_cliques, tree_cells
from generators.core.sampling import sample
from generators.core.views import NOISE_L1, View, Views, distances, full_view, left_by_noise

SIZES = (3, 2, 4, 2, 3)
DOMAIN = Domain(names=tuple("abcde"), sizes=SIZES, ordered=(True, False, True, False, False))
MODELS = {
    "independent": [(a,) for a in range(5)],
    "chain": [(0, 1), (1, 2), (2, 3), (3, 4)],
    "star": [(0, k) for k in range(1, 5)],
    "loop": [(0, 1), (1, 2), (2, 3), (0, 3), (4,)],
    "triples": [(0, 1, 2), (1, 2, 3), (2, 3, 4)],
    "two parts": [(0, 1), (2, 3, 4)],
    "whole": [(0, 1, 2, 3, 4)],
}


def enumerate_joint(potentials):
    """The joint distribution of log-potentials {clique: table}, and log Z, by brute force."""
    logs = np.zeros(SIZES)
    for clique, table in potentials.items():
        shape = [SIZES[a] if a in clique else 1 for a in range(5)]
        logs = logs + table.reshape(shape)
    z = np.log(np.exp(logs).sum())
    return np.exp(logs - z), z


def marginal_of(joint, clique):
    return joint.sum(axis=tuple(a for a in range(5) if a not in clique))


@pytest.mark.parametrize("cliques", MODELS.values(), ids=MODELS)
def test_belief_propagation_is_enumeration(cliques):
    rng = np.random.default_rng(7)
    potentials = {c: rng.normal(0, 3, DOMAIN.shape(c)) for c in cliques}
    fitted = restore(
        Views.full(DOMAIN), {full_view(c): t for c, t in potentials.items()}, [], total=1.0, loss=0.0
    )
    joint, log_z = enumerate_joint(potentials)
    assert log_partition(fitted.tree, fitted.theta) == pytest.approx(log_z, abs=1e-10)
    beliefs = propagate(fitted.tree, fitted.theta)
    for k, layout in enumerate(fitted.tree.layout):
        expected = marginal_of(joint, layout).transpose(np.argsort(np.argsort(layout)))
        assert np.allclose(fitted.tree.table(beliefs, k), expected, atol=1e-12)
    for attribute, table in enumerate(fitted.one_way()):
        assert np.allclose(table, marginal_of(joint, (attribute,)), atol=1e-12)


def test_extreme_potentials_neither_overflow_nor_lose_mass():
    potentials = {
        (0, 1): np.array([[700.0, -700.0], [0.0, 5000.0], [-3000.0, 4999.0]]),
        (1, 2): np.zeros((2, 4)),
    }
    fitted = restore(
        Views.full(DOMAIN),
        {full_view(c): t for c, t in potentials.items()}
        | {full_view((a,)): np.zeros(SIZES[a]) for a in (3, 4)},
        [],
        total=1.0,
        loss=0.0,
    )
    table = fitted.marginal((0, 1))
    assert table.sum() == pytest.approx(1.0)
    assert table[1, 1] / table[2, 1] == pytest.approx(np.e, rel=1e-9)


def test_structural_zeros_get_no_mass_and_no_rows():
    allowed = np.ones((3, 2), dtype=bool)
    allowed[1, 0] = allowed[2, 1] = False
    zeros = [StructuralZeros((0, 1), allowed)]
    rng = np.random.default_rng(2)
    measured = [Measurement(full_view((a,)), rng.integers(50, 90, SIZES[a]), 3.0) for a in range(5)]
    fitted = fit(Views.full(DOMAIN), measured, zeros)
    assert fitted.marginal((0, 1))[~allowed].sum() < 1e-12
    rows = sample(fitted.tree, fitted.theta, 5_000, rng)
    assert allowed[rows[0], rows[1]].all()


@pytest.mark.parametrize("cliques", MODELS.values(), ids=MODELS)
def test_exact_measurements_are_reproduced(cliques):
    rng = np.random.default_rng(3)
    joint = rng.dirichlet(np.ones(np.prod(SIZES))).reshape(SIZES)
    measured = [
        Measurement(full_view(c), np.rint(1e7 * marginal_of(joint, c)).astype(np.int64), 10.0)
        for c in cliques
    ]
    fitted = fit(Views.full(DOMAIN), measured, iterations=20_000, tolerance=1e-12)
    for clique in cliques:
        assert np.abs(fitted.marginal(clique) - marginal_of(joint, clique)).sum() < 1e-3


def test_the_fit_is_the_constrained_least_squares_solution():
    """Against projected gradient on the whole joint: the same loss, up to convergence."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(5)
    cliques = [(0, 1), (1, 2), (0, 2), (3,), (4,)]
    measured = [Measurement(full_view(c), rng.integers(-5, 60, DOMAIN.shape(c)), 4.0) for c in cliques]
    fitted = fit(Views.full(DOMAIN), measured, iterations=50_000, tolerance=1e-13)

    def loss(logits):
        joint = np.exp(logits - logits.max()).reshape(SIZES)
        joint /= joint.sum()
        total, gradient = 0.0, np.zeros(SIZES)
        for m in measured:
            residual = (fitted.total * marginal_of(joint, m.clique) - m.counts) / m.sigma**2
            total += 0.5 * float((residual * residual).sum()) * m.sigma**2
            shape = [SIZES[a] if a in m.clique else 1 for a in range(5)]
            gradient = gradient + fitted.total * residual.reshape(shape)
        gradient = joint * (gradient - (gradient * joint).sum())
        return total, gradient.reshape(-1)

    best = min(
        minimize(
            loss,
            rng.normal(0, 0.1, int(np.prod(SIZES))),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 20_000, "maxfun": 40_000},
        ).fun
        for _ in range(2)
    )
    assert fitted.loss == pytest.approx(best, rel=2e-2)


def test_views_fold_and_infer_at_coarser_resolution():
    mass = [np.array([5.0, 1.0, 1.0]), np.ones(2), np.array([1.0, 1.0, 1.0, 1.0]), np.ones(2), np.ones(3)]
    views = Views.of(DOMAIN, mass)
    view = View((0, 2), (1, 1))
    assert views.shape(view) == (2, 2)
    table = np.arange(12).reshape(3, 4)
    folded = views.fold(table, view)
    assert folded.sum() == table.sum()
    assert folded[0, 0] == table[:1, :2].sum()
    others = [View((0, 2), r) for r in product((0, 1), (0, 1))]
    difference = np.random.default_rng(1).normal(size=(3, 4))
    expected = [np.abs(views.fold(difference, v)).sum() for v in others]
    assert np.allclose(distances(views, others, [difference] * 4), expected)
    counts = np.array([[400, 100], [100, 400]])
    measured = [Measurement(full_view((a,)), np.full(SIZES[a], 1200 // SIZES[a]), 1.0) for a in range(5)]
    fitted = fit(views, [*measured, Measurement(view, counts, 1.0)], iterations=5_000, tolerance=1e-12)
    joint = fitted.marginal((0, 2))
    got = views.fold(joint, view)
    assert got[0, 0] > got[0, 1]


def test_condition_is_bayes_rule():
    rng = np.random.default_rng(11)
    cliques = MODELS["loop"]
    potentials = {c: rng.normal(0, 1, DOMAIN.shape(c)) for c in cliques}
    fitted = restore(
        Views.full(DOMAIN), {full_view(c): t for c, t in potentials.items()}, [], total=1.0, loss=0.0
    )
    joint, _ = enumerate_joint(potentials)
    soft, pair = np.array([0.0, 0.5, 1.0]), rng.random((4, 3))
    given = condition(fitted, [((0,), soft), ((2, 4), pair)], [])
    expected = joint * soft[:, None, None, None, None] * pair[None, None, :, None, :]
    expected /= expected.sum()
    for clique in ((0, 1), (1, 2), (2, 4)):
        assert np.allclose(given.marginal(clique), marginal_of(expected, clique), atol=1e-10)
    with pytest.raises(ValueError, match="probability 0"):
        condition(fitted, [((0,), np.array([1.0, 0, 0])), ((0,), np.array([0, 1.0, 0]))], [])


def test_samples_follow_the_distribution_in_pairs_too():
    """n = 40,000; randomised rounding keeps each clique's marginal within 1/n per cell of its separator's rounding.

    Pairs across cliques are as random draws: total variation below 4·sqrt(cells / n) has probability above 0.9999.
    """
    rng = np.random.default_rng(13)
    potentials = {c: rng.normal(0, 1.0, DOMAIN.shape(c)) for c in MODELS["chain"]}
    fitted = restore(
        Views.full(DOMAIN), {full_view(c): t for c, t in potentials.items()}, [], total=1.0, loss=0.0
    )
    joint, _ = enumerate_joint(potentials)
    n = 40_000
    rows = sample(fitted.tree, fitted.theta, n, rng)
    for clique in [*MODELS["chain"], *combinations(range(5), 2)]:
        index = np.ravel_multi_index([rows[a] for a in clique], DOMAIN.shape(clique))
        found = np.bincount(index, minlength=DOMAIN.cells(clique)) / n
        expected = marginal_of(joint, clique).reshape(-1)
        assert np.abs(found - expected).sum() / 2 < 4 * np.sqrt(len(expected) / n)


def test_dealing_makes_no_false_correlation():
    """Two attributes that depend on a third only: given it, they are independent in the sample (a peer's fault)."""
    domain = Domain(names=("x", "y", "z"), sizes=(2, 2, 2))
    table = np.log(np.array([[0.6, 0.4], [0.3, 0.7]]))
    fitted = restore(
        Views.full(domain), {full_view((0, 1)): table, full_view((0, 2)): table}, [], total=1.0, loss=0.0
    )
    n = 50_000
    x, y, z = sample(fitted.tree, fitted.theta, n, np.random.default_rng(0))
    for value in (0, 1):
        inside = x == value
        assert abs(np.corrcoef(y[inside], z[inside])[0, 1]) < 5 / np.sqrt(inside.sum())


def test_junction_tree_sizes_and_running_intersection():
    domain = Domain(names=tuple("abcdef"), sizes=(2, 3, 4, 5, 6, 7))
    ring = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)]
    maximal = maximal_cliques(domain, ring)
    assert all(any(set(edge) <= set(c) for c in maximal) for edge in ring)
    assert tree_cells(domain, ring) == pytest.approx(sum(domain.cells(c) for c in maximal), rel=0.5)
    tree = build(domain, ring)
    for k in range(1, len(tree.layout)):
        separator = set(tree.separator(k))
        before = set().union(*(set(c) for c in tree.layout[:k]))
        assert set(tree.layout[k]) & before == separator
        assert separator <= set(tree.layout[tree.parent[k]])
    sizes = candidate_cells(domain, ring, [(0, 1), (0, 3), (1, 3, 5)])
    assert sizes[0] == pytest.approx(tree_cells(domain, ring))
    assert sizes[2] == pytest.approx(tree_cells(domain, [*ring, (1, 3, 5)]))


@pytest.mark.parametrize("clique", [(0,), (0, 2), (0, 2, 4), (0, 1, 2, 4)])
def test_noise_leaves_no_more_in_a_cell_than_it_is_thought_to_hold(clique):
    rng = np.random.default_rng(3)
    views = Views.of(DOMAIN, [np.arange(1.0, size + 1.0) for size in SIZES])
    estimate = rng.exponential(20.0, DOMAIN.shape(clique))
    wanted = views.resolutions(clique)
    found = left_by_noise(views, wanted, {clique: estimate}, 25.0)
    for view, left in zip(wanted, found, strict=True):
        assert left == pytest.approx(np.minimum(views.fold(estimate, view), NOISE_L1 * 25.0).sum())
    assert found[0] < estimate.sum()
    assert left_by_noise(views, wanted, {clique: estimate}, 0.0) == pytest.approx(0.0)
