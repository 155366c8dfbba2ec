"""Real processes ask for the same budget at the same moment, on SQLite and on Postgres."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from release.records import Population
from release.workflow.transitions import State
from tests.release.workflow.flow import OTTO, plan_cost, world
from tests.release.workflow.worker import begin

PROCESSES = 8
FIT = 3
EPSILON = 1.0


def contend(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight at once against a cap that has room for three: exactly three are charged."""
    made = world(tmp_path, url=url, epsilon=50.0)
    releases = [made.propose(epsilon=EPSILON).release for _ in range(PROCESSES)]
    ledger = made.registry.ledger
    cap = ledger.balance(Population("patients")).cap
    room = (FIT + 0.5) * ledger.quote(Population("patients"), plan_cost(EPSILON)) * cap.rdp
    # The room at the filter's order grows with the cap's epsilon one for one.
    made.registry.datasets.set_cap(
        Population("patients"), epsilon=cap.epsilon - cap.rdp + room, delta=1e-6, by=OTTO
    )

    context = multiprocessing.get_context("forkserver")
    # The fork server finds its preloads by PYTHONPATH only, and imports them once for all the processes.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    context.set_forkserver_preload(["tests.release.workflow.worker"])
    ready, said = context.Barrier(PROCESSES), context.Queue()
    workers = [
        context.Process(target=begin, args=(url, release, EPSILON, ready, said)) for release in releases
    ]
    for process in workers:
        process.start()
    heard = Counter(said.get(timeout=120) for _ in workers)
    for process in workers:
        process.join(timeout=60)
    assert heard == {"charged": FIT, "refused": PROCESSES - FIT}

    made.clock.now = datetime.now(UTC)
    balance = ledger.balance(Population("patients"))
    assert len(balance.charges) == FIT
    assert balance.spent_rdp <= balance.cap.rdp
    states = Counter(view.state for view in made.registry.all())
    assert states == {State.GENERATING: FIT, State.SUBMITTED: PROCESSES - FIT}
    made.registry.verify_audit()


def test_eight_processes_on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contend(tmp_path, f"sqlite:///{tmp_path / 'registry.sqlite'}", monkeypatch)


@pytest.mark.postgres
def test_eight_processes_on_postgres(
    tmp_path: Path, postgres: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    contend(tmp_path, postgres("contend"), monkeypatch)


@pytest.mark.postgres
def test_the_whole_path_on_postgres(tmp_path: Path, postgres: Callable[[str], str]) -> None:
    made = world(tmp_path, url=postgres("whole"))
    release = made.approved()
    made.export(release)
    assert made.registry.show(release).state is State.RELEASED
    assert made.registry.verify_audit().ledger_entries == 2
