"""The secret split: exhaustive, disjoint, by unit, fair, reproducible, secret."""

import json
import secrets

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from release.canonical import canonical_bytes
from release.data.split import (
    FEWEST_UNITS,
    SplitSizes,
    coin_units_needed,
    draw_split,
    split_from_json,
    units_needed,
)
from release.errors import InputError, IntegrityError
from tests.builders import make_schema, random_table

KEY = bytes(range(32))
SCHEMA = make_schema(unit="patient", max_rows=3, sex=["f", "m"], age=(0, 99))


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(FEWEST_UNITS, 3_000),
    cap=st.integers(2, 500),
    coin=st.floats(0.1, 0.8),
    reference=st.floats(0.0, 0.19),
    key=st.binary(min_size=32, max_size=32),
)
def test_every_unit_is_in_exactly_one_part(
    n: int, cap: int, coin: float, reference: float, key: bytes
) -> None:
    sizes = SplitSizes(coin_units=cap, coin_share=coin, reference_share=reference)
    split = draw_split(n, sizes, key)
    parts = [split.coin_in, split.coin_out, split.reference_units, split.remainder]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    assert len(split.coin_in) + len(split.coin_out) == min(cap, int(coin * n))
    assert len(split.reference_units) == int(reference * n)


def test_default_sizes_are_those_of_the_contract() -> None:
    split = draw_split(71_518, SplitSizes(), KEY)
    assert len(split.coin_in) + len(split.coin_out) == 4_400
    assert len(split.reference_units) == 7_151
    small = draw_split(1_000, SplitSizes(), KEY)
    assert len(small.coin_in) + len(small.coin_out) == 420


def test_rows_of_a_unit_stay_together() -> None:
    table = random_table(SCHEMA, 900, np.random.default_rng(1))
    split = draw_split(table.n_units, SplitSizes(), KEY)
    parts = [split.members(table), split.controls(table), split.reference(table)]
    training = split.training(table)
    assert sum(map(len, parts[1:])) + len(training) == len(table)
    for a in range(3):
        for b in range(a):
            assert not set(parts[a].units) & set(parts[b].units)
    assert set(parts[0].units) <= set(training.units)
    assert not set(training.units) & (set(parts[1].units) | set(parts[2].units))
    for part in (*parts, training):
        for unit in np.unique(part.units):
            assert np.sum(part.units == unit) == np.sum(table.units == unit)


def test_the_record_draws_the_same_split_again() -> None:
    split = draw_split(500, SplitSizes(coin_units=100), KEY)
    data = json.loads(canonical_bytes(split.to_json()))
    again = split_from_json(data)
    for name in ("coin_in", "coin_out", "reference_units", "remainder"):
        assert np.array_equal(getattr(split, name), getattr(again, name))
    assert again.digest(b"k" * 32) == split.digest(b"k" * 32) != split.digest(b"j" * 32)


SPOILT = {
    "another format": {"format": "sluicegate/split@2"},
    "a short key": {"key": "00"},
    "a key that is no number": {"key": "zz" * 32},
    "no units": {"n_units": 0},
    "an unknown field": {"more": 1},
    "units as text": {"n_units": "500"},
    "shares beyond one": {"sizes": {"coin_units": 5, "coin_share": 0.9, "reference_share": 0.5}},
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_record_is_refused(name: str) -> None:
    data = draw_split(500, SplitSizes(), KEY).to_json() | SPOILT[name]
    with pytest.raises((IntegrityError, InputError)):
        split_from_json(data)


def test_coins_are_fair_and_independent_of_each_other() -> None:
    """2,000 splits of 400 units: the share of heads, each unit's rate of each part, and pairs of neighbours.

    Under fairness the heads over all coins are Binomial(320,000, ½); a coin of 0.505 would be 5.7 standard deviations
    off. Bounds are at 5 standard deviations, both sides (p < 6e-7 a check, 400 units checked at 5.5).
    """
    runs, n = 2_000, 400
    sizes = SplitSizes(coin_units=160, coin_share=0.42, reference_share=0.1)
    part = np.zeros((4, n))
    heads = 0
    adjacent = 0
    generator = np.random.default_rng(7)
    for _ in range(runs):
        split = draw_split(n, sizes, generator.bytes(32))
        heads += len(split.coin_in)
        inside = np.zeros(n, dtype=bool)
        inside[split.coin_in] = True
        adjacent += int(np.sum(inside[:-1] & inside[1:]))
        for row, units in enumerate((split.coin_in, split.coin_out, split.reference_units, split.remainder)):
            part[row, units] += 1
    total = runs * 160
    assert abs(heads - total / 2) < 5 * np.sqrt(total) / 2
    for row, rate in enumerate((0.2, 0.2, 0.1, 0.5)):
        assert np.all(np.abs(part[row] - runs * rate) < 5.5 * np.sqrt(runs * rate * (1 - rate)))
    # P(both of two units in) = (160·159)/(400·399) / 4
    both = 160 * 159 / (400 * 399) / 4
    assert abs(adjacent - runs * 399 * both) < 6 * np.sqrt(runs * 399 * both)


def test_two_keys_give_two_splits() -> None:
    one, two = (draw_split(1_000, SplitSizes(), secrets.token_bytes(32)) for _ in range(2))
    assert not np.array_equal(one.coin_in, two.coin_in)


def test_too_few_units() -> None:
    with pytest.raises(InputError, match="has 1 units; a split needs at least 20"):
        draw_split(1, SplitSizes(), KEY)
    with pytest.raises(InputError, match="31 bytes"):
        draw_split(1_000, SplitSizes(), KEY[:31])


@pytest.mark.parametrize(
    "bad",
    [
        {"coin_share": float("nan")},
        {"coin_share": 0.95},
        {"reference_share": -0.1},
        {"coin_units": 1},
        {"coin_share": 0.0},
    ],
)
def test_sizes_that_leave_nothing(bad: dict) -> None:
    with pytest.raises(InputError):
        SplitSizes(**bad)


def test_a_table_of_another_dataset_is_refused() -> None:
    table = random_table(SCHEMA, 900, np.random.default_rng(1))
    with pytest.raises(IntegrityError, match="the table has more"):
        draw_split(100, SplitSizes(), KEY).members(table)


def test_the_shortfall_says_what_would_do() -> None:
    split = draw_split(1_000, SplitSizes(), KEY)
    reason = split.shortfall(2_000)
    assert reason is not None
    assert f"{units_needed(2_000, SplitSizes()):,}" in reason
    assert draw_split(20_000, SplitSizes(), KEY).shortfall(2_000) is None


@pytest.mark.parametrize("least", [50, 500, 2_000, 6_000])
def test_the_coin_set_that_is_asked_for_suffices(least: int) -> None:
    m = coin_units_needed(least)
    enough = binom.cdf(m - least, m, 0.5) - binom.cdf(least - 1, m, 0.5)
    assert enough > 0.999
    smaller = int(m * 0.97)
    assert binom.cdf(smaller - least, smaller, 0.5) - binom.cdf(least - 1, smaller, 0.5) < 0.999
