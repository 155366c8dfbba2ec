"""The pure judge: (policy, evidence, claim) → verdict. No clock, no randomness, no file, no memory.

It fails closed. Beside the policy's own rules it always asks, under the rule ids in `OWN_RULES`:

- `policy`: the policy has the kinds of rule without which it asks too little; an empty one denies;
- `purpose`: the purpose is not `baseline`, which can never be exported;
- `suite`: the suite that ran is the policy's or a later one;
- `evidence`: no key stands twice.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from policies.format import SUITES, Policy, parse
from policies.rules import REQUIRED
from release.canonical import KeyedDigest
from release.protocols import Rule
from release.records import (
    EvidenceSet,
    Finding,
    GateMode,
    PolicyTerms,
    PrivacyCost,
    Purpose,
    Ruling,
    Verdict,
)

OWN_RULES: Final = ("policy", "purpose", "suite", "evidence")


class PureJudge:
    """Implements `release.protocols.Judge`."""

    def terms(self, document: str) -> PolicyTerms:
        """What the workflow needs of a policy document (YAML text). Raises PolicyFormatError."""
        return parse(document).terms

    def judge(
        self,
        document: str,
        evidence: EvidenceSet,
        evidence_digest: KeyedDigest,
        claim: PrivacyCost | None,
        purpose: Purpose,
        mode: GateMode,
    ) -> Verdict:
        """The verdict. Deterministic. Raises PolicyFormatError."""
        policy = parse(document)
        findings = [
            *_asks_enough(policy),
            _not_baseline(purpose),
            _suite_ran(policy, evidence),
            *_no_duplicates(evidence),
        ]
        rules: tuple[Rule, ...] = policy.rules
        for rule in rules:
            findings.extend(rule.judge(evidence, claim, purpose))
        return Verdict(
            policy=policy.digest,
            candidate=evidence.candidate,
            evidence=evidence_digest,
            mode=mode,
            findings=tuple(findings),
        )


def _asks_enough(policy: Policy) -> list[Finding]:
    limit = "the policy has a rule on the claim, the empirical ε, the controls and the arena"
    lacking = [kind for kind in REQUIRED if not any(rule.kind == kind for rule in policy.rules)]
    if not lacking:
        return [_finding("policy", "", Ruling.MET, limit, f"{len(policy.rules)} rules")]
    reason = "the policy has no such rule and so denies everything; add it"
    return [_finding("policy", kind, Ruling.UNPROVEN, limit, reason) for kind in lacking]


def _not_baseline(purpose: Purpose) -> Finding:
    limit = "the purpose is one for which a table may leave"
    if purpose is Purpose.BASELINE:
        return _finding("purpose", "", Ruling.BROKEN, limit, "a baseline can never be exported")
    return _finding("purpose", "", Ruling.MET, limit, f"the purpose is {purpose}")


def _suite_ran(policy: Policy, evidence: EvidenceSet) -> Finding:
    limit = f'suite "{policy.suite}" or a later one of {", ".join(SUITES)}'
    enough = SUITES[SUITES.index(policy.suite) :]
    if evidence.suite not in enough:
        return _finding(
            "suite", "", Ruling.UNPROVEN, limit, f'suite "{evidence.suite}" ran; run "{policy.suite}"'
        )
    return _finding("suite", "", Ruling.MET, limit, f'suite "{evidence.suite}" ran')


def _no_duplicates(evidence: EvidenceSet) -> list[Finding]:
    limit = "every figure stands once"
    counts = Counter(item.key for item in evidence.evidence)
    twice = sorted(key for key, count in counts.items() if count > 1)
    if not twice:
        return [_finding("evidence", "", Ruling.MET, limit, f"{len(counts):,} figures")]
    return [
        _finding("evidence", ".".join(key), Ruling.INVALID, limit, f"it stands {counts[key]} times")
        for key in twice
    ]


def _finding(rule: str, subject: str, ruling: Ruling, limit: str, reason: str) -> Finding:
    return Finding(rule=rule, subject=subject, ruling=ruling, value=None, limit=limit, reason=reason)
