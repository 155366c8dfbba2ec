"""A lower bound on ε from the release itself: the secret coins are the audit.

Steinke, Nasr, Jagielski (2305.08846), theorem 5.2. Every unit of the coin set was in or out by a fair coin. The r units
that look most like members are guessed to be in; v guesses are right. If the mechanism were (ε, δ)-DP, then
P[V ≥ v] ≤ β + 2·m·δ·α with β = P[Binomial(r, e^ε/(1 + e^ε)) ≥ v] and α = max_i (P[Bin ≥ v − i] − β)/i. The largest ε with
that probability ≤ .05 is a 95 % lower bound. r is a fixed share of m, chosen before anything is seen, and the scores (the
distance log-ratio) see no coins.
"""

from __future__ import annotations

import math

import numpy as np

from attacks.attack import Adversary, Attack
from attacks.bench import F64, Bench
from attacks.dcr import ATTACK as DCR
from release.protocols import Progress
from release.records import Evidence, Measured, NotMeasured, ProbeReport

NAME = "one_run_epsilon"
GUESS_SHARE = 0.02
FEWEST_GUESSES = 10
SIGNIFICANCE = 0.05
DELTA_WITHOUT_CLAIM = 1e-6
LARGEST_EPSILON = 50.0


def guesses(m: int) -> int:
    """How many of m units are guessed: fixed before anything is seen."""
    return max(FEWEST_GUESSES, round(GUESS_SHARE * m))


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
    if not bench.arena.randomised_split:
        return NotMeasured(
            reason="who was in was not decided by secret fair coins (tables brought by hand), so that the bound does not hold"
        )
    is_member = bench.targets.is_member
    m = len(is_member)
    units = bench.arena.members.n_units + bench.arena.controls.n_units
    if m != units:
        return NotMeasured(
            reason=f"{m:,} of {units:,} coin units are attacked, chosen arm by arm: their coins are not independent any more"
        )
    r = guesses(m)
    if m < 2 * r:
        return NotMeasured(reason=f"{m:,} units are too few for {r} guesses", needed=2 * r)
    scores = DCR.scores(bench, progress)
    if scores is None:
        return NotMeasured(reason="the distance attack gave no scores")
    order = np.lexsort((bench.stream(NAME).random(m), -scores))
    right = int(is_member[order[:r]].sum())
    claim = bench.arena.claim
    delta = claim.delta if claim is not None else DELTA_WITHOUT_CLAIM
    bound = epsilon_lower_bound(m, r, right, delta)
    return Measured(estimate=bound, low=bound, high=max(bound, epsilon_lower_bound(m, r, r, delta)), trials=r)


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
