"""How much of each limit a finding uses up: 1 is at the limit. For pictures and for "what comes closest"; nothing is judged here.

Only kinds of rule that hold an interval against numbers have a margin: at-most, at-least, alarm, between, ratio. A limit of 0 has
none (any figure is infinitely far beyond it), nor have the claim (chosen, not measured) and the empirical ε.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from policies.format import parse
from policies.rules import Alarm, AnyRule, AtLeast, AtMost, Between, Ratio
from release.records import Finding, Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """One finding on a scale where 0 is best and 1 is the limit.

    Attributes:
        finding: whose.
        low: the end nearest to "nothing".
        estimate: the point estimate.
        high: the farthest end.
        decisive: the end that the rule goes by: `high`, but `low` for an alarm.
    """

    finding: Finding
    low: float
    estimate: float
    high: float
    decisive: float


def margins(findings: Sequence[Finding], document: str) -> tuple[Margin, ...]:
    """The margin of each finding that has one, the closest to its limit (or farthest beyond) first.

    Args:
        findings: of one verdict.
        document: the policy that the verdict was made under, YAML. Raises PolicyFormatError.
    """
    rules = {rule.id: rule for rule in parse(document).rules}
    found = [
        margin
        for finding in findings
        if finding.rule in rules and (margin := _margin(finding, rules[finding.rule])) is not None
    ]
    return tuple(sorted(found, key=lambda margin: -margin.decisive))


def _margin(finding: Finding, rule: AnyRule) -> Margin | None:
    value = finding.value
    if value is None:
        return None
    scaled = _scaled(value, rule)
    if scaled is None:
        return None
    low, estimate, high = scaled
    return Margin(
        finding=finding,
        low=low,
        estimate=estimate,
        high=high,
        decisive=low if isinstance(rule, Alarm) else high,
    )


def _scaled(value: Measured, rule: AnyRule) -> tuple[float, float, float] | None:
    """(low, estimate, high) as shares of the limit, none below 0."""
    ends = (value.low, value.estimate, value.high)
    if isinstance(rule, AtMost | Alarm):
        return _ordered(max(0.0, x / rule.limit) for x in ends) if rule.limit > 0 else None
    if isinstance(rule, AtLeast):
        return _ordered(rule.limit / x for x in ends) if rule.limit > 0 and value.low > 0 else None
    if isinstance(rule, Ratio):
        if value.low <= 0 or rule.lower == 1 or rule.upper == 1:
            return None
        log_ends = [math.log(x) for x in ends]
        shares = [x / math.log(rule.upper) if x >= 0 else x / math.log(rule.lower) for x in log_ends]
        return _straddling(shares, over=log_ends[0] <= 0 <= log_ends[2])
    if isinstance(rule, Between):
        middle, half = (rule.lower + rule.upper) / 2, (rule.upper - rule.lower) / 2
        if half <= 0:
            return None
        return _straddling([abs(x - middle) / half for x in ends], over=value.low <= middle <= value.high)
    return None


def _ordered(shares: Iterable[float]) -> tuple[float, float, float]:
    low, estimate, high = sorted(shares)
    return low, estimate, high


def _straddling(shares: Sequence[float], *, over: bool) -> tuple[float, float, float]:
    """Both ends of a two-sided rule folded onto one side; where the interval holds the middle, the best end is 0."""
    return (0.0 if over else min(shares)), shares[1], max(shares)
