"""One fit as a process of its own, measured from outside, and the file that keeps what was measured.

A fit's command reads coded rows and writes synthetic ones. Its wall time, processor time and peak memory are of the whole process, imports
and compilation included. A fit has a limit of processor seconds, and of eight times as many wall seconds, on a machine that others use too.
Results are appended to a file as they come, one line a fit, so that a run can go on where another stopped.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from coded_tables import CodedTable, score

WALL = 8
"""Wall seconds that a fit may take for each processor second of its limit."""
POLL = 0.1
"""Seconds between two looks at a fit's memory."""
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC"), "1"
) | {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Which fit: `version` is of the generator's code, `run` counts repetitions from 0."""

    table: str
    epsilon: float
    generator: str
    version: str
    run: int = 0


class FitError(Exception):
    """The fit gave no rows; the message says why.

    Attributes:
        cpu_seconds: what it had taken when its limit stopped it; None where it ended by itself.
    """

    def __init__(self, message: str, *, cpu_seconds: float | None = None) -> None:
        super().__init__(message)
        self.cpu_seconds = cpu_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Of one process: wall and processor seconds, and the most memory resident at once, in MiB."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def run_process(command: Sequence[object], *, limit: float, env: dict[str, str] = ONE_THREAD) -> Took:
    """Run it to its end. Raises FitError where it fails, or passes `limit` processor seconds or WALL times as many wall seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start, peak = time.monotonic(), float("nan")
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=os.environ | env,
        )
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 5))
        try:
            while process.poll() is None:
                peak = _peak_mib(process.pid, peak)
                if time.monotonic() - start > WALL * limit:
                    raise FitError(f"not done in {WALL * limit:.0f} s of a loaded machine")
                time.sleep(POLL)
        finally:
            process.kill()
            process.wait()
        took = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if cpu > limit or process.returncode == -signal.SIGXCPU:
            raise FitError(
                f"not done in {limit:.0f} s of processor time ({peak:.0f} MiB by then)", cpu_seconds=cpu
            )
        if process.returncode:
            said.seek(0)
            tail = said.read().decode(errors="replace").strip().splitlines() or [f"exit {process.returncode}"]
            raise FitError(tail[-1][:160])
    return Took(seconds=took, cpu_seconds=cpu, peak_mib=peak)


def _peak_mib(pid: int, known: float) -> float:
    """The process's high-water mark so far (what `wait` reports would include its parent's, from before exec)."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return float(line.split()[1]) / 1024
    except OSError:
        pass
    return known


def fit_and_score(table: CodedTable, command: Sequence[object], *, limit: float) -> dict[str, Any]:
    """Figures of one fit. `{source}` and `{target}` in the command stand for its files.

    `failed` in the answer says why there are none, `stopped_at` how many processor seconds it had then taken where only its limit stopped it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch) / "in.npz", Path(scratch) / "out.npz"
        np.savez(
            source,
            names=np.array(table.names),
            sizes=np.array(table.sizes),
            ordered=np.array(table.ordered),
            codes=table.input,
            target=table.target,
        )
        filled = [str(part).format(source=source, target=target) for part in command]
        try:
            took = run_process(filled, limit=limit)
        except FitError as reason:
            stopped = {} if reason.cpu_seconds is None else {"stopped_at": reason.cpu_seconds}
            return {"failed": str(reason)} | stopped
        with np.load(target) as file:
            codes = file["codes"]
    found = score(table, codes)
    return {"one": found.one, "two": found.two, "three": found.three, "auc": found.auc} | asdict(took)


class Results:
    """Lines of JSON, each a Key, figures, when they were measured (UTC) and the machine's load average then.

    Args:
        path: where new ones go.
        before: a file of earlier ones that is only read; `mean_of` in a row says how many runs its figures are the mean of, `auc_sd` how these differed.
    """

    def __init__(self, path: Path, before: Path | None = None) -> None:
        self.path = path
        self.before = before

    def rows(self) -> list[dict[str, Any]]:
        files = [path for path in (self.before, self.path) if path is not None and path.is_file()]
        return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]

    def find(self, key: Key) -> dict[str, Any] | None:
        """The newest row of the key."""
        wanted = asdict(key)
        return next((r for r in reversed(self.rows()) if wanted.items() <= r.items()), None)

    def add(self, key: Key, figures: dict[str, Any], *, load: float) -> dict[str, Any]:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        row = asdict(key) | figures | {"measured": now, "load": round(max(load, os.getloadavg()[0]), 2)}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        return row
