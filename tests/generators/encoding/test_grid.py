"""Grids hold steps and starts exactly: finer than the decimals, far from zero, learnt or declared."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators.encoding import plan_encoding
from generators.encoding.grid import grid_of
from release.data.constraints import violations
from release.data.schema import Increment
from release.errors import PlanError
from tests.builders import make_schema, make_table
from tests.generators.encoding.sampled import random_rows
from tests.seeded_noise import SeededNoise

DELTA = 1e-7


def spec_of(kind="real", **domain):
    what = {"kind": kind} | ({"domain": domain} if domain else {})
    return make_schema(a=what).column("a")


def rule(step, start=0.0):
    return Increment(type="increment", column="a", step=step, start=start)


#: name -> (column, increment, all of its values)
GRIDS = {
    "quarters": (spec_of(min=0.0, max=1.0, step=0.25), None, [0, 0.25, 0.5, 0.75, 1]),
    "quarters from an eighth": (spec_of(min=0.125, max=1.125, step=0.25), None, [0.125, 0.375, 0.625, 0.875, 1.125]),
    "twentieths from .01": (spec_of(min=0.01, max=0.16, decimals=2), rule(0.05, 0.01), [0.01, 0.06, 0.11, 0.16]),
    "tenths": (spec_of(min=-0.1, max=0.3, decimals=1), None, [-0.1, 0.0, 0.1, 0.2, 0.3]),
    "an increment before the step": (spec_of(min=0.0, max=1.0, step=0.25), rule(0.5), [0, 0.5, 1]),
    "finer than nine decimals": (spec_of(min=0.0, max=3e-11, step=1e-11), None, [0, 1e-11, 2e-11, 3e-11]),
    "thirds, as near as decimals come": (
        spec_of(min=0.0, max=0.6666666666666666, step=0.3333333333333333), None,
        [0, 0.3333333333333333, 0.6666666666666666]),
    "weeks": (spec_of("date", min="2024-01-01", max="2024-01-22"), rule(7, 19723), [19723, 19730, 19737, 19744]),
    "steps of an integer from -3": (spec_of("integer", min=-3, max=11, step=7), None, [-3, 4, 11]),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "increment", "values"), GRIDS.values(), ids=GRIDS)
def test_every_value_of_a_grid(spec, increment, values):
    grid = grid_of(spec, *spec.bounds, increment)
    assert grid.size == len(values)
    made = grid.values(np.arange(grid.size), np.random.default_rng(0))
    assert made.tolist() == values
    assert grid.cells(made).tolist() == list(range(grid.size))


@settings(deadline=None)
@given(
    st.integers(0, 6),
    st.integers(1, 999),
    st.integers(-(10**6), 10**6),
    st.integers(-(10**9), 10**9),
    st.integers(0, 10**6),
)
def test_cells_are_the_float_nearest_to_start_plus_k_steps(places, step, start, low, width):
    """For random decimals, to the last bit: floats of the grid are those that a reader makes of the text."""
    spec = spec_of()
    increment = rule(step / 10**places, start / 10**places)
    try:
        grid = grid_of(spec, low / 10**places, (low + width) / 10**places, increment)
    except PlanError:
        assert width < step
        return
    cells = np.unique(np.linspace(0, grid.size - 1, 50).astype(np.int64))
    first = start + -(-(low - start) // step) * step
    wanted = [(first + step * k) / 10**places for k in cells.tolist()]
    assert grid.values(cells, np.random.default_rng(0)).tolist() == wanted
    assert grid.cells(np.array(wanted)).tolist() == cells.tolist()


@pytest.mark.parametrize("rho", [1e-6, 1e-3, 10.0])
@pytest.mark.parametrize("data", [0.25, 0.5, 25.0])
def test_learnt_bounds_keep_a_declared_increment(rho, data):
    """Values that happen to be coarser, or noise that hides the decimals: the increments hold in every row."""
    schema = make_schema(constraints=[{"type": "increment", "column": "a", "step": 0.25}], a={"kind": "real"})
    rng = np.random.default_rng(0)
    table = make_table(schema, {"a": (rng.integers(0, 40, 3_000) * data).tolist()})
    plan = plan_encoding(schema, rho=rho, delta=DELTA)
    for seed in range(8):
        encoding = plan.fit(table, SeededNoise(seed))
        assert violations(random_rows(encoding, rng, 1_000))[0].violations == 0


@pytest.mark.parametrize("step", [1e-12, 1e-3, 1e18])
def test_an_increment_of_any_size_is_never_refused_after_the_charge(step):
    schema = make_schema(constraints=[{"type": "increment", "column": "a", "step": step}], a={"kind": "real"})
    table = make_table(schema, {"a": [step * k for k in range(50)]})
    for rho in (1e-9, 10.0):
        for seed in range(4):
            encoding = plan_encoding(schema, rho=rho, delta=DELTA).fit(table, SeededNoise(seed))
            assert violations(random_rows(encoding, np.random.default_rng(seed), 100))[0].violations == 0


def test_conditions_far_outside_a_fine_grid():
    """Values that overflow when scaled are outside, on the right side."""
    spec = spec_of(min=0.0, max=3e-11, step=1e-11)
    grid = grid_of(spec, *spec.bounds)
    far = np.array([-1e308, -np.inf, 1e308, np.inf])
    with np.errstate(all="raise"):
        assert grid.at_least(far).tolist() == [0, 0, 4, 4]
        assert grid.at_most(far).tolist() == [-1, -1, 3, 3]
        assert grid.cells(far).tolist() == [0, 0, 3, 3]
