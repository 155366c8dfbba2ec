"""Margins: 1 is the limit, on the same side of it as the judge's ruling."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from app import wiring
from app.margins import _scaled, margins
from app.plots import margin_chart
from policies.rules import Alarm, AtLeast, AtMost, Between, Layer, Ratio
from policies.rules.shared import Subject
from release.records import Finding, Measured, Ruling

SHARED = {
    "id": "r",
    "layer": Layer.FIDELITY,
    "title": "t",
    "figure": Subject(probe="p", metric="m"),
    "needs_controls": False,
}

RULES = {
    "at-most": AtMost(kind="at-most", limit=0.2, **SHARED),
    "at-least": AtLeast(kind="at-least", limit=0.2, **SHARED),
    "alarm": Alarm(kind="alarm", limit=0.2, **SHARED),
    "between": Between(kind="between", lower=-0.1, upper=0.3, **SHARED),
    "ratio": Ratio(kind="ratio", lower=0.5, upper=2.0, **SHARED),
}

numbers = some.floats(min_value=1e-3, max_value=5, allow_nan=False)


@pytest.mark.parametrize("name", RULES)
@given(ends=some.tuples(numbers, numbers, numbers).map(sorted))
def test_the_line_lies_left_of_the_limit_exactly_where_the_rule_is_met(name, ends):
    low, estimate, high = ends
    value = Measured(estimate=estimate, low=low, high=high, trials=100)
    found = _scaled(value, RULES[name])
    assert found is not None
    assert 0 <= found[0] <= found[1] <= found[2]
    decisive = found[0] if name == "alarm" else found[2]
    assume(abs(decisive - 1) > 1e-9)
    assert (RULES[name].place(value) is Ruling.MET) == (decisive < 1)


@pytest.mark.parametrize(
    ("name", "ends", "expected"),
    [
        ("at-most", (-0.1, 0.1, 0.2), (0, 0.5, 1)),
        ("at-least", (0.2, 0.4, 0.8), (0.25, 0.5, 1)),
        ("between", (0.0, 0.1, 0.3), (0, 0, 1)),
        ("between", (0.2, 0.25, 0.5), (0.5, 0.75, 2)),
        ("ratio", (0.5, 1.0, 2.0), (0, 0, 1)),
        ("ratio", (2.0, 4.0, 8.0), (1, 2, 3)),
    ],
)
def test_by_hand(name, ends, expected):
    low, estimate, high = ends
    assert _scaled(Measured(estimate=estimate, low=low, high=high, trials=9), RULES[name]) == pytest.approx(
        expected
    )


def test_what_has_no_margin():
    """A limit of 0, a ratio at 0 and a rule without a limit."""
    zero = AtMost(kind="at-most", limit=0, **SHARED)
    nothing = Measured(estimate=0.0, low=0.0, high=0.0, trials=9)
    assert _scaled(nothing, zero) is None
    assert _scaled(nothing, RULES["ratio"]) is None
    assert _scaled(nothing, RULES["at-least"]) is None
    assert margin_chart([]) is None


def test_the_worst_comes_first_and_unknown_rules_are_left_out():
    document = wiring.policies()["partner-healthcare"]

    def finding(rule, high):
        value = None if high is None else Measured(estimate=high / 2, low=0.0, high=high, trials=9)
        return Finding(rule=rule, subject="", ruling=Ruling.MET, value=value, limit="t: l", reason="r")

    asked = [
        finding("linkability", 0.01),
        finding("membership", 0.06),
        finding("pairs", None),
        finding("gone", 0.1),
    ]
    found = margins([*asked, finding("claim", 3.0)], document)
    assert [margin.finding.rule for margin in found] == ["membership", "linkability"]
    assert found[0].decisive == pytest.approx(2.0)
    specification = margin_chart(found).to_dict()
    assert specification["description"].startswith("How much of each limit")
