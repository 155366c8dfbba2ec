"""What a run says while it goes: the stage, the privacy spent so far as ε, the time that is left.

Nothing here reads rows: the stage's words come from the fitter, ε from the run's filter through the accountant.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from generators.core.measurer import RhoFilter
from release.privacy import accounting
from release.protocols import Progress

LEAST_GAP = 0.1
"""Seconds between two reports; stages may tick much faster than anybody reads."""

_SLOW = 3.0
"""Runs of fewer seconds do not say what is left."""


class Pace:
    """A fitter's `Progress`, passed on at a readable rate, with ε and the time left.

    Args:
        progress: where to report.
        spending: the filter of the run.
        before: ρ that was spent before the filter began (the encoding's).
        delta: δ at which ρ is converted: the plan's, less what thresholds use.
        limit: the plan's ε.
        begin: of the whole, where the fitter's part starts.
        clock: seconds; for tests.
    """

    def __init__(
        self,
        progress: Progress,
        spending: RhoFilter,
        *,
        before: float,
        delta: float,
        limit: float,
        begin: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._spending = spending
        self._before = before
        self._delta = delta
        self._limit = limit
        self._begin = begin
        self._clock = clock
        self._started = clock()
        self._last = -LEAST_GAP

    def __call__(self, done: float, what: str) -> None:
        now = self._clock() - self._started
        if now - self._last < LEAST_GAP and done < 1.0:
            return
        self._last = now
        said = [what, f"ε {self.epsilon:.3g} of {self._limit:.3g} spent"]
        if now >= _SLOW and 0.05 < done < 1.0:
            said.append(f"about {_span(now * (1.0 - done) / done)} left")
        self._progress(self._begin + (1.0 - self._begin) * done, ", ".join(said))

    @property
    def epsilon(self) -> float:
        """ε spent so far, by the accountant."""
        spent = self._before + self._spending.spent
        return min(accounting.epsilon_of_rho(spent, self._delta), self._limit)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
