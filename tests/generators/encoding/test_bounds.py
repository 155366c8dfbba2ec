"""Learnt bounds and decimals: sane whatever the noise, wide enough where the data can be told from it."""

import numpy as np
import pytest

from generators.encoding import plan_encoding
from generators.encoding.bounds import MOST_DECIMALS, _decimals
from tests.builders import make_schema, make_table
from tests.seeded_noise import SeededNoise

DELTA = 1e-7


@pytest.mark.parametrize(
    ("magnitude", "decimals"),
    [(m, d) for m in (0, 1, 1e3, 1e6, 1e9, 1e11) for d in range(5) if m * 10.0**d <= 1e14],
)
def test_decimals_are_counted_at_any_magnitude(magnitude, decimals):
    """As read from text: 10^9 + 0.25 has two, as far as floats of that size tell decimals apart."""
    last = np.arange(1, 400) * 10 + 3  # ends in 3, so no fewer decimals will do
    values = np.array([float(f"{int(magnitude) * 10**decimals + k}e-{decimals}") for k in last.tolist()])
    assert (_decimals(values) == decimals).all()
    assert (_decimals(-values) == decimals).all()


def test_decimals_of_what_was_computed_and_of_what_has_no_end():
    computed = np.array([0.1 + 0.2, 3 * 1.1, 0.3 - 0.1, 1.1 * 1.1 * 100])
    assert _decimals(computed).tolist() == [1, 1, 1, 0]
    assert (_decimals(np.array([1 / 3, np.pi * 1e5, 1e-7])) == MOST_DECIMALS + 1).all()
    assert _decimals(np.array([0.0, -0.0, 4e15])).tolist() == [0, 0, 0]


def test_quarters_of_billions_come_back_as_quarters():
    rng = np.random.default_rng(0)
    values = 1e9 + rng.integers(0, 4_000_000, 3_000) / 4
    schema = make_schema(a={"kind": "real"})
    table = make_table(schema, {"a": values.tolist()})
    encoding = plan_encoding(schema, rho=0.1, delta=DELTA).fit(table, SeededNoise(0))
    decoded = encoding.decode(encoding.encode(table), rng)["a"].values
    assert np.array_equal(np.round(decoded, 2), decoded)
    assert (decoded % 1 != 0).mean() > 0.5
