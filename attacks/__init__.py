"""Attack suites: what a candidate must withstand, and the proof that each suite could have failed.

Adding an attack is one file and one line in `PROBES`. `SUITES` are the named sets a policy may ask for.
"""

from __future__ import annotations

from attacks import (
    anonymeter_check,
    arena_size,
    classifier,
    copies,
    dcr,
    disclosure,
    domias,
    dpi,
    gen_lra,
    inference,
    linkability,
    marginal_ratio,
    membership,
    meta,
    near_match,
    near_subset,
    nearest_gap,
    one_run,
    qi_linkage,
    refit_audit,
    singling_out,
)
from attacks.attack import Attack, MembershipAttack
from attacks.runner import SuitePlan, run

MEMBERSHIP: tuple[MembershipAttack, ...] = (
    dcr.ATTACK,
    near_subset.ATTACK,
    near_match.ATTACK,
    nearest_gap.ATTACK,
    marginal_ratio.ATTACK,
    domias.ATTACK,
    gen_lra.ATTACK,
    dpi.ATTACK,
    classifier.ATTACK,
    meta.ATTACK,
)
"""The attacks that the probe `membership` takes the maximum of."""

PROBES: tuple[Attack | MembershipAttack | membership.Maximum, ...] = (
    arena_size.ATTACK,
    copies.ATTACK,
    *MEMBERSHIP,
    membership.Maximum(over=MEMBERSHIP),
    singling_out.ATTACK,
    linkability.ATTACK,
    inference.ATTACK,
    qi_linkage.ATTACK,
    disclosure.ATTACK,
    one_run.ATTACK,
    anonymeter_check.ATTACK,
    refit_audit.ATTACK,
)
"""Every registered probe, in the order in which they run."""

QUICK = (
    "arena",
    "copies",
    "dcr",
    "near_subset",
    "near_match",
    "nearest_gap",
    "membership",
    "singling_out",
    "linkability",
    "inference",
    "one_run_epsilon",
)
DEEP_ONLY = {anonymeter_check.NAME, refit_audit.NAME}
STANDARD = tuple(probe.name for probe in PROBES if probe.name not in DEEP_ONLY)
DEEP = tuple(probe.name for probe in PROBES)

SUITES: tuple[SuitePlan, ...] = (
    SuitePlan(
        name="quick",
        summary="A preview: the attacks that share one search; no controls.",
        probes=QUICK,
        controls=False,
        limit=300.0,
    ),
    SuitePlan(
        name="standard",
        summary="What the built-in tiers ask for: all attacks on one candidate, with planted leaks and nulls.",
        probes=STANDARD,
        controls=True,
        limit=1_800.0,
    ),
    SuitePlan(
        name="deep",
        summary="Everything in standard, the white-box audit of the plan, and anonymeter itself as a cross-check.",
        probes=DEEP,
        controls=True,
        limit=7_200.0,
    ),
)
"""The named sets."""

run_suite = run(PROBES, SUITES)
"""`release.protocols.Suite` over the tables above."""

__all__ = ["MEMBERSHIP", "PROBES", "SUITES", "run_suite"]
