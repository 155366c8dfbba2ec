"""Bias of models: does a model trained on the release treat subgroups worse than one trained on the real table?

Rules: gradient boosting on both sides, tested on the controls; a person is selected where the predicted probability of the rarest class is above its
real share; demographic parity: a subgroup's share selected less everybody else's; equalised odds: the larger of the
differences in true and in false positive rate; calibration: mean prediction less outcome rate in the subgroup. Each
figure is |gap, synthetic-trained| − |gap, real-trained|, so positive is amplification; the worst subgroup counts. Intervals: paired
bootstrap of the holdout by unit, and refits as in `release.quality.tstr`. Numeric targets and subgroups under `FEWEST_IN_GROUP` holdout units are not measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.protocols import Arena, Progress, no_progress
from release.quality.features import FloatArray
from release.quality.ground import Pen, groups, protected, real_table
from release.quality.intervals import bootstrap_weights, with_refits
from release.quality.models import Family, declared_tasks
from release.quality.tstr import Trial, run_trial
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport

FEWEST_IN_GROUP = 100
REPEATS = 200
_METRICS = ("demographic_parity_amplification", "equalised_odds_amplification", "calibration_amplification")
_REFERENCE = "0: as unequal as the model trained on real rows"

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fairness:
    """The `fairness` probe."""

    name: str = "fairness"
    summary: str = (
        "Compares how a model trained on the release and one trained on real rows treat subgroups of held-out people. A positive figure means that "
        "training on the release makes the treatment more unequal."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Three amplifications by protected column, worst subgroup each."""
        pen = Pen(self.name)
        tasks = declared_tasks(arena.synthetic.schema, arena.task)
        if not tasks:
            reason = "no prediction task is declared and no column has the role target"
            return ProbeReport(evidence=pen.none(_METRICS, "", reason))
        trial = run_trial(
            tasks[0],
            real_table(arena),
            arena.synthetic,
            arena.controls,
            rng,
            progress,
            (Family.GRADIENT_BOOSTING,),
        )
        if isinstance(trial, NotMeasured):
            return ProbeReport(evidence=pen.none(_METRICS, "", trial.reason, trial.needed))
        if not trial.target.classes:
            return ProbeReport(evidence=pen.none(_METRICS, "", "the target is numeric: nobody is selected"))
        return _judge(pen, trial, arena, rng)


FAIRNESS = Fairness()


def _judge(pen: Pen, trial: Trial, arena: Arena, rng: np.random.Generator) -> ProbeReport:
    wanted = len(trial.target.classes) - 1
    hit = trial.truth == wanted
    real = trial.target.outcome(trial.target.usable(real_table(arena)))
    share = float(np.mean(real == wanted))
    sides = [found[Family.GRADIENT_BOOSTING][:, wanted] for found in (trial.real, trial.synthetic)]
    units = trial.holdout.units
    weights = np.concatenate([np.ones((1, len(hit))), *bootstrap_weights(units, REPEATS, rng)])
    evidence: list[Evidence] = []
    rows: list[list[str | float]] = []
    worst: dict[str, tuple[str, Measured]] = {}
    for column, level, inside in _subgroups(trial):
        gaps = [gap_of(inside, hit, side, side > share, weights) for side in sides]
        again = _refitted(trial, inside, hit, share)
        rows.append([f"{column} = {level}", *(float(gaps[side][k][0]) for k in range(3) for side in (0, 1))])
        for number, metric in enumerate(_METRICS):
            one, two = gaps[0][number], gaps[1][number]
            change = np.abs(two) - np.abs(one)
            refits = np.abs(again[1][:, number]) - np.abs(again[0][:, number])
            figure = with_refits(float(change[0]), change[1:], refits, len(np.unique(units[inside])))
            key = f"{metric}|{column}"
            if isinstance(figure, Measured) and (
                key not in worst or figure.estimate > worst[key][1].estimate
            ):
                worst[key] = (level, figure)
    for metric in _METRICS:
        known = {
            key.partition("|")[2]: figure
            for key, (_, figure) in worst.items()
            if key.startswith(f"{metric}|")
        }
        evidence += [pen(metric, column, figure, _REFERENCE) for column, figure in known.items()]
        if known:
            column = max(known, key=lambda key: known[key].estimate)
            evidence.append(pen(metric, "", known[column], f"worst column: {column}; {_REFERENCE}"))
        else:
            reason = f"no protected subgroup has {FEWEST_IN_GROUP} holdout units with both outcomes"
            evidence += pen.none((metric,), "", reason, FEWEST_IN_GROUP)
    return ProbeReport(evidence=tuple(evidence), exhibits=_picture(rows))


def _refitted(trial: Trial, inside: BoolArray, hit: BoolArray, share: float) -> tuple[FloatArray, FloatArray]:
    """The three gaps of every refit, shape (refits, 3), of the real and of the synthetic side."""
    wanted = len(trial.target.classes) - 1
    plain = np.ones((1, len(hit)))

    def gaps(predicted: FloatArray) -> FloatArray:
        chosen = predicted[:, wanted]
        return np.concatenate(gap_of(inside, hit, chosen, chosen > share, plain))

    family = Family.GRADIENT_BOOSTING
    return trial.over_refits(family, gaps, real=True), trial.over_refits(family, gaps, real=False)


def gap_of(
    inside: BoolArray, hit: BoolArray, predicted: FloatArray, selected: BoolArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(demographic parity, equalised odds, calibration) gaps of the subgroup under row weights (k, n), shape (k,) each.

    NaN where a weighted group has no such rows.
    """
    chosen = selected.astype(np.float64)

    def rate(values: FloatArray, rows: BoolArray) -> FloatArray:
        mass = weights @ rows
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((weights @ (values * rows)) / np.where(mass > 0, mass, np.nan))

    parity = rate(chosen, inside) - rate(chosen, ~inside)
    true_positive = rate(chosen, inside & hit) - rate(chosen, ~inside & hit)
    false_positive = rate(chosen, inside & ~hit) - rate(chosen, ~inside & ~hit)
    odds = np.where(np.abs(true_positive) >= np.abs(false_positive), true_positive, false_positive)
    odds = np.where(np.isnan(true_positive) | np.isnan(false_positive), np.nan, odds)
    calibration = rate(predicted - hit, inside)
    return parity, odds, calibration


def _subgroups(trial: Trial) -> Iterator[tuple[str, str, BoolArray]]:
    hit = trial.truth == len(trial.target.classes) - 1
    for column in protected(trial.holdout):
        if column == trial.target.name:
            continue
        codes, levels = groups(trial.holdout, column)
        for code, level in enumerate(levels):
            inside = np.asarray(codes == code)
            enough = len(np.unique(trial.holdout.units[inside])) >= FEWEST_IN_GROUP
            both = (
                int((hit & inside).sum()) >= 10
                and int((hit & ~inside).sum()) >= 10
                and bool((~hit & inside).any())
            )
            if enough and both and not inside.all():
                yield column, level, inside


def _picture(rows: list[list[str | float]]) -> tuple[Exhibit, ...]:
    if not rows:
        return ()
    rows = sorted(rows, key=lambda row: abs(float(row[1])) - abs(float(row[2])))[:15]
    return (
        Exhibit(
            probe=FAIRNESS.name,
            title="Treatment of subgroups by models trained on real and on synthetic rows",
            kind="table",
            takeaway=(
                f"{rows[0][0]} is treated most differently: selected {float(rows[0][2]):+.3f} more often than others by the "
                f"synthetic-trained model, {float(rows[0][1]):+.3f} by the real-trained one."
            ),
            data={
                "columns": [
                    "subgroup",
                    "parity, real",
                    "parity, release",
                    "odds, real",
                    "odds, release",
                    "calibration, real",
                    "calibration, release",
                ],
                "rows": rows,
            },
        ),
    )
