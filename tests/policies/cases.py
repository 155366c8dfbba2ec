"""Evidence and policies for the tests of the judge: one base case that is all met, and ways to spoil it.

`CORE` is the table that must notice every mutant of the judge and its rules (test_mutants.py).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from release.canonical import KeyedDigest, Sha256
from release.records import (
    Accountant,
    Adjacency,
    Control,
    ControlKind,
    DpEvent,
    Evidence,
    EvidenceSet,
    GateMode,
    Measured,
    Mechanism,
    NotMeasured,
    PrivacyCost,
    Purpose,
    Ruling,
)

CANDIDATE = Sha256("c" * 64)
EVIDENCE = KeyedDigest("e" * 64)


def point(value: float, trials: int = 3_000, detectable: float | None = None) -> Measured:
    return Measured(estimate=value, low=value, high=value, trials=trials, detectable=detectable)


def span(low: float, high: float, trials: int = 3_000, detectable: float | None = None) -> Measured:
    return Measured(estimate=(low + high) / 2, low=low, high=high, trials=trials, detectable=detectable)


def claim(epsilon: float = 1.0, delta: float = 1e-7, **changes: object) -> PrivacyCost:
    cost = PrivacyCost(
        epsilon=epsilon,
        delta=delta,
        unit="patient",
        max_rows_per_unit=1,
        adjacency=Adjacency.ADD_REMOVE_UNIT,
        accountant=Accountant.ZCDP,
        events=(DpEvent(label="measure", mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=3.0),),
    )
    return dataclasses.replace(cost, **changes)


def controls_of(*probes: str) -> tuple[Control, ...]:
    return tuple(
        Control(probe=probe, name=name, kind=kind, passed=True, p_value=p, share=share)
        for probe in probes
        for name, kind, p, share in (
            ("verbatim", ControlKind.PLANTED_LEAK, 0.001, 0.05),
            ("columns-shuffled", ControlKind.NULL, 0.4, 0.0),
        )
    )


def entry(probe: str, metric: str, outcome: Measured | NotMeasured, subject: str = "") -> Evidence:
    return Evidence(probe=probe, metric=metric, subject=subject, outcome=outcome)


def evidence(*items: Evidence, controls: tuple[Control, ...] = (), suite: str = "standard") -> EvidenceSet:
    return EvidenceSet(
        candidate=CANDIDATE,
        suite=suite,
        probes=tuple(sorted({item.probe for item in items})),
        evidence=items,
        controls=controls,
    )


GOOD_FIGURES: tuple[Evidence, ...] = (
    entry("arena", "members", point(7_000)),
    entry("arena", "controls", point(7_000)),
    entry("one_run_epsilon", "epsilon_lower_bound", span(0.1, 2.0)),
    entry("copies", "excess_exact_share", span(-0.001, 0.0005)),
    entry("copies", "excess_partial_share", span(-0.001, 0.0005)),
    entry("membership", "max_tpr_at_fpr_1pct", span(0.008, 0.015)),
    entry("membership", "max_tpr_at_fpr_10pct", span(0.08, 0.2), "vulnerable-300"),
    entry("singling_out", "excess_risk", span(-0.02, 0.02), "univariate"),
    entry("singling_out", "excess_risk", span(-0.02, 0.02), "multivariate"),
    entry("singling_out", "worst_family_excess_risk", span(-0.02, 0.3), "univariate"),
    entry("singling_out", "worst_family_excess_risk", span(-0.02, 0.3), "multivariate"),
    entry("singling_out", "excess_reached_share", span(-0.02, 0.02), "univariate"),
    entry("singling_out", "excess_reached_share", span(-0.02, 0.02), "multivariate"),
    entry("linkability", "excess_risk", span(-0.02, 0.02)),
    entry("inference", "risk_difference", span(-0.02, 0.02, detectable=0.03), "income"),
    entry("inference", "excess_risk", span(-0.2, 0.2), "income"),
    entry("inference", "risk_difference", span(-0.02, 0.03, detectable=0.03), "diagnosis"),
    entry("inference", "excess_risk", span(-0.2, 0.3), "diagnosis"),
    entry("qi_linkage", "risk_difference", span(-0.02, 0.03, detectable=0.03), "income"),
    entry("qi_linkage", "worst_subgroup_excess_risk", span(-0.3, 0.9), "income"),
    entry("marginals", "tvd_2way_mean", span(0.04, 0.05)),
    entry("marginals", "tvd_2way_mean", span(0.1, 0.15), "slice:over 65"),
    entry("marginals", "declared_slices", point(1)),
    entry("marginals", "tvd_1way_worst", span(0.04, 0.05)),
    entry("tstr", "loss", span(0.01, 0.05), "income"),
    entry("bias", "outcome_gap_amplification", span(0.0, 0.03), "sex"),
    entry("tails", "outlier_rate_ratio", span(0.8, 1.2)),
    entry("missingness", "missing_rate_difference", span(0.0, 0.01)),
    entry("rules", "violations", point(0)),
)
GOOD_CONTROLS = controls_of(
    "copies",
    "dcr",
    "near_subset",
    "near_match",
    "singling_out",
    "linkability",
    "inference",
    "qi_linkage",
    "one_run_epsilon",
) + tuple(
    Control(
        probe="singling_out", name=name, kind=ControlKind.PLANTED_LEAK, passed=True, p_value=0.001, share=0.05
    )
    for name in ("own-value/univariate-reach", "verbatim/multivariate-reach")
)
GOOD = evidence(*GOOD_FIGURES, controls=GOOD_CONTROLS)
"""All met in every built-in tier, at ε = 1, for every purpose but `baseline`."""


# ---------------------------------------------------------------------------------------------- small policies

FLOOR = """
  - {id: claim, kind: claim, max_epsilon: 3.0, max_delta: 1.0e-6}
  - {id: arena, kind: arena, members: 100, controls: 200}
  - {id: controls, kind: controls, probes: [copies]}
  - {id: empirical, kind: empirical-epsilon, needs_controls: false}
"""


def policy(rules: str = "", floor: str = FLOOR, suite: str = "standard") -> str:
    return f"""format: sluicegate/policy@1
name: test
version: "1"
suite: {suite}
approvals: 1
approval_days: 7
smallest_cell: 5
rules:{floor}{rules}
"""


def rule(kind: str, limits: str, *, figure: str = "probe: p, metric: m", more: str = "") -> str:
    return (
        f"  - {{id: x, kind: {kind}, layer: fidelity, title: t, figure: {{{figure}}}, {limits} "
        f"needs_controls: false{more}}}\n"
    )


FLOOR_FIGURES = (
    entry("arena", "members", point(100)),
    entry("arena", "controls", point(200)),
    entry("one_run_epsilon", "epsilon_lower_bound", span(0.0, 2.0)),
)
FLOOR_CONTROLS = controls_of("copies")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the core table: a policy, evidence, and the ruling of (rule, subject)."""

    policy: str
    figures: tuple[Evidence, ...] = ()
    floor: tuple[Evidence, ...] = FLOOR_FIGURES
    controls: tuple[Control, ...] = FLOOR_CONTROLS
    claim: PrivacyCost | None = dataclasses.field(default_factory=claim)
    purpose: Purpose = Purpose.ANALYSIS
    suite: str = "standard"
    rule: str = "x"
    subject: str = ""
    ruling: Ruling
    says: str = ""
    valued: bool | None = None
    waivable: bool = False

    @property
    def evidence(self) -> EvidenceSet:
        return evidence(*self.floor, *self.figures, controls=self.controls, suite=self.suite)


def _m(outcome: Measured | NotMeasured, subject: str = "") -> tuple[Evidence, ...]:
    return (entry("p", "m", outcome, subject),)


def _control(kind: ControlKind, passed: bool, p: float, probe: str = "p", name: str = "it") -> Control:
    return Control(probe=probe, name=name, kind=kind, passed=passed, p_value=p, share=0.1)


PLANT = ControlKind.PLANTED_LEAK
NULL = ControlKind.NULL
MET, BROKEN, UNPROVEN, INVALID = Ruling.MET, Ruling.BROKEN, Ruling.UNPROVEN, Ruling.INVALID

_AT_MOST = policy(rule("at-most", "limit: 0.5,"))
_AT_LEAST = policy(rule("at-least", "limit: 0.5,"))
_BETWEEN = policy(rule("between", "lower: 0.4, upper: 0.6,"))
_RATIO = policy(rule("ratio", "lower: 0.5, upper: 2.0,"))
_ALARM = policy(rule("alarm", "limit: 0.5,"))
_SHOWN = policy(rule("measured", ""))
_POWER = policy(rule("at-most", "limit: 0.5,", more=", max_detectable: 0.2"))
_EVERY = policy(rule("at-most", "limit: 0.5,", figure='probe: p, metric: m, subjects: ["*"]'))
_BESIDES = policy(
    rule("at-most", "limit: 0.5,", figure='probe: p, metric: m, subjects: ["*"], besides: ["slice:*", c]')
)
_SLICES = policy(
    rule("at-most", "limit: 0.5,", figure='probe: p, metric: m, subjects: ["slice:*"], counted_by: n')
)
_STRICT = policy(
    "  - {id: x, kind: at-most, layer: privacy, title: t, figure: {probe: p, metric: m}, limit: 0.5}\n"
)
_VOUCHED = policy(
    "  - {id: x, kind: at-most, layer: privacy, title: t, figure: {probe: p, metric: m}, limit: 0.5, "
    "vouched_by: [q, r]}\n"
)
_PLANTED = policy(
    "  - {id: x, kind: at-most, layer: privacy, title: t, figure: {probe: p, metric: m}, limit: 0.5, "
    "planted: [it/people]}\n"
)
_AUDIT = policy(
    floor=FLOOR.replace("kind: empirical-epsilon, needs_controls: false", "kind: empirical-epsilon")
)
_BOTH = (_control(PLANT, True, 0.01), _control(NULL, True, 0.5))


def _audit(low: float, high: float = 9.0) -> tuple[Evidence, ...]:
    return (*FLOOR_FIGURES[:2], entry("one_run_epsilon", "epsilon_lower_bound", span(low, high)))


CORE: dict[str, Case] = {
    # ---- at-most
    "at-most: high on the limit": Case(
        policy=_AT_MOST, figures=_m(span(0.1, 0.5)), ruling=MET, says="0.3 [0.1, 0.5] is inside", valued=True
    ),
    "at-most: high just above": Case(
        policy=_AT_MOST, figures=_m(span(0.1, 0.5001)), ruling=UNPROVEN, says="straddles"
    ),
    "at-most: low on the limit": Case(policy=_AT_MOST, figures=_m(span(0.5, 0.6)), ruling=UNPROVEN),
    "at-most: low just above": Case(
        policy=_AT_MOST, figures=_m(span(0.5001, 0.6)), ruling=BROKEN, says="outside"
    ),
    "at-most: not measured": Case(
        policy=_AT_MOST, figures=_m(NotMeasured(reason="too few")), ruling=UNPROVEN, says="too few"
    ),
    "at-most: not measured, number needed": Case(
        policy=_AT_MOST,
        figures=_m(NotMeasured(reason="too few", needed=4_321)),
        ruling=UNPROVEN,
        says="4,321 units would be enough",
    ),
    "at-most: missing": Case(policy=_AT_MOST, ruling=UNPROVEN, says="p.m was not measured"),
    "at-most: its probe says why": Case(
        policy=_AT_MOST,
        figures=(entry("p", "failed", NotMeasured(reason="60 s passed")),),
        ruling=UNPROVEN,
        says="60 s passed",
    ),
    "at-most: another probe says why": Case(
        policy=_AT_MOST,
        figures=(entry("q", "failed", NotMeasured(reason="60 s passed")),),
        ruling=UNPROVEN,
        says="no such figure",
    ),
    "at-most: a figure stands beside its probe's failure": Case(
        policy=_AT_MOST,
        figures=(*_m(point(0.1)), entry("p", "failed", NotMeasured(reason="60 s passed"))),
        ruling=MET,
    ),
    "at-most: another subject only": Case(policy=_AT_MOST, figures=_m(point(0.1), "a"), ruling=UNPROVEN),
    "at-most: another metric only": Case(
        policy=_AT_MOST, figures=(entry("p", "other", point(0.1)),), ruling=UNPROVEN
    ),
    "at-most: another probe only": Case(
        policy=_AT_MOST, figures=(entry("other", "m", point(0.1)),), ruling=UNPROVEN
    ),
    "at-most: twice": Case(
        policy=_AT_MOST, figures=_m(point(0.1)) * 2, ruling=INVALID, says="stands 2 times"
    ),
    "at-most: no trials": Case(
        policy=_AT_MOST, figures=_m(point(0.1, trials=0)), ruling=UNPROVEN, says="no trials"
    ),
    "at-most: one trial": Case(policy=_AT_MOST, figures=_m(point(0.1, trials=1)), ruling=MET),
    "at-most: waivable": Case(
        policy=policy(rule("at-most", "limit: 0.5,", more=", waivable: true")), ruling=UNPROVEN, waivable=True
    ),
    # ---- at-least
    "at-least: low on the limit": Case(policy=_AT_LEAST, figures=_m(span(0.5, 0.9)), ruling=MET),
    "at-least: low just below": Case(policy=_AT_LEAST, figures=_m(span(0.4999, 0.9)), ruling=UNPROVEN),
    "at-least: high on the limit": Case(policy=_AT_LEAST, figures=_m(span(0.1, 0.5)), ruling=UNPROVEN),
    "at-least: high just below": Case(policy=_AT_LEAST, figures=_m(span(0.1, 0.4999)), ruling=BROKEN),
    # ---- between
    "between: both on the limits": Case(policy=_BETWEEN, figures=_m(span(0.4, 0.6)), ruling=MET),
    "between: low just below": Case(policy=_BETWEEN, figures=_m(span(0.3999, 0.6)), ruling=UNPROVEN),
    "between: high just above": Case(policy=_BETWEEN, figures=_m(span(0.4, 0.6001)), ruling=UNPROVEN),
    "between: all around": Case(policy=_BETWEEN, figures=_m(span(0.1, 0.9)), ruling=UNPROVEN),
    "between: low on upper": Case(policy=_BETWEEN, figures=_m(span(0.6, 0.9)), ruling=UNPROVEN),
    "between: low above upper": Case(policy=_BETWEEN, figures=_m(span(0.6001, 0.9)), ruling=BROKEN),
    "between: high on lower": Case(policy=_BETWEEN, figures=_m(span(0.1, 0.4)), ruling=UNPROVEN),
    "between: high below lower": Case(policy=_BETWEEN, figures=_m(span(0.1, 0.3999)), ruling=BROKEN),
    "between: one value allowed": Case(
        policy=policy(rule("between", "lower: 0.5, upper: 0.5,")), figures=_m(point(0.5)), ruling=MET
    ),
    # ---- ratio
    "ratio: both on the limits": Case(policy=_RATIO, figures=_m(span(0.5, 2.0)), ruling=MET),
    "ratio: low just below": Case(policy=_RATIO, figures=_m(span(0.4999, 2.0)), ruling=UNPROVEN),
    "ratio: high just above": Case(policy=_RATIO, figures=_m(span(0.5, 2.0001)), ruling=UNPROVEN),
    "ratio: low on upper": Case(policy=_RATIO, figures=_m(span(2.0, 3.0)), ruling=UNPROVEN),
    "ratio: low above upper": Case(policy=_RATIO, figures=_m(span(2.0001, 3.0)), ruling=BROKEN),
    "ratio: high on lower": Case(policy=_RATIO, figures=_m(span(0.1, 0.5)), ruling=UNPROVEN),
    "ratio: high below lower": Case(policy=_RATIO, figures=_m(span(0.1, 0.4999)), ruling=BROKEN),
    "ratio: nothing left": Case(policy=_RATIO, figures=_m(point(0.0)), ruling=BROKEN),
    "ratio: negative": Case(
        policy=_RATIO, figures=_m(span(-0.1, 1.0)), ruling=INVALID, says="-0.1 is below 0"
    ),
    # ---- alarm
    "alarm: low on the limit": Case(
        policy=_ALARM, figures=_m(span(0.5, 0.9)), ruling=MET, says="does not pass"
    ),
    "alarm: low above": Case(
        policy=_ALARM, figures=_m(span(0.5001, 0.9)), ruling=BROKEN, says="] passes the limit"
    ),
    "alarm: missing": Case(policy=_ALARM, ruling=UNPROVEN),
    # ---- measured
    "measured: any figure": Case(policy=_SHOWN, figures=_m(point(1e9)), ruling=MET, says="measured: 1e+09"),
    "measured: not measured": Case(policy=_SHOWN, figures=_m(NotMeasured(reason="why")), ruling=UNPROVEN),
    # ---- power
    "power: detectable on the limit": Case(policy=_POWER, figures=_m(point(0.1, detectable=0.2)), ruling=MET),
    "power: detectable just above": Case(
        policy=_POWER, figures=_m(point(0.1, detectable=0.2001)), ruling=UNPROVEN, says="too little power"
    ),
    "power: not stated": Case(policy=_POWER, figures=_m(point(0.1)), ruling=UNPROVEN, says="not stated"),
    "power: broken all the same": Case(policy=_POWER, figures=_m(point(0.9)), ruling=BROKEN),
    "power: straddling, powered": Case(
        policy=_POWER, figures=_m(span(0.1, 0.9, detectable=0.1)), ruling=UNPROVEN, says="straddles"
    ),
    # ---- wildcards and counts
    "every: each subject is judged": Case(
        policy=_EVERY,
        figures=_m(point(0.1), "a") + _m(point(0.9), "b"),
        subject="b",
        ruling=BROKEN,
    ),
    "every: the others stay": Case(
        policy=_EVERY, figures=_m(point(0.1), "a") + _m(point(0.9), "b"), subject="a", ruling=MET
    ),
    "every: none": Case(policy=_EVERY, subject="*", ruling=UNPROVEN, says="no such figure"),
    "besides: what is left is judged": Case(
        policy=_BESIDES,
        figures=_m(point(0.1), "a") + _m(point(0.9), "slice:b") + _m(point(0.9), "c"),
        subject="a",
        ruling=MET,
    ),
    "besides: only what it names": Case(
        policy=_BESIDES, figures=_m(point(0.1), "a") + _m(point(0.9), "cc"), subject="cc", ruling=BROKEN
    ),
    "besides: nothing is left": Case(
        policy=_BESIDES, figures=_m(point(0.1), "slice:b") + _m(point(0.1), "c"), subject="*", ruling=UNPROVEN
    ),
    "every: one not measured": Case(
        policy=_EVERY,
        figures=_m(point(0.1), "a") + _m(NotMeasured(reason="why"), "b"),
        subject="b",
        ruling=UNPROVEN,
    ),
    "counted: as many as declared": Case(
        policy=_SLICES,
        figures=(*_m(point(0.1), "slice:a"), entry("p", "n", point(1))),
        subject="slice:a",
        ruling=MET,
    ),
    "counted: fewer than declared": Case(
        policy=_SLICES,
        figures=(*_m(point(0.1), "slice:a"), entry("p", "n", point(2))),
        ruling=INVALID,
        says="2 were expected",
    ),
    "counted: more than declared": Case(
        policy=_SLICES, figures=(*_m(point(0.1), "slice:a"), entry("p", "n", point(0))), ruling=INVALID
    ),
    "counted: none declared, none there": Case(
        policy=_SLICES, figures=(entry("p", "n", point(0)),), ruling=MET, says="declares nothing"
    ),
    "counted: one declared, none there": Case(
        policy=_SLICES, figures=(entry("p", "n", point(1)),), ruling=INVALID
    ),
    "counted: the count is missing": Case(
        policy=_SLICES, figures=_m(point(0.1), "slice:a"), ruling=UNPROVEN, says="p.n was not measured"
    ),
    "counted: the prefix binds": Case(
        policy=_SLICES,
        figures=(*_m(point(0.1), "other:a"), entry("p", "n", point(0))),
        ruling=MET,
    ),
    # ---- a planted leak that the policy names
    "planted: it is there": Case(
        policy=_PLANTED,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _control(PLANT, True, 0.01, name="it/people"), _BOTH[1]),
        ruling=MET,
    ),
    "planted: another leak only": Case(
        policy=_PLANTED,
        figures=_m(point(0.1)),
        controls=FLOOR_CONTROLS + _BOTH,
        ruling=UNPROVEN,
        says='not put to the planted leak "it/people"',
        valued=True,
    ),
    "planted: another probe's": Case(
        policy=_PLANTED,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, *_BOTH, _control(PLANT, True, 0.01, probe="copies", name="it/people")),
        ruling=UNPROVEN,
    ),
    "planted: a null of that name": Case(
        policy=_PLANTED,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, *_BOTH, _control(NULL, True, 0.5, name="it/people")),
        ruling=UNPROVEN,
    ),
    "planted: missed": Case(
        policy=_PLANTED,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, *_BOTH, _control(PLANT, False, 0.2, name="it/people")),
        ruling=INVALID,
        says='missed the planted leak "it/people"',
    ),
    "planted: absent, broken all the same": Case(
        policy=_PLANTED, figures=_m(point(0.9)), controls=FLOOR_CONTROLS + _BOTH, ruling=BROKEN
    ),
    # ---- controls behind a figure
    "vouched: both held, p on the limit": Case(
        policy=_STRICT, figures=_m(point(0.1)), controls=FLOOR_CONTROLS + _BOTH, ruling=MET
    ),
    "vouched: no controls": Case(
        policy=_STRICT, figures=_m(point(0.1)), ruling=UNPROVEN, says="could have failed"
    ),
    "vouched: no null": Case(
        policy=_STRICT, figures=_m(point(0.1)), controls=(*FLOOR_CONTROLS, _BOTH[0]), ruling=UNPROVEN
    ),
    "vouched: no plant": Case(
        policy=_STRICT, figures=_m(point(0.1)), controls=(*FLOOR_CONTROLS, _BOTH[1]), ruling=UNPROVEN
    ),
    "vouched: no controls, broken all the same": Case(policy=_STRICT, figures=_m(point(0.9)), ruling=BROKEN),
    "vouched: plant missed": Case(
        policy=_STRICT,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _control(PLANT, False, 0.2), _BOTH[1]),
        ruling=INVALID,
        says='missed the planted leak "it"',
        valued=True,
    ),
    "vouched: plant missed, figure outside": Case(
        policy=_STRICT,
        figures=_m(point(0.9)),
        controls=(*FLOOR_CONTROLS, _control(PLANT, False, 0.2), _BOTH[1]),
        ruling=INVALID,
    ),
    "vouched: plant missed, figure missing": Case(
        policy=_STRICT,
        controls=(*FLOOR_CONTROLS, _control(PLANT, False, 0.2), _BOTH[1]),
        ruling=INVALID,
        valued=False,
    ),
    "vouched: plant said to be caught, p says no": Case(
        policy=_STRICT,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _control(PLANT, True, 0.0101), _BOTH[1]),
        ruling=INVALID,
    ),
    "vouched: plant said to be missed, p says caught": Case(
        policy=_STRICT,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _control(PLANT, False, 0.001), _BOTH[1]),
        ruling=INVALID,
    ),
    "vouched: plant with p = 0": Case(
        policy=_STRICT,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _control(PLANT, True, 0.0), _BOTH[1]),
        ruling=MET,
    ),
    "vouched: plant with p below 0": Case(
        policy=_STRICT,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _control(PLANT, True, -0.1), _BOTH[1]),
        ruling=INVALID,
    ),
    "vouched: plant with p NaN": Case(
        policy=_STRICT,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _control(PLANT, True, math.nan), _BOTH[1]),
        ruling=INVALID,
    ),
    "vouched: null flagged": Case(
        policy=_STRICT,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _BOTH[0], _control(NULL, False, 0.001)),
        ruling=INVALID,
        says='alarm on the null "it"',
    ),
    "vouched: null with p on 0": Case(
        policy=_STRICT,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _BOTH[0], _control(NULL, True, 0.0)),
        ruling=MET,
    ),
    "vouched: null with p on 1": Case(
        policy=_STRICT,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _BOTH[0], _control(NULL, True, 1.0)),
        ruling=MET,
    ),
    "vouched: null with p above 1": Case(
        policy=_STRICT,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _BOTH[0], _control(NULL, True, 1.1)),
        ruling=INVALID,
    ),
    "vouched: null with p below 0": Case(
        policy=_STRICT,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _BOTH[0], _control(NULL, True, -0.1)),
        ruling=INVALID,
    ),
    "vouched by others: theirs count": Case(
        policy=_VOUCHED, figures=_m(point(0.1)), controls=FLOOR_CONTROLS + controls_of("q", "r"), ruling=MET
    ),
    "vouched by others: one lacks them": Case(
        policy=_VOUCHED,
        figures=_m(point(0.1)),
        controls=FLOOR_CONTROLS + controls_of("q"),
        ruling=UNPROVEN,
        says="r had no",
    ),
    "vouched by others: one failed": Case(
        policy=_VOUCHED,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, *controls_of("q", "r"), _control(PLANT, False, 0.5, probe="r")),
        ruling=INVALID,
    ),
    "not asked for: failed controls still count": Case(
        policy=_AT_MOST,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _control(PLANT, False, 0.5)),
        ruling=INVALID,
    ),
    "not asked for: another probe's failure does not": Case(
        policy=_AT_MOST,
        figures=_m(point(0.1)),
        controls=(*FLOOR_CONTROLS, _control(PLANT, False, 0.5, probe="q")),
        ruling=MET,
    ),
    # ---- claim
    "claim: on the limit": Case(
        policy=policy(), claim=claim(3.0), rule="claim", subject="epsilon", ruling=MET
    ),
    "claim: above the limit": Case(
        policy=policy(),
        claim=claim(3.0001),
        rule="claim",
        subject="epsilon",
        ruling=BROKEN,
        says="another tier",
    ),
    "claim: ε is 0": Case(policy=policy(), claim=claim(0.0), rule="claim", subject="epsilon", ruling=MET),
    "claim: ε below 0": Case(
        policy=policy(),
        claim=claim(-0.1),
        rule="claim",
        subject="epsilon",
        ruling=BROKEN,
        says="not a finite",
    ),
    "claim: ε NaN": Case(
        policy=policy(),
        claim=claim(math.nan),
        rule="claim",
        subject="epsilon",
        ruling=BROKEN,
        says="not a finite",
    ),
    "claim: ε ∞": Case(
        policy=policy(),
        claim=claim(math.inf),
        rule="claim",
        subject="epsilon",
        ruling=BROKEN,
        says="not a finite",
    ),
    "claim: δ on the limit": Case(
        policy=policy(), claim=claim(delta=1e-6), rule="claim", subject="delta", ruling=MET
    ),
    "claim: δ above the limit": Case(
        policy=policy(), claim=claim(delta=1.01e-6), rule="claim", subject="delta", ruling=BROKEN
    ),
    "claim: none": Case(policy=policy(), claim=None, rule="claim", ruling=BROKEN, says="ε is ∞"),
    "claim: stated": Case(policy=policy(), rule="claim", subject="statement", ruling=MET, says="per patient"),
    "claim: no unit": Case(
        policy=policy(), claim=claim(unit=" "), rule="claim", subject="statement", ruling=BROKEN, says="unit"
    ),
    "claim: no bound": Case(
        policy=policy(), claim=claim(max_rows_per_unit=0), rule="claim", subject="statement", ruling=BROKEN
    ),
    "claim: no events": Case(
        policy=policy(), claim=claim(events=()), rule="claim", subject="statement", ruling=BROKEN
    ),
    "claim: another adjacency": Case(
        policy=policy(), claim=claim(adjacency="replace"), rule="claim", subject="statement", ruling=BROKEN
    ),
    # ---- empirical ε
    "audit: on the claim": Case(
        policy=policy(), floor=_audit(1.0), rule="empirical", ruling=MET, says="ε ≥ 1 at", valued=True
    ),
    "audit: out of reach": Case(
        policy=policy(),
        floor=(
            *FLOOR_FIGURES[:2],
            entry("one_run_epsilon", "epsilon_lower_bound", span(0.1, 0.6, detectable=0.5)),
        ),
        rule="empirical",
        ruling=MET,
        says="with so many units it could have proved ε ≥ 0.5 at most",
    ),
    "audit: above the claim": Case(
        policy=policy(),
        floor=_audit(1.0001),
        rule="empirical",
        ruling=BROKEN,
        says="ε ≥ 1 at 95 %, more than is claimed",
    ),
    "audit: no claim": Case(policy=policy(), claim=None, rule="empirical", ruling=BROKEN, says="∞"),
    "audit: claim NaN": Case(policy=policy(), claim=claim(math.nan), rule="empirical", ruling=BROKEN),
    "audit: missing": Case(
        policy=policy(), floor=FLOOR_FIGURES[:2], rule="empirical", ruling=UNPROVEN, valued=False
    ),
    "audit: twice": Case(
        policy=policy(), floor=_audit(0.1) + _audit(0.1)[2:], rule="empirical", ruling=INVALID
    ),
    "audit: control missed": Case(
        policy=policy(),
        controls=(*FLOOR_CONTROLS, _control(PLANT, False, 0.5, probe="one_run_epsilon")),
        rule="empirical",
        ruling=INVALID,
    ),
    "audit: above the claim beats a missed control": Case(
        policy=policy(),
        floor=_audit(1.1),
        controls=(*FLOOR_CONTROLS, _control(PLANT, False, 0.5, probe="one_run_epsilon")),
        rule="empirical",
        ruling=BROKEN,
    ),
    "audit: controls asked for, none": Case(policy=_AUDIT, rule="empirical", ruling=UNPROVEN),
    "audit: controls asked for, held": Case(
        policy=_AUDIT,
        controls=FLOOR_CONTROLS + controls_of("one_run_epsilon"),
        rule="empirical",
        ruling=MET,
    ),
    # ---- controls
    "controls: held": Case(
        policy=policy(), rule="controls", subject="copies", ruling=MET, says="1 planted leaks caught, 1 nulls"
    ),
    "controls: two plants, one null": Case(
        policy=policy(),
        controls=(*FLOOR_CONTROLS, _control(PLANT, True, 0.001, probe="copies")),
        rule="controls",
        subject="copies",
        ruling=MET,
        says="2 planted leaks caught, 1 nulls",
    ),
    "controls: none": Case(policy=policy(), controls=(), rule="controls", subject="copies", ruling=UNPROVEN),
    "controls: another probe's": Case(
        policy=policy(), controls=controls_of("dcr"), rule="controls", subject="copies", ruling=UNPROVEN
    ),
    "controls: a probe nobody named missed its plant": Case(
        policy=policy(),
        controls=(
            *FLOOR_CONTROLS,
            _control(PLANT, False, 0.3, probe="dcr"),
            _control(NULL, True, 0.3, probe="dcr"),
        ),
        rule="controls",
        subject="dcr",
        ruling=INVALID,
    ),
    "controls: plant missed": Case(
        policy=policy(),
        controls=(*FLOOR_CONTROLS, _control(PLANT, False, 0.3, probe="copies")),
        rule="controls",
        subject="copies",
        ruling=INVALID,
    ),
    # ---- arena
    "arena: members on the number": Case(policy=policy(), rule="arena", subject="members", ruling=MET),
    "arena: controls on the number": Case(policy=policy(), rule="arena", subject="controls", ruling=MET),
    "arena: one member short": Case(
        policy=policy(),
        floor=(entry("arena", "members", point(99)), *FLOOR_FIGURES[1:]),
        rule="arena",
        subject="members",
        ruling=UNPROVEN,
        says="99 units took part, 100 are needed",
    ),
    "arena: the count is uncertain": Case(
        policy=policy(),
        floor=(entry("arena", "members", span(98, 150)), *FLOOR_FIGURES[1:]),
        rule="arena",
        subject="members",
        ruling=UNPROVEN,
        says="98 units took part",
    ),
    "arena: the count is uncertain but large": Case(
        policy=policy(),
        floor=(entry("arena", "members", span(110, 150)), *FLOOR_FIGURES[1:]),
        rule="arena",
        subject="members",
        ruling=MET,
        says="110 units took part",
    ),
    "arena: not counted": Case(
        policy=policy(), floor=FLOOR_FIGURES[1:], rule="arena", subject="members", ruling=UNPROVEN
    ),
    # ---- the judge's own
    "own: a policy that asks enough": Case(policy=policy(), rule="policy", ruling=MET),
    "own: no rules": Case(
        policy=policy(floor=" []"), rule="policy", subject="claim", ruling=UNPROVEN, says="denies everything"
    ),
    "own: no rule on controls": Case(
        policy=policy(floor=FLOOR.replace("  - {id: controls, kind: controls, probes: [copies]}\n", "")),
        rule="policy",
        subject="controls",
        ruling=UNPROVEN,
    ),
    "own: baseline": Case(policy=policy(), purpose=Purpose.BASELINE, rule="purpose", ruling=BROKEN),
    "own: analysis": Case(policy=policy(), rule="purpose", ruling=MET),
    "own: the suite itself": Case(policy=policy(), rule="suite", ruling=MET),
    "own: a later suite": Case(policy=policy(), suite="deep", rule="suite", ruling=MET),
    "own: an earlier suite": Case(policy=policy(), suite="quick", rule="suite", ruling=UNPROVEN),
    "own: an unknown suite": Case(policy=policy(), suite="mine", rule="suite", ruling=UNPROVEN),
    "own: any suite will do": Case(policy=policy(suite="quick"), suite="quick", rule="suite", ruling=MET),
    "own: no duplicates": Case(policy=policy(), rule="evidence", ruling=MET),
    "own: duplicates nobody asked for": Case(
        policy=policy(),
        figures=(entry("q", "m", point(1), "s"),) * 3,
        rule="evidence",
        subject="q.m.s",
        ruling=INVALID,
        says="3 times",
    ),
}


def check(case: Case, judge_: Callable[..., object]) -> None:
    """Raise AssertionError where the judge says anything else than the case expects."""
    verdict = judge_(case.policy, case.evidence, EVIDENCE, case.claim, case.purpose, GateMode.UNCOVERED)
    found = [f for f in verdict.findings if f.rule == case.rule and f.subject == case.subject]  # type: ignore[attr-defined]
    assert len(found) == 1, f"{len(found)} findings for {case.rule} {case.subject!r}"
    assert found[0].ruling is case.ruling, found[0]
    assert case.says in found[0].reason, found[0].reason
    assert case.valued in {None, found[0].value is not None}, found[0]
    assert found[0].waivable is case.waivable
