"""Rates and ROC figures with their uncertainty, each in its honest form (`attacks.risks` compares rates).

Rules: interval ends are one-sided 95 % (`LEVEL`); nothing is clipped; a threshold's own noise is part of the interval;
`detectable` is the smallest true value told from "nothing" with 80 % power. Ranks of controls decide thresholds, without
interpolation, so that a tie never counts for the attacker.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.records import Measured, NotMeasured

F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

LEVEL = 0.95
SEARCH_LEVEL = 0.99
"""At which the ends hold jointly over a search through many parts (groups, families of predicates), where the surest alone is
reported: a release has several such searches, and a calm one must pass them all."""
Z_LEVEL = 1.6448536269514722
Z_POWER = 0.8416212335729143
FPRS = {"0.1pct": 0.001, "1pct": 0.01, "10pct": 0.1}
"""False positive rates at which the true positive rate is reported, by the name in the metric."""


def clopper_pearson(successes: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """One-sided lower and upper ends of a binomial rate (Clopper and Pearson 1934), each at `level`."""
    from scipy.special import betaincinv

    low = 0.0 if successes <= 0 else float(betaincinv(successes, trials - successes + 1, 1 - level))
    high = 1.0 if successes >= trials else float(betaincinv(successes + 1, trials - successes, level))
    return low, high


def bisect_smallest(condition: Callable[[float], bool], low: float, high: float, steps: int = 50) -> float:
    """Smallest point of [low, high] where a monotone condition holds; `high` where it holds nowhere."""
    if not condition(high):
        return high
    for _ in range(steps):
        middle = (low + high) / 2
        if condition(middle):
            high = middle
        else:
            low = middle
    return high


def auc(members: F64, controls: F64) -> Measured:
    """Area under the ROC curve, ties counted half, with DeLong's variance (1988).

    Ends are on the logit scale; complete separation gets the exact end of "none of min(n) pairs is the wrong way".
    """
    n, m = len(members), len(controls)
    everyone = _midranks(np.concatenate([members, controls]))
    area = float((everyone[:n].sum() - n * (n + 1) / 2) / (n * m))
    v_members = (everyone[:n] - _midranks(members)) / m
    v_controls = 1.0 - (everyone[n:] - _midranks(controls)) / n
    variance = (float(np.var(v_members, ddof=1)) / n if n > 1 else 0.25) + (
        float(np.var(v_controls, ddof=1)) / m if m > 1 else 0.25
    )
    floor = 1.0 - 0.05 ** (1.0 / min(n, m))
    null = math.sqrt((n + m + 1) / (12 * n * m))
    half = Z_LEVEL * math.sqrt(variance)
    low, high = area - half, area + half
    if area >= 1.0 - 1e-12:
        low, high = 1.0 - floor, 1.0
    elif area <= 1e-12:
        low, high = 0.0, floor
    elif variance > 0:
        logit, step = math.log(area / (1 - area)), half / (area * (1 - area))
        low, high = 1 / (1 + math.exp(-(logit - step))), 1 / (1 + math.exp(-min(logit + step, 700.0)))
    return Measured(
        estimate=area,
        low=min(low, area),
        high=max(high, area),
        trials=n,
        detectable=min(0.5 + (Z_LEVEL + Z_POWER) * null, 1.0),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Thresholds:
    """What a TPR at a fixed FPR can have been, given where the controls' scores lie.

    With n controls, the number of them above the score whose true false positive rate is α is Binomial(n, α): call it
    r. For each likely r, the members above that score are between `fewest` and `most`.

    Attributes:
        weight: (q,) probability of each r. fewest, most: (q,) counts of members. counted: members at the
            conservative threshold (at most ⌊α n⌋ controls reach it). members: how many members there are.
        alpha: the false positive rate. controls: how many controls there are.
    """

    weight: F64
    fewest: F64
    most: F64
    counted: int
    members: int
    alpha: float
    controls: int

    @classmethod
    def of(cls, members: F64, controls: F64, alpha: float) -> Thresholds:
        """From the scores of both arms (higher = more like a member)."""
        from scipy.special import bdtr

        n = len(controls)
        spread = 6 * math.sqrt(n * alpha * (1 - alpha)) + 6
        lowest, highest = max(0, math.floor(n * alpha - spread)), min(n, math.ceil(n * alpha + spread))
        ranks = np.arange(lowest, highest + 1)
        cumulated = bdtr(ranks.astype(np.float64), n, alpha)
        weight = np.diff(cumulated, prepend=0.0 if lowest == 0 else float(bdtr(lowest - 1, n, alpha)))
        descending = np.concatenate([[np.inf], np.sort(controls)[::-1], [-np.inf]])
        ordered = np.sort(members)
        # r controls lie above the threshold: it is above control r + 1 and at most control r (counted from 1).
        above, at = descending[ranks], descending[ranks + 1]
        most = len(members) - np.searchsorted(ordered, at, side="right")
        fewest = np.where(above > at, len(members) - np.searchsorted(ordered, above, side="left"), most)
        place = math.floor(n * alpha + 1e-9)
        counted = len(members) - int(np.searchsorted(ordered, descending[place + 1], side="right"))
        return cls(
            weight / weight.sum(),
            fewest.astype(np.float64),
            most.astype(np.float64),
            counted,
            len(members),
            alpha,
            n,
        )

    def low(self, level: float = LEVEL) -> float:
        """Lower end at `level`: the mixture over r of Clopper-Pearson's fiducial distributions."""
        return self._end(1 - level, self.fewest, self.members - self.fewest + 1)

    def high(self, level: float = LEVEL) -> float:
        """Upper end at `level`."""
        return self._end(level, self.most + 1, self.members - self.most)

    def _end(self, probability: float, a: F64, b: F64) -> float:
        from scipy.special import betainc

        safe_a, safe_b = np.maximum(a, 1e-9), np.maximum(b, 1e-9)

        def reached(x: float) -> bool:
            return float(self.weight @ betainc(safe_a, safe_b, x)) >= probability

        return bisect_smallest(reached, 0.0, 1.0, steps=40)


def tpr_at_fpr(members: F64, controls: F64, alpha: float) -> Measured | NotMeasured:
    """True positive rate at the conservative threshold where at most `alpha` of the controls are wrongly accused."""
    n, m = len(controls), len(members)
    needed = math.ceil(1 / alpha)
    if n < needed or m < 1:
        return NotMeasured(
            reason=f"a false positive rate of {alpha:g} cannot be set with {n:,} controls",
            needed=needed,
        )
    thresholds = Thresholds.of(members, controls, alpha)
    estimate = thresholds.counted / m
    return Measured(
        estimate=estimate,
        low=min(thresholds.low(), estimate),
        high=max(thresholds.high(), estimate),
        trials=m,
        detectable=detectable_tpr(alpha, m, n),
    )


def detectable_tpr(alpha: float, members: int, controls: int) -> float:
    """Smallest true positive rate at FPR α whose lower end passes α with 80 % power, threshold noise included.

    1 where none can: with so few controls the true threshold may well lie above all of them, and then nothing is known of who
    is above it. At 1 % that is so below 299 controls, at 0.1 % below 2,995.
    """
    if (1 - alpha) ** controls > 1 - LEVEL:
        return 1.0

    def reached(effect: float) -> bool:
        rate = min(alpha + effect, 1.0)
        threshold = alpha * (1 - alpha) / controls
        null = math.sqrt(alpha * (1 - alpha) / members + threshold)
        return effect >= Z_LEVEL * null + Z_POWER * math.sqrt(rate * (1 - rate) / members + threshold)

    return min(alpha + bisect_smallest(reached, 0.0, 1.0 - alpha), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class JointNull:
    """Several attacks' TPR at one FPR under joint permutation of the membership labels (Westfall and Young 1993).

    Attributes:
        p_value: of the best attack's rank among the permutations' bests.
        level: the marginal confidence level at which all lower ends hold together at 95 %.
    """

    p_value: float
    level: float


def joint_null(
    scores: F64, is_member: Bool, alpha: float, rng: np.random.Generator, draws: int = 999
) -> JointNull:
    """Permute labels jointly over all attacks.

    Args:
        scores: (attacks, units).
        is_member: (units,).
        alpha: false positive rate.
        rng: draws the permutations.
        draws: permutations.
    """
    tops = [_Top.of(row) for row in scores]
    labels = np.empty((draws + 1, len(is_member)), bool)
    labels[0] = is_member
    for draw in range(1, draws + 1):
        labels[draw] = rng.permutation(is_member)
    counts = np.stack([top.counted(labels, alpha) for top in tops])
    # One false positive rate, so one scale: the counts of all attacks have the same null but for ties.
    best = counts.max(axis=0)
    joint = float((best >= best[0]).mean())
    critical = np.quantile(best[1:], LEVEL, method="higher")
    exceeding = float((counts[:, 1:] > critical).mean())
    level = 1 - min(max(exceeding, (1 - LEVEL) / len(scores)), 1 - LEVEL)
    return JointNull(p_value=joint, level=level)


@dataclass(frozen=True, slots=True, eq=False)
class _Top:
    order: npt.NDArray[np.int64]
    last_of_tie: Bool

    @classmethod
    def of(cls, scores: F64) -> _Top:
        order = np.argsort(-scores, kind="stable")
        ordered = scores[order]
        return cls(order, np.append(ordered[1:] != ordered[:-1], True))

    def counted(self, labels: Bool, alpha: float) -> npt.NDArray[np.int64]:
        """Members at the conservative threshold, for each row of labels."""
        allowed = math.floor(int((~labels[0]).sum()) * alpha + 1e-9)
        head = min(len(self.order), math.ceil((allowed + 10 * math.sqrt(allowed + 1)) * 4) + 64)
        while True:
            ranked = labels[:, self.order[:head]]
            controls = np.cumsum(~ranked, axis=1)
            if head == len(self.order) or bool((controls[:, -1] > allowed).all()):
                break
            head = min(len(self.order), head * 2)
        usable = (controls <= allowed) & self.last_of_tie[:head]
        last = np.where(usable.any(axis=1), head - 1 - np.argmax(usable[:, ::-1], axis=1), -1)
        members = np.cumsum(ranked, axis=1)
        return np.where(last >= 0, members[np.arange(len(labels)), np.maximum(last, 0)], 0)


def roc_points(members: F64, controls: F64, points: int = 60) -> tuple[list[float], list[float]]:
    """(FPR, TPR) on a logarithmic grid of false positive rates from 1/n to 1, for a log-log picture."""
    n, m = len(controls), len(members)
    descending, ordered = np.sort(controls)[::-1], np.sort(members)
    counts = np.unique(np.round(np.geomspace(1, n, points)).astype(int))
    thresholds = np.append(descending, -np.inf)[counts]
    tpr = (m - np.searchsorted(ordered, thresholds, side="right")) / m
    return [float(c) / n for c in counts], [float(t) for t in tpr]


def _midranks(x: F64) -> F64:
    from scipy.stats import rankdata

    return np.asarray(rankdata(x), np.float64)
