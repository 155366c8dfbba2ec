"""Our inference against mbi's, on the same noisy marginals, mbi in its own environment. Run by `make test-oracle`."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import numpy as np
import pytest

from generators.core.domain import Domain
from generators.core.inference import Measurement, fit
from generators.core.views import Views, full_view

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

SIZES = (4, 3, 6, 2, 5, 3)
MODELS = {
    "tree": [(0, 1), (1, 2), (2, 3), (2, 4), (4, 5)],
    "loops": [(0, 1), (1, 2), (0, 2), (2, 3), (3, 4), (2, 4), (4, 5)],
    "triples": [(0, 1, 2), (2, 3, 4), (3, 4, 5)],
}


@pytest.fixture(scope="module")
def mbi_python(request):
    if "oracle" not in request.config.option.markexpr:
        pytest.skip("minutes, and an environment of its own: `make test-oracle` runs it")
    spec = importlib.util.spec_from_file_location("peer_environments", BENCHMARKS / "peer_environments.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        return module.python_of("mbi")
    except module.NoPeer as reason:
        pytest.skip(str(reason))


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("cliques", MODELS.values(), ids=MODELS)
def test_the_same_marginals_as_mbi(cliques, mbi_python, tmp_path):
    """Both minimise the same strictly convex loss of the marginals, so converged marginals are the same."""
    rng = np.random.default_rng(3)
    n, sigma = 5_000, 12.0
    joint = rng.dirichlet(np.full(int(np.prod(SIZES)), 0.3)).reshape(SIZES)
    domain = Domain(names=tuple("abcdef"), sizes=SIZES)
    measured = []
    for clique in [(a,) for a in range(6)] + cliques:
        exact = n * joint.sum(axis=tuple(a for a in range(6) if a not in clique))
        measured.append(
            Measurement(
                full_view(clique), np.rint(exact + rng.normal(0, sigma, exact.shape)).astype(np.int64), sigma
            )
        )
    arrays = {"names": np.array(domain.names), "sizes": np.array(SIZES)}
    for k, m in enumerate(measured):
        arrays |= {f"clique_{k}": np.array(m.clique), f"counts_{k}": m.counts, f"sigma_{k}": np.array(sigma)}
    np.savez(tmp_path / "in.npz", **arrays)
    subprocess.run(
        [
            mbi_python,
            BENCHMARKS / "run_mbi.py",
            tmp_path / "in.npz",
            tmp_path / "out.npz",
            "estimate",
            "3000",
        ],
        check=True,
        capture_output=True,
        timeout=500,
    )
    ours = fit(Views.full(domain), measured, iterations=100_000, tolerance=1e-13)
    with np.load(tmp_path / "out.npz") as theirs:
        assert float(theirs["total"]) == pytest.approx(ours.total, rel=1e-6)
        for k, m in enumerate(measured):
            expected = theirs[f"marginal_{k}"] / float(theirs["total"])
            found = ours.marginal(m.clique).reshape(-1)
            assert np.abs(found - expected).sum() / 2 < 2e-3
