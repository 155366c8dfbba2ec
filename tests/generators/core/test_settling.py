"""Accelerated descent in parts, and where the last fit ends: before it takes noise for the table."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from generators.core import descent
from generators.core.domain import Domain, StructuralZeros
from generators.core.inference import EXCESS, Measurement, fit, refine, settle
from generators.core.views import Views, full_view

SIZES = (12, 9, 10, 4)
DOMAIN = Domain(names=tuple("abcd"), sizes=SIZES)
VIEWS = Views.full(DOMAIN)
CLIQUES = [*((a,) for a in range(4)), *combinations(range(4), 2), (0, 1, 3)]


def measured(seed: int, rows: int, sigma: float) -> tuple[dict, list[Measurement]]:
    """The exact marginals of a skewed distribution whose pairs depend on each other, and noisy ones."""
    rng = np.random.default_rng(seed)
    logs = np.zeros(SIZES)
    for axis, size in enumerate(SIZES):
        logs += rng.normal(0, 1.2, size).reshape([size if k == axis else 1 for k in range(4)])
    for a, b in combinations(range(4), 2):
        shape = [SIZES[k] if k in (a, b) else 1 for k in range(4)]
        logs += rng.normal(0, 0.3, SIZES[a] * SIZES[b]).reshape(shape)
    joint = rows * np.exp(logs) / np.exp(logs).sum()
    exact = {c: joint.sum(axis=tuple(k for k in range(4) if k not in c)) for c in CLIQUES}
    noisy = [
        Measurement(full_view(c), np.rint(t + rng.normal(0, sigma, t.shape)).astype(np.int64), sigma)
        for c, t in exact.items()
    ]
    return exact, noisy


def distance(fitted, exact) -> float:
    """Mean total variation distance of all pairs, in rows."""
    pairs = [c for c in exact if len(c) == 2]
    return float(np.mean([np.abs(fitted.marginal(c) * fitted.total - exact[c]).sum() / 2 for c in pairs]))


def test_the_last_fit_leaves_its_excess_and_no_more():
    _, noisy = measured(0, 20_000, 25.0)
    level = sum(m.counts.size for m in noisy) / 2
    end = fit(VIEWS, noisy, iterations=5_000, tolerance=1e-9)
    settled = settle(VIEWS, noisy)
    assert end.loss < settled.loss <= end.loss + (EXCESS + 0.05) * level
    assert settled.loss < level


def test_settling_is_nearer_to_the_table_than_fitting_to_the_end():
    """Ten tables whose noise is large beside most cells; the mean distances differ by some 10 %, and in each table they differ."""
    nearer, gains = 0, []
    for seed in range(10):
        exact, noisy = measured(seed, 6_000, 25.0)
        to_the_end = distance(fit(VIEWS, noisy, iterations=3_000, tolerance=1e-9), exact)
        settled = distance(settle(VIEWS, noisy), exact)
        nearer += settled < to_the_end
        gains.append(settled / to_the_end)
    assert nearer >= 8
    assert np.mean(gains) < 0.95


def test_with_hardly_any_noise_settling_loses_hardly_anything():
    exact, noisy = measured(3, 1_000_000, 1.0)
    for clique, table in exact.items():
        error = settle(VIEWS, noisy).marginal(clique) * 1_000_000 - table
        assert np.sqrt((error**2).mean()) < 3.0


@pytest.mark.parametrize("seed", range(3))
def test_between_rounds_full_cells_do_not_dictate_the_step(seed):
    """In as many steps a refinement comes nearer to quiet counts than a fit that weighs every cell by its noise."""
    exact, noisy = measured(seed, 1_000_000, 50.0)
    start = fit(VIEWS, [m for m in noisy if len(m.clique) == 1])
    plain = fit(VIEWS, noisy, start=start, iterations=40)
    assert distance(refine(VIEWS, noisy, start=start, steps=40), exact) < 0.8 * distance(plain, exact)


def test_one_way_marginals_alone_are_fitted_to_the_end():
    _, noisy = measured(1, 20_000, 25.0)
    alone = [m for m in noisy if len(m.clique) == 1]
    assert np.array_equal(settle(VIEWS, alone).theta, fit(VIEWS, alone).theta)


def test_settling_keeps_structural_zeros():
    _, noisy = measured(2, 5_000, 20.0)
    allowed = np.ones((12, 4), dtype=bool)
    allowed[3:7, 1] = False
    fitted = settle(VIEWS, noisy, [StructuralZeros((0, 3), allowed)])
    assert fitted.marginal((0, 3))[~allowed].sum() < 1e-12


def test_a_round_ends_at_the_noise_level():
    """By hand: noise alone makes Σ residual² / (σ² + 0.3 n) / 2 as large as Σ σ² / (σ² + 0.3 n) / 2, here a fraction of half the cells."""
    _, noisy = measured(4, 1_000_000, 12.0)
    level = sum((12.0**2 / (12.0**2 + 0.3 * np.maximum(m.counts, 0))).sum() for m in noisy) / 2
    assert level < 0.45 * sum(m.counts.size for m in noisy) / 2
    begin = fit(VIEWS, [m for m in noisy if len(m.clique) == 1])
    after = refine(VIEWS, noisy, start=begin, steps=500)
    assert 0.4 * level < after.loss <= 0.7 * level
    assert refine(VIEWS, noisy, start=after, steps=500).loss == pytest.approx(after.loss)


def test_a_descent_in_parts_is_the_descent_in_one(monkeypatch):
    """Momentum and step length are carried from one call of the kernel to the next, whatever their number."""
    _, noisy = measured(5, 20_000, 25.0)
    whole = fit(VIEWS, noisy, iterations=60, tolerance=0.0)
    heard = []
    monkeypatch.setattr(descent, "_CELLS_A_CALL", 1.0)
    parts = fit(VIEWS, noisy, iterations=60, tolerance=0.0, between=lambda: heard.append(1))
    assert len(heard) == 60
    assert parts.loss == pytest.approx(whole.loss, rel=0.02)


def test_momentum_takes_far_fewer_steps():
    """Plain mirror descent looks at the model some 2,000 times for what 400 of these steps reach (strongly dependent columns)."""
    _, noisy = measured(6, 200_000, 10.0)
    level = sum(m.counts.size for m in noisy) / 2
    end = fit(VIEWS, noisy, iterations=20_000, tolerance=1e-10).loss
    assert fit(VIEWS, noisy, iterations=400, tolerance=0.0).loss < end + 0.05 * level


def test_hundreds_of_millions_of_rows_with_little_noise():
    """The safe step is σ² / rows², 1e-16 here, and nothing may take that for none: the fit would stay uniform."""
    exact, noisy = measured(8, 300_000_000, 3.0)
    for fitted in (settle(VIEWS, noisy), fit(VIEWS, noisy)):
        assert distance(fitted, exact) < 0.01 * 300_000_000


def test_a_step_too_short_at_first_costs_nothing():
    _, noisy = measured(9, 20_000, 25.0)
    begin = fit(VIEWS, [m for m in noisy if len(m.clique) == 1])
    short = replace(begin, step=1e-6 * begin.step)
    steps = {"iterations": 40, "tolerance": 0.0}
    usual = fit(VIEWS, noisy, start=replace(begin, step=0.0), **steps)
    assert fit(VIEWS, noisy, start=short, **steps).loss == pytest.approx(usual.loss)
