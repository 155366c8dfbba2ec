"""Where compiled code is kept, and that noise is drawn where none can be kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

NOISE = """
import numpy as np
from release.privacy.noise import SystemNoise
assert SystemNoise().discrete_gaussian(np.zeros(50, dtype=np.int64), 100.0).any()
"""


def in_a_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_noise_is_drawn_where_no_kernel_can_be_kept_and_says_what_that_costs(tmp_path):
    (tmp_path / "file").write_text("a folder cannot be made below this")
    done = in_a_process(NOISE, NUMBA_CACHE_DIR=str(tmp_path / "file" / "kernels"))
    assert "NUMBA_CACHE_DIR" in done.stderr
    assert "compiles its own" in done.stderr


def test_the_kernel_of_noise_is_kept_by_itself_in_a_folder_of_the_user_alone(tmp_path):
    folder = tmp_path / "kernels"
    in_a_process(NOISE, NUMBA_CACHE_DIR=str(folder))
    assert folder.stat().st_mode & 0o077 == 0
    (kept,) = folder.rglob("*.nbc")  # its parts are inside it
    assert "add_gaussian" in kept.name
    in_a_process(NOISE, NUMBA_CACHE_DIR=str(folder))
    assert [kept] == list(folder.rglob("*.nbc"))
