"""Thinned rows: nearer to the model in every pair, and still fair to every row."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from generators.core.domain import Domain
from generators.core.inference import Fitted, Measurement, fit
from generators.core.sampling import sample
from generators.core.thinning import MOST_STEPS, draw, factor, halve
from generators.core.views import Views, full_view

SIZES = (4, 3, 5, 2, 6)


@pytest.fixture(scope="module")
def chain() -> Fitted:
    """A chain of pairs with strong dependence: pairs that are no neighbours lie in no clique."""
    rng = np.random.default_rng(3)
    domain = Domain(names=tuple("abcde"), sizes=SIZES)
    tables = [rng.gamma(0.5, 300.0, (SIZES[a], SIZES[a + 1])) for a in range(4)]
    measured = [
        Measurement(full_view((a, a + 1)), np.rint(t).astype(np.int64), 1.0) for a, t in enumerate(tables)
    ]
    return fit(Views.full(domain), measured)


def pairs_of(codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
    """All pairs' shares, flat."""
    return np.concatenate(
        [
            np.bincount(codes[:, a] * SIZES[b] + codes[:, b], minlength=SIZES[a] * SIZES[b]) / len(codes)
            for a, b in combinations(range(len(SIZES)), 2)
        ]
    )


def test_every_pair_is_nearer_to_the_model_than_plain_rows_are(chain: Fitted) -> None:
    rng = np.random.default_rng(0)
    truth = pairs_of(np.stack(sample(chain.tree, chain.theta, 2_000_000, rng), 1))
    plain = np.mean(
        [
            np.abs(pairs_of(np.stack(sample(chain.tree, chain.theta, 1000, rng), 1)) - truth).sum()
            for _ in range(20)
        ]
    )
    thin = np.mean([np.abs(pairs_of(np.stack(draw(chain, 1000, rng), 1)) - truth).sum() for _ in range(20)])
    assert thin < 0.5 * plain


def test_no_distribution_moves_not_even_a_triples() -> None:
    """Among independent attributes, a triple's share after halving averages what it was, within 4 standard errors."""
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(400):
        codes = np.stack([rng.choice(3, 400, p=(0.6, 0.3, 0.1)) for _ in range(3)], 1).astype(np.int32)
        kept = halve(codes, (3, 3, 3), rng)
        shares.append(
            np.mean((kept == np.array([2, 1, 0])).all(1)) - np.mean((codes == np.array([2, 1, 0])).all(1))
        )
    assert abs(np.mean(shares)) < 4 * np.std(shares) / len(shares) ** 0.5
    assert np.std(shares) > 0


def test_each_row_of_a_pair_is_kept_half_of_the_time() -> None:
    rng = np.random.default_rng(2)
    codes = np.array([[0, 0, 0], [1, 1, 1]], dtype=np.int32)
    first = sum(int(halve(codes, (2, 2, 2), rng)[0, 0]) for _ in range(2000))
    assert 900 < first < 1100


@pytest.mark.parametrize("n", [0, 1, 7, 1000])
def test_it_draws_as_many_rows_as_asked_for(chain: Fitted, n: int) -> None:
    columns = draw(chain, n, np.random.default_rng(0))
    assert [len(column) for column in columns] == [n] * len(SIZES)
    assert all(((column >= 0) & (column < size)).all() for column, size in zip(columns, SIZES, strict=True))


def test_the_same_randomness_gives_the_same_rows(chain: Fitted) -> None:
    one, two = (draw(chain, 500, np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_work_and_memory_are_bounded() -> None:
    for n in (10, 1000, 100_000, 10_000_000):
        for d in (2, 3, 15, 80):
            times = factor(n, (16,) * d)
            assert times == 1 or times * n * d * (d - 1) <= MOST_STEPS
    assert factor(1_000_000, (10,) * 15) == 1
    assert factor(20_000, (10,) * 15) == 16
    assert factor(100, (50_000,) * 3) == 1
