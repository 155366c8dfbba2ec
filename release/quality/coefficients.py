"""Inference utility: would a regression on the release say what it says on the real table?

Rules: least squares for a numeric target, logistic regression for the rarest class of a coded one; the same design on both sides (numbers
scaled by the real table, levels of at least `LEVEL_SHARE` against the most frequent one); standard errors by unit (sandwich). Overlap of
the two 95 % intervals after Karr et al. (2006, doi:10.1198/000313006X124640): 1 for the same interval, below 0 where
they lie apart. Naive intervals on a private release are too narrow (2403.13612): `coverage_over_draws` says by how
much. At most `ROWS` rows a side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.table import Table
from release.protocols import Arena, Progress, no_progress
from release.quality.features import Encoding, FloatArray, lay_encoding
from release.quality.ground import Findings, Part, Pen, over_parts
from release.quality.intervals import IntArray, measured, resample, too_few
from release.quality.models import Target, declared_tasks, lay_target, thin
from release.quality.threads import one_thread
from release.records import Exhibit, NotMeasured, ProbeReport, Task

ROWS = 10_000
REPEATS = 20
LEVEL_SHARE = 0.02
TWO_SIDED = 1.959963984540054
_METRICS = ("interval_overlap_mean", "sign_agreement")


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """Coefficients and their standard errors by unit, shape (p,) each; the intercept is left out."""

    coefficients: FloatArray
    errors: FloatArray


def least_squares(x: FloatArray, y: FloatArray, units: IntArray) -> Regression:
    """Ordinary least squares of y (n,) on x (n, p) and an intercept."""
    design = np.column_stack([x, np.ones(len(x))])
    bread = np.linalg.pinv(design.T @ design)
    beta = bread @ design.T @ y
    return _sandwich(design * (y - design @ beta)[:, None], bread, beta, units)


def logistic(x: FloatArray, y: FloatArray, units: IntArray) -> Regression:
    """Maximum likelihood of y (n,) in {0, 1} on x (n, p) and an intercept, by Newton's steps.

    A ridge of 1e-4 keeps separable tables finite; it moves no coefficient that data can tell.
    """
    design = np.column_stack([x, np.ones(len(x))])
    beta = np.zeros(design.shape[1])
    ridge = 1e-4 * np.eye(design.shape[1])
    ridge[-1, -1] = 0.0
    hessian = ridge
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -30, 30)))
        hessian = (design * (p * (1 - p))[:, None]).T @ design + ridge
        step = np.linalg.pinv(hessian, hermitian=True) @ (design.T @ (y - p) - ridge @ beta)
        beta = beta + np.clip(step, -5.0, 5.0)
        if np.max(np.abs(step)) < 1e-8:
            break
    p = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -30, 30)))
    return _sandwich(design * (y - p)[:, None], np.linalg.pinv(hessian, hermitian=True), beta, units)


def _sandwich(scores: FloatArray, bread: FloatArray, beta: FloatArray, units: IntArray) -> Regression:
    _, place = np.unique(units, return_inverse=True)
    count = int(place.max()) + 1
    sums = np.zeros((count, scores.shape[1]))
    np.add.at(sums, place, scores)
    covariance = bread @ (sums.T @ sums) @ bread * (count / max(count - 1, 1))
    return Regression(coefficients=beta[:-1], errors=np.sqrt(np.maximum(np.diag(covariance)[:-1], 0.0)))


def overlaps(one: Regression, two: Regression) -> FloatArray:
    """Karr's overlap of the 95 % intervals of each coefficient, shape (p,); at least −1 so that one coefficient cannot swamp a mean."""
    low = np.maximum(one.coefficients - TWO_SIDED * one.errors, two.coefficients - TWO_SIDED * two.errors)
    high = np.minimum(one.coefficients + TWO_SIDED * one.errors, two.coefficients + TWO_SIDED * two.errors)
    widths = [np.maximum(2 * TWO_SIDED * side.errors, 1e-12) for side in (one, two)]
    return np.asarray(np.maximum(0.5 * ((high - low) / widths[0] + (high - low) / widths[1]), -1.0))


def same_signs(real: Regression, synthetic: Regression) -> tuple[int, int]:
    """(coefficients of the same sign, coefficients that differ from 0 at 5 % in the real table)."""
    clear = np.abs(real.coefficients) > TWO_SIDED * real.errors
    same = np.sign(real.coefficients) == np.sign(synthetic.coefficients)
    return int((clear & same).sum()), int(clear.sum())


# ---------------------------------------------------------------------------------------------- design


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Which columns of the encoding the regression has, fixed by the real table."""

    target: Target
    encoding: Encoding
    real: Table
    keep: npt.NDArray[np.int64]
    names: tuple[str, ...]

    def regress(self, table: Table) -> Regression:
        """The regression on the usable rows of `table`."""
        usable = self.target.usable(table)
        matrix = self.encoding.linear(usable, self.real)[:, self.keep]
        outcome = self.target.outcome(usable)
        if self.target.classes:
            hit = (outcome == len(self.target.classes) - 1).astype(np.float64)
            return logistic(matrix, hit, usable.units)
        return least_squares(matrix, outcome.astype(np.float64), usable.units)


def lay_design(target: Target, real: Table, tables: Sequence[Table]) -> Design | NotMeasured:
    """The design that the real table allows: levels with `LEVEL_SHARE`, less the most frequent, and numbers that vary."""
    encoding = lay_encoding([real, *tables], target.features)
    base = target.usable(real)
    matrix = encoding.linear(base, base)
    names = encoding.names_linear()
    means, spread = matrix.mean(axis=0), matrix.std(axis=0)
    keep: list[int] = []
    for feature in target.features:
        own = [place for place, name in enumerate(names) if _column_of(name, feature)]
        if real.schema.column(feature).kind.coded:
            own.remove(max(own, key=lambda place: float(means[place])))
            keep += [place for place in own if means[place] >= LEVEL_SHARE]
        else:
            keep += [
                place
                for place in own
                if spread[place] > 0 and (place == own[0] or means[place] >= LEVEL_SHARE)
            ]
    if not keep:
        return NotMeasured(reason="no feature varies enough in the real table for a regression")
    return Design(target, encoding, base, np.array(keep), tuple(names[place] for place in keep))


def _column_of(name: str, feature: str) -> bool:
    return name in {feature, f"{feature} missing"} or name.rpartition("=")[0] == feature


# ---------------------------------------------------------------------------------------------- the probe


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The `coefficients` probe."""

    name: str = "coefficients"
    summary: str = (
        "Fits the same regression to both tables and compares the coefficients with their intervals. Low overlap means that a study on the "
        "release would report other effects."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Mean overlap and agreement of signs for the declared task (else the first target), and the same within every slice."""
        tasks = declared_tasks(arena.synthetic.schema, arena.task)
        if not tasks:
            reason = "no prediction task is declared and no column has the role target"
            return ProbeReport(evidence=Pen(self.name).none(_METRICS, "", reason))
        with one_thread():
            return over_parts(arena, "regressions", progress, lambda part: _measure_part(part, tasks[0], rng))


COEFFICIENTS = Coefficients()


def _measure_part(part: Part, task: Task, rng: np.random.Generator) -> Findings:
    pen = Pen(COEFFICIENTS.name)
    subject = part.subject or task.target
    laid = _lay(task, part.real, [part.synthetic], rng)
    if isinstance(laid, NotMeasured):
        return Findings(evidence=pen.none(_METRICS, subject, laid.reason, laid.needed))
    design, real, (synthetic,) = laid
    one, two = design.regress(real), design.regress(synthetic)
    plain = overlaps(one, two)
    draws, agreements, halves = [], [], []
    for _ in range(REPEATS):
        again = design.regress(resample(real, rng)), design.regress(resample(synthetic, rng))
        draws.append(float(overlaps(*again).mean()))
        same, clear = same_signs(one, again[1])
        agreements.append(same / clear if clear else 1.0)
        halves.append(float(overlaps(one, again[0]).mean()))
    trials = min(real.n_units, synthetic.n_units)
    note = (
        f"{len(plain)} coefficients; 1: the same interval, 0: the intervals just touch; another real sample of the "
        f"same size would overlap by about {np.mean(halves):.2f}"
    )
    overlap = measured(float(plain.mean()), float(np.std(draws, ddof=1)), trials, least=-1.0, most=1.0)
    evidence = [pen(_METRICS[0], subject, overlap, note)]
    same, clear = same_signs(one, two)
    if clear:
        error = float(np.std(agreements, ddof=1))
        agreement = measured(same / clear, error, trials, least=0.0, most=1.0)
        note = f"{same} of {clear} coefficients that are clearly not 0 in the real table keep their sign; 1 is perfect"
        evidence.append(pen(_METRICS[1], subject, agreement, note))
    else:
        reason = "no coefficient is clearly different from 0 in the real table"
        evidence += pen.none(_METRICS[1:], subject, reason)
    exhibits = () if part.subject else (_picture(design, one, two, plain),)
    return Findings(evidence=evidence, exhibits=exhibits)


def coverage_over_draws(
    task: Task, real: Table, draws: Sequence[Table], rng: np.random.Generator
) -> ProbeReport:
    """How often the naive 95 % interval from one synthetic draw covers the real table's coefficient.

    `draws` are several synthetic tables of one release's model. 0.95 is honest; less means that an analyst who treats the release as
    real data is too sure. The interval is over coefficients, which share draws.
    """
    pen = Pen(COEFFICIENTS.name)
    metric = ("naive_coverage",)
    if len(draws) < 2:
        return ProbeReport(
            evidence=pen.none(metric, task.target, f"{len(draws)} draws; at least 2 are needed", 2)
        )
    laid = _lay(task, real, draws, rng)
    if isinstance(laid, NotMeasured):
        return ProbeReport(evidence=pen.none(metric, task.target, laid.reason, laid.needed))
    design, real, tables = laid
    truth = design.regress(real).coefficients
    hits = []
    for table in tables:
        found = design.regress(table)
        hits.append(np.abs(found.coefficients - truth) <= TWO_SIDED * found.errors)
    by_coefficient = np.mean(hits, axis=0)
    error = (
        float(by_coefficient.std(ddof=1) / np.sqrt(len(by_coefficient))) if len(by_coefficient) > 1 else 0.5
    )
    figure = measured(float(by_coefficient.mean()), error, len(tables), least=0.0, most=1.0)
    note = f"{len(tables)} draws, {len(by_coefficient)} coefficients; 0.95 would be honest"
    return ProbeReport(evidence=(pen("naive_coverage", task.target, figure, note),))


def _lay(
    task: Task, real: Table, tables: Sequence[Table], rng: np.random.Generator
) -> tuple[Design, Table, list[Table]] | NotMeasured:
    few = too_few(real.n_units, *(table.n_units for table in tables))
    if few is not None:
        return few
    target = lay_target(task, real, real)
    if isinstance(target, NotMeasured):
        return target
    real, thinned = thin(real, ROWS, rng), [thin(table, ROWS, rng) for table in tables]
    few = too_few(*(target.usable(table).n_units for table in (real, *thinned)))
    if few is not None:
        return few
    if any(len(np.unique(target.outcome(target.usable(table)))) < 2 for table in thinned):
        return NotMeasured(reason="the release has one value of the target only")
    design = lay_design(target, real, thinned)
    return design if isinstance(design, NotMeasured) else (design, real, thinned)


def _picture(design: Design, real: Regression, synthetic: Regression, plain: FloatArray) -> Exhibit:
    order = np.argsort(plain, kind="stable")[:20]
    rows: list[list[str | float]] = []
    for place in order.tolist():
        row: list[str | float] = [_label(design, design.names[place])]
        for side in (real, synthetic):
            row += [float(side.coefficients[place]), float(side.errors[place])]
        rows.append([*row, float(plain[place])])
    return Exhibit(
        probe=COEFFICIENTS.name,
        title=f"Coefficients for {design.target.name} that agree least",
        kind="table",
        takeaway=f"The effect of {rows[0][0]} agrees least: {rows[0][1]:+.3f} in the real table, {rows[0][3]:+.3f} in the release.",
        data={"columns": ["term", "real", "± error", "release", "± error ", "overlap"], "rows": rows},
    )


def _label(design: Design, name: str) -> str:
    """The term with the level's name where the schema declares it; a learned level stays a number."""
    feature, _, code = name.rpartition("=")
    if not feature or feature not in design.real.columns:
        return name
    levels = design.real.schema.column(feature).levels
    return f"{feature} = {levels[int(code)]}" if levels is not None and int(code) < len(levels) else name
