"""The ratio sweep: how much of a training set may be synthetic before models get worse, and is real-only better?

Rules: a share r of the training set is replaced by synthetic rows (and, where asked, synthetic rows are added to a scarce real anchor);
every ratio is fitted with several seeds, each with a synthetic draw and an order of real units of its own, the same for all ratios; all are tested on
real units that no generator saw. A point's interval joins the spread over seeds with a bootstrap of the holdout by unit. The *peak* is the
ratio of the best mean score, with the range it takes under resampling of seeds and holdout. The *cap* is the largest ratio up to which no
ratio can be worse than real-only by more than `tolerance` (pessimistic end); 0 where even the smallest may be. It is a real-data
figure outside ε unless noised: the whole sweep stays inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from release.canonical import KeyedDigest, Sha256, digest
from release.data.schema import Schema
from release.data.table import Table, concatenate
from release.errors import GateError, InputError
from release.protocols import Progress, no_progress
from release.quality.features import FloatArray
from release.quality.ground import Pen, slice_mask, slice_subject
from release.quality.intervals import FEWEST_UNITS, bootstrap_weights, measured
from release.quality.models import Family, Fit, Target, encoding_for, fit, lay_target
from release.quality.threads import one_thread
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport, Task

Sampler = Callable[[int, np.random.Generator], Table]
"""(rows, rng) → that many synthetic rows of the release's model."""

REPEATS = 200
PROBE = "sweep"


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
        cap: the recommended largest ratio.
        real_only_wins: whether every other ratio may be worse than real-only by more than the tolerance.
        finding: the answer in one sentence.
    """

    mix: Mix
    score_name: str
    points: tuple[Point, ...]
    peak: Measured
    cap: float
    real_only_wins: bool
    finding: str

    def report(self) -> ProbeReport:
        """Evidence (probe `sweep`) and the curves."""
        pen = Pen(PROBE)
        cap = Measured(estimate=self.cap, low=self.cap, high=self.cap, trials=self.mix.plan.seeds)
        evidence: list[Evidence] = [
            pen("peak_ratio", "", self.peak, self.finding),
            pen("recommended_cap", "", cap, f"tolerance {self.mix.plan.tolerance:g} {self.score_name}"),
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


def run_sweep(
    mix: Mix,
    training: Table,
    sampler: Sampler,
    holdout: Table,
    rng: np.random.Generator,
    progress: Progress = no_progress,
) -> Sweep | NotMeasured:
    """Run the sweep. Raises `InputError` for a plan that makes no sense; the same rng and mix give the same sweep."""
    plan = mix.plan
    plan.require_sensible(training.schema)
    target = lay_target(plan.task, training, holdout)
    if isinstance(target, NotMeasured):
        return target
    real, tested = target.usable(training), target.usable(holdout)
    streams = rng.spawn(plan.seeds + 1)
    subjects = _subjects(plan, target, tested, streams[-1])
    weigh = {subject: subjects[subject].weights for subject in subjects}
    scores: dict[tuple[Mixing, float, str], list[FloatArray]] = {}
    settings = [(Mixing.REPLACE, ratio) for ratio in plan.ratios]
    if plan.additions:
        settings += [(Mixing.ADD, share) for share in (0.0, *plan.additions)]
    with one_thread():
        done = 0
        for stream in streams[:-1]:
            draws = _Draws.of(plan, real, target, sampler, stream)
            for mixing, ratio in settings:
                progress(done / (plan.seeds * len(settings)), f"{mixing.value} {ratio:.0%}")
                model = draws.fit(mixing, ratio)
                if isinstance(model, NotMeasured):
                    return model
                predicted = model.predict(tested)
                truth = target.outcome(tested)
                for subject, part in subjects.items():
                    found = target.score(predicted[part.rows], truth[part.rows], weigh[subject])
                    scores.setdefault((mixing, ratio, subject), []).append(found)
                done += 1
    return _conclude(
        mix, target, {key: np.array(value) for key, value in scores.items()}, tested.n_units, streams[-1]
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    rows: npt.NDArray[np.int64]
    weights: FloatArray


def _subjects(
    plan: SweepPlan, target: Target, holdout: Table, rng: np.random.Generator
) -> dict[str, _Subject]:
    """Holdout rows and bootstrap weights (the first row plain) of the whole and of every slice that can be scored."""
    shared = np.concatenate([np.ones((1, len(holdout))), *bootstrap_weights(holdout.units, REPEATS, rng)])
    found = {"": _Subject(np.arange(len(holdout)), shared)}
    truth = target.outcome(holdout)
    for part in holdout.schema.slices:
        rows = np.flatnonzero(slice_mask(holdout, part.where))
        if len(np.unique(holdout.units[rows])) < FEWEST_UNITS or len(np.unique(truth[rows])) < 2:
            if plan.weights.get(part.name):
                raise InputError(
                    f'the slice "{part.name}" has a weight, but {len(rows)} holdout rows or one class cannot be scored',
                    mend="drop the weight",
                )
            continue
        found[slice_subject(part)] = _Subject(rows, shared[:, rows])
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """One seed's synthetic draw and order of real units; the same for every ratio."""

    plan: SweepPlan
    target: Target
    real: Table
    order: npt.NDArray[np.int64]
    synthetic: Table
    seed: int

    @classmethod
    def of(
        cls, plan: SweepPlan, real: Table, target: Target, sampler: Sampler, rng: np.random.Generator
    ) -> _Draws:
        rows = max(len(real), math.ceil(max((0.0, *plan.additions)) * plan.anchor))
        synthetic = target.usable(sampler(rows, rng))
        units = rng.permutation(np.unique(real.units))
        return cls(plan, target, real, units, synthetic, int(rng.integers(2**31)))

    def fit(self, mixing: Mixing, ratio: float) -> Fit | NotMeasured:
        if mixing is Mixing.REPLACE:
            keep, rows = round((1.0 - ratio) * len(self.order)), round(ratio * len(self.real))
        else:
            keep = min(self.plan.anchor, len(self.order))
            rows = round(ratio * keep)
        parts = []
        if keep:
            parts.append(self.real.take_units(self.order[:keep]))
        if rows:
            parts.append(self.synthetic.take(np.arange(min(rows, len(self.synthetic)))))
        encoding = encoding_for(self.target, [self.real, self.synthetic])
        return fit(self.plan.family, self.target, concatenate(parts), encoding, self.seed)


def _conclude(
    mix: Mix,
    target: Target,
    scores: Mapping[tuple[Mixing, float, str], FloatArray],
    units: int,
    rng: np.random.Generator,
) -> Sweep | NotMeasured:
    plan = mix.plan
    headline = _weighted(plan, scores)
    every = (
        {**scores, **{(mixing, ratio, "weighted"): value for (mixing, ratio), value in headline.items()}}
        if plan.weights
        else dict(scores)
    )
    points = []
    for (mixing, ratio, subject), found in every.items():
        base = every[mixing, 0.0, subject]
        points.append(
            Point(
                mixing=mixing,
                ratio=ratio,
                subject=subject,
                score=_figure(found, units),
                gain=_figure(found - base, units),
            )
        )
    ratios = sorted(plan.ratios)
    table = np.array([headline[Mixing.REPLACE, ratio] for ratio in ratios])
    gains = [_figure(found - table[0], units) for found in table]
    if any(isinstance(gain, NotMeasured) for gain in gains):
        return NotMeasured(
            reason="a score of the sweep is not defined on the holdout, or on some of its resamples"
        )
    peak = _peak(ratios, table, rng)
    cap = 0.0
    for ratio, gain in zip(ratios, gains, strict=True):
        if isinstance(gain, Measured) and (ratio == 0.0 or gain.low >= -plan.tolerance):
            cap = ratio
        else:
            break
    others = [
        gain for ratio, gain in zip(ratios, gains, strict=True) if ratio > 0 and isinstance(gain, Measured)
    ]
    wins = bool(others) and all(gain.high < 0 for gain in others)
    return Sweep(
        mix=mix,
        score_name=target.score_name,
        points=tuple(points),
        peak=peak,
        cap=cap,
        real_only_wins=wins,
        finding=_finding(peak, cap, wins, gains, ratios, target.score_name),
    )


def _weighted(
    plan: SweepPlan, scores: Mapping[tuple[Mixing, float, str], FloatArray]
) -> dict[tuple[Mixing, float], FloatArray]:
    """The headline: the whole table's score, or the weighted mean of the slices'."""
    weights = {("" if name == "" else f"slice:{name}"): weight for name, weight in plan.weights.items()} or {
        "": 1.0
    }
    total = sum(weights.values())
    settings = dict.fromkeys((mixing, ratio) for mixing, ratio, _ in scores)
    return {
        (mixing, ratio): np.asarray(
            sum(
                scores[mixing, ratio, subject] * (weight / total)
                for subject, weight in weights.items()
                if weight > 0
            )
        )
        for mixing, ratio in settings
    }


def _figure(found: FloatArray, units: int) -> Measured | NotMeasured:
    """Interval of a mean over seeds, from scores (seeds, 1 + resamples): both sources of spread, added."""
    plain, resampled = found[:, 0], found[:, 1:].mean(axis=0)
    if not np.all(np.isfinite(found)):
        return NotMeasured(
            reason="the score is not defined on some resamples of the holdout", needed=FEWEST_UNITS
        )
    variance = float(resampled.var(ddof=1)) + float(plain.var(ddof=1)) / len(plain)
    return measured(float(plain.mean()), math.sqrt(variance), units)


def _peak(ratios: list[float], table: FloatArray, rng: np.random.Generator) -> Measured:
    """The best ratio, and where it lies when seeds and holdout are resampled; `table` is (ratios, seeds, 1 + resamples)."""
    best = ratios[int(np.argmax(table[:, :, 0].mean(axis=1)))]
    seeds = table.shape[1]
    places = []
    for resample in range(1, table.shape[2]):
        drawn = rng.integers(0, seeds, size=seeds)
        places.append(ratios[int(np.argmax(table[:, drawn, resample].mean(axis=1)))])
    low, high = np.quantile(places, [0.05, 0.95], method="inverted_cdf")
    return Measured(estimate=best, low=min(best, float(low)), high=max(best, float(high)), trials=seeds)


def _finding(
    peak: Measured,
    cap: float,
    wins: bool,
    gains: list[Measured | NotMeasured],
    ratios: list[float],
    score: str,
) -> str:
    last = gains[-1]
    change = (
        f"{last.estimate:+.3f} {score} at {ratios[-1]:.0%} synthetic" if isinstance(last, Measured) else ""
    )
    if wins:
        return (
            f"Real only is better than every mix that was tried ({change}): train on real rows where you can."
        )
    where = f"the best share lies between {peak.low:.0%} and {peak.high:.0%}"
    if cap == 0.0:
        return f"No synthetic share could be shown to be harmless; {where} ({change})."
    return f"Up to {cap:.0%} synthetic rows cost nothing that matters; {where} ({change})."
