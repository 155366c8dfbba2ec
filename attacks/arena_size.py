"""How many units the attacks had: too few members or controls prove nothing, however good the figures look."""

from __future__ import annotations

from attacks.attack import Adversary, Attack
from attacks.bench import Bench
from release.protocols import Progress
from release.records import Evidence, Measured, ProbeReport

NAME = "arena"


def _run(bench: Bench, progress: Progress) -> ProbeReport:
    progress(1.0, "units counted")
    return ProbeReport(
        evidence=tuple(
            Evidence(
                probe=NAME,
                metric=metric,
                subject="",
                outcome=Measured(estimate=float(n), low=float(n), high=float(n), trials=n),
            )
            for metric, n in (
                # Of arms above the bench's limit a sample is attacked: what was not attacked proves nothing.
                ("members", bench.targets.n_members),
                ("controls", bench.targets.n_controls),
            )
        )
    )


ATTACK = Attack(
    name=NAME,
    summary=(
        "Counts the people whose membership the attacks try to tell. "
        "Below the policy's smallest numbers no attack can prove that a release is safe."
    ),
    adversary=Adversary(goal="none: a count", knowledge="none", data="both arms"),
    paper="Clopper and Pearson 1934 for what the numbers can show",
    run=_run,
)
