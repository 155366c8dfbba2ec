"""What a built-in tier's attack rules say of evidence, without its rules on the claim's size, fidelity and utility."""

from __future__ import annotations

from pathlib import Path

from policies.format import parse
from release.records import EvidenceSet, PrivacyCost, Purpose, Ruling

TIERS = Path(__file__).resolve().parents[2] / "policies" / "tiers"
ATTACK_RULES = {
    "exact-copies",
    "partial-copies",
    "membership",
    "membership-vulnerable",
    "singling-out",
    "singling-out-alarm",
    "singling-out-reach",
    "linkability",
    "inference",
    "inference-alarm",
    "qi-linkage",
    "subgroup-alarm",
}


def findings(
    evidence: EvidenceSet,
    tier: str = "partner-healthcare",
    *,
    controls: bool = False,
    claim: PrivacyCost | None = None,
) -> dict:
    """(rule, subject) → ruling, for the attack rules. Without controls their absence is not held against a rule.

    The audit's lower bound on ε is held against a claim where there is one.
    """
    return {
        key: finding.ruling for key, finding in judged(evidence, tier, controls=controls, claim=claim).items()
    }


def reasons(evidence: EvidenceSet, tier: str = "partner-healthcare") -> dict:
    """(rule, subject) → why."""
    return {
        key: finding.reason for key, finding in judged(evidence, tier, controls=False, claim=None).items()
    }


def judged(evidence: EvidenceSet, tier: str, *, controls: bool, claim: PrivacyCost | None) -> dict:
    """(rule, subject) → finding."""
    policy = parse((TIERS / f"{tier}.yaml").read_text("utf-8"))
    asked = ATTACK_RULES | ({"controls"} if controls else set()) | ({"empirical-epsilon"} if claim else set())
    found = {}
    for rule in policy.rules:
        if rule.id not in asked:
            continue
        judge = rule if controls else rule.model_copy(update={"needs_controls": False})
        for finding in judge.judge(evidence, claim, Purpose.ANALYSIS):
            found[rule.id, finding.subject] = finding
    return found


def broken(rulings: dict) -> list:
    return sorted(key for key, ruling in rulings.items() if ruling is Ruling.BROKEN)


def unmet(rulings: dict) -> list:
    return sorted((*key, str(ruling)) for key, ruling in rulings.items() if ruling is not Ruling.MET)
