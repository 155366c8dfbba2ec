"""What the probes say, in a sentence each, of the figures behind a verdict's findings. For screens; nothing is judged here.

A finding says which limit was passed, and by how much; the probe's own note often says where ("worst column: income").
"""

from __future__ import annotations

from policies.format import parse
from policies.rules.figure import FigureRule
from release.records import EvidenceSet, Verdict

Notes = dict[tuple[str, str], str]
"""(rule, subject) → the note."""


def notes(verdict: Verdict | None, evidence: EvidenceSet | None, document: str) -> Notes:
    """The notes there are; none where the verdict was made under another policy.

    Args:
        verdict: whose findings.
        evidence: what it is about.
        document: the policy, YAML. Raises PolicyFormatError.
    """
    if verdict is None or evidence is None:
        return {}
    policy = parse(document)
    if policy.digest != verdict.policy:
        return {}
    said = {item.key: item.note for item in evidence.evidence if item.note}
    rules = {rule.id: rule.figure for rule in policy.rules if isinstance(rule, FigureRule)}
    keys = {
        (finding.rule, finding.subject): (
            rules[finding.rule].probe,
            rules[finding.rule].metric,
            finding.subject,
        )
        for finding in verdict.findings
        if finding.rule in rules
    }
    return {name: said[key] for name, key in keys.items() if key in said}
