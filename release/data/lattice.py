"""Where the values of a numeric column may lie: start + k·step, or so many decimals. Exact decimal arithmetic, no floats.

A float stands for the shortest decimal that reads back as it (what `repr` writes, and what a person wrote in the
schema): 0.1 is one tenth here. So whether 0.3 is 0 + 3·0.1 is a question of whole numbers, without a tolerance.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from release.data.schema import ColumnKind, ColumnSpec, Increment, Range

Problem = tuple[str, str]
"""A fact, and what to do."""


def exact(value: float) -> Fraction:
    """The decimal that a finite float stands for."""
    return Fraction(Decimal(repr(float(value))))


def decimals_of(value: float) -> int:
    """How many decimals a finite float has as written: 2 for 0.25, 0 for 1e3."""
    exponent = Decimal(repr(float(value))).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def on_lattice(value: float, start: float, step: float) -> bool:
    """Whether a value is start + k·step for a whole k; to the letter."""
    return ((exact(value) - exact(start)) / exact(step)).denominator == 1


def shown(value: float) -> str:
    """A number as a person would write it."""
    return repr(float(value)).removesuffix(".0")


def range_problems(spec: ColumnSpec) -> Iterator[Problem]:
    """What keeps a column's declared range from being a grid: moving a value to a bound would leave it."""
    domain, bounds = spec.domain, spec.bounds
    if not isinstance(domain, Range) or bounds is None:
        return
    low, high = bounds
    named = {"min": low, "max": high}
    named |= {f"the spike {shown(spike)}": spike for spike in domain.spikes}
    step = {} if domain.step is None else {"step": domain.step}
    yield from _unfit(spec, step if spec.kind is not ColumnKind.REAL else step | named)
    if domain.step is None:
        return
    for value in (high, *domain.spikes):
        if not on_lattice(value, low, domain.step):
            yield (
                f"{shown(value)} is not {shown(low)} + k·{shown(domain.step)}",
                "choose bounds and spikes on the grid of the step",
            )


def increment_problems(spec: ColumnSpec, rule: Increment) -> Iterator[Problem]:
    """What keeps a column's values from being start + k·step."""
    if not spec.kind.numeric:
        yield (f"a {spec.kind} column has no increments", "remove the constraint")
        return
    yield from _unfit(spec, {"the increment's step": rule.step, "the increment's start": rule.start})
    domain = spec.domain if isinstance(spec.domain, Range) else None
    if domain is not None and domain.step is not None and spec.bounds is not None:
        low, step = spec.bounds[0], domain.step
        if not (on_lattice(rule.step, 0.0, step) and on_lattice(rule.start, low, step)):
            yield (
                f"the increments {_multiples(rule)} leave the domain's {shown(low)} + k·{shown(step)}",
                "keep the increment, and remove the domain's step",
            )
    for bound in spec.bounds or ():
        if not on_lattice(bound, rule.start, rule.step):
            yield (
                f"the bound {shown(bound)} is not {_multiples(rule)}, and values are moved to bounds",
                "choose bounds that the increments hit",
            )
            return
    for spike in domain.spikes if domain is not None else ():
        if not on_lattice(spike, rule.start, rule.step):
            yield (
                f"the spike {shown(spike)} is not {_multiples(rule)}",
                "remove the spike",
            )


def _unfit(spec: ColumnSpec, named: dict[str, float]) -> Iterator[Problem]:
    """Numbers with more decimals than the column's values have."""
    declared = spec.domain.decimals if isinstance(spec.domain, Range) else None
    if spec.kind is not ColumnKind.REAL:
        for name, value in named.items():
            if not float(value).is_integer():
                unit = {ColumnKind.DATE: "days", ColumnKind.DATETIME: "seconds"}.get(
                    spec.kind, "whole numbers"
                )
                yield (
                    f"{name}{_value(name, value)} is no whole number, and a column of kind {spec.kind} holds {unit}",
                    "declare a whole number, or kind: real",
                )
        return
    for name, value in named.items():
        needed = decimals_of(value)
        if declared is not None and needed > declared:
            yield (
                f"{name}{_value(name, value)} has {needed} decimals, and decimals: {declared} cannot hold it",
                f"declare decimals: {needed}, or a number with at most {declared}"
                if needed <= 12
                else f"declare a number with at most {declared} decimals, or no decimals",
            )


def _multiples(rule: Increment) -> str:
    return f"{shown(rule.start)} + k·{shown(rule.step)}"


def _value(name: str, value: float) -> str:
    return "" if shown(value) in name else f" {shown(value)}"
