"""The one place that binds generators, attacks, quality, policies and noise to the protocols of `release`.

Rules: nothing else in `app` names a generator, an attack or the judge; each part is imported when it is first asked
for, so that a command pays only for what it does. Call these as `wiring.judge()`: tests replace the functions here
(a fast generator, a judge that says no), and nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from release.protocols import Arena, Generator, Judge, NoiseSource, Probe, Progress, Suite
    from release.records import ProbeReport


class Quality(Protocol):
    """Measures fidelity and utility over one arena."""

    def __call__(
        self,
        arena: Arena,
        rng: np.random.Generator,
        progress: Progress = ...,
        names: Sequence[str] | None = None,
    ) -> tuple[ProbeReport, ...]: ...


def generators() -> Mapping[str, Generator]:
    """Registered generators by name."""
    from generators import GENERATORS

    return GENERATORS


def generator(name: str) -> Generator:
    """The generator of that name. Raises PlanError where there is none."""
    from release.errors import PlanError

    known = generators()
    if name not in known:
        raise PlanError(f"there is no generator {name!r}", mend=f"choose one of {', '.join(sorted(known))}")
    return known[name]


def attacks() -> Mapping[str, Probe]:
    """Registered attacks by name."""
    from attacks import PROBES

    return {probe.name: probe for probe in PROBES}


def suites() -> Mapping[str, tuple[str, ...]]:
    """Names of the attacks of each suite."""
    from attacks import SUITES

    return {suite.name: suite.probes for suite in SUITES}


def attack_suite() -> Suite:
    """Runs a named suite of attacks over one arena."""
    from attacks import run_suite

    return run_suite


def qualities() -> Mapping[str, Probe]:
    """Registered quality probes by name."""
    from release.quality import PROBES

    return PROBES


def quality_probes(suite: str) -> tuple[str, ...]:
    """Names of the quality probes of a suite. Raises InputError."""
    from release.quality import suite_probes

    return suite_probes(suite)


def quality_suite() -> Quality:
    """Runs the quality probes over one arena."""
    from release.quality import measure_quality

    return measure_quality


def policies() -> Mapping[str, str]:
    """Built-in policy documents (YAML text) by name."""
    from policies import builtin

    return builtin()


def judge() -> Judge:
    """The pure judge."""
    from policies import PureJudge

    return PureJudge()


def noise() -> NoiseSource:
    """A fresh source of privacy noise, from the operating system."""
    from release.privacy.noise import SystemNoise

    return SystemNoise()
