"""The prediction models that utility is measured with: three families, one way to fit and score each.

Rules: settings are fixed here and the same for real and synthetic training rows; classes and the scale of a numeric target are
fixed by the real training rows; at most `Target.most_rows` rows are used, drawn by unit. scikit-learn does the fitting.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from release.data.schema import Role, Schema
from release.data.table import Table
from release.quality.features import Encoding, lay_encoding, trainable
from release.quality.intervals import FEWEST_UNITS
from release.quality.scores import auc, one_against_rest, r_squared
from release.records import NotMeasured, Task

FloatArray = npt.NDArray[np.float64]

MODEL_ROWS = 30_000
"""Most rows a model is trained on; larger tables are thinned by unit and the evidence's note says so."""
MODEL_CELLS = 450_000
"""Most cells (rows × features) a model is trained on: the time of a fit goes with them."""
FEWEST_MODEL_ROWS = 5_000
FEWEST_IN_CLASS = 20
"""A class with fewer units in the real training rows, or in the holdout, is left out of the task."""
SKEWED = 1.5
"""A numeric target that is never negative and whose mean is above this times its median is measured on log(1 + y)."""


class Family(StrEnum):
    """A kind of model."""

    GRADIENT_BOOSTING = "gradient_boosting"
    LINEAR = "linear"
    RANDOM_FOREST = "random_forest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is predicted.

    Attributes:
        name: the column.
        features: the columns it is predicted from.
        classes: the levels that count, the rarest last; () for a numeric target.
        logarithm: whether a numeric target is measured on log(1 + y).
    """

    name: str
    features: tuple[str, ...]
    classes: tuple[str, ...]
    logarithm: bool = False

    @property
    def most_rows(self) -> int:
        """Most rows that a model of this target is trained on."""
        return max(FEWEST_MODEL_ROWS, min(MODEL_ROWS, MODEL_CELLS // len(self.features)))

    @property
    def score_name(self) -> str:
        """What the headline score is, in words."""
        if self.classes:
            return "AUC" if len(self.classes) == 2 else "AUC, mean over classes against the rest"
        return "R² of log(1 + y)" if self.logarithm else "R²"

    def usable(self, table: Table) -> Table:
        """The rows whose outcome is present and among the classes."""
        column = table[self.name]
        if not self.classes:
            return table.take(np.flatnonzero(column.present))
        wanted = [code for code, level in enumerate(column.levels) if level in self.classes]
        return table.take(np.flatnonzero(column.present & np.isin(column.values, wanted)))

    def outcome(self, table: Table) -> npt.NDArray[Any]:
        """Class numbers (int64), or the numeric outcome (float64), of rows that `usable` kept; shape (n,)."""
        column = table[self.name]
        if not self.classes:
            values = column.values.astype(np.float64)
            return np.log1p(np.maximum(values, 0.0)) if self.logarithm else values
        place = {level: number for number, level in enumerate(self.classes)}
        mapping = np.array([*(place.get(level, -1) for level in column.levels), -1], dtype=np.int64)
        return np.asarray(mapping[column.values.astype(np.int64)])

    def score(self, predicted: FloatArray, truth: npt.NDArray[Any], weights: FloatArray) -> FloatArray:
        """The headline score under each row of weights (k, n); shape (k,)."""
        if self.classes:
            return one_against_rest(auc, predicted, truth, weights)
        return r_squared(predicted, truth, weights)


def declared_tasks(schema: Schema, task: Task | None) -> tuple[Task, ...]:
    """The declared task, else one for each released column with the role target."""
    if task is not None:
        return (task,)
    return tuple(Task(target=spec.name) for spec in schema.with_role(Role.TARGET))


def lay_target(task: Task, real: Table, holdout: Table) -> Target | NotMeasured:
    """The target as the real training rows and the holdout allow it to be measured."""
    names = [spec.name for spec in real.schema.released]
    if task.target not in names:
        return NotMeasured(reason=f'the target "{task.target}" is not a released column')
    unknown = [name for name in task.features if name not in names]
    if unknown:
        return NotMeasured(reason=f"the task's features {unknown} are not released columns")
    features = task.features or tuple(name for name in names if name != task.target)
    features = tuple(name for name in features if name != task.target)
    if not features:
        return NotMeasured(reason="the table has no column to predict the target from")
    spec = real.schema.column(task.target)
    if not spec.kind.coded:
        return _numeric_target(task.target, features, real, holdout)
    counts = {
        level: min(_units_with(real, task.target, level), _units_with(holdout, task.target, level))
        for level in dict.fromkeys((*real[task.target].levels, *holdout[task.target].levels))
    }
    classes = [level for level, count in counts.items() if count >= FEWEST_IN_CLASS]
    if len(classes) < 2:
        return NotMeasured(
            reason=(
                f"{len(classes)} class(es) of the target have at least {FEWEST_IN_CLASS} units both in the real training "
                "rows and in the holdout; two are needed"
            ),
            needed=2 * FEWEST_IN_CLASS,
        )
    classes.sort(key=lambda level: -_units_with(real, task.target, level))
    return Target(name=task.target, features=features, classes=tuple(classes))


def _numeric_target(
    name: str, features: tuple[str, ...], real: Table, holdout: Table
) -> Target | NotMeasured:
    for table, what in ((real, "real training rows"), (holdout, "holdout")):
        column = table[name]
        units = len(np.unique(table.units[column.present]))
        if units < FEWEST_UNITS:
            return NotMeasured(
                reason=f"{units} units of the {what} have the target (at least {FEWEST_UNITS})",
                needed=FEWEST_UNITS,
            )
        if np.ptp(column.values[column.present].astype(np.float64)) == 0:
            return NotMeasured(reason=f"the target has one value only in the {what}")
    values = real[name].values[real[name].present].astype(np.float64)
    skewed = float(values.min()) >= 0 and float(values.mean()) > SKEWED * float(np.median(values))
    return Target(name=name, features=features, classes=(), logarithm=skewed)


def _units_with(table: Table, name: str, level: str) -> int:
    column = table[name]
    if level not in column.levels:
        return 0
    return len(np.unique(table.units[column.present & (column.values == column.levels.index(level))]))


# ---------------------------------------------------------------------------------------------- fitting


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A model fitted on one table; predicts for any table of the schema."""

    family: Family
    target: Target
    encoding: Encoding
    model: Any
    trained_on: Table

    def predict(self, table: Table) -> FloatArray:
        """Probabilities (n, classes) in the target's order, or values (n,)."""
        if self.family is Family.LINEAR:
            matrix = self.encoding.linear(table, self.trained_on)
        else:
            matrix = self.encoding.trees(table)
        if not self.target.classes:
            return np.asarray(self.model.predict(matrix), dtype=np.float64)
        found = np.zeros((len(table), len(self.target.classes)))
        found[:, self.model.classes_] = self.model.predict_proba(matrix)
        return found


def thin(table: Table, rows: int, rng: np.random.Generator) -> Table:
    """All rows, or those of as many randomly chosen units as hold about `rows` rows."""
    if len(table) <= rows:
        return table
    units = np.unique(table.units)
    keep = max(1, int(len(units) * rows / len(table)))
    return table.take_units(rng.choice(units, size=keep, replace=False))


def fit(family: Family, target: Target, train: Table, encoding: Encoding, seed: int) -> Fit | NotMeasured:
    """Fit one family on the usable rows of `train`. One class, or fewer than `FEWEST_UNITS` units: not measured."""
    usable = target.usable(train)
    units = usable.n_units
    if units < FEWEST_UNITS:
        return NotMeasured(reason=f"{units} units to train on (at least {FEWEST_UNITS})", needed=FEWEST_UNITS)
    outcome = target.outcome(usable)
    if len(np.unique(outcome)) < 2:
        return NotMeasured(reason="the training rows have one value of the target only")
    model = _FAMILIES[family](bool(target.classes), encoding, seed)
    matrix = encoding.linear(usable, usable) if family is Family.LINEAR else trainable(encoding.trees(usable))
    with warnings.catch_warnings():
        # A linear model that stops before full convergence still predicts; its score says how well.
        warnings.simplefilter("ignore")
        model.fit(matrix, outcome)
    if family is Family.RANDOM_FOREST:
        # Threads add up the trees' votes as they finish; in one thread the last digit is the same each time.
        model.set_params(n_jobs=1)
    return Fit(family=family, target=target, encoding=encoding, model=model, trained_on=usable)


def encoding_for(target: Target, tables: Sequence[Table]) -> Encoding:
    """The encoding of the target's features for all these tables (the real training table first)."""
    return lay_encoding(tables, target.features)


def _boosting(classify: bool, encoding: Encoding, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
    return kind(
        max_iter=100,
        learning_rate=0.1,
        max_leaf_nodes=15,
        min_samples_leaf=20,
        l2_regularization=1.0,
        early_stopping=False,
        categorical_features=encoding.categorical,
        random_state=seed,
    )


def _linear(classify: bool, encoding: Encoding, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge

    del encoding
    return LogisticRegression(C=1.0, max_iter=200, random_state=seed) if classify else Ridge(alpha=1.0)


def _forest(classify: bool, encoding: Encoding, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    del encoding
    kind = RandomForestClassifier if classify else RandomForestRegressor
    return kind(
        n_estimators=100, min_samples_leaf=5, max_features=0.4, max_samples=0.6, n_jobs=-1, random_state=seed
    )


_FAMILIES: Mapping[Family, Callable[[bool, Encoding, int], Any]] = MappingProxyType(
    {Family.GRADIENT_BOOSTING: _boosting, Family.LINEAR: _linear, Family.RANDOM_FOREST: _forest}
)
