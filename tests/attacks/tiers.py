"""What a built-in tier's attack rules say of evidence, without its rules on claim, fidelity and utility."""

from __future__ import annotations

from pathlib import Path

from policies.format import parse
from release.records import EvidenceSet, Purpose, Ruling

TIERS = Path(__file__).resolve().parents[2] / "policies" / "tiers"
ATTACK_RULES = {
    "exact-copies",
    "partial-copies",
    "membership",
    "membership-vulnerable",
    "singling-out",
    "linkability",
    "inference",
    "inference-alarm",
}


def findings(evidence: EvidenceSet, tier: str = "partner-healthcare", *, controls: bool = False) -> dict:
    """(rule, subject) → ruling, for the attack rules. Without controls their absence is not held against a rule."""
    policy = parse((TIERS / f"{tier}.yaml").read_text("utf-8"))
    found = {}
    for rule in policy.rules:
        if rule.id not in ATTACK_RULES and not (controls and rule.id == "controls"):
            continue
        asked = rule if controls else rule.model_copy(update={"needs_controls": False})
        for finding in asked.judge(evidence, None, Purpose.ANALYSIS):
            found[rule.id, finding.subject] = finding.ruling
    return found


def broken(rulings: dict) -> list:
    return sorted(key for key, ruling in rulings.items() if ruling is Ruling.BROKEN)


def unmet(rulings: dict) -> list:
    return sorted((*key, str(ruling)) for key, ruling in rulings.items() if ruling is not Ruling.MET)
