"""The policy file: what is refused, what is understood, and every number of the two tables."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import TIERS, PureJudge, builtin
from policies.format import MAX_BYTES, Policy, parse
from release.errors import PolicyFormatError
from release.records import Purpose
from tests.policies.cases import policy, rule

GOOD = policy(rule("at-most", "limit: 0.5,"))

BAD: dict[str, tuple[str, str]] = {
    "empty": ("", "not a map"),
    "a list": ("- 1\n", "not a map"),
    "not YAML": ("a: [1\n", "row 2"),
    "unknown key": (GOOD + "colour: red\n", "colour is not a key"),
    "unknown key of a rule": (GOOD.replace("limit: 0.5", "limit: 0.5, limits: 1"), "limits is not a key"),
    "missing key": (GOOD.replace("suite: standard\n", ""), "suite is missing"),
    "unknown kind": (GOOD.replace("kind: at-most", "kind: at-moost"), "unknown `kind`"),
    "no kind": (GOOD.replace("kind: at-most, ", ""), "has no `kind`"),
    "limit as text": (GOOD.replace("limit: 0.5", "limit: 5e-1"), "write 1.0e-6"),
    "limit is NaN": (GOOD.replace("limit: 0.5", "limit: .nan"), "not a string, number"),
    "limit is infinite": (GOOD.replace("limit: 0.5", "limit: .inf"), "not a string, number"),
    "no limit": (GOOD.replace("limit: 0.5,", ""), "limit is missing"),
    "limit is true": (GOOD.replace("limit: 0.5", "limit: true"), "limit"),
    "two rules of one id": (GOOD.replace("id: x", "id: claim"), "stands twice"),
    "key twice": (GOOD + "name: other\n", "stands twice"),
    "key of a rule twice": (GOOD.replace("limit: 0.5", "limit: 0.5, limit: 9.0"), "stands twice"),
    "key is a number": (GOOD + "1: a\n", "a key is not text"),
    "alias": (GOOD.replace("name: test", "name: &n test") + "title: *n\n", "aliases are refused"),
    "anchor alone": (GOOD.replace("name: test", "name: &n test"), "aliases are refused"),
    "merge key": (GOOD + "<<: {a: 1}\n", "merge"),
    "tag": (GOOD.replace("name: test", "name: !!python/object:os.system test"), "tags are refused"),
    "date": (GOOD.replace('version: "1"', "version: 2026-01-31"), "quotation marks"),
    "impossible date": (GOOD.replace('version: "1"', "version: 2026-02-31"), "cannot be read"),
    "version a number": (GOOD.replace('version: "1"', "version: 1"), "version"),
    "version with spaces": (GOOD.replace('version: "1"', 'version: "v 1"'), "version"),
    "deep": ("a: " + "[" * 40 + "]" * 40, "nested deeper"),
    "big": (GOOD + "#" * MAX_BYTES, "bytes"),
    "two documents": (GOOD + "---\n" + GOOD, "another document"),
    "control characters": (GOOD + "title: \x00\n", "not YAML"),
    "no approvals": (GOOD.replace("approvals: 1", "approvals: 0"), "approvals"),
    "approval never expires": (GOOD.replace("approval_days: 7", "approval_days: 100000"), "approval_days"),
    "smallest cell of one": (GOOD.replace("smallest_cell: 5", "smallest_cell: 1"), "smallest_cell"),
    "unknown suite": (GOOD.replace("suite: standard", "suite: none"), "suite"),
    "other format": (GOOD.replace("policy@1", "policy@2"), "format"),
    "waivable privacy rule": (
        GOOD.replace("layer: fidelity", "layer: privacy, waivable: true"),
        "cannot be waived",
    ),
    "between out of order": (policy(rule("between", "lower: 2.0, upper: 1.0,")), "above upper"),
    "ratio without 1": (policy(rule("ratio", "lower: 2.0, upper: 3.0,")), "lower"),
    "δ limit too large": (GOOD.replace("max_delta: 1.0e-6", "max_delta: 1.0e-3"), "max_delta"),
    "ε limit zero": (GOOD.replace("max_epsilon: 3.0", "max_epsilon: 0.0"), "max_epsilon"),
    "no subjects": (GOOD.replace("metric: m", "metric: m, subjects: []"), "subjects"),
    "controls of no probe": (GOOD.replace("probes: [copies]", "probes: []"), "probes"),
    "a planted leak asked of a rule without controls": (
        policy(rule("at-most", "limit: 0.5,", more=", planted: [verbatim]")),
        "`planted` names controls",
    ),
    "purpose unknown": (GOOD.replace("rules:", "requires_sweep: [fun]\nrules:"), "requires_sweep"),
}


@pytest.mark.parametrize(("text", "says"), BAD.values(), ids=BAD.keys())
def test_bad_policy_is_refused(text: str, says: str):
    with pytest.raises(PolicyFormatError) as caught:
        parse(text, file="tier.yaml")
    assert says in str(caught.value), str(caught.value)
    assert str(caught.value).startswith("tier.yaml")
    assert len(str(caught.value)) < 600
    with pytest.raises(PolicyFormatError):
        PureJudge().terms(text)


def test_good_policy_is_understood():
    terms = PureJudge().terms(GOOD)
    assert (terms.name, terms.version, terms.approvals, terms.owner_approval) == ("test", "1", 1, False)
    assert (terms.approval_days, terms.suite, terms.smallest_cell, terms.max_epsilon) == (
        7,
        "standard",
        5,
        3.0,
    )
    assert terms.requires_sweep == ()


def test_digest_sees_numbers_and_not_comments():
    assert parse(GOOD).digest == parse("# a comment\n" + GOOD.replace("0.5", "0.50")).digest
    assert parse(GOOD).digest != parse(GOOD.replace("limit: 0.5", "limit: 0.51")).digest
    assert parse(GOOD).digest != parse(GOOD.replace("approvals: 1", "approvals: 2")).digest


@pytest.mark.parametrize("name", TIERS)
def test_round_trip(name: str):
    first = parse(builtin()[name])
    again = parse(yaml.safe_dump(first.model_dump(mode="json"), allow_unicode=True))
    assert again == first
    assert again.digest == first.digest
    assert first.name == name


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_policy_or_a_format_error(text: str):
    assert _understood_or_refused(text)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_damaged_tier_is_a_policy_or_a_format_error(data):
    text = builtin()["partner-healthcare"]
    start = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 40))
    damaged = text[:start] + data.draw(st.text(max_size=6)) + text[start + length :]
    assert _understood_or_refused(damaged)


def _understood_or_refused(text: str) -> bool:
    try:
        return isinstance(parse(text), Policy)
    except PolicyFormatError as error:
        return bool(str(error))


# ---------------------------------------------------------------------------------------------- the two tables

# rule id -> (key, internal-dev, partner-healthcare, partner-finance, public); outcome-gap: docs/decisions/utility-limits.md
LIMITS: dict[str, tuple[object, ...]] = {
    "claim.max_epsilon": (10, 3, 4, 1),
    "singling-out.limit": (0.20, 0.09, 0.09, 0.05),
    "singling-out-alarm.limit": (0.20, 0.09, 0.09, 0.05),
    "singling-out-reach.limit": (0.20, 0.09, 0.09, 0.05),
    "linkability.limit": (0.20, 0.09, 0.09, 0.05),
    "inference.limit": (0.20, 0.09, 0.09, 0.05),
    "qi-linkage.limit": (0.20, 0.09, 0.09, 0.05),
    "inference-alarm.limit": (0.20, 0.09, 0.09, 0.05),
    "subgroup-alarm.limit": (0.20, 0.09, 0.09, 0.05),
    "membership.limit": (0.10, 0.03, 0.03, 0.02),
    "membership-vulnerable.limit": (0.40, 0.25, 0.25, 0.25),
    "exact-copies.limit": (0.005, 0.002, 0.002, 0.001),
    "partial-copies.limit": (0.005, 0.002, 0.002, 0.001),
    "arena.members": (500, 2_000, 2_000, 6_000),
    "arena.controls": (500, 2_000, 2_000, 6_000),
    "pairs.limit": (0.15, 0.10, 0.10, 0.12),
    "worst-column.limit": (0.15, 0.08, 0.08, 0.10),
    "worst-slice.limit": (0.30, 0.20, 0.20, 0.25),
    "task.limit": (0.15, 0.10, 0.10, None),
    "outcome-gap.limit": (0.10, 0.10, 0.10, 0.05),
    "outliers.lower": (0.33, 0.5, 0.5, 0.5),
    "outliers.upper": (3, 2, 2, 2),
    "missing-values.limit": (0.05, 0.03, 0.03, 0.03),
    "rule-violations.limit": (0, 0, 0, 0),
}


@pytest.mark.parametrize("place", LIMITS)
def test_every_number_of_the_tables(place: str):
    name, key = place.split(".")
    for tier, expected in zip(TIERS, LIMITS[place], strict=True):
        rules = {rule.id: rule for rule in parse(builtin()[tier]).rules}
        found = getattr(rules.get(name), key, None)
        assert found == expected, tier


def test_the_rest_of_the_tables():
    terms = {name: PureJudge().terms(text) for name, text in builtin().items()}
    assert [terms[name].smallest_cell for name in TIERS] == [5, 11, 11, 20]
    assert [terms[name].approvals for name in TIERS] == [1, 2, 2, 2]
    assert [terms[name].owner_approval for name in TIERS] == [False, False, False, True]
    assert [terms[name].max_epsilon for name in TIERS] == [10, 3, 4, 1]
    assert [terms[name].requires_sweep for name in TIERS] == [
        (),
        (Purpose.TRAINING,),
        (Purpose.TRAINING,),
        (),
    ]


def test_the_borrowed_number_says_so():
    for name in ("partner-healthcare", "partner-finance"):
        assert any("EMA" in note and "different quantity" in note for note in parse(builtin()[name]).notes)


def test_no_privacy_rule_is_waivable():
    for text in builtin().values():
        for each in parse(text).rules:
            assert not getattr(each, "waivable", False)
