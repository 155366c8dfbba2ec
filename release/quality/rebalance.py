"""Rebalanced mixes: more rows of named slices by conditional sampling, and what that does, before against after.

Rules: a weight is the share of the mix's rows that a slice is to have (`release.data.mix`): that many rows are sampled under the slice's condition,
the rest without one, and of the rest only rows outside all named slices are kept, so that disjoint slices have exactly the shares
asked for. All of it is sampling from a fitted model. The effect is measured on real units as they come, per slice and
on the whole; it is never assumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from release.data.mix import condition, require_weights
from release.data.schema import Schema
from release.data.table import Table, concatenate
from release.errors import PlanError
from release.protocols import Arena, Progress, no_progress
from release.quality.grid import lay_grid
from release.quality.ground import BoolArray, Part, Pen, real_table, slice_mask, slice_subject
from release.quality.intervals import (
    FEWEST_UNITS,
    bootstrap_weights,
    measured,
    too_few,
    variance_of_mean,
    with_refits,
)
from release.quality.marginals import PAIR_CELLS, Distances, distances, pairs_of
from release.quality.models import Family, declared_tasks
from release.quality.tstr import REPEATS, Trial, run_trial
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport, Task, Where

ConditionalSampler = Callable[[int, np.random.Generator, Where | None], Table]
"""(rows, rng, where) → that many synthetic rows that satisfy `where`; as `Model.sample`."""

MOST_DRAWS = 200
"""Rows drawn at most for each row outside the named slices that is wanted."""
_PROBE = "rebalance"
_SCORES = ("score_before", "score_after", "score_change")
_DISTANCES = ("tvd_2way_before", "tvd_2way_after", "tvd_2way_change")


def rebalanced(
    schema: Schema,
    rows: int,
    weights: Mapping[str, float],
    sample: ConditionalSampler,
    rng: np.random.Generator,
) -> Table:
    """`rows` synthetic rows in random order, each named slice with its share; a plain sample without weights.

    Raises `InputError` for weights that are no shares, `PlanError` where the model cannot fill them.
    """
    if not weights:
        return sample(rows, rng, None)
    require_weights(schema, weights, rows)
    chosen = [part for part in schema.slices if part.name in weights]
    parts: list[Table] = []
    left = rows
    for part in chosen:
        wanted = min(left, round(weights[part.name] * rows))
        if wanted:
            parts.append(sample(wanted, rng, condition(part)))
        left -= wanted
    if left > 0 and math.fsum(weights.values()) >= 1.0 - 1e-9:
        # Rounding left a row or two over, and no share is left for rows outside the slices.
        parts.append(sample(left, rng, condition(chosen[0])))
        left = 0
    if left > 0:
        parts.append(_outside(schema, left, weights, sample, rng))
    mixed = concatenate(parts)
    return mixed.take(rng.permutation(len(mixed)))


def _outside(
    schema: Schema,
    rows: int,
    weights: Mapping[str, float],
    sample: ConditionalSampler,
    rng: np.random.Generator,
) -> Table:
    """`rows` rows of the model that lie in none of the named slices, by rejection."""
    kept: list[Table] = []
    found, drawn = 0, 0
    while found < rows and drawn < MOST_DRAWS * rows:
        rate = max(found / drawn, 1.0 / MOST_DRAWS) if drawn else 1.0
        count = min(MOST_DRAWS * rows - drawn, math.ceil((rows - found) / rate * 1.05) + 8)
        table = sample(count, rng, None)
        inside = np.zeros(count, dtype=bool)
        for part in schema.slices:
            if part.name in weights:
                inside |= slice_mask(table, part.where)
        free = np.flatnonzero(~inside)[: rows - found]
        kept.append(table.take(free))
        found, drawn = found + len(free), drawn + count
    if found < rows:
        raise PlanError(
            f"of {drawn:,} rows that the model made, {found:,} lie outside the slices {sorted(weights)}, and {rows:,} are wanted",
            mend="raise the slices' shares",
        )
    return concatenate(kept)


# ---------------------------------------------------------------------------------------------- the effect


@dataclass(frozen=True, slots=True)
class Rebalance:
    """The `rebalance` probe."""

    name: str = _PROBE
    summary: str = (
        "Where the request asked for a mix of slices: the shares before and after, and what the mix does to distances from the real table as it "
        "is and to models tested on real people. A mix that helps its slices may cost everybody else."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """How many slices have a weight; with any, shares, distances and scores, before against after."""
        pen = Pen(self.name)
        count = float(len(arena.weights))
        note = "slices to which the request gives a share" if count else "the request asks for no mix"
        asked = pen("weighted_slices", "", Measured(estimate=count, low=count, high=count, trials=1), note)
        if not arena.weights:
            return ProbeReport(evidence=(asked,))
        if arena.unweighted is None:
            reason = "there are no rows of the model without the mix to compare with"
            return ProbeReport(evidence=(asked, *pen.none((*_SCORES, *_DISTANCES), "", reason)))
        found = measure_rebalance(arena, arena.unweighted, arena.synthetic, arena.weights, rng, progress)
        return ProbeReport(evidence=(asked, *found.evidence), exhibits=found.exhibits)


REBALANCE = Rebalance()


def measure_rebalance(
    arena: Arena,
    before: Table,
    after: Table,
    weights: Mapping[str, float],
    rng: np.random.Generator,
    progress: Progress = no_progress,
) -> ProbeReport:
    """What the mix `after` does against `before`; the arena gives the real tables and the task.

    Metrics, each for the whole ("") and every slice: `share_real`, `share_before`, `share_after` and, where weighted, `share_asked`
    (slices alone); `tvd_2way_before`, `_after`, `_change` against the real table as it is (positive change: farther away);
    `score_before`, `score_after`, `score_change` of gradient boosting on real held-out units (positive change: the mix is better).
    """
    shares = _shares(arena, before, after, weights)
    progress(0.05, "distances before and after")
    far, far_rows = _distances(arena, before, after, rng)
    progress(0.2, "models before and after")
    tasks = declared_tasks(after.schema, arena.task)
    if not tasks:
        scores: list[Evidence] = [*Pen(_PROBE).none(_SCORES, "", "no prediction task is declared")]
        table: tuple[Exhibit, ...] = ()
    else:
        scores, table = _models(arena, tasks[0], before, after, rng)
    return ProbeReport(
        evidence=(*shares, *far, *scores), exhibits=(*_share_picture(shares), *far_rows, *table)
    )


def _shares(arena: Arena, before: Table, after: Table, weights: Mapping[str, float]) -> list[Evidence]:
    pen = Pen(_PROBE)
    real = real_table(arena)
    evidence: list[Evidence] = []
    for part in after.schema.slices:
        subject = slice_subject(part)
        if len(real):
            inside = slice_mask(real, part.where).astype(np.float64)
            error = math.sqrt(variance_of_mean(inside, real.units))
            natural = measured(float(inside.mean()), error, real.n_units, least=0.0, most=1.0)
            evidence.append(pen("share_real", subject, natural, "as in the real table"))
        if part.name in weights:
            asked = weights[part.name]
            outcome = Measured(estimate=asked, low=asked, high=asked, trials=len(after))
            evidence.append(pen("share_asked", subject, outcome, "named by the request"))
        for metric, table, note in (
            ("share_before", before, "as the model has it"),
            ("share_after", after, "in the release"),
        ):
            if len(table):
                share = float(slice_mask(table, part.where).mean())
                outcome = Measured(estimate=share, low=share, high=share, trials=len(table))
                evidence.append(pen(metric, subject, outcome, note))
    return evidence


def _share_picture(shares: list[Evidence]) -> tuple[Exhibit, ...]:
    by_slice: dict[str, dict[str, float]] = {}
    for item in shares:
        if isinstance(item.outcome, Measured):
            by_slice.setdefault(item.subject.removeprefix("slice:"), {})[item.metric] = item.outcome.estimate
    asked = {name: found for name, found in by_slice.items() if "share_asked" in found}
    if not asked:
        return ()
    names = ("share_real", "share_before", "share_asked", "share_after")
    rows: list[list[str | float | None]] = [
        [name, *(found.get(metric) for metric in names)] for name, found in by_slice.items()
    ]
    name, one = next(iter(asked.items()))
    return (
        Exhibit(
            probe=_PROBE,
            title="Shares of the slices",
            kind="table",
            takeaway=(
                f"{name} has {one['share_after']:.1%} of the released rows; {one['share_asked']:.1%} were asked for, and the model by itself "
                f"would have given {one['share_before']:.1%}."
            ),
            data={
                "columns": ["slice", "real table", "model without the mix", "asked for", "release"],
                "rows": rows,
            },
        ),
    )


def _distances(
    arena: Arena, before: Table, after: Table, rng: np.random.Generator
) -> tuple[list[Evidence], tuple[Exhibit, ...]]:
    """Mean 2-way distances from the real table as it is, on one grid for both."""
    pen = Pen(_PROBE)
    real = real_table(arena)
    evidence: list[Evidence] = []
    rows: list[list[str | float]] = []
    places: dict[str, tuple[BoolArray, BoolArray, BoolArray]] = {
        "": (np.ones(len(real), bool), np.ones(len(before), bool), np.ones(len(after), bool))
    }
    for part in after.schema.slices:
        one, two, three = (slice_mask(table, part.where) for table in (real, before, after))
        places[slice_subject(part)] = (one, two, three)
    for subject, masks in places.items():
        base, *others = (
            table.take(np.flatnonzero(mask)) for table, mask in zip((real, before, after), masks, strict=True)
        )
        few = too_few(base.n_units, *(table.n_units for table in others))
        if few is not None:
            evidence += pen.none(_DISTANCES, subject, few.reason, few.needed)
            continue
        found = [_distance(Part(subject=subject, real=base, synthetic=table), rng) for table in others]
        if any(distance is None for distance in found):
            evidence += pen.none(_DISTANCES, subject, "the table has one column, and a pair needs two")
            continue
        first, second = (distance for distance in found if distance is not None)
        gap = float(second.tvd.mean() - first.tvd.mean())
        # The real side's error is in both and mostly cancels: counting it twice is on the safe side.
        change = measured(gap, math.hypot(first.mean_error, second.mean_error), first.trials)
        floor = f"two real samples of these sizes would differ by {second.floor.mean():.3f}"
        for metric, figure in zip(_DISTANCES, (first.mean(), second.mean(), change), strict=True):
            evidence.append(pen(metric, subject, figure, floor))
        if isinstance(change, Measured):
            name = subject.removeprefix("slice:") or "whole table"
            rows.append([name, float(first.tvd.mean()), float(second.tvd.mean()), change.low, change.high])
    if not rows:
        return evidence, ()
    exhibit = Exhibit(
        probe=_PROBE,
        title="Distance of pairs from the real table as it is, before and after the mix",
        kind="table",
        takeaway=(
            f"On the {rows[0][0]} the mean distance from the real table as it is goes from {rows[0][1]:.3f} to {rows[0][2]:.3f}; a mix that was "
            "asked for moves it on purpose. Within the slice itself it should not grow."
        ),
        data={"columns": ["part", "before", "after", "change at least", "change at most"], "rows": rows},
    )
    return evidence, (exhibit,)


def _distance(part: Part, rng: np.random.Generator) -> Distances | None:
    grid = lay_grid([part.real, part.synthetic]).coarse(PAIR_CELLS)
    pairs = pairs_of(grid, rng)
    return distances(grid, part.real, part.synthetic, pairs, rng) if pairs else None


def _models(
    arena: Arena, task: Task, before: Table, after: Table, rng: np.random.Generator
) -> tuple[list[Evidence], tuple[Exhibit, ...]]:
    pen = Pen(_PROBE)
    trials: list[Trial] = []
    seed = int(rng.integers(2**31))
    for table in (before, after):
        # One seed for both, so that the difference is the mix's and not the fit's.
        trial = run_trial(
            task,
            real_table(arena),
            table,
            arena.controls,
            np.random.default_rng(seed),
            families=(Family.GRADIENT_BOOSTING,),
        )
        if isinstance(trial, NotMeasured):
            return [*pen.none(_SCORES, "", trial.reason, trial.needed)], ()
        trials.append(trial)
    evidence: list[Evidence] = []
    rows: list[list[str | float]] = []
    holdout = trials[0].holdout
    places = {"": np.arange(len(holdout))}
    for part in holdout.schema.slices:
        places[slice_subject(part)] = np.flatnonzero(slice_mask(holdout, part.where))
    for subject, where in places.items():
        found = _scores(trials, where, rng)
        if isinstance(found, NotMeasured):
            evidence += pen.none(_SCORES, subject, found.reason, found.needed)
            continue
        notes = ("without the mix", "with the mix", "positive: the mix is better")
        for metric, figure, note in zip(_SCORES, found, notes, strict=True):
            evidence.append(pen(metric, subject, figure, f"{trials[0].target.score_name}; {note}"))
        one, two, change = found
        if isinstance(one, Measured) and isinstance(two, Measured) and isinstance(change, Measured):
            name = subject.removeprefix("slice:") or "whole table"
            rows.append([name, one.estimate, two.estimate, change.low, change.high])
    return evidence, _score_picture(rows, trials[0])


def _scores(
    trials: list[Trial], where: np.ndarray[tuple[int, ...], np.dtype[np.int64]], rng: np.random.Generator
) -> tuple[Measured | NotMeasured, Measured | NotMeasured, Measured | NotMeasured] | NotMeasured:
    units = trials[0].holdout.units[where]
    count = len(np.unique(units))
    if count < FEWEST_UNITS:
        return NotMeasured(reason=f"{count} holdout units (at least {FEWEST_UNITS})", needed=FEWEST_UNITS)
    weights = np.concatenate([np.ones((1, len(where))), *bootstrap_weights(units, REPEATS, rng)])
    family = Family.GRADIENT_BOOSTING
    truth = trials[0].truth[where]
    sampled, refitted = [], []
    for trial in trials:
        score = trial.target.score
        sampled.append(score(trial.synthetic[family][where], truth, weights))
        refitted.append(
            trial.over_refits(
                family,
                lambda one, score=score: score(one[where], truth, weights[:1])[0],  # type: ignore[misc]
                real=False,
            )
        )
    change = sampled[1] - sampled[0]
    return (
        with_refits(float(sampled[0][0]), sampled[0][1:], refitted[0], count),
        with_refits(float(sampled[1][0]), sampled[1][1:], refitted[1], count),
        with_refits(float(change[0]), change[1:], refitted[1] - refitted[0], count),
    )


def _score_picture(rows: list[list[str | float]], trial: Trial) -> tuple[Exhibit, ...]:
    if not rows:
        return ()
    name, before, after = rows[0][0], float(rows[0][1]), float(rows[0][2])
    low, high = float(rows[0][3]), float(rows[0][4])
    return (
        Exhibit(
            probe=_PROBE,
            title=f"{trial.target.score_name} on real people, before and after the mix",
            kind="table",
            takeaway=(
                f"On the {name} the score goes from {before:.3f} to {after:.3f} with the mix: a change of {after - before:+.3f} ({low:+.3f} to "
                f"{high:+.3f})."
            ),
            data={"columns": ["part", "before", "after", "change at least", "change at most"], "rows": rows},
        ),
    )
