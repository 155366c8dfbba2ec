"""What an attack is: who attacks, with what, and a function over the bench.

An attack of one file ends in one module-level `Attack` (or `MembershipAttack`), which stands in the registry. Both
implement `release.protocols.Probe`; run by a suite, they share its bench.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from attacks.bench import F64, Bench
from release.protocols import Arena, Progress, no_progress
from release.records import Exhibit, ProbeReport


class Leak(StrEnum):
    """What the positive controls plant."""

    VERBATIM = "verbatim"
    NEAR_COPY = "near-copy"
    REPEATED = "repeated-near-copy"
    ISOLATED = "isolated"
    PARTIAL_COLUMNS = "partial-columns"
    SUBGROUP_SECRET = "subgroup-secret"  # noqa: S105 - a leak, not a password
    OWN_VALUE = "own-value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adversary:
    """Who is assumed to attack.

    Attributes:
        goal: what it wants. knowledge: what it knows of the generator. data: what it holds besides the release.
    """

    goal: str
    knowledge: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack.

    Attributes:
        name: as in evidence. summary: two sentences for a steward. adversary: see `Adversary`. paper: where the
            algorithm is from. run: measures on a bench.
    """

    name: str
    summary: str
    adversary: Adversary
    paper: str
    run: Callable[[Bench, Progress], ProbeReport]

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Measure by itself, on a bench of its own."""
        return self.run(Bench.of(arena, rng), progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipAttack:
    """An attack that gives every target unit a score: the higher, the more it looks like a member.

    Attributes:
        score: (bench, progress) → (U,) scores, one per unit of `bench.targets`; None where it cannot be had, and the
            reason is in `needs`. needs: what is missing when there is no score. The others as in `Attack`.
        answers_for: the planted leaks that it must catch. answers_jointly: whether it is one of those whose maximum must catch
            blurred copies: which of them sees one depends on the table. explain: more exhibits, made only where something was
            found. blind: whether scores never see who is a member (else they are cross-fitted).
    """

    name: str
    summary: str
    adversary: Adversary
    paper: str
    score: Callable[[Bench, Progress], F64 | None]
    needs: str = ""
    answers_for: tuple[Leak, ...] = ()
    answers_jointly: bool = False
    explain: Callable[[Bench], tuple[Exhibit, ...]] | None = None
    blind: bool = True

    def scores(self, bench: Bench, progress: Progress = no_progress) -> F64 | None:
        """The scores on this bench, computed once; None where they cannot be had (an empty release, what `needs` says).

        Raises ValueError where a score is no number: ranked, NaN would look like an attack that finds nobody.
        """
        if not bench.synthetic.n_rows:
            return None
        found = bench.once(("score", self.name), lambda: self.score(bench, progress))
        if found is not None and np.isnan(found).any():
            raise ValueError(f"{self.name} gave scores that are no numbers")
        return found

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Measure by itself, on a bench of its own."""
        from attacks.membership import report

        return report(self, Bench.of(arena, rng), progress)

    def run(self, bench: Bench, progress: Progress) -> ProbeReport:
        """Measure on a shared bench."""
        from attacks.membership import report

        return report(self, bench, progress)
