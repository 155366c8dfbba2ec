"""Steps, starts, bounds and decimals that do not fit each other are refused before anything is charged."""

import math
import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.data.constraints import require_consistent
from release.data.lattice import decimals_of, exact, on_lattice, shown
from release.errors import SchemaError
from tests.builders import make_schema

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def column(kind="real", **domain):
    return {"a": {"kind": kind, "domain": domain}} if domain else {"a": {"kind": kind}}


def increment(step, start=0.0):
    return [{"type": "increment", "column": "a", "step": step, "start": start}]


#: name -> (column, constraints, what the message says, its mend)
REFUSED = {
    "increment finer than the decimals": (
        column(min=0, max=10, decimals=1),
        increment(0.25),
        "the increment's step 0.25 has 2 decimals, and decimals: 1 cannot hold it",
        "declare decimals: 2",
    ),
    "start finer than the decimals": (
        column(min=0, max=9, decimals=1),
        increment(0.5, 0.05),
        "start 0.05 has 2 decimals",
        "declare decimals: 2",
    ),
    "step finer than the decimals": (
        column(min=0, max=10, decimals=1, step=0.25),
        [],
        "step 0.25 has 2 decimals",
        "declare decimals: 2",
    ),
    "min finer than the decimals": (
        column(min=0.005, max=9.99, decimals=2),
        [],
        "min 0.005 has 3 decimals",
        "decimals: 3",
    ),
    "max finer than the decimals": (
        column(min=0, max=0.8, decimals=0),
        [],
        "max 0.8 has 1 decimals",
        "decimals: 1",
    ),
    "spike finer than the decimals": (
        column(min=0, max=9, decimals=0, spikes=[0.5]),
        [],
        "the spike 0.5 has 1",
        "decimals: 1",
    ),
    "more than anything holds": (
        column(min=0, max=1e-20, decimals=2),
        [],
        "max 1e-20 has 20 decimals",
        "or no decimals",
    ),
    "half days": (
        column("date", min="2020-01-01", max="2020-02-01", step=0.5),
        [],
        "a column of kind date holds days",
        "whole",
    ),
    "half integers": (
        column("integer", min=0, max=10, step=2.5),
        [],
        "step 2.5 is no whole number",
        "kind: real",
    ),
    "an increment between integers": (
        column("integer"),
        increment(3.5, 3),
        "step 3.5 is no whole number",
        "kind: real",
    ),
    "a start between integers": (
        column("integer"),
        increment(3, 0.5),
        "start 0.5 is no whole number",
        "kind: real",
    ),
    "max between steps, in the 7th place": (
        column(min=0, max=1.0000001, step=0.25),
        [],
        "1.0000001 is not 0 + k·0.25",
        "grid",
    ),
    "increments beside the domain's step": (
        column(min=0, max=1, step=0.25),
        increment(0.1),
        "0 + k·0.1 leave the domain's 0 + k·0.25",
        "remove the domain's step",
    ),
    "a spike between increments": (
        column(min=0, max=1, spikes=[0.3]),
        increment(0.25),
        "the spike 0.3 is not",
        "remove",
    ),
}


@pytest.mark.parametrize(("columns", "rules", "fact", "mend"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_with_the_mend(columns, rules, fact, mend) -> None:
    with pytest.raises(SchemaError, match=re.escape(fact)) as refused:
        require_consistent(make_schema(constraints=rules, **columns))
    assert mend in str(refused.value)


ACCEPTED = {
    "tenths": (column(min=0, max=0.3, step=0.1), []),
    "twentieths from .01": (column(min=0.01, max=100.01, decimals=2), increment(0.05, 0.01)),
    "cents far away": (column(min=1e9 + 0.01, max=1e9 + 0.99, decimals=2), []),
    "quarters as increments of quarters": (column(min=0, max=10, step=0.25), increment(0.5)),
    "whole steps of an integer": (column("integer", min=-5, max=20, step=5), []),
    "no decimals, any bounds": (column(min=0.005, max=1e-7 + 9), []),
}


@pytest.mark.parametrize(("columns", "rules"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_fits_is_accepted(columns, rules) -> None:
    require_consistent(make_schema(constraints=rules, **columns))


@given(FINITE)
def test_a_float_is_the_decimal_that_reads_back_as_it(value) -> None:
    assert float(exact(value)) == value
    assert float(shown(value)) == value
    places = decimals_of(value)
    assert (exact(value) * 10**places).denominator == 1
    assert places == 0 or (exact(value) * 10 ** (places - 1)).denominator != 1


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6), st.integers(0, 6), st.integers(-(10**6), 10**6))
def test_steps_are_hit_exactly(k, step, places, start) -> None:
    """No tolerance: start + k·step is on the lattice, a thousandth of a step beside it is not."""
    unit = Fraction(1, 10**places)
    value = float(Decimal(start + k * step) / 10**places)
    assert on_lattice(value, float(start * unit), float(step * unit))
    beside = float(Decimal((start + k * step) * 1000 + step) / 10 ** (places + 3))
    assert not on_lattice(beside, float(start * unit), float(step * unit))
    assert math.isfinite(beside)
