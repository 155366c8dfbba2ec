"""Runs a named set of probes over one arena, with one shared bench.

Rules: the order is the registry's; each probe draws its randomness from the run's seed and its own name, so that adding a
probe changes no other's figures and the same release gives the same evidence, byte for byte. A probe that fails, or that passes
the suite's limit on time, is a `NotMeasured` with the reason: it blocks, and does not hide the others. Ctrl-C passes through.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from attacks.attack import MembershipAttack
from attacks.bench import Bench
from attacks.controls import instruments, run_controls
from attacks.deadline import Clock, OutOfTimeError, at_most, check
from attacks.membership import Maximum
from release.canonical import Sha256
from release.errors import InputError, ReleaseError
from release.protocols import Arena, Progress, Suite, no_progress
from release.records import Control, Evidence, EvidenceSet, Exhibit, NotMeasured, ProbeReport


class BenchProbe(Protocol):
    """A probe that can share a bench."""

    @property
    def name(self) -> str: ...

    def run(self, bench: Bench, progress: Progress) -> ProbeReport: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SuitePlan:
    """A named set of probes.

    Attributes:
        name: as in policies. summary: one line. probes: names. controls: whether leaks are planted and nulls tried.
        limit: seconds that each probe may take, and all controls together.
    """

    name: str
    summary: str
    probes: tuple[str, ...]
    controls: bool
    limit: float = 1_800.0


def run(probes: Sequence[BenchProbe], suites: Sequence[SuitePlan], clock: Clock = time.monotonic) -> Suite:
    """`run_suite` over these tables. Raises ValueError where a name stands twice or is unknown."""
    by_name = {probe.name: probe for probe in probes}
    plans = {plan.name: plan for plan in suites}
    if len(by_name) != len(probes) or len(plans) != len(suites):
        raise ValueError("a probe or suite is registered twice")
    for plan in suites:
        if unknown := set(plan.probes) - set(by_name):
            raise ValueError(f'suite "{plan.name}" names unknown probes {sorted(unknown)}')

    def run_suite(
        arena: Arena,
        candidate: Sha256,
        suite: str,
        rng: np.random.Generator,
        progress: Progress = no_progress,
    ) -> EvidenceSet:
        """Run one suite. Raises InputError for an unknown suite."""
        if suite not in plans:
            raise InputError(f'there is no suite "{suite}"', mend=f"choose one of {', '.join(plans)}")
        return _run(plans[suite], by_name, arena, candidate, rng, progress, clock)

    return run_suite


def _run(
    plan: SuitePlan,
    by_name: dict[str, BenchProbe],
    arena: Arena,
    candidate: Sha256,
    rng: np.random.Generator,
    progress: Progress,
    clock: Clock,
) -> EvidenceSet:
    progress(0.0, "encoding the tables")
    bench = Bench.of(arena, rng)
    evidence: list[Evidence] = []
    controls: list[Control] = []
    exhibits: list[Exhibit] = []
    chosen = [probe for name, probe in by_name.items() if name in plan.probes]
    steps = len(chosen) + (3 if plan.controls else 0)
    for place, probe in enumerate(chosen):
        measured = probe.among(plan.probes) if isinstance(probe, Maximum) else probe
        with at_most(plan.limit, clock):
            report = _guarded(measured, bench, _part(progress, place, 1, steps, probe.name), plan.limit)
        evidence.extend(report.evidence)
        controls.extend(report.controls)
        exhibits.extend(report.exhibits)
    if plan.controls:
        attacks = {probe.name: probe for probe in chosen if isinstance(probe, MembershipAttack)}
        wanted = [one for one in instruments(bench, attacks) if one.probe in plan.probes]
        try:
            with at_most(plan.limit, clock):
                controls.extend(
                    run_controls(bench, tuple(wanted), _part(progress, len(chosen), 3, steps, "controls"))
                )
        except (OSError, MemoryError, ReleaseError):
            raise
        except OutOfTimeError:
            evidence.append(_timed_out("controls", plan.limit))
        except Exception as error:  # noqa: BLE001 - as in _guarded; without controls nothing is proven
            evidence.append(_failed("controls", error))
    progress(1.0, f"{len(chosen)} probes, {len(evidence)} figures, {len(controls)} controls")
    return EvidenceSet(
        candidate=candidate,
        suite=plan.name,
        probes=tuple(probe.name for probe in chosen),
        evidence=tuple(evidence),
        controls=tuple(controls),
        exhibits=tuple(exhibits),
    )


def _guarded(probe: BenchProbe, bench: Bench, progress: Progress, limit: float) -> ProbeReport:
    """A probe's report; its failure as a value that blocks. The reason names the error's kind, never a cell."""
    try:
        return probe.run(bench, progress)
    except (OSError, MemoryError, ReleaseError):
        raise  # not the probe's fault: the evaluation can be resumed
    except OutOfTimeError:
        return ProbeReport(evidence=(_timed_out(probe.name, limit),))
    except Exception as error:  # noqa: BLE001 - whatever went wrong blocks, and does not hide the other probes
        return ProbeReport(evidence=(_failed(probe.name, error),))


def _failed(probe: str, error: Exception) -> Evidence:
    reason = f"the probe failed with {type(error).__name__}; report it: this is a fault of the attack"
    return Evidence(probe=probe, metric="failed", subject="", outcome=NotMeasured(reason=reason))


def _timed_out(probe: str, limit: float) -> Evidence:
    reason = (
        f"the suite allows {limit:,.0f} s for this and they passed on this machine: nothing is shown; "
        "give the machine more processors, or release fewer rows"
    )
    return Evidence(probe=probe, metric="failed", subject="", outcome=NotMeasured(reason=reason))


def _part(progress: Progress, place: int, width: int, steps: int, name: str) -> Progress:
    furthest = 0.0

    def report(done: float, what: str) -> None:
        check()
        nonlocal furthest  # a probe may make several passes; a bar never runs back
        furthest = max(furthest, min(done, 1.0))
        progress((place + width * furthest) / steps, f"{name}: {what}")

    return report
