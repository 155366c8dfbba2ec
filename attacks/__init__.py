"""Attack suites: what a candidate must withstand, and the proof that each suite could have failed.

Adding an attack is one file and one line in `PROBES`. `SUITES` are the named sets a policy may ask for.
"""

from __future__ import annotations

from attacks import arena_size, copies, dcr, linkability, membership, near_subset, one_run
from attacks.attack import Attack, MembershipAttack
from attacks.runner import SuitePlan, run

MEMBERSHIP: tuple[MembershipAttack, ...] = (
    dcr.ATTACK,
    near_subset.ATTACK,
)
"""The attacks that the probe `membership` takes the maximum of."""

PROBES: tuple[Attack | MembershipAttack | membership.Maximum, ...] = (
    arena_size.ATTACK,
    copies.ATTACK,
    *MEMBERSHIP,
    membership.Maximum(over=MEMBERSHIP),
    linkability.ATTACK,
    one_run.ATTACK,
)
"""Every registered probe, in the order in which they run."""

SUITES: tuple[SuitePlan, ...] = (
    SuitePlan(
        name="quick",
        summary="A preview: copies, distance, linkability; no controls.",
        probes=("arena", "copies", "dcr", "near_subset", "membership", "linkability", "one_run_epsilon"),
        controls=False,
    ),
    SuitePlan(
        name="standard",
        summary="What the built-in tiers ask for: all attacks on one candidate, with planted leaks and nulls.",
        probes=("arena", "copies", "dcr", "near_subset", "membership", "linkability", "one_run_epsilon"),
        controls=True,
    ),
    SuitePlan(
        name="deep",
        summary="Everything.",
        probes=("arena", "copies", "dcr", "near_subset", "membership", "linkability", "one_run_epsilon"),
        controls=True,
    ),
)
"""The named sets."""

run_suite = run(PROBES, SUITES)
"""`release.protocols.Suite` over the tables above."""

__all__ = ["MEMBERSHIP", "PROBES", "SUITES", "run_suite"]
