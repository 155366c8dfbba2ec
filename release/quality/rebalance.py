"""Rebalanced mixes: more rows of named slices by conditional sampling, and what that does, before against after.

Rules: a weight is the share of the mix's rows that is sampled under the slice's condition; the rest is sampled without one. The effect is
measured on real held-out units, per slice and on the whole; it is never assumed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from release.data.schema import Range, Schema
from release.data.schema import Slice as SchemaSlice
from release.data.table import Table, concatenate
from release.errors import InputError
from release.protocols import Arena, Progress, no_progress
from release.quality.ground import Pen, real_table, slice_mask, slice_subject
from release.quality.intervals import FEWEST_UNITS, bootstrap_weights, from_replicates
from release.quality.models import Family, declared_tasks
from release.quality.tstr import REPEATS, Trial, run_trial
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport, Where, Within

ConditionalSampler = Callable[[int, np.random.Generator, Where | None], Table]
"""(rows, rng, where) → that many synthetic rows that satisfy `where`; as `Model.sample`."""

_PROBE = "rebalance"


def condition(part: SchemaSlice) -> Where:
    """A slice's condition as generators take it."""
    return {
        name: Within(low=what.min, high=what.max) if isinstance(what, Range) else tuple(what)
        for name, what in part.where.items()
    }


def require_weights(schema: Schema, weights: Mapping[str, float]) -> None:
    """Raise `InputError` unless the weights name slices and add up to at most 1."""
    known = {part.name for part in schema.slices}
    unknown = sorted(set(weights) - known)
    if unknown:
        raise InputError(f"there is no slice {unknown}", mend=f"the schema declares {sorted(known)}")
    if (
        any(not (math.isfinite(weight) and 0 < weight <= 1) for weight in weights.values())
        or sum(weights.values()) > 1
    ):
        raise InputError(
            f"the weights {dict(weights)} are not shares that add up to at most 1", mend="lower them"
        )


def rebalanced(
    schema: Schema,
    rows: int,
    weights: Mapping[str, float],
    sample: ConditionalSampler,
    rng: np.random.Generator,
) -> Table:
    """`rows` synthetic rows, of which each named slice's weight is sampled under its condition, in random order."""
    require_weights(schema, weights)
    parts = []
    for part in schema.slices:
        wanted = round(weights.get(part.name, 0.0) * rows)
        if wanted:
            parts.append(sample(wanted, rng, condition(part)))
    rest = rows - sum(len(part) for part in parts)
    if rest > 0:
        parts.append(sample(rest, rng, None))
    mixed = concatenate(parts)
    return mixed.take(rng.permutation(len(mixed)))


def measure_rebalance(
    arena: Arena, after: Table, rng: np.random.Generator, progress: Progress = no_progress
) -> ProbeReport:
    """Score of models trained on `arena.synthetic` (before) and on `after`, whole and per slice; gradient boosting.

    Metrics `score_before`, `score_after`, `score_change` (positive: the rebalanced mix is better), `share_before` and `share_after`
    per slice.
    """
    pen = Pen(_PROBE)
    tasks = declared_tasks(after.schema, arena.task)
    if not tasks:
        return ProbeReport(evidence=pen.none(("score_change",), "", "no prediction task is declared"))
    trials: list[Trial] = []
    seed = int(rng.integers(2**31))
    for number, table in enumerate((arena.synthetic, after)):
        progress(number / 2, "before" if number == 0 else "after")
        # One seed for both, so that the difference is the mix's and not the fit's.
        trial = run_trial(
            tasks[0],
            real_table(arena),
            table,
            arena.controls,
            np.random.default_rng(seed),
            families=(Family.GRADIENT_BOOSTING,),
        )
        if isinstance(trial, NotMeasured):
            return ProbeReport(evidence=pen.none(("score_change",), "", trial.reason, trial.needed))
        trials.append(trial)
    evidence: list[Evidence] = []
    rows: list[list[str | float]] = []
    holdout = trials[0].holdout
    places = {"": np.arange(len(holdout))}
    for part in holdout.schema.slices:
        places[slice_subject(part)] = np.flatnonzero(slice_mask(holdout, part.where))
        for metric, table in (("share_before", arena.synthetic), ("share_after", after)):
            share = float(slice_mask(table, part.where).mean()) if len(table) else 0.0
            figure = Measured(estimate=share, low=share, high=share, trials=len(table))
            evidence.append(pen(metric, slice_subject(part), figure))
    for subject, where in places.items():
        found = _scores(trials, where, rng)
        if isinstance(found, NotMeasured):
            evidence += pen.none(
                ("score_before", "score_after", "score_change"), subject, found.reason, found.needed
            )
            continue
        before, alone, change = found
        evidence += [
            pen("score_before", subject, before),
            pen("score_after", subject, alone),
            pen("score_change", subject, change, trials[0].target.score_name),
        ]
        if isinstance(before, Measured) and isinstance(alone, Measured) and isinstance(change, Measured):
            rows.append([subject or "whole table", before.estimate, alone.estimate, change.low, change.high])
    return ProbeReport(evidence=tuple(evidence), exhibits=_picture(rows, trials[0]))


def _scores(
    trials: list[Trial], where: np.ndarray[tuple[int, ...], np.dtype[np.int64]], rng: np.random.Generator
) -> tuple[Measured | NotMeasured, Measured | NotMeasured, Measured | NotMeasured] | NotMeasured:
    units = trials[0].holdout.units[where]
    count = len(np.unique(units))
    if count < FEWEST_UNITS:
        return NotMeasured(reason=f"{count} holdout units (at least {FEWEST_UNITS})", needed=FEWEST_UNITS)
    weights = np.concatenate([np.ones((1, len(where))), *bootstrap_weights(units, REPEATS, rng)])
    found = [
        trial.target.score(trial.synthetic[Family.GRADIENT_BOOSTING][where], trial.truth[where], weights)
        for trial in trials
    ]
    change = found[1] - found[0]
    return (
        from_replicates(float(found[0][0]), found[0][1:], count),
        from_replicates(float(found[1][0]), found[1][1:], count),
        from_replicates(float(change[0]), change[1:], count),
    )


def _picture(rows: list[list[str | float]], trial: Trial) -> tuple[Exhibit, ...]:
    if not rows:
        return ()
    name, before, after = rows[0][0], float(rows[0][1]), float(rows[0][2])
    return (
        Exhibit(
            probe=_PROBE,
            title=f"{trial.target.score_name} before and after rebalancing",
            kind="table",
            takeaway=f"On the {name} the score goes from {before:.3f} to {after:.3f} with the rebalanced mix.",
            data={"columns": ["part", "before", "after", "change at least", "change at most"], "rows": rows},
        ),
    )
