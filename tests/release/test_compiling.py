"""Where compiled code is kept, and that noise is drawn where none can be kept."""

from __future__ import annotations

from tests.processes import in_a_process

NOISE = """
import numpy as np
from release.privacy.noise import SystemNoise
assert SystemNoise().discrete_gaussian(np.zeros(50, dtype=np.int64), 100.0).any()
"""


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


def test_a_folder_that_others_can_write_keeps_no_code(tmp_path):
    folder = tmp_path / "kernels"
    folder.mkdir()
    folder.chmod(0o777)
    done = in_a_process(NOISE, NUMBA_CACHE_DIR=str(folder))
    assert "others can write there" in done.stderr
    assert not list(folder.rglob("*.nbc"))


def test_a_kernel_is_compiled_anew_where_a_file_beside_its_own_changed(tmp_path):
    """numba looks at the kernel's own file: it would go on with the old part."""
    package = tmp_path / "sums"
    package.mkdir()
    (package / "parts.py").write_text(
        "from release.compiling import compiled\n@compiled\ndef part(x):\n    return x + 1\n"
    )
    (package / "whole.py").write_text(
        "from release.compiling import compiled\nfrom sums.parts import part\n@compiled\ndef whole(x):\n    return part(x)\n"
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom sums.whole import whole\nprint(whole(1))"
    environment = {"NUMBA_CACHE_DIR": str(tmp_path / "kernels"), "PYTHONDONTWRITEBYTECODE": "1"}
    assert in_a_process(code, **environment).stdout.strip() == "2"
    (package / "parts.py").write_text(
        "from release.compiling import compiled\n@compiled\ndef part(x):\n    return x + 10\n"
    )
    assert in_a_process(code, **environment).stdout.strip() == "11"
