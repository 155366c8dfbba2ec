"""The ratio sweep: how much of a training set may be synthetic before models get worse, and is real-only better?

Rules: a share r of the training set is replaced by synthetic rows (and, where asked, synthetic rows are added to a scarce real anchor);
every ratio is fitted with several seeds, each with a synthetic draw and an order of real units of its own, the same for all ratios; all are tested on
real units that no generator saw. A point's interval joins the spread over seeds with a bootstrap of the holdout by unit. The *peak* is the
ratio of the best mean score, with the range it takes under resampling of seeds and holdout. The *cap* is the largest ratio up to which no
ratio can be worse than real-only by more than `tolerance` (pessimistic end); 0 where even the smallest may be. Beside it stands the
largest ratio up to which none is *shown* to be worse (optimistic end): the truth lies between. All of it is figures of real data outside
ε, and stays inside; the partner's card gets one number of it, `for_partner` (docs/decisions/recommended-cap.md).
`release.quality.sweep_run` runs it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from release.canonical import KeyedDigest, Sha256, digest
from release.data.schema import Schema
from release.errors import GateError, InputError
from release.quality.ground import Pen
from release.quality.models import Family
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport, Task

PROBE = "sweep"
PARTNER_STEPS = 4
"""The partner's cap is rounded down to a quarter: one of five public values, whatever ratios were swept."""


class Mixing(StrEnum):
    """How synthetic rows enter the training set."""

    REPLACE = "replace"
    """A share of the real rows gives way to as many synthetic ones."""
    ADD = "add"
    """Synthetic rows come on top of a scarce real anchor, in multiples of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """What is swept.

    Attributes:
        task: what is predicted.
        ratios: shares of the training set that are synthetic; 0 (real only) is always among them.
        additions: synthetic rows added to the anchor, in multiples of it; () for none.
        anchor: real units in the scarce anchor of `additions`.
        seeds: how often each point is fitted.
        family: the kind of model.
        weights: weight of each slice ("" for the whole table) in the headline score; {} is the whole table alone.
        tolerance: by how much a ratio may be worse than real-only and still be recommended, in units of the score.
    """

    task: Task
    ratios: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    additions: tuple[float, ...] = ()
    anchor: int = 500
    seeds: int = 5
    family: Family = Family.GRADIENT_BOOSTING
    weights: dict[str, float] = field(default_factory=dict)
    tolerance: float = 0.02

    def require_sensible(self, schema: Schema) -> None:
        """Raise `InputError` where this is not a sweep."""
        if not self.ratios or any(not 0.0 <= ratio <= 1.0 for ratio in self.ratios) or 0.0 not in self.ratios:
            raise InputError(
                f"the ratios {list(self.ratios)} are not shares from 0 to 1 with 0 (real only) among them",
                mend="ask for --ratios 0,25,50,75,100",
            )
        if len(set(self.ratios)) != len(self.ratios) or len(set(self.additions)) != len(self.additions):
            raise InputError("a ratio stands twice", mend="name each once")
        if any(not 0.0 < share <= 10.0 for share in self.additions):
            raise InputError(
                f"the additions {list(self.additions)} are not multiples above 0 and up to 10 of the anchor",
                mend="ask for 50,100,200 %",
            )
        if self.seeds < 2:
            raise InputError(f"{self.seeds} seed(s) give no interval", mend="ask for at least 2")
        known = {"", *(part.name for part in schema.slices)}
        unknown = sorted(set(self.weights) - known)
        if unknown:
            raise InputError(
                f"there is no slice {unknown}", mend=f"the schema declares {sorted(known - {''})}"
            )
        if any(not (math.isfinite(weight) and weight >= 0) for weight in self.weights.values()) or (
            self.weights and sum(self.weights.values()) <= 0
        ):
            raise InputError(f"the weights {self.weights} are not shares", mend="name weights above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Exactly what was mixed and how; its digest is the sweep's name."""

    training: KeyedDigest
    holdout: KeyedDigest
    candidate: Sha256
    model: str
    plan: SweepPlan

    @property
    def digest(self) -> Sha256:
        """SHA-256 over all of it."""
        return digest(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of a curve.

    Attributes:
        mixing: see `Mixing`.
        ratio: share synthetic, or multiple of the anchor added.
        subject: "" for the whole holdout, "slice:<name>", or "weighted".
        score: mean over seeds.
        gain: score less that of real-only (replace) or of the anchor alone (add), paired.
    """

    mixing: Mixing
    ratio: float
    subject: str
    score: Measured | NotMeasured
    gain: Measured | NotMeasured


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A whole sweep, to be stored as evidence.

    Attributes:
        mix: what was mixed; a card is valid for this mix alone.
        score_name: what the score is, in words.
        points: every point of every curve.
        peak: ratio of the best mean score, with its range under resampling; trials: seeds.
        cap: the recommended largest ratio: none up to it can be worse than real-only by more than the tolerance.
        cap_at_most: the largest ratio up to which none is shown to be worse.
        real_only_wins: whether every other ratio may be worse than real-only by more than the tolerance.
        finding: the answer in one sentence.
    """

    mix: Mix
    score_name: str
    points: tuple[Point, ...]
    peak: Measured
    cap: float
    cap_at_most: float
    real_only_wins: bool
    finding: str

    def report(self) -> ProbeReport:
        """Evidence (probe `sweep`) and the curves."""
        pen = Pen(PROBE)
        seeds = self.mix.plan.seeds
        cap = Measured(estimate=self.cap, low=self.cap, high=max(self.cap, self.cap_at_most), trials=seeds)
        note = f"tolerance {self.mix.plan.tolerance:g} {self.score_name}; upper end: up to there no share is shown to be worse"
        evidence: list[Evidence] = [
            pen("peak_ratio", "", self.peak, self.finding),
            pen("recommended_cap", "", cap, note),
        ]
        for point in self.points:
            subject = f"{point.mixing.value} {point.ratio:.0%}" + (
                f" {point.subject}" if point.subject else ""
            )
            evidence.append(pen("score", subject, point.score))
            evidence.append(pen("gain", subject, point.gain))
        return ProbeReport(evidence=tuple(evidence), exhibits=tuple(self._curves()))

    def _of_additions(self, points: list[Point]) -> str:
        known = {
            point.ratio: point.gain
            for point in points
            if point.subject == "" and point.ratio > 0 and isinstance(point.gain, Measured)
        }
        if not known:
            return "What additions do could not be measured."
        best = max(known, key=lambda ratio: known[ratio].estimate)
        gain = known[best]
        if gain.low > 0:
            word = "help"
        elif gain.high < 0:
            word = "do harm, and every other addition does no better"
        else:
            word = "may help or harm"
        return (
            f"Added to {self.mix.plan.anchor} real units, {best:.0%} as many synthetic rows {word}: "
            f"{gain.estimate:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}) {self.score_name} against the anchor alone."
        )

    def _curves(self) -> list[Exhibit]:
        exhibits = []
        for mixing in Mixing:
            of = [point for point in self.points if point.mixing is mixing]
            if not of:
                continue
            ratios = sorted({point.ratio for point in of})
            series: dict[str, list[float | None]] = {}
            bands: dict[str, list[list[float | None]]] = {}
            for subject in dict.fromkeys(point.subject for point in of):
                by_ratio = {point.ratio: point.score for point in of if point.subject == subject}
                known = [by_ratio[ratio] for ratio in ratios]
                name = subject or "whole table"
                series[name] = [one.estimate if isinstance(one, Measured) else None for one in known]
                bands[name] = [
                    [one.low, one.high] if isinstance(one, Measured) else [None, None] for one in known
                ]
            title = (
                "Score by share of synthetic rows"
                if mixing is Mixing.REPLACE
                else "Score by synthetic rows added to the anchor"
            )
            exhibits.append(
                Exhibit(
                    probe=PROBE,
                    title=title,
                    kind="lines",
                    takeaway=self.finding if mixing is Mixing.REPLACE else self._of_additions(of),
                    data={
                        "x": ratios,
                        "x_label": "share synthetic"
                        if mixing is Mixing.REPLACE
                        else "multiple of the anchor added",
                        "y_label": self.score_name,
                        "series": series,
                        "bands": bands,
                    },
                )
            )
        return exhibits


def require_unchanged(sweep: Sweep, mix: Mix) -> None:
    """Raise `GateError` where the mix is not the one that was measured (`--revalidate`)."""
    old = sweep.mix
    changed = [
        name
        for name, same in (
            ("training rows", old.training == mix.training),
            ("holdout", old.holdout == mix.holdout),
            ("candidate", old.candidate == mix.candidate),
            ("model", old.model == mix.model),
            ("plan of the sweep", digest(old.plan) == digest(mix.plan)),
        )
        if not same
    ]
    if changed:
        raise GateError(
            f"the sweep was measured on another mix: {', '.join(changed)} changed", mend="run the sweep again"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The one thing that a partner learns of a sweep: a coarse share, and for which target."""

    share: float
    target: str


def for_partner(result: Mapping[str, Any]) -> Recommendation | None:
    """What of a stored sweep may go on the partner's card: its cap, rounded down to a quarter. None for anything odd."""
    try:
        cap, target = result["cap"], result["mix"]["plan"]["task"]["target"]
    except (KeyError, TypeError):
        return None
    if isinstance(cap, bool) or not isinstance(cap, int | float) or not 0.0 <= cap <= 1.0:
        return None
    if not isinstance(target, str):
        return None
    return Recommendation(share=math.floor(cap * PARTNER_STEPS + 1e-9) / PARTNER_STEPS, target=target)
