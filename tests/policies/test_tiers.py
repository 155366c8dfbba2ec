"""The tiers ask only for what the registered probes measure, so that they can be met."""

from __future__ import annotations

import pytest
import yaml

from attacks import PROBES as ATTACKS
from attacks import SUITES
from policies import TIERS, builtin
from policies.format import SUITES as KNOWN_SUITES
from release.quality import PROBES as QUALITIES


@pytest.mark.parametrize("tier", TIERS)
def test_every_probe_of_a_tier_is_registered(tier: str):
    document = yaml.safe_load(builtin()[tier])
    attacks = {probe.name for probe in ATTACKS}
    for rule in document["rules"]:
        layer = rule.get("layer", "privacy")
        known = attacks if layer == "privacy" else set(QUALITIES)
        named = {*rule.get("probes", ()), *rule.get("vouched_by", ())}
        if "figure" in rule:
            named.add(rule["figure"]["probe"])
        assert named <= known, (rule["id"], named - known)


@pytest.mark.parametrize("tier", TIERS)
def test_the_suite_of_a_tier_runs_what_it_asks_for(tier: str):
    document = yaml.safe_load(builtin()[tier])
    (plan,) = [plan for plan in SUITES if plan.name == document["suite"]]
    asked = {
        rule["figure"]["probe"]
        for rule in document["rules"]
        if "figure" in rule and rule["layer"] == "privacy"
    }
    assert asked <= set(plan.probes)
    assert plan.controls


def test_both_know_the_same_suites():
    assert tuple(plan.name for plan in SUITES) == KNOWN_SUITES
