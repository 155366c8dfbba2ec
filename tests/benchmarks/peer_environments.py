"""Environments of peer libraries, one each under .venvs/, made on demand and pinned."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venvs"
PINS = {
    "mbi": ("mbi==2.0.0", "numpy==2.4.6", "scipy==1.17.1", "networkx==3.6.1"),
    "dpmm": ("dpmm==0.1.9",),
    "smartnoise": (
        *("smartnoise-synth==1.0.8", "packaging==26.3"),  # it imports packaging without asking for it
        *("opacus==0.14.0", "torch==2.13.0", "mbi==1.1.0", "jax==0.10.2"),
        *("numpy==2.4.6", "pandas==2.3.3", "scipy==1.17.1"),
    ),
}


class NoPeer(Exception):
    """The environment could not be made; the message says why."""


def python_of(peer: str) -> Path:
    """The interpreter of the peer's environment, which is made (and marked as made) where it is absent."""
    folder = FOLDER / peer
    python = folder / "bin" / "python"
    mark = folder / "made.txt"
    if mark.is_file() and mark.read_text() == " ".join(PINS[peer]):
        return python
    try:
        venv.create(folder, with_pip=True, symlinks=True, clear=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *PINS[peer]],
            check=True,
            capture_output=True,
            text=True,
            timeout=3600,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        tail = (said.decode(errors="replace") if isinstance(said, bytes) else said).strip().splitlines()[-1:]
        raise NoPeer(f"{peer}'s environment could not be made: {' '.join(tail)}") from error
    mark.write_text(" ".join(PINS[peer]))
    return python


if __name__ == "__main__":
    for name in sys.argv[1:] or PINS:
        print(python_of(name))
