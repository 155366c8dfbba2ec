"""Textures: masses and draws against enumeration; round numbers, weekdays and hours survive the encoding."""

import numpy as np
import pytest
from scipy.stats import chisquare

from generators.encoding import plan_encoding
from generators.encoding.texture import Texture
from release.records import Within
from tests.builders import make_schema, make_table
from tests.seeded_noise import SeededNoise

INT = np.int64
TEXTURES = {
    "units": Texture(
        anchor=-37,
        units=np.array([1, 5, 10, 50]),
        weight=np.array([0.2, 3.0, 5.0, 40.0]),
        block=50,
        pattern=np.ones(1),
    ),
    "weekdays": Texture(
        anchor=-11,
        units=np.array([1]),
        weight=np.array([1.0]),
        block=1,
        pattern=np.array([1, 2, 3, 4, 5, 0.5, 0.01]),
    ),
    "hours": Texture(
        anchor=-100,
        units=np.array([1, 4, 12]),
        weight=np.array([0.1, 1.0, 2.0]),
        block=12,
        pattern=np.array([1.0, 5.0, 0.2]),
    ),
}


def slow_density(texture, cells):
    """The definition, value by value."""
    numbers = texture.anchor + cells
    place = numbers // texture.block % len(texture.pattern)
    gain = sum(w * (numbers % u == 0) for u, w in zip(texture.units, texture.weight, strict=True))
    return gain * texture.pattern[place]


@pytest.mark.parametrize("texture", TEXTURES.values(), ids=TEXTURES)
def test_mass_is_the_sum_of_densities(texture):
    density = slow_density(texture, np.arange(300))
    rng = np.random.default_rng(0)
    first = rng.integers(0, 300, 400)
    last = rng.integers(first, 300)
    slow = [density[a : b + 1].sum() for a, b in zip(first, last, strict=True)]
    assert texture.mass(first, last) == pytest.approx(slow)


@pytest.mark.parametrize("texture", TEXTURES.values(), ids=TEXTURES)
def test_draws_follow_the_density(texture):
    first, last = np.array([0, 40, 41]), np.array([39, 40, 200])
    which = np.repeat([0, 1, 2], [30_000, 10, 60_000])
    cells = texture.draw(first, last, which, np.random.default_rng(1))
    for number in range(3):
        inside = np.arange(first[number], last[number] + 1)
        drawn = cells[which == number]
        assert drawn.min() >= first[number]
        assert drawn.max() <= last[number]
        density = slow_density(texture, inside)
        seen = np.bincount(drawn - first[number], minlength=len(inside))
        enough = density / density.sum() * len(drawn) >= 5
        expected = density[enough] / density[enough].sum() * seen[enough].sum()
        if enough.sum() > 1:
            assert chisquare(seen[enough], expected).pvalue > 1e-6


def test_round_numbers_weekdays_and_hours_survive():
    rng = np.random.default_rng(2)
    n = 8_000
    day = np.datetime64("2015-01-01") + rng.integers(0, 3_600, n)
    weekend = (day.astype("datetime64[D]").view(INT) + 3) % 7 >= 5
    day = np.where(weekend & (rng.random(n) < 0.9), day - 2, day)  # few weekends
    moment = np.datetime64("2022-01-01T00:00:00") + 86_400 * rng.integers(0, 700, n)
    moment = moment + 60 * rng.integers(8 * 60, 18 * 60, n)  # whole minutes of the working day
    limit = 10_000 * rng.integers(1, 80, n) + np.where(rng.random(n) < 0.05, rng.integers(0, 9_999, n), 0)
    price = np.round(rng.integers(1, 400, n) + np.where(rng.random(n) < 0.6, 0.0, rng.random(n)), 2)
    schema = make_schema(
        limit=(0, 1_000_000),
        price={"kind": "real", "domain": {"min": 0.0, "max": 500.0, "decimals": 2}},
        day={"kind": "date", "domain": {"min": "2010-01-01", "max": "2030-12-31"}},
        moment={"kind": "datetime", "domain": {"min": "2020-01-01", "max": "2025-12-31"}},
    )
    data = {"limit": limit, "price": price, "day": day.astype(str), "moment": moment.astype(str)}
    table = make_table(schema, data)
    encoding = plan_encoding(schema, rho=0.02, delta=1e-7).fit(table, SeededNoise(3))
    assert all(size < 60 for size in encoding.sizes)
    decoded = encoding.decode(encoding.encode(table), rng)
    assert (decoded["limit"].values % 10_000 == 0).mean() == pytest.approx(
        (limit % 10_000 == 0).mean(), abs=0.04
    )
    whole = (np.abs(decoded["price"].values % 1) < 1e-9).mean()
    assert whole == pytest.approx((price % 1 == 0).mean(), abs=0.05)
    for name, weekend_of in (("day", lambda v: (v + 3) % 7 >= 5),):
        assert weekend_of(decoded[name].values).mean() == pytest.approx(
            weekend_of(table[name].values).mean(), abs=0.03
        )
    seconds = decoded["moment"].values
    assert (seconds % 60 == 0).mean() > 0.95
    assert ((seconds // 3_600 % 24 >= 8) & (seconds // 3_600 % 24 < 18)).mean() > 0.95
    (_, share), *_ = encoding.condition({"limit": Within(low=250_001, high=259_999)}).factors
    whole_code = encoding.codes["limit"]
    level = int(np.argmax(share))
    drawn = whole_code.draw(np.full(40_000, level), rng)
    inside = ((drawn >= 250_001) & (drawn <= 259_999)).mean()
    assert inside == pytest.approx(share[level], abs=0.01)
    assert inside < 0.1  # far below its share of the bin's width


def test_no_texture_where_none_is():
    rng = np.random.default_rng(4)
    schema = make_schema(a=(1, 100_000))
    table = make_table(schema, {"a": rng.integers(1, 100_000, 5_000)})
    encoding = plan_encoding(schema, rho=0.02, delta=1e-7).fit(table, SeededNoise(5))
    assert encoding.codes["a"].texture is None
