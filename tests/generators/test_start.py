"""What starting a fit costs: which packages it loads, and that an installation nobody can write to works."""

from __future__ import annotations

from tests.processes import in_a_process

FIT = """
import sys
import numpy as np
from generators import get
assert "pyarrow" not in sys.modules
from release.privacy.noise import SystemNoise
from release.records import Budget
from release.data.schema import OUTSIDE_LEVEL
from release.data.table import Column, Table
from tests.builders import make_schema
schema = make_schema(a=["x", "y"], b=(0, 9), c=["p", "q", "r"])
rng = np.random.default_rng(0)
whole = np.zeros(300, dtype=np.uint8)
columns = {
    "a": Column(rng.integers(0, 2, 300).astype(np.int32), whole, ("x", "y", OUTSIDE_LEVEL)),
    "b": Column(rng.integers(0, 10, 300), whole),
    "c": Column(rng.integers(0, 3, 300).astype(np.int32), whole, ("p", "q", "r", OUTSIDE_LEVEL)),
}
table = Table(schema, columns, np.arange(300))
model = get("mst").plan(schema, Budget(epsilon=1.0, delta=1e-7)).run(table, SystemNoise())
assert len(model.sample(10, np.random.default_rng(0))) == 10
print("@@" + " ".join(sys.modules))
"""

ONE_KERNEL = """
from generators.core.domain import Domain
from generators.core.junction import tree_cells
assert round(tree_cells(Domain(names=("a", "b"), sizes=(2, 3)), [(0, 1)])) == 6
"""


def test_a_fit_loads_no_package_that_takes_longer_than_the_fit():
    loaded = set(in_a_process(FIT).stdout.rsplit("@@", 1)[1].split())
    assert "opendp.measurements" in loaded  # the choice is OpenDP's
    assert not loaded & {"opendp.prelude", "sklearn", "pandas", "polars", "torch", "sdv", "duckdb"}


def test_where_no_kernel_can_be_kept_a_fit_works_and_says_what_that_costs(tmp_path):
    (tmp_path / "file").write_text("a folder cannot be made below this")
    done = in_a_process(ONE_KERNEL, NUMBA_CACHE_DIR=str(tmp_path / "file" / "kernels"))
    assert "NUMBA_CACHE_DIR" in done.stderr
    assert "compiles its own" in done.stderr


def test_kernels_are_kept_in_a_folder_of_the_user_alone(tmp_path):
    in_a_process(ONE_KERNEL, NUMBA_CACHE_DIR=str(tmp_path / "kernels"))
    assert (tmp_path / "kernels").stat().st_mode & 0o077 == 0
    assert list((tmp_path / "kernels").rglob("*.nbc"))
