"""SDMetrics' Diagnostic and Quality reports, as its users know them. The only file of `release` that imports SDMetrics.

Rules: scores are SDMetrics' own, overall and by property; intervals are a delete-a-group jackknife over `GROUPS` groups of units (SDMetrics gives
none). Its scores average over columns with NaN dropped; here a property it cannot score is `NotMeasured`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from release.data.schema import ColumnKind, Schema
from release.data.table import Table
from release.protocols import Arena, Progress, no_progress
from release.quality.ground import Pen, at_mix, compared
from release.quality.intervals import measured, too_few
from release.quality.models import thin
from release.records import Measured, NotMeasured, ProbeReport

if TYPE_CHECKING:
    import pandas as pd

GROUPS = 5
ROWS = 50_000
CELLS = 600_000
"""Most rows, and most cells, that SDMetrics gets of either table."""
_METRICS = ("quality_score", "diagnostic_score")


@dataclass(frozen=True, slots=True)
class SdMetrics:
    """The `sdmetrics` probe."""

    name: str = "sdmetrics"
    summary: str = (
        "The Diagnostic and Quality reports of the SDMetrics library, for those who know their scores. They are averages over columns and pairs and "
        "hide the worst one: read the marginals first."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Overall scores and the scores of each property."""
        pen = Pen(self.name)
        real, synthetic = compared(arena), arena.synthetic
        few = too_few(real.n_units, synthetic.n_units)
        if few is not None:
            return ProbeReport(evidence=pen.none(_METRICS, "", few.reason, few.needed))
        rows = min(ROWS, CELLS // max(len(real.columns), 1))
        sides = (thin(real, rows, rng), thin(synthetic, rows, rng))
        progress(0.1, "reports on all rows")
        plain = reports(*sides)
        fresh = self._reference(sides[0], thin(at_mix(arena.controls, arena.weights), len(sides[1]), rng))
        folds = [_folds(table, rng) for table in sides]
        left_out = []
        for group in range(GROUPS):
            progress((group + 2) / (GROUPS + 2), f"group {group + 1} of {GROUPS} left out")
            left_out.append(
                reports(
                    *(
                        table.take(np.flatnonzero(fold != group))
                        for table, fold in zip(sides, folds, strict=True)
                    )
                )
            )
        trials = min(table.n_units for table in sides)
        evidence = []
        for metric, value in plain.items():
            others = np.array([found[metric] for found in left_out])
            error = float(np.sqrt((GROUPS - 1) / GROUPS * ((others - others.mean()) ** 2).sum()))
            figure: Measured | NotMeasured = measured(value, error, trials, least=0.0, most=1.0)
            if isinstance(figure, NotMeasured):
                figure = NotMeasured(reason="SDMetrics gives no score for these tables")
            evidence.append(pen(metric, "", figure, fresh.get(metric, "1 is SDMetrics' best")))
        return ProbeReport(evidence=tuple(evidence))

    @staticmethod
    def _reference(real: Table, fresh: Table) -> dict[str, str]:
        """What held-out real rows score in the release's place, as a note by metric; nothing where they are too few."""
        if too_few(fresh.n_units) is not None:
            return {}
        return {
            metric: f"{len(fresh)} held-out real rows score {value:.3f}"
            for metric, value in reports(real, fresh).items()
            if np.isfinite(value)
        }


SDMETRICS = SdMetrics()


def _folds(table: Table, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int64]]:
    _, place = np.unique(table.units, return_inverse=True)
    return np.asarray(rng.permutation(int(place.max()) + 1)[place] % GROUPS)


def reports(real: Table, synthetic: Table) -> dict[str, float]:
    """Scores of both reports; NaN where SDMetrics gives none."""
    frames = (frame(real), frame(synthetic))
    with warnings.catch_warnings():
        # SDMetrics warns of constant columns and of its own pandas use; what it cannot score comes back as NaN.
        warnings.simplefilter("ignore")
        from sdmetrics.reports.single_table import DiagnosticReport, QualityReport

        found: dict[str, float] = {}
        for metric, kind in (("quality_score", QualityReport), ("diagnostic_score", DiagnosticReport)):
            report = kind()
            report.generate(*frames, metadata(real.schema), verbose=False)
            found[metric] = float(report.get_score())
            for _, row in report.get_properties().iterrows():
                name = str(row["Property"]).lower().replace(" ", "_")
                found[name] = float(row["Score"])
    return found


def metadata(schema: Schema) -> dict[str, Any]:
    """SDMetrics' metadata of the released columns."""
    kinds = {ColumnKind.BOOLEAN: "categorical", ColumnKind.DATE: "datetime", ColumnKind.DATETIME: "datetime"}
    columns = {}
    for spec in schema.released:
        kind = "categorical" if spec.kind.coded else kinds.get(spec.kind, "numerical")
        columns[spec.name] = {"sdtype": kind}
    return {"columns": columns}


def frame(table: Table) -> pd.DataFrame:
    """The table as SDMetrics wants it: strings, floats and datetimes, missing as None, NaN and NaT."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for spec in table.schema.released:
        column = table[spec.name]
        if spec.kind.coded:
            levels = np.array([*column.levels, None], dtype=object)
            columns[spec.name] = levels[column.values.astype(np.int64)]  # -1, missing, is the last: None
        elif spec.kind in {ColumnKind.DATE, ColumnKind.DATETIME}:
            unit = "D" if spec.kind is ColumnKind.DATE else "s"
            moments = column.values.astype(f"datetime64[{unit}]").astype("datetime64[ns]")
            moments[~column.present] = np.datetime64("NaT")
            columns[spec.name] = moments
        else:
            columns[spec.name] = np.where(column.present, column.values.astype(np.float64), np.nan)
    return pd.DataFrame(columns)
