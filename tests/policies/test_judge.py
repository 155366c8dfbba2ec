"""The judge: named cases, properties, and the four tiers."""

from __future__ import annotations

import dataclasses
import random

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import PureJudge, builtin
from policies.judge import OWN_RULES
from policies.rules import RULES
from release.canonical import from_json, to_json
from release.records import (
    ControlKind,
    EvidenceSet,
    GateMode,
    Measured,
    NotMeasured,
    PrivacyCost,
    Purpose,
    Ruling,
    Verdict,
)
from tests.policies.cases import (
    CORE,
    EVIDENCE,
    GOOD,
    GOOD_CONTROLS,
    GOOD_FIGURES,
    Case,
    check,
    claim,
    entry,
    evidence,
    policy,
    span,
)

TIERS = builtin()


def judge(
    document: str,
    found: EvidenceSet,
    cost: PrivacyCost | None = None,
    purpose: Purpose = Purpose.TRAINING,
    *,
    no_claim: bool = False,
) -> Verdict:
    cost = None if no_claim else (cost or claim())
    return PureJudge().judge(document, found, EVIDENCE, cost, purpose, GateMode.UNCOVERED)


@pytest.mark.parametrize("case", CORE.values(), ids=CORE.keys())
def test_core(case: Case):
    check(case, PureJudge().judge)


@pytest.mark.parametrize("tier", TIERS)
def test_good_evidence_is_releasable(tier: str):
    verdict = judge(TIERS[tier], GOOD)
    assert verdict.releasable, [f for f in verdict.findings if f.ruling is not Ruling.MET]
    assert verdict.policy == PureJudge().terms(TIERS[tier]).digest
    assert (verdict.candidate, verdict.evidence, verdict.mode) == (
        GOOD.candidate,
        EVIDENCE,
        GateMode.UNCOVERED,
    )


def test_empty_policy_denies():
    empty = policy(floor=" []")
    verdict = judge(empty, GOOD)
    assert not verdict.releasable
    assert {f.subject for f in verdict.findings if f.ruling is Ruling.UNPROVEN} == {
        "claim",
        "empirical-epsilon",
        "controls",
        "arena",
    }
    assert PureJudge().terms(empty).max_epsilon == 0.0


@pytest.mark.parametrize("tier", TIERS)
def test_no_claim_is_broken(tier: str):
    assert judge(TIERS[tier], GOOD, no_claim=True).ruling is Ruling.BROKEN


@pytest.mark.parametrize("tier", TIERS)
def test_every_figure_a_tier_asks_for_is_needed(tier: str):
    """Dropping any one figure that some rule names makes the verdict a no, and so does failing to measure it."""
    asked = _asked_for(TIERS[tier])
    assert len(asked) > 10
    for index, item in enumerate(GOOD_FIGURES):
        if (item.probe, item.metric) not in asked:
            continue
        rest = GOOD_FIGURES[:index] + GOOD_FIGURES[index + 1 :]
        # Another sensitive column may still stand: the rule then speaks of that one alone.
        alone = not any((o.probe, o.metric) == (item.probe, item.metric) for o in rest)
        spoilt = dataclasses.replace(item, outcome=NotMeasured(reason="it crashed"))
        if alone or item.subject == "":
            assert not judge(TIERS[tier], evidence(*rest, controls=GOOD_CONTROLS)).releasable, item
        assert not judge(TIERS[tier], evidence(*rest, spoilt, controls=GOOD_CONTROLS)).releasable, item
        assert not judge(TIERS[tier], evidence(*rest, item, item, controls=GOOD_CONTROLS)).releasable, item


@pytest.mark.parametrize("tier", TIERS)
def test_every_control_a_tier_asks_for_is_needed(tier: str):
    for index, control in enumerate(GOOD_CONTROLS):
        rest = GOOD_CONTROLS[:index] + GOOD_CONTROLS[index + 1 :]
        missed = dataclasses.replace(control, passed=False)
        assert judge(TIERS[tier], evidence(*GOOD_FIGURES, controls=rest)).ruling is Ruling.UNPROVEN
        assert judge(TIERS[tier], evidence(*GOOD_FIGURES, controls=(*rest, missed))).ruling is Ruling.INVALID


def test_own_rule_names_do_not_clash_with_a_policy():
    document = policy("  - {id: suite, kind: arena, members: 1, controls: 1}\n")
    rules = [f.rule for f in judge(document, GOOD).findings]
    assert set(OWN_RULES) <= set(rules)


# ---------------------------------------------------------------------------------------------- properties

numbers = st.floats(min_value=-2, max_value=3, allow_nan=False).map(lambda x: round(x, 3))
outcomes = st.one_of(
    st.builds(lambda a, b: span(min(a, b), max(a, b)), numbers, numbers),
    st.builds(
        lambda a, b, d: span(min(a, b), max(a, b), detectable=d),
        numbers,
        numbers,
        st.floats(min_value=0.001, max_value=0.5),
    ),
    st.just(NotMeasured(reason="why")),
)
figures = st.lists(
    st.builds(
        entry,
        st.sampled_from(["p", "q"]),
        st.sampled_from(["m", "n"]),
        outcomes,
        st.sampled_from(["", "a", "slice:a", "slice:b"]),
    ),
    max_size=8,
)
KINDS = {
    "at-most": "limit: {0},",
    "at-least": "limit: {0},",
    "alarm": "limit: {0},",
    "between": "lower: {1}, upper: {2},",
    "ratio": "lower: 0.5, upper: 2.0,",
    "measured": "",
}


def _small(kind: str, limit: float, other: float, subjects: str) -> str:
    text = KINDS[kind].format(limit, min(limit, other), max(limit, other))
    return policy(
        f"  - {{id: x, kind: {kind}, layer: privacy, title: t, "
        f"figure: {{probe: p, metric: m, subjects: [{subjects}]}}, {text} needs_controls: false}}\n"
    )


SUBJECTS = st.sampled_from(['""', '"*"', '"slice:*"', '"", "a"'])


@given(st.sampled_from(sorted(KINDS)), numbers, numbers, SUBJECTS, figures, st.randoms(use_true_random=False))
@settings(max_examples=120, deadline=None)
def test_order_of_evidence_does_not_matter(kind, limit, other, subjects, items, rng: random.Random):
    base = CORE["own: no duplicates"]
    document = _small(kind, limit, other, subjects)
    controls = [*base.controls, *GOOD_CONTROLS]
    shuffled, mixed = [*base.floor, *items], list(controls)
    rng.shuffle(shuffled)
    rng.shuffle(mixed)
    first = judge(document, evidence(*base.floor, *items, controls=tuple(controls)))
    second = judge(document, evidence(*shuffled, controls=tuple(mixed)))
    assert first == second


@given(st.sampled_from(sorted(KINDS)), numbers, numbers, SUBJECTS, figures)
@settings(max_examples=120, deadline=None)
def test_missing_evidence_never_passes(kind, limit, other, subjects, items):
    """Whatever else is there: without a figure for it, the rule is not met; so no verdict is a yes."""
    base = CORE["own: no duplicates"]
    without = [e for e in items if (e.probe, e.metric) != ("p", "m") or isinstance(e.outcome, NotMeasured)]
    verdict = judge(
        _small(kind, limit, other, subjects), evidence(*base.floor, *without, controls=base.controls)
    )
    assert not verdict.releasable
    assert all(f.ruling is not Ruling.MET for f in verdict.findings if f.rule == "x")


@given(st.sampled_from(["at-most", "at-least", "alarm"]), numbers, st.floats(0.001, 1), SUBJECTS, figures)
@settings(max_examples=120, deadline=None)
def test_tightening_a_limit_never_turns_no_into_yes(kind, limit, step, subjects, items):
    base = CORE["own: no duplicates"]
    found = evidence(*base.floor, *items, controls=base.controls)
    tighter = limit + step if kind == "at-least" else limit - step
    loose, tight = (judge(_small(kind, at, 0, subjects), found) for at in (limit, tighter))
    assert loose.releasable or not tight.releasable
    for before, after in zip(loose.findings, tight.findings, strict=True):
        assert after.ruling is not Ruling.MET or before.ruling is Ruling.MET
        assert before.ruling is not Ruling.BROKEN or after.ruling is Ruling.BROKEN


@given(numbers, numbers, numbers.map(abs), numbers.map(abs), figures)
@settings(max_examples=80, deadline=None)
def test_a_narrower_range_never_turns_no_into_yes(a, b, left, right, items):
    base = CORE["own: no duplicates"]
    found = evidence(*base.floor, *items, controls=base.controls)
    low, high = min(a, b), max(a, b)
    inner = sorted((round(min(low + left, high), 6), round(max(high - right, low), 6)))
    loose = judge(_small("between", low, high, '"*"'), found)
    tight = judge(_small("between", inner[0], inner[1], '"*"'), found)
    assert loose.releasable or not tight.releasable


@given(st.sampled_from(sorted(TIERS)), st.floats(0.01, 12), figures)
@settings(max_examples=40, deadline=None)
def test_verdicts_round_trip(tier, epsilon, items):
    verdict = judge(TIERS[tier], evidence(*items, controls=GOOD_CONTROLS), claim(epsilon))
    assert from_json(Verdict, to_json(verdict)) == verdict


@given(st.sampled_from(sorted(TIERS)), st.data())
@settings(max_examples=60, deadline=None)
def test_widening_an_interval_never_turns_no_into_yes(tier, data):
    index = data.draw(st.integers(0, len(GOOD_FIGURES) - 1))
    item = GOOD_FIGURES[index]
    assert isinstance(item.outcome, Measured)
    middle, half, more = data.draw(numbers), data.draw(st.floats(0, 1)), data.draw(st.floats(0, 1))
    rest = GOOD_FIGURES[:index] + GOOD_FIGURES[index + 1 :]
    narrow, wide = (
        judge(
            TIERS[tier],
            evidence(
                *rest,
                dataclasses.replace(
                    item, outcome=span(middle - width, middle + width, detectable=item.outcome.detectable)
                ),
                controls=GOOD_CONTROLS,
            ),
        )
        for width in (half, half + more)
    )
    if (item.probe, item.metric) in {
        ("inference", "excess_risk"),
        ("qi_linkage", "worst_subgroup_excess_risk"),
        ("singling_out", "worst_family_excess_risk"),
        ("one_run_epsilon", "epsilon_lower_bound"),
    }:
        return  # alarms look at the optimistic end alone: a wider interval rings later, by design
    assert narrow.releasable or not wide.releasable


@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_asks_for_the_controls_of_the_audit(tier):
    """An audit that never had a planted leak to refute the claim with proves nothing by its silence."""

    def ruling(controls):
        verdict = judge(TIERS[tier], evidence(*GOOD_FIGURES, controls=controls))
        return {finding.rule: finding.ruling for finding in verdict.findings}["empirical-epsilon"]

    others = tuple(control for control in GOOD_CONTROLS if control.probe != "one_run_epsilon")
    own = tuple(control for control in GOOD_CONTROLS if control.probe == "one_run_epsilon")
    missed = tuple(dataclasses.replace(control, passed=False) for control in own)
    assert ruling(GOOD_CONTROLS) is Ruling.MET
    assert ruling(others) is Ruling.UNPROVEN
    assert ruling(others + missed) is Ruling.INVALID


@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_asks_for_a_planted_leak_of_each_kind_of_reach(tier):
    """That R found a copy says nothing of the count of people: it has plants of its own."""

    def ruling(controls):
        verdict = judge(TIERS[tier], evidence(*GOOD_FIGURES, controls=controls))
        return {finding.ruling for finding in verdict.findings if finding.rule == "singling-out-reach"}

    assert ruling(GOOD_CONTROLS) == {Ruling.MET}
    own = tuple(control for control in GOOD_CONTROLS if control.name.endswith("-reach"))
    assert len(own) == 2
    for control in own:
        others = tuple(other for other in GOOD_CONTROLS if other != control)
        assert ruling(others) == {Ruling.UNPROVEN}
        assert ruling((*others, dataclasses.replace(control, passed=False))) == {Ruling.INVALID}


# ---------------------------------------------------------------------------------------------- contract of the registry


def test_registry_is_the_union_of_the_format():
    for kind, cls in RULES.items():
        assert cls.model_fields["kind"].annotation.__args__ == (kind,)
        assert (cls.__module__.rsplit(".", 1)[1]).replace("_", "-") == kind
        assert cls.__doc__
    used = {rule["kind"] for text in TIERS.values() for rule in yaml.safe_load(text)["rules"]}
    assert used <= set(RULES)


@pytest.mark.parametrize("kind", RULES)
def test_every_kind_finds_something_in_nothing(kind: str):
    """Contract: at least one finding, and none met, where there is no evidence at all and nothing is claimed."""
    examples = {
        **{
            k: f"layer: privacy, title: t, figure: {{probe: p, metric: m}}, {v.format(0.5, 0.4, 0.6)}"
            for k, v in KINDS.items()
        },
        "claim": "max_epsilon: 1.0, max_delta: 1.0e-6",
        "arena": "members: 1, controls: 1",
        "controls": "probes: [p]",
        "empirical-epsilon": "",
    }
    document = policy(
        f"  - {{id: x, kind: {kind}, {examples[kind]}}}\n".replace(",,", ",").replace(", }", "}")
    )
    verdict = judge(document, evidence(), no_claim=True)
    findings = [f for f in verdict.findings if f.rule == "x"]
    assert findings
    assert all(f.ruling is not Ruling.MET for f in findings)
    assert all(f.reason and f.limit and not f.waivable for f in findings)


def _asked_for(document: str) -> set[tuple[str, str]]:
    asked = {("arena", "members"), ("arena", "controls"), ("one_run_epsilon", "epsilon_lower_bound")}
    for rule in yaml.safe_load(document)["rules"]:
        if "figure" in rule:
            asked.add((rule["figure"]["probe"], rule["figure"]["metric"]))
            if "counted_by" in rule["figure"]:
                asked.add((rule["figure"]["probe"], rule["figure"]["counted_by"]))
    return asked


def test_good_case_has_both_kinds_of_control():
    assert {c.kind for c in GOOD_CONTROLS} == set(ControlKind)


@pytest.mark.parametrize(
    ("probe", "metric"),
    [("copies", "excess_exact_share"), ("arena", "members"), ("one_run_epsilon", "epsilon_lower_bound")],
)
def test_what_a_probe_says_of_its_own_failure_is_the_reason(probe: str, metric: str):
    """A probe that ran out of time gives one figure, "failed": the rules that lack theirs say why, and deny."""
    late = entry(probe, "failed", NotMeasured(reason="60 s passed"))
    rest = [e for e in GOOD_FIGURES if e.probe != probe]
    verdict = judge(TIERS["partner-healthcare"], evidence(*rest, late, controls=GOOD_CONTROLS))
    assert verdict.ruling is Ruling.UNPROVEN
    reasons = [f.reason for f in verdict.findings if f.ruling is Ruling.UNPROVEN]
    assert reasons
    assert any(reason == f"{probe}.{metric} was not measured: 60 s passed" for reason in reasons)
