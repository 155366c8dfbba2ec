"""Train on synthetic, test on real (TSTR), against train on real, test on real (TRTR).

Rules: both are tested on the controls, which no generator saw; three model families with the same settings on both sides;
on each side one family is chosen as a user of that side would, by a score on a quarter of its own rows that was left out,
so nothing is chosen on the holdout; `loss` is the real side's chosen family's score less the synthetic side's (what a partner could
have had, less what a partner gets). Intervals hold two sources of chance: which units are in the holdout (a bootstrap by unit,
paired), and which rows and seed the models were trained with: `REFITS` refits a side and family, each with another seed on a bootstrap
sample, by unit, of its training rows. Refits of large tables take `REFIT_ROWS` rows and their spread shrinks with the root of the
units, which is on the safe side: scores settle faster than that. The bootstrap of the synthetic rows stands for drawing another table
from the same model, not for fitting the generator anew.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from release.data.table import Table
from release.protocols import Arena, Progress, no_progress
from release.quality.features import Encoding
from release.quality.ground import Pen, real_table, slice_mask, slice_subject
from release.quality.intervals import FEWEST_UNITS, bootstrap_weights, resample, with_refits
from release.quality.models import (
    Family,
    Target,
    declared_tasks,
    encoding_for,
    fit,
    lay_target,
    thin,
)
from release.quality.scores import average_precision, brier, one_against_rest
from release.quality.threads import one_thread
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport, Task

FloatArray = npt.NDArray[np.float64]

REPEATS = 400
"""Bootstrap samples of the holdout."""
REFITS = 4
"""Refits a side and family."""
REFIT_ROWS = 5_000
"""Rows of a refit, about."""
TEST_ROWS = 30_000
"""Most holdout rows; more are thinned by unit."""
CHOICE_ROWS = 10_000
"""Most rows used for choosing a family."""
_HEADLINE = ("loss", "tstr_score", "trtr_score")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Predictions for the holdout by the models trained on real and on synthetic rows.

    Attributes:
        target: what was predicted.
        holdout: the usable holdout rows.
        truth: their outcomes, shape (n,).
        real: predictions by family of the real-trained models.
        synthetic: the same of the synthetic-trained models.
        real_again: predictions of the refits, by family, shape (REFITS, n) or (REFITS, n, classes).
        synthetic_again: the same of the synthetic side.
        shrink: by how much a side's spread over refits is too large, because they had fewer units: (real, synthetic), at most 1.
        chosen: (family that the real rows choose, family that the synthetic rows choose).
        note: what the reader must know (thinning, a choice that could not be made).
    """

    target: Target
    holdout: Table
    truth: npt.NDArray[Any]
    real: Mapping[Family, FloatArray]
    synthetic: Mapping[Family, FloatArray]
    real_again: Mapping[Family, FloatArray]
    synthetic_again: Mapping[Family, FloatArray]
    shrink: tuple[float, float]
    chosen: tuple[Family, Family]
    note: str

    def over_refits(
        self, family: Family, score: Callable[[FloatArray], FloatArray], *, real: bool
    ) -> FloatArray:
        """`score` of each refit's predictions, shape (REFITS, …), its spread brought to the size of the whole training set."""
        found = np.array([score(one) for one in (self.real_again if real else self.synthetic_again)[family]])
        middle = found.mean(axis=0)
        return np.asarray(middle + (found - middle) * self.shrink[0 if real else 1])


def run_trial(
    task: Task,
    real: Table,
    synthetic: Table,
    holdout: Table,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    families: tuple[Family, ...] = tuple(Family),
) -> Trial | NotMeasured:
    """Fit every family on both sides and predict the holdout."""
    with one_thread():
        return _run(task, real, synthetic, holdout, rng, progress, families)


def _run(
    task: Task,
    real: Table,
    synthetic: Table,
    holdout: Table,
    rng: np.random.Generator,
    progress: Progress,
    families: tuple[Family, ...],
) -> Trial | NotMeasured:
    target = lay_target(task, real, holdout)
    if isinstance(target, NotMeasured):
        return target
    tested = thin(target.usable(holdout), TEST_ROWS, rng)
    sides = {
        "real": thin(target.usable(real), target.most_rows, rng),
        "synthetic": thin(target.usable(synthetic), target.most_rows, rng),
    }
    encoding = encoding_for(target, [real, synthetic, holdout])
    predictions: dict[str, dict[Family, FloatArray]] = {"real": {}, "synthetic": {}}
    again: dict[str, dict[Family, FloatArray]] = {"real": {}, "synthetic": {}}
    seed = int(rng.integers(2**31))
    done = 0
    for family in families:
        for side, train in sides.items():
            progress(done / (2 * len(families)), f"{family.value} on {side} rows")
            model = fit(family, target, train, encoding, seed)
            if isinstance(model, NotMeasured):
                return NotMeasured(reason=f"{side} side: {model.reason}", needed=model.needed)
            predictions[side][family] = model.predict(tested)
            refits = _refits(family, target, train, encoding, tested, rng)
            if isinstance(refits, NotMeasured):
                return NotMeasured(reason=f"{side} side, refits: {refits.reason}", needed=refits.needed)
            again[side][family] = refits
            done += 1
    chosen = {side: choose(target, train, encoding, families, seed, rng) for side, train in sides.items()}
    notes = [f"; {side} rows could not choose a family" for side, family in chosen.items() if family is None]
    if max(len(real), len(synthetic)) > target.most_rows:
        notes.append(f"; models saw {target.most_rows:,} rows a side at most")
    if len(holdout) > TEST_ROWS:
        notes.append(f"; tested on about {TEST_ROWS:,} of the held-out rows")
    return Trial(
        target=target,
        holdout=tested,
        truth=target.outcome(tested),
        real=predictions["real"],
        synthetic=predictions["synthetic"],
        real_again=again["real"],
        synthetic_again=again["synthetic"],
        shrink=(
            math.sqrt(_refit_units(sides["real"]) / sides["real"].n_units),
            math.sqrt(_refit_units(sides["synthetic"]) / sides["synthetic"].n_units),
        ),
        chosen=(chosen["real"] or families[0], chosen["synthetic"] or families[0]),
        note="".join(notes),
    )


def _refit_units(train: Table) -> int:
    """How many units a refit draws: all, or as many as hold about `REFIT_ROWS` rows."""
    units = train.n_units
    return min(units, max(FEWEST_UNITS, round(units * REFIT_ROWS / len(train))))


def _refits(
    family: Family, target: Target, train: Table, encoding: Encoding, tested: Table, rng: np.random.Generator
) -> FloatArray | NotMeasured:
    """Predictions of `REFITS` refits, each with a seed and a bootstrap sample of its own."""
    found = []
    for _ in range(REFITS):
        sample = resample(train, rng, _refit_units(train))
        model = fit(family, target, sample, encoding, int(rng.integers(2**31)))
        if isinstance(model, NotMeasured):
            return model
        found.append(model.predict(tested))
    return np.array(found)


def choose(
    target: Target,
    train: Table,
    encoding: Encoding,
    families: tuple[Family, ...],
    seed: int,
    rng: np.random.Generator,
) -> Family | None:
    """The family that scores best on a quarter of the units of `train` when fitted on the rest; None where none can be scored."""
    if len(families) == 1:
        return families[0]
    table = thin(train, CHOICE_ROWS, rng)
    units = rng.permutation(np.unique(table.units))
    kept, left_out = table.take_units(units[len(units) // 4 :]), table.take_units(units[: len(units) // 4])
    scores: dict[Family, float] = {}
    for family in families:
        model = fit(family, target, kept, encoding, seed)
        if isinstance(model, NotMeasured) or len(left_out) < 2:
            return None
        score = target.score(model.predict(left_out), target.outcome(left_out), np.ones((1, len(left_out))))
        scores[family] = float(score[0])
    known = {family: score for family, score in scores.items() if np.isfinite(score)}
    return max(known, key=lambda family: known[family]) if known else None


@dataclass(frozen=True, slots=True)
class Tstr:
    """The `tstr` probe."""

    name: str = "tstr"
    summary: str = (
        "Trains three kinds of model on synthetic rows and on real rows, and tests all of them on real rows that no "
        "generator saw. A large loss means that a model built on the release predicts worse than it could."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """The declared task, or each column with the role target."""
        pen = Pen(self.name)
        tasks = declared_tasks(arena.synthetic.schema, arena.task)
        if not tasks:
            reason = "no prediction task is declared and no column has the role target"
            return ProbeReport(evidence=pen.none(_HEADLINE, "", reason))
        evidence: list[Evidence] = []
        exhibits: list[Exhibit] = []
        for task in tasks:
            trial = run_trial(task, real_table(arena), arena.synthetic, arena.controls, rng, progress)
            if isinstance(trial, NotMeasured):
                evidence += pen.none(_HEADLINE, task.target, trial.reason, trial.needed)
                continue
            figures, picture = _judge(trial, rng, several=len(tasks) > 1)
            evidence += figures
            exhibits.append(picture)
        return ProbeReport(evidence=tuple(evidence), exhibits=tuple(exhibits))


TSTR = Tstr()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curve:
    """A score under the plain weights (first) and the bootstrap weights (the rest), and over refits under the plain ones."""

    sampled: FloatArray
    refitted: FloatArray

    def __sub__(self, other: _Curve) -> _Curve:
        """The difference, draw by draw."""
        return _Curve(sampled=self.sampled - other.sampled, refitted=self.refitted - other.refitted)

    def figure(self, units: int) -> Measured | NotMeasured:
        """The plain score with both sources of chance."""
        return with_refits(float(self.sampled[0]), self.sampled[1:], self.refitted, units)


Scoring = Callable[[FloatArray, npt.NDArray[Any], FloatArray], FloatArray]
"""(predictions, outcomes, weights (k, n)) → scores (k,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scores:
    """Scores by family of both sides."""

    real: Mapping[Family, _Curve]
    synthetic: Mapping[Family, _Curve]


def _curve(
    trial: Trial,
    family: Family,
    scoring: Scoring,
    weights: FloatArray,
    rows: npt.NDArray[np.int64],
    *,
    real: bool,
) -> _Curve:
    truth = trial.truth[rows]
    predicted = (trial.real if real else trial.synthetic)[family]
    return _Curve(
        sampled=scoring(predicted[rows], truth, weights),
        refitted=trial.over_refits(family, lambda one: scoring(one[rows], truth, weights[:1])[0], real=real),
    )


def _score(trial: Trial, weights: FloatArray, rows: npt.NDArray[np.int64]) -> _Scores:
    def side(*, real: bool) -> dict[Family, _Curve]:
        return {
            family: _curve(trial, family, trial.target.score, weights, rows, real=real)
            for family in trial.real
        }

    return _Scores(real=side(real=True), synthetic=side(real=False))


def _weights(trial: Trial, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
    units = trial.holdout.units[rows]
    plain = np.ones((1, len(rows)))
    return np.concatenate([plain, *bootstrap_weights(units, REPEATS, rng)])


def _judge(trial: Trial, rng: np.random.Generator, *, several: bool) -> tuple[list[Evidence], Exhibit]:
    pen = Pen(TSTR.name)
    target = trial.target
    rows = np.arange(len(trial.holdout))
    weights = _weights(trial, rows, rng)
    scores = _score(trial, weights, rows)
    units = trial.holdout.n_units
    best = {"trtr": trial.chosen[0], "tstr": trial.chosen[1]}
    trtr, tstr = scores.real[best["trtr"]], scores.synthetic[best["tstr"]]
    words = [family.value.replace("_", " ") for family in trial.chosen]
    note = f"{target.score_name}; real rows choose {words[0]}, synthetic rows {words[1]}{trial.note}"
    evidence = [
        pen("loss", target.name, (trtr - tstr).figure(units), note),
        pen("tstr_score", target.name, tstr.figure(units), note),
        pen("trtr_score", target.name, trtr.figure(units), note),
    ]
    for family in trial.real:
        for metric, curve in (
            ("loss", scores.real[family] - scores.synthetic[family]),
            ("tstr_score", scores.synthetic[family]),
            ("trtr_score", scores.real[family]),
        ):
            evidence.append(
                pen(f"{metric}_{family.value}", target.name, curve.figure(units), target.score_name)
            )
    evidence += _second_scores(pen, trial, weights)
    evidence += _ranking(pen, target.name, scores, units)
    evidence += _slices(pen, trial, rng, several=several)
    return evidence, _picture(trial, scores)


def _precision(predicted: FloatArray, truth: npt.NDArray[Any], weights: FloatArray) -> FloatArray:
    return one_against_rest(average_precision, predicted, truth, weights)


def _second_scores(pen: Pen, trial: Trial, weights: FloatArray) -> list[Evidence]:
    if not trial.target.classes:
        return []
    units = trial.holdout.n_units
    rows = np.arange(len(trial.holdout))
    found = []
    for metric, scoring in (("average_precision_loss", _precision), ("brier_increase", brier)):
        real = _curve(trial, trial.chosen[0], scoring, weights, rows, real=True)
        synthetic = _curve(trial, trial.chosen[1], scoring, weights, rows, real=False)
        difference = real - synthetic if metric == "average_precision_loss" else synthetic - real
        note = (
            f"positive: the synthetic-trained model is worse; the real-trained one has {real.sampled[0]:.3f}"
        )
        found.append(pen(metric, trial.target.name, difference.figure(units), note))
    return found


def _ranking(pen: Pen, subject: str, scores: _Scores, units: int) -> list[Evidence]:
    """Kendall's τ between the families' order by real-trained and by synthetic-trained score."""
    families = list(scores.real)
    if len(families) < 2:
        return []
    pairs = list(itertools.combinations(families, 2))

    def tau(part: Callable[[_Curve], FloatArray]) -> FloatArray:
        signs = [
            np.sign(part(scores.real[one] - scores.real[other]))
            * np.sign(part(scores.synthetic[one] - scores.synthetic[other]))
            for one, other in pairs
        ]
        return np.asarray(np.mean(signs, axis=0))

    figure = _Curve(
        sampled=tau(lambda curve: curve.sampled), refitted=tau(lambda curve: curve.refitted)
    ).figure(units)
    if isinstance(figure, Measured):
        figure = replace(figure, low=max(figure.low, -1.0), high=min(figure.high, 1.0))
    note = "Kendall's τ of the families' order; 1: the release ranks models as the real table does"
    return [pen("rank_agreement", subject, figure, note)]


def _slices(pen: Pen, trial: Trial, rng: np.random.Generator, *, several: bool) -> list[Evidence]:
    """The loss in each slice; beside other tasks its subject also names the target, so that each figure stands once."""
    evidence: list[Evidence] = []
    for part in trial.holdout.schema.slices:
        rows = np.flatnonzero(slice_mask(trial.holdout, part.where))
        subject = slice_subject(part) + (f", {trial.target.name}" if several else "")
        units = len(np.unique(trial.holdout.units[rows]))
        if units < FEWEST_UNITS:
            reason = f"{units} holdout units in the slice (at least {FEWEST_UNITS})"
            evidence += pen.none(("loss",), subject, reason, FEWEST_UNITS)
            continue
        weights = _weights(trial, rows, rng)
        real = _curve(trial, trial.chosen[0], trial.target.score, weights, rows, real=True)
        synthetic = _curve(trial, trial.chosen[1], trial.target.score, weights, rows, real=False)
        figure = (real - synthetic).figure(units)
        if isinstance(figure, NotMeasured):
            figure = NotMeasured(
                reason="too few holdout units of some class in the slice", needed=FEWEST_UNITS
            )
        note = f"{trial.target.score_name}; the real-trained model has {real.sampled[0]:.3f}"
        evidence.append(pen("loss", subject, figure, note))
    return evidence


def _picture(trial: Trial, scores: _Scores) -> Exhibit:
    families = list(trial.real)
    losses = {
        family: float((scores.real[family] - scores.synthetic[family]).sampled[0]) for family in families
    }
    worst = max(losses, key=lambda family: losses[family])
    return Exhibit(
        probe=TSTR.name,
        title=f"Predicting {trial.target.name}: trained on synthetic against trained on real rows",
        kind="bars",
        takeaway=(
            f"Trained on the release, {worst.value.replace('_', ' ')} loses most: {losses[worst]:.3f} "
            f"{trial.target.score_name} against the same model trained on real rows."
        ),
        data={
            "labels": [family.value for family in families],
            "values": [float(scores.synthetic[family].sampled[0]) for family in families],
            "reference": [float(scores.real[family].sampled[0]) for family in families],
            "names": ["trained on the release", "trained on real rows"],
        },
    )
