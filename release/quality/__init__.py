"""Fidelity and utility: is the release worth having?

`PROBES` is the literal table of measurements; `measure_quality` runs them over one arena. Figures go into the evidence, which a
policy judges; pictures (`Exhibit`) stay in the workspace. What each probe measures stands in its module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from release.errors import InputError, ReleaseError
from release.protocols import Arena, Probe, Progress, no_progress
from release.quality.associations import ASSOCIATIONS
from release.quality.bias import BIAS
from release.quality.cleanliness import CLEANLINESS
from release.quality.coefficients import COEFFICIENTS
from release.quality.coverage import COVERAGE
from release.quality.fairness import FAIRNESS
from release.quality.ground import Pen
from release.quality.marginals import MARGINALS
from release.quality.missingness import MISSINGNESS
from release.quality.rebalance import REBALANCE
from release.quality.references import REFERENCES
from release.quality.rules import RULES
from release.quality.sdmetrics_reports import SDMETRICS
from release.quality.shapes import SHAPES
from release.quality.tails import TAILS
from release.quality.tstr import TSTR
from release.quality.two_sample import TWO_SAMPLE
from release.records import ProbeReport

FAILED = "failed"
"""Metric, with subject "", under which a probe that gave no figures says why: the judge's rules quote it."""


def _table(*probes: Probe) -> Mapping[str, Probe]:
    names = [probe.name for probe in probes]
    if len(set(names)) != len(names):
        raise ValueError(f"two probes of one name: {names}")
    return MappingProxyType(dict(zip(names, probes, strict=True)))


PROBES: Mapping[str, Probe] = _table(
    MARGINALS,
    SHAPES,
    ASSOCIATIONS,
    MISSINGNESS,
    RULES,
    TAILS,
    CLEANLINESS,
    BIAS,
    FAIRNESS,
    COVERAGE,
    TWO_SAMPLE,
    TSTR,
    COEFFICIENTS,
    REBALANCE,
    REFERENCES,
    SDMETRICS,
)
"""Every quality probe by its name in the evidence."""

SUITES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "quick": tuple(
            probe.name for probe in (MARGINALS, SHAPES, MISSINGNESS, RULES, TAILS, CLEANLINESS, BIAS)
        ),
        "standard": tuple(PROBES),
        "deep": tuple(PROBES),
    }
)
"""The quality probes of each suite of attacks: `quick` counts and compares, and trains no model."""


def suite_probes(suite: str) -> tuple[str, ...]:
    """Names of the quality probes of a suite. Raises `InputError` for a suite that does not exist."""
    if suite not in SUITES:
        raise InputError(f"there is no suite {suite!r}", mend=f"choose one of {', '.join(SUITES)}")
    return SUITES[suite]


def measure_quality(
    arena: Arena,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    names: Sequence[str] | None = None,
) -> tuple[ProbeReport, ...]:
    """Run the named probes (all of `PROBES` where None), one report each, in the order given.

    Every probe gets a random stream of its own, so that a figure does not depend on which others were asked for.
    A probe that fails says so as evidence (metric `FAILED`, not measured), which blocks wherever a rule asks for
    one of its figures. Raises `InputError` for a name that does not exist.
    """
    wanted = tuple(PROBES) if names is None else tuple(names)
    unknown = [name for name in wanted if name not in PROBES]
    if unknown:
        raise InputError(f"there is no quality probe {unknown}", mend=f"the probes are {', '.join(PROBES)}")
    streams = dict(zip(PROBES, rng.spawn(len(PROBES)), strict=True))
    reports = []
    for number, name in enumerate(wanted):

        def report(done: float, what: str, number: int = number, name: str = name) -> None:
            progress((number + done) / len(wanted), f"{name}: {what}")

        report(0.0, "starts")
        try:
            reports.append(PROBES[name].measure(arena, streams[name], report))
        except (OSError, MemoryError, ReleaseError):
            raise  # not the probe's fault: the evaluation can be resumed
        except Exception as error:  # noqa: BLE001 - whatever went wrong blocks, and does not hide the other probes
            reason = f"the measurement failed ({type(error).__name__})"
            reports.append(ProbeReport(evidence=Pen(name).none((FAILED,), "", reason)))
    progress(1.0, "quality measured")
    return tuple(reports)


__all__ = ["PROBES", "SUITES", "measure_quality", "suite_probes"]
