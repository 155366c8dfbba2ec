"""What each contending process does: wait for the signal, try to begin one release's turn, say what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

from release.database import Database
from release.errors import BudgetExceededError
from release.privacy.accounting import rdp_curve
from release.records import Person, ReleaseId
from release.workflow.registry import Registry
from tests.release.workflow.flow import KEY, plan_cost


def begin(url: str, release: str, epsilon: float, ready: Barrier, said: Queue) -> None:
    cost = plan_cost(epsilon)
    rdp_curve(cost.events)  # so that nothing slow lies between the signal and the charge
    registry = Registry(Database(url, key=KEY, clock=lambda: datetime.now(UTC)))
    ready.wait(timeout=60)
    try:
        registry.begin_generation(ReleaseId(release), cost=cost, by=Person("anna"))
    except BudgetExceededError:
        said.put("refused")
    except BaseException as error:
        said.put(repr(error))
        raise
    else:
        said.put("charged")
