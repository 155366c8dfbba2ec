"""The polynomials in the place of exp and log, against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from generators.core.jit import fast_exp, fast_log, kernel


@kernel
def _exps(x, out):
    for i in range(x.shape[0]):
        out[i] = fast_exp(x[i])


@kernel
def _logs(x, out):
    for i in range(x.shape[0]):
        out[i] = fast_log(x[i])


def test_exp_is_exp_and_zero_far_below():
    x = np.concatenate([-np.geomspace(1e-12, 699.0, 100_000), [0.0, -700.5, -1e30]])
    out = np.empty_like(x)
    _exps(x, out)
    assert out[:-2] == pytest.approx(np.exp(x[:-2]), rel=4e-14, abs=0.0)
    assert (out[-2:] == 0.0).all()


def test_log_is_log_over_its_range_and_near_one():
    near = 1.0 + np.concatenate([np.geomspace(1e-15, 0.6, 10_000), -np.geomspace(1e-15, 0.4, 10_000)])
    x = np.concatenate([np.exp(np.linspace(-690.0, 690.0, 100_001)), near, [1.0, 2.0, 0.5, 2.0**0.5]])
    out = np.empty_like(x)
    _logs(x, out)
    assert out == pytest.approx(np.log(x), rel=2e-15, abs=1e-16)
