"""A limit on how long a probe may take: past it the probe ends with a reason, and what it would have shown is unproven.

Rules: the limit is a number of the suite, stated in the reason; the time that was taken is not, so that the same probes past
their limits give the same evidence, byte for byte. Nothing is killed: a probe is stopped where it looks at the limit, which is at
every report of progress, every slice of a search and every shared result. What is one call into a foreign library is
stopped after it. A probe that is stopped gives no figure at all, never a part of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

Clock = Callable[[], float]
"""Seconds that only ever grow, as `time.monotonic`."""


class OutOfTimeError(Exception):
    """The limit has passed. `attacks.runner` makes a reason of it; it never leaves the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    clock: Clock
    end: float
    seconds: float


_LIMIT: ContextVar[_Limit | None] = ContextVar("limit of the running probe", default=None)


@contextmanager
def at_most(seconds: float, clock: Clock) -> Iterator[None]:
    """What runs inside is stopped by `check` once so many seconds have passed."""
    token = _LIMIT.set(_Limit(clock=clock, end=clock() + seconds, seconds=seconds))
    try:
        yield
    finally:
        _LIMIT.reset(token)


def check() -> None:
    """Raise OutOfTimeError where the running probe's limit has passed; nothing outside of a limit."""
    limit = _LIMIT.get()
    if limit is not None and limit.clock() > limit.end:
        raise OutOfTimeError
