"""Running a ratio sweep: `release.quality.sweep` says what is asked and what is found.

Rules: each seed has a synthetic draw and an order of real units of its own, the same for every ratio; a point's interval joins the
spread over seeds with a bootstrap of the holdout by unit; every score is of real units that no generator saw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.table import Table, concatenate
from release.errors import InputError
from release.protocols import Progress, no_progress
from release.quality.features import FloatArray
from release.quality.ground import slice_mask, slice_subject
from release.quality.intervals import FEWEST_UNITS, bootstrap_weights, measured
from release.quality.models import Fit, Target, encoding_for, fit, lay_target
from release.quality.sweep import Mix, Mixing, Point, Sweep, SweepPlan
from release.quality.threads import one_thread
from release.records import Measured, NotMeasured

Sampler = Callable[[int, np.random.Generator], Table]
"""(rows, rng) → that many synthetic rows of the release's model, at its mix."""

REPEATS = 200


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
    known = {ratio: gain for ratio, gain in zip(ratios, gains, strict=True) if isinstance(gain, Measured)}
    peak = _peak(ratios, table, rng)
    cap = _cap(known, lambda gain: gain.low >= -plan.tolerance)
    cap_at_most = _cap(known, lambda gain: gain.high >= -plan.tolerance)
    others = [gain for ratio, gain in known.items() if ratio > 0]
    wins = bool(others) and all(gain.high < 0 for gain in others)
    return Sweep(
        mix=mix,
        score_name=target.score_name,
        points=tuple(points),
        peak=peak,
        cap=cap,
        cap_at_most=cap_at_most,
        real_only_wins=wins,
        finding=_finding(peak, (cap, cap_at_most), wins, known, target.score_name),
    )


def _cap(gains: Mapping[float, Measured], harmless: Callable[[Measured], bool]) -> float:
    """The largest ratio up to which every one is harmless; 0, real only, always is. `gains` in increasing order."""
    cap = 0.0
    for ratio, gain in gains.items():
        if ratio > 0.0 and not harmless(gain):
            break
        cap = ratio
    return cap


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
    caps: tuple[float, float],
    wins: bool,
    gains: Mapping[float, Measured],
    score: str,
) -> str:
    ratio, last = max(gains.items())
    change = f"at {ratio:.0%} synthetic the score ({score}) changes by {last.estimate:+.3f} ({last.low:+.3f} to {last.high:+.3f})"
    if wins:
        return (
            f"Real only is better than every mix that was tried: {change}. Train on real rows where you can."
        )
    cap, at_most = caps
    where = (
        f"the best share is {peak.low:.0%}"
        if peak.low == peak.high
        else f"the best share lies between {peak.low:.0%} and {peak.high:.0%}"
    )
    if cap == 0.0:
        known = f", and none up to {at_most:.0%} to do harm" if at_most > 0.0 else ""
        return f"No synthetic share could be shown to be harmless{known}; {where}; {change}."
    if cap == 1.0:
        return f"Even synthetic rows alone are not worse by more than the tolerance; {where}; {change}."
    return f"Up to {cap:.0%} synthetic rows cost no more than the tolerance; {where}; {change}."
