"""Train on synthetic, test on real (TSTR), against train on real, test on real (TRTR).

Rules: both are tested on the controls, which no generator saw; three model families with the same settings on both sides;
on each side one family is chosen as a user of that side would, by a score on a quarter of its own rows that was left out,
so nothing is chosen on the holdout; `loss` is the real side's chosen family's score less the synthetic side's (what a partner could
have had, less what a partner gets); intervals are a bootstrap of the holdout by unit, paired. They do not hold the variance of drawing
another synthetic table or of refitting (`release.quality.sweep` does that with several seeds).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from release.data.table import Table
from release.protocols import Arena, Progress, no_progress
from release.quality.features import Encoding
from release.quality.ground import Pen, real_table, slice_mask, slice_subject
from release.quality.intervals import FEWEST_UNITS, bootstrap_weights, from_replicates
from release.quality.models import (
    MODEL_ROWS,
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
from release.records import Evidence, Exhibit, NotMeasured, ProbeReport, Task

FloatArray = npt.NDArray[np.float64]

REPEATS = 400
"""Bootstrap samples of the holdout."""
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
        chosen: (family that the real rows choose, family that the synthetic rows choose).
        note: what the reader must know (thinning, a choice that could not be made).
    """

    target: Target
    holdout: Table
    truth: npt.NDArray[Any]
    real: Mapping[Family, FloatArray]
    synthetic: Mapping[Family, FloatArray]
    chosen: tuple[Family, Family]
    note: str


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
    tested = target.usable(holdout)
    sides = {
        "real": thin(target.usable(real), MODEL_ROWS, rng),
        "synthetic": thin(target.usable(synthetic), MODEL_ROWS, rng),
    }
    encoding = encoding_for(target, [real, synthetic, holdout])
    predictions: dict[str, dict[Family, FloatArray]] = {"real": {}, "synthetic": {}}
    seed = int(rng.integers(2**31))
    done = 0
    for family in families:
        for side, train in sides.items():
            progress(done / (2 * len(families)), f"{family.value} on {side} rows")
            model = fit(family, target, train, encoding, seed)
            if isinstance(model, NotMeasured):
                return NotMeasured(reason=f"{side} side: {model.reason}", needed=model.needed)
            predictions[side][family] = model.predict(tested)
            done += 1
    chosen = {side: choose(target, train, encoding, families, seed, rng) for side, train in sides.items()}
    notes = [f"; {side} rows could not choose a family" for side, family in chosen.items() if family is None]
    if max(len(real), len(synthetic)) > MODEL_ROWS:
        notes.append(f"; models saw {MODEL_ROWS:,} rows a side at most")
    return Trial(
        target=target,
        holdout=tested,
        truth=target.outcome(tested),
        real=predictions["real"],
        synthetic=predictions["synthetic"],
        chosen=(chosen["real"] or families[0], chosen["synthetic"] or families[0]),
        note="".join(notes),
    )


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
            figures, picture = _judge(trial, rng)
            evidence += figures
            exhibits.append(picture)
        return ProbeReport(evidence=tuple(evidence), exhibits=tuple(exhibits))


TSTR = Tstr()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scores:
    """Scores by family under the plain weights (first row) and the bootstrap weights (the rest)."""

    real: Mapping[Family, FloatArray]
    synthetic: Mapping[Family, FloatArray]


def _score(trial: Trial, weights: FloatArray, rows: npt.NDArray[np.int64]) -> _Scores:
    truth = trial.truth[rows]

    def side(predictions: Mapping[Family, FloatArray]) -> dict[Family, FloatArray]:
        return {
            family: trial.target.score(found[rows], truth, weights) for family, found in predictions.items()
        }

    return _Scores(real=side(trial.real), synthetic=side(trial.synthetic))


def _weights(trial: Trial, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> FloatArray:
    units = trial.holdout.units[rows]
    plain = np.ones((1, len(rows)))
    # Big holdouts need fewer samples for the same precision of the interval's ends, and memory is finite.
    repeats = REPEATS if len(rows) <= MODEL_ROWS else 100
    return np.concatenate([plain, *bootstrap_weights(units, repeats, rng)])


def _judge(trial: Trial, rng: np.random.Generator) -> tuple[list[Evidence], Exhibit]:
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
        pen("loss", target.name, from_replicates(float((trtr - tstr)[0]), (trtr - tstr)[1:], units), note),
        pen("tstr_score", target.name, from_replicates(float(tstr[0]), tstr[1:], units), note),
        pen("trtr_score", target.name, from_replicates(float(trtr[0]), trtr[1:], units), note),
    ]
    for family in trial.real:
        difference = scores.real[family] - scores.synthetic[family]
        for metric, values in (
            ("loss", difference),
            ("tstr_score", scores.synthetic[family]),
            ("trtr_score", scores.real[family]),
        ):
            figure = from_replicates(float(values[0]), values[1:], units)
            evidence.append(pen(f"{metric}_{family.value}", target.name, figure, target.score_name))
    evidence += _second_scores(pen, trial, weights, best["trtr"], best["tstr"])
    evidence += _ranking(pen, target.name, scores, units)
    evidence += _slices(pen, trial, best["trtr"], best["tstr"], rng)
    return evidence, _picture(trial, scores)


def _second_scores(
    pen: Pen, trial: Trial, weights: FloatArray, real: Family, synthetic: Family
) -> list[Evidence]:
    if not trial.target.classes:
        return []
    units = trial.holdout.n_units
    found = []
    for metric, sign, values in (
        (
            "average_precision_loss",
            1.0,
            [
                one_against_rest(average_precision, p, trial.truth, weights)
                for p in (trial.real[real], trial.synthetic[synthetic])
            ],
        ),
        (
            "brier_increase",
            -1.0,
            [brier(p, trial.truth, weights) for p in (trial.real[real], trial.synthetic[synthetic])],
        ),
    ):
        difference = sign * (values[0] - values[1])
        figure = from_replicates(float(difference[0]), difference[1:], units)
        found.append(pen(metric, trial.target.name, figure, "positive: the synthetic-trained model is worse"))
    return found


def _ranking(pen: Pen, subject: str, scores: _Scores, units: int) -> list[Evidence]:
    """Kendall's τ between the families' order by real-trained and by synthetic-trained score."""
    families = list(scores.real)
    if len(families) < 2:
        return []
    total = np.zeros_like(scores.real[families[0]])
    pairs = 0
    for number, one in enumerate(families):
        for other in families[number + 1 :]:
            total += np.sign(scores.real[one] - scores.real[other]) * np.sign(
                scores.synthetic[one] - scores.synthetic[other]
            )
            pairs += 1
    tau = total / pairs
    note = "Kendall's τ of the families' order; 1: the release ranks models as the real table does"
    return [pen("rank_agreement", subject, from_replicates(float(tau[0]), tau[1:], units), note)]


def _slices(
    pen: Pen, trial: Trial, real: Family, synthetic: Family, rng: np.random.Generator
) -> list[Evidence]:
    evidence: list[Evidence] = []
    for part in trial.holdout.schema.slices:
        rows = np.flatnonzero(slice_mask(trial.holdout, part.where))
        subject = slice_subject(part)
        units = len(np.unique(trial.holdout.units[rows]))
        if units < FEWEST_UNITS:
            reason = f"{units} holdout units in the slice (at least {FEWEST_UNITS})"
            evidence += pen.none(("loss",), subject, reason, FEWEST_UNITS)
            continue
        weights = _weights(trial, rows, rng)
        scores = _score(trial, weights, rows)
        loss = scores.real[real] - scores.synthetic[synthetic]
        figure = from_replicates(float(loss[0]), loss[1:], units)
        if isinstance(figure, NotMeasured):
            figure = NotMeasured(
                reason="too few holdout units of some class in the slice", needed=FEWEST_UNITS
            )
        evidence.append(pen("loss", subject, figure, trial.target.score_name))
    return evidence


def _picture(trial: Trial, scores: _Scores) -> Exhibit:
    families = list(trial.real)
    losses = {family: float(scores.real[family][0] - scores.synthetic[family][0]) for family in families}
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
            "values": [float(scores.synthetic[family][0]) for family in families],
            "reference": [float(scores.real[family][0]) for family in families],
            "names": ["trained on the release", "trained on real rows"],
        },
    )
