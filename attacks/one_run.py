"""A lower bound on ε from the release itself: the secret coins are the audit.

Steinke, Nasr, Jagielski (2305.08846), theorem 5.2. Every unit of the coin set was in or out by a fair coin. The r units
that look most like members are guessed to be in; v guesses are right. If the mechanism were (ε, δ)-DP, then
P[V ≥ v] ≤ β + 2·m·δ·α with β = P[Binomial(r, e^ε/(1 + e^ε)) ≥ v] and α = max_i (P[Bin ≥ v − i] − β)/i. The largest ε with
that probability ≤ .05 is a 95 % lower bound. Two r are tried, fixed shares of m with fixed parts of the .05, all chosen before
anything is seen: few guesses see a leak of few people, many are needed to refute a large ε. The scores (the distance
log-ratio) see no coins.

What it cannot show: r right guesses of r at significance s prove no more than ε = ln(q/(1 − q)) with q = s^(1/r), so that
400 guesses refute no claim above 4.6. `detectable` of the evidence is that largest provable ε; a claim above it is out of this
audit's reach, and the planted control is held against a smaller ε instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from attacks.attack import Adversary, Attack
from attacks.bench import F64, Bench
from attacks.dcr import ATTACK as DCR
from release.protocols import Progress, no_progress
from release.records import Evidence, Measured, NotMeasured, ProbeReport

NAME = "one_run_epsilon"
SIGNIFICANCE = 0.05
GUESSES = ((0.02, 0.03), (0.10, 0.02))
"""(share of the units that is guessed, part of `SIGNIFICANCE`): the parts add up to it."""
FEWEST_GUESSES = 10
DELTA_WITHOUT_CLAIM = 1e-6
LARGEST_EPSILON = 50.0
REACH = 0.7
"""A planted leak must refute the claim, or this much of what could be proven at best: a few guesses may go wrong."""


def guesses(m: int) -> list[tuple[int, float]]:
    """(how many of m units are guessed, at which significance): fixed before anything is seen."""
    return [(max(FEWEST_GUESSES, round(share * m)), part) for share, part in GUESSES]


def lower_bound(m: int, right: Sequence[int], delta: float, strictness: float = 1.0) -> float:
    """The largest ε that any of the guesses refutes; together they err in at most `SIGNIFICANCE` × strictness of cases.

    Args:
        m: units whose coins were tossed.
        right: right guesses, in the order of `guesses`.
        delta: δ of the claim.
        strictness: factor on all significances.
    """
    return max(
        epsilon_lower_bound(m, r, v, delta, part * strictness)
        for (r, part), v in zip(guesses(m), right, strict=True)
    )


def largest_bound(m: int, delta: float, strictness: float = 1.0) -> float:
    """What all guesses right would prove: a claim above it cannot be refuted."""
    return lower_bound(m, [r for r, _ in guesses(m)], delta, strictness)


def epsilon_lower_bound(m: int, r: int, v: int, delta: float, significance: float = SIGNIFICANCE) -> float:
    """The largest ε that the audit refutes at this significance; 0 where it refutes none.

    Args:
        m: units whose coins were tossed.
        r: guesses.
        v: right ones.
        delta: δ of the claim.
        significance: 1 − confidence.
    """

    def refuted(epsilon: float) -> bool:
        return p_value(m, r, v, epsilon, delta) <= significance

    if not refuted(0.0):
        return 0.0
    low, high = 0.0, LARGEST_EPSILON
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def p_value(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """Upper bound on the probability of v or more right guesses of r under (ε, δ)-DP."""
    from scipy.special import bdtrc

    q = 1.0 / (1.0 + math.exp(-epsilon))
    beta = 1.0 if v <= 0 else float(bdtrc(v - 1, r, q))
    lower = np.arange(1, max(v, 1) + 1)
    tails: F64 = np.where(v - lower <= 0, 1.0, bdtrc(np.maximum(v - lower - 1, 0), r, q))
    alpha = max(0.0, float(((tails - beta) / lower).max()))
    return min(1.0, beta + 2.0 * m * delta * alpha)


def why_not(bench: Bench) -> NotMeasured | None:
    """Why the coins of this arena prove nothing; None where they do."""
    if not bench.arena.randomised_split:
        return NotMeasured(
            reason="who was in was not decided by secret fair coins (tables brought by hand), so that the bound does not hold"
        )
    m = len(bench.targets.is_member)
    units = bench.arena.members.n_units + bench.arena.controls.n_units
    if m != units:
        return NotMeasured(
            reason=f"{m:,} of {units:,} coin units are attacked, chosen arm by arm: their coins are not independent any more"
        )
    most = max(r for r, _ in guesses(m))
    if m < 2 * most:
        return NotMeasured(reason=f"{m:,} units are too few for {most} guesses", needed=2 * most)
    return None


def right_guesses(bench: Bench, progress: Progress = no_progress) -> list[int] | None:
    """How many guesses are right, in the order of `guesses`; None where there are no scores."""
    scores = DCR.scores(bench, progress)
    if scores is None:
        return None
    is_member = bench.targets.is_member
    order = np.lexsort((bench.stream(NAME).random(len(is_member)), -scores))
    return [int(is_member[order[:r]].sum()) for r, _ in guesses(len(is_member))]


def control_p(bench: Bench) -> float:
    """The p-value of "(ε, δ)-DP at the ε to be refuted": the claim, or `REACH` of what could be proven at the controls' level."""
    right, m = right_guesses(bench), len(bench.targets.is_member)
    if right is None:
        return 1.0
    delta = _delta(bench)
    claim = bench.arena.claim
    within = REACH * largest_bound(m, delta, 0.01 / SIGNIFICANCE)
    epsilon = within if claim is None else min(claim.epsilon, within)
    found = (
        p_value(m, r, v, epsilon, delta) * SIGNIFICANCE / part
        for (r, part), v in zip(guesses(m), right, strict=True)
    )
    return min(1.0, *found)


def _delta(bench: Bench) -> float:
    return bench.arena.claim.delta if bench.arena.claim is not None else DELTA_WITHOUT_CLAIM


def _run(bench: Bench, progress: Progress) -> ProbeReport:
    outcome = _outcome(bench, progress)
    return ProbeReport(
        evidence=(
            Evidence(
                probe=NAME,
                metric="epsilon_lower_bound",
                subject="",
                outcome=outcome,
                note=(
                    "95 % lower bound on ε from this one release; the upper end is the most this audit could have shown. "
                    "Above the claimed ε it would prove the generator broken."
                ),
            ),
        )
    )


def _outcome(bench: Bench, progress: Progress) -> Measured | NotMeasured:
    missing = why_not(bench)
    if missing is not None:
        return missing
    right, m = right_guesses(bench, progress), len(bench.targets.is_member)
    if right is None:
        return NotMeasured(reason="the distance attack gave no scores")
    delta = _delta(bench)
    bound, most = lower_bound(m, right, delta), largest_bound(m, delta)
    return Measured(
        estimate=bound,
        low=bound,
        high=max(bound, most),
        trials=max(r for r, _ in guesses(m)),
        detectable=most,
    )


ATTACK = Attack(
    name=NAME,
    summary=(
        "Guesses who was in for the people who look most like it, and turns the share of right guesses into the smallest ε that could "
        "explain it. A bound above the claimed ε means that the generator does not keep its promise."
    ),
    adversary=Adversary(
        goal="refute the claimed ε",
        knowledge="the claim",
        data="the release, records of the coin set, and other people's records",
    ),
    paper="Steinke, Nasr, Jagielski 2305.08846",
    run=_run,
)
