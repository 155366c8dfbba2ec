"""White-box audit of a generator: does its noise hide one unit as well as it claims?

Worst case of 2405.10994 and 2604.18352: n units that are all the same, with and without one that is
different in every column and fills its contribution bound. Many tiny fits of each are recorded at the noise source: what
went in, what came out, at which scale. On the outcomes that follow, the log-likelihood ratio of the two tables is a
Gaussian pair whose distance is μ, if the generator is what it says (Gaussian differential privacy, Dong, Roth and Su
1905.02383): the 95 % lower bound of the measured distance must not exceed the claimed μ, and the estimate must reach .85 μ, or
the audit had no power. What was asked of the noise source (how many vectors, of what lengths) is tested by itself: it
catches domains that are read off the data. The claim counted is that of the plan's Gaussian events; for the lengths, of all
its events.

It knows no generator by name: it takes a plan and a source of noise (`release.protocols.Refit`). It sees only what goes through
the source; a plan that claims Gaussian noise and asks for none is refuted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from attacks.statistics import Z_LEVEL, Z_POWER, bisect_smallest, clopper_pearson
from release.data.table import Table
from release.protocols import NoiseSource, Plan, Progress, no_progress
from release.records import Mechanism, PrivacyCost

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

PILOT_SHARE = 0.2
"""Of the fits, to learn what goes in; the rest is judged."""
POWER = 0.85
"""An estimate under so much of the claim has seen too little."""
LARGEST = 1e6
"""Stands for "told apart every time": noise that never varies."""


class AuditRuling(StrEnum):
    """What an audit says."""

    HOLDS = "holds"
    REFUTED = "refuted"
    NO_POWER = "no-power"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The audit of one plan.

    Attributes:
        ruling: see `AuditRuling`. claimed: μ of the Gaussian events. estimate, low: of the measured μ, the end one-sided 95 %.
        lengths_low: lower bound on μ from what was asked of the source alone. claimed_all: μ of all events. fits: of each table.
        reason: in words.
    """

    ruling: AuditRuling
    claimed: float
    estimate: float
    low: float
    lengths_low: float
    claimed_all: float
    fits: int
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One vector that was given noise: what went in, what came out, the scale asked for."""

    exact: F64
    noisy: F64
    sigma: float


class RecordingNoise:
    """A noise source that passes everything on to another and keeps the Gaussian requests."""

    def __init__(self, inner: NoiseSource) -> None:
        self._inner = inner
        self.requests: list[Request] = []

    def discrete_gaussian(self, counts: I64, sigma: float) -> I64:
        """As `NoiseSource`; recorded."""
        noisy = self._inner.discrete_gaussian(counts, sigma)
        self.requests.append(
            Request(
                np.asarray(counts, np.float64).ravel().copy(),
                np.asarray(noisy, np.float64).ravel().copy(),
                sigma,
            )
        )
        return noisy

    def discrete_laplace(self, counts: I64, scale: float) -> I64:
        """As `NoiseSource`."""
        return self._inner.discrete_laplace(counts, scale)

    def exponential(self, scores: F64, epsilon: float, sensitivity: float) -> int:
        """As `NoiseSource`."""
        return self._inner.exponential(scores, epsilon, sensitivity)

    def generator(self) -> np.random.Generator:
        """As `NoiseSource`."""
        return self._inner.generator()


def audit(
    plan: Plan,
    without: Table,
    with_unit: Table,
    noise: Callable[[], NoiseSource],
    fits: int,
    progress: Progress = no_progress,
) -> Audit:
    """Audit a plan on two neighbouring tables.

    Args:
        plan: of a private generator.
        without: the table of equal units.
        with_unit: the same and the different one.
        noise: a fresh source for each fit.
        fits: of each table.
        progress: see `Progress`.

    Raises:
        ValueError: for a plan that claims nothing.
    """
    cost = plan.cost
    if cost is None:
        raise ValueError("a plan without a claim has nothing to audit")
    runs: dict[bool, list[list[Request]]] = {False: [], True: []}
    for done in range(fits):
        for present, table in ((False, without), (True, with_unit)):
            recorder = RecordingNoise(noise())
            plan.run(table, recorder)
            runs[present].append(recorder.requests)
        progress((done + 1) / fits, f"{done + 1} of {fits} pairs of fits")
    return judge(cost, runs[False], runs[True])


def judge(cost: PrivacyCost, without: list[list[Request]], with_unit: list[list[Request]]) -> Audit:
    """The audit of recorded fits."""
    claimed, claimed_all = gaussian_mu(cost), total_mu(cost)
    pilot = max(1, round(PILOT_SHARE * len(without)))
    judged = without[pilot:], with_unit[pilot:]
    lengths_low = _lengths_bound(without[:pilot], with_unit[:pilot], *judged)
    ratios = _ratios(without[:pilot], with_unit[:pilot], *judged)
    estimate, low = _distance(*ratios) if ratios is not None else (0.0, 0.0)
    asked = any(run for run in without) or any(run for run in with_unit)
    if claimed > 0 and not asked:
        ruling, reason = (
            AuditRuling.REFUTED,
            "it claims Gaussian noise and asked the source for none: its noise comes from elsewhere",
        )
    elif low > claimed and ratios is not None:
        ruling, reason = (
            AuditRuling.REFUTED,
            f"measured μ is at least {low:.3g}, claimed {claimed:.3g}: less noise than was accounted",
        )
    elif lengths_low > claimed_all:
        ruling, reason = (
            AuditRuling.REFUTED,
            f"what it asks of the source gives the unit away (μ at least {lengths_low:.3g}, claimed {claimed_all:.3g})",
        )
    elif estimate < POWER * claimed:
        ruling, reason = (
            AuditRuling.NO_POWER,
            f"measured μ {estimate:.3g} is under {POWER:g} of the claimed {claimed:.3g}: the audit could not see",
        )
    else:
        ruling, reason = (
            AuditRuling.HOLDS,
            f"measured μ {estimate:.3g} (at least {low:.3g}), claimed {claimed:.3g}",
        )
    return Audit(
        ruling=ruling,
        claimed=claimed,
        estimate=estimate,
        low=low,
        lengths_low=lengths_low,
        claimed_all=claimed_all,
        fits=len(without),
        reason=reason,
    )


def gaussian_mu(cost: PrivacyCost) -> float:
    """μ of the claim's Gaussian events: √Σ count / multiplier²."""
    kinds = {Mechanism.DISCRETE_GAUSSIAN, Mechanism.GAUSSIAN}
    return math.sqrt(sum(e.count / e.parameter**2 for e in cost.events if e.mechanism in kinds))


def total_mu(cost: PrivacyCost) -> float:
    """μ of all events, by ρ = μ²/2: an exponential mechanism has ρ = ε²/8, a pure one at most ε²/2."""
    rho = gaussian_mu(cost) ** 2 / 2
    for event in cost.events:
        if event.mechanism is Mechanism.EXPONENTIAL:
            rho += event.count * event.parameter**2 / 8
        elif event.mechanism is Mechanism.PURE:
            rho += event.count * event.parameter**2 / 2
    return math.sqrt(2 * rho)


def fits_needed(mu: float) -> int:
    """Pairs of fits with which an honest generator of this μ is found too quiet (under `POWER` μ) in one case of twenty."""
    judged = Z_LEVEL**2 * (2.0 + mu**2 / 4.0) / ((1.0 - POWER) * mu) ** 2
    return math.ceil(judged / (1.0 - PILOT_SHARE))


def detectable_ratio(mu: float, fits: int) -> float:
    """Smallest true μ over the claimed one that so many pairs of fits refute with 80 % power."""
    judged = max(1, fits - max(1, round(PILOT_SHARE * fits)))

    def refuted(ratio: float) -> bool:
        return (ratio - 1.0) * mu >= (Z_LEVEL + Z_POWER) * _standard_error(ratio * mu, judged)

    return bisect_smallest(refuted, 1.0, 1e3)


# ------------------------------------------------------------------------------------------------ the measured distance


def _ratios(
    pilot_without: list[list[Request]],
    pilot_with: list[list[Request]],
    without: list[list[Request]],
    with_unit: list[list[Request]],
) -> tuple[F64, F64] | None:
    """Log-likelihood ratios of the judged fits; None where the pilot shows no vector that the unit changes."""
    usual, changed = _means(pilot_without), _means(pilot_with)
    shift = {
        key: changed[key] - usual[key]
        for key in usual
        if key in changed and np.abs(changed[key] - usual[key]).max(initial=0.0) > 0
    }
    if not shift:
        return None

    def ratio(run: list[Request]) -> float:
        total = 0.0
        for request in run:
            delta = shift.get(_key(request))
            if delta is None or request.sigma <= 0:
                continue
            centred = request.noisy - usual[_key(request)]
            total += float((centred @ delta - delta @ delta / 2) / request.sigma**2)
        return total

    return np.array([ratio(run) for run in without]), np.array([ratio(run) for run in with_unit])


def _key(request: Request) -> tuple[int, int]:
    """What kind of vector it is: its length, and where the equal units stand in it."""
    return (len(request.exact), int(np.argmax(request.exact)) if len(request.exact) else -1)


def _means(runs: list[list[Request]]) -> dict[tuple[int, int], F64]:
    sums: dict[tuple[int, int], F64] = {}
    counts: Counter[tuple[int, int]] = Counter()
    for run in runs:
        for request in run:
            key = _key(request)
            sums[key] = sums[key] + request.exact if key in sums else request.exact.copy()
            counts[key] += 1
    return {key: total / counts[key] for key, total in sums.items()}


def _distance(without: F64, with_unit: F64) -> tuple[float, float]:
    """Estimate and one-sided 95 % lower end of the standardised distance of two samples."""
    n = min(len(without), len(with_unit))
    gap = float(with_unit.mean() - without.mean())
    spread = math.sqrt((float(without.var(ddof=1)) + float(with_unit.var(ddof=1))) / 2) if n > 1 else 0.0
    if spread <= 1e-12:
        return (LARGEST, LARGEST) if gap > 0 else (0.0, 0.0)
    distance = gap / spread
    return distance, distance - Z_LEVEL * _standard_error(distance, n)


def _standard_error(distance: float, n: int) -> float:
    """Of the standardised distance of two Gaussian samples of n each."""
    return math.sqrt(2.0 / n + distance**2 / (4.0 * n))


def _lengths_bound(
    pilot_without: list[list[Request]],
    pilot_with: list[list[Request]],
    without: list[list[Request]],
    with_unit: list[list[Request]],
) -> float:
    """Lower bound on μ from the lengths of the vectors asked for: those more usual in the pilot with the unit."""
    seen = [Counter(_lengths(run) for run in runs) for runs in (pilot_without, pilot_with)]
    telling = {key for key in seen[1] if seen[1][key] > seen[0][key]}
    hits = [sum(_lengths(run) in telling for run in runs) for runs in (without, with_unit)]
    true_low = clopper_pearson(hits[1], len(with_unit), 0.975)[0]
    false_high = clopper_pearson(hits[0], len(without), 0.975)[1]
    if not 0 < true_low < 1 or not 0 < false_high < 1:
        return 0.0
    from scipy.special import ndtri

    return max(0.0, float(ndtri(true_low) - ndtri(false_high)))


def _lengths(run: list[Request]) -> tuple[int, ...]:
    return tuple(sorted(len(request.exact) for request in run))
