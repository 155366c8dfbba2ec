"""Two rates compared: their difference, the excess risk R, its forms for pairs and for searches.

Rules: interval ends are one-sided 95 % where no other level is asked for; nothing is clipped; `detectable` is the smallest
true value told from "nothing" with 80 % power.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from attacks.statistics import LEVEL, Z_LEVEL, Z_POWER, bisect_smallest, clopper_pearson
from release.records import Measured


def rate_difference(hits_a: int, n_a: int, hits_b: int, n_b: int, level: float = LEVEL) -> Measured:
    """The first rate minus the second, with MOVER ends over Clopper-Pearson (Newcombe 1998, method 10's combination)."""
    a, b = hits_a / n_a, hits_b / n_b
    low_a, high_a = clopper_pearson(hits_a, n_a, level)
    low_b, high_b = clopper_pearson(hits_b, n_b, level)
    return Measured(
        estimate=a - b,
        low=a - b - math.hypot(a - low_a, high_b - b),
        high=a - b + math.hypot(high_a - a, b - low_b),
        trials=n_a,
        detectable=detectable_difference(b, n_a, n_b),
    )


def excess_risk(hits_m: float, n_m: float, hits_c: float, n_c: float, level: float = LEVEL) -> Measured:
    """R = (r_members − r_control) / (1 − r_control) from raw rates, never clipped (anonymeter's definition, WP216).

    1 − R is the ratio of the two rates of failure; the ends, each at `level`, are those of the score interval of a ratio of
    proportions (Miettinen and Nurminen 1985), which keeps its level where failures are few: there a delta method calls five
    failures against none a certainty. Where the attack succeeds on every control, R has no value: with no failure among
    members either it is called 0, else half a failure is assumed, and the lower end is as low as `LARGEST_RATIO` allows.
    Numbers may be fractions where guesses are not independent: they then stand for as many as are.
    """
    m, c = (n_m - hits_m) / n_m, (n_c - hits_c) / n_c
    ratio = 1.0 if m == c else m / (c if c > 0 else 0.5 / n_c)
    smallest, largest = _ratio_ends((n_m - hits_m, n_m), (n_c - hits_c, n_c), level)
    base = min(hits_c / n_c, 1 - 0.5 / n_c)
    return Measured(
        estimate=1.0 - ratio,
        low=1.0 - max(largest, ratio),
        high=1.0 - min(smallest, ratio),
        trials=math.floor(n_m),
        detectable=detectable_difference(base, n_m, n_c) / (1.0 - base),
    )


def paired_excess_risk(both: float, only_m: float, only_c: float, n: float, level: float = LEVEL) -> Measured:
    """R where every guess was tried on members and on controls: guesses that are easy are so in both arms.

    The ends, each at `level`, are those of the score interval of a difference of paired proportions (Tango 1998) over 1 − r_control; they are
    narrower than those of two independent samples by as much as guesses differ in difficulty. Numbers may be fractions.
    """
    from scipy.special import ndtri

    z = float(ndtri(level))
    m, c = (both + only_m) / n, (both + only_c) / n
    left = 1.0 - min(c, 1 - 0.5 / n)

    def end(target: float) -> float:
        # A difference above 1 − r_control is none: R is at most 1.
        return bisect_smallest(lambda d: _paired_score(only_m, only_c, n, d) <= target, -1.0, left) / left

    risk = (m - c) / left
    return Measured(
        estimate=risk,
        low=min(end(z), risk),
        high=max(end(-z), risk),
        trials=math.floor(n),
        detectable=detectable_difference(c, n, n) / left,
    )


def _paired_score(only_m: float, only_c: float, n: float, difference: float) -> float:
    """Tango's score of "the difference of the paired proportions is this": it falls as the difference grows."""
    a = 2.0 * n
    b = -only_m - only_c + (2.0 * n - only_m + only_c) * difference
    c = -only_c * difference * (1.0 - difference)
    rate = (math.sqrt(max(b * b - 4.0 * a * c, 0.0)) - b) / (2.0 * a)
    variance = n * (2.0 * rate + difference * (1.0 - difference))
    distance = only_m - only_c - n * difference
    if variance <= 0:
        return 0.0 if abs(distance) < 1e-12 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


LARGEST_RATIO = 1e4
"""Ratios of failure rates beyond this are not told apart."""


def _ratio_ends(first: tuple[float, float], second: tuple[float, float], level: float) -> tuple[float, float]:
    """One-sided ends of the ratio of two proportions, each (count, trials), by inverting the score test."""
    from scipy.special import ndtri

    z = float(ndtri(level))

    def above(target: float) -> float:
        """The smallest ratio whose score is at most the target: the score falls as the ratio grows."""
        return math.exp(
            bisect_smallest(
                lambda x: _ratio_score(first, second, math.exp(x)) <= target,
                -math.log(LARGEST_RATIO),
                math.log(LARGEST_RATIO),
            )
        )

    smallest = above(z)
    return (0.0 if smallest <= 2 / LARGEST_RATIO else smallest), above(-z)


def _ratio_score(first: tuple[float, float], second: tuple[float, float], ratio: float) -> float:
    """Score of "the first proportion is `ratio` times the second": their distance over its deviation under that hypothesis."""
    (x1, n1), (x2, n2) = first, second
    n = n1 + n2
    b = n1 * ratio + x1 + n2 + x2 * ratio
    second_rate = (b - math.sqrt(max(b * b - 4 * n * ratio * (x1 + x2), 0.0))) / (2 * n * ratio)
    first_rate = ratio * second_rate
    variance = first_rate * (1 - first_rate) / n1 + ratio**2 * second_rate * (1 - second_rate) / n2
    distance = x1 / n1 - ratio * x2 / n2
    if variance <= 0:
        return 0.0 if abs(distance) < 1e-12 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance * n / (n - 1))


def jointly_low(figure: Callable[[float], Measured], among: int) -> Measured:
    """One of several figures of a search for leaks: its lower end holds jointly over all of them (Bonferroni).

    The upper end keeps the level of its own: a limit holds for each of them, but among many the lower end of one passes by
    chance. `figure` gives the figure at a level.
    """
    return replace(figure(LEVEL), low=figure(joint_level(among)).low)


def joint_level(among: int) -> float:
    """The level at which so many ends hold together at `LEVEL`."""
    return 1 - (1 - LEVEL) / max(among, 1)


def power_loss(level: float) -> float:
    """How many times as large an effect must be to show with 80 % power at this level, as at `LEVEL`."""
    from scipy.special import ndtri

    return (float(ndtri(level)) + Z_POWER) / (Z_LEVEL + Z_POWER)


def detectable_difference(base: float, n_a: float, n_b: float) -> float:
    """Smallest excess over a base rate whose lower end passes zero with 80 % power at these sizes."""

    def reached(effect: float) -> bool:
        rate = min(base + effect, 1.0)
        lowest = min(max(base, 0.5 / n_b), 1.0)  # sums of fractional numbers may pass 1 by a rounding
        null = math.sqrt(lowest * (1 - lowest) * (1 / n_a + 1 / n_b))
        real = math.sqrt(rate * (1 - rate) / n_a + lowest * (1 - lowest) / n_b)
        return effect >= Z_LEVEL * null + Z_POWER * real

    return bisect_smallest(reached, 0.0, 1.0)


def excess_p_value(hits_a: float, n_a: float, hits_b: float, n_b: float) -> float:
    """One-sided p of "a's rate is no greater": given the total, a's hits are binomial with share n_a/(n_a + n_b).

    P[Binomial(a + b, s) ≥ a] = I_s(a, b + 1), which has a value for fractions too.
    """
    from scipy.special import betainc

    return 1.0 if hits_a <= 0 else float(betainc(hits_a, hits_b + 1, n_a / (n_a + n_b)))
