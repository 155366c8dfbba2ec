"""α-precision and β-recall: is the release inside the real data's typical region, and does it fill that region?

Rules: after Alaa et al. (2102.08921, sections 2-3) with the plain embedding of their code (scaled columns, one-hot levels, no
network): the α-support of a sample is the ball round its centre that holds α of it. P(α) is the share of synthetic rows in the
real α-support; R(β) the share of real rows that have a synthetic row of the synthetic β-support no farther than their nearest
other real row. Each is summed up as 1 − 2 ∫ |P(α) − α| dα: 1 is perfect. Also `authenticity`: the share of synthetic rows that lie
farther from their nearest real row than that row lies from its own nearest real neighbour; a release that copies has little of it.
At most `ROWS` rows a side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from release.data.table import Table
from release.protocols import Arena, Progress, no_progress
from release.quality.features import Encoding, FloatArray, lay_encoding
from release.quality.ground import Findings, Part, Pen, at_mix, over_parts, within
from release.quality.intervals import bootstrap_weights, measured, too_few
from release.quality.models import thin
from release.quality.threads import one_thread
from release.records import Exhibit, ProbeReport

ROWS = 4_000
REPEATS = 60
LEVELS = np.linspace(0.0, 1.0, 31)
_METRICS = ("alpha_precision", "beta_recall", "authenticity")

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """What the three figures are made of; all distances are Euclidean in the embedding.

    Attributes:
        real_radius: each real row's distance from the real centre, (n,).
        synthetic_radius: each synthetic row's distance from the real centre, (m,).
        covered_from: for each real row the least β at which a synthetic row of the β-support lies close enough, (n,);
            above 1 where there is none.
        authentic: whether each synthetic row is no copy, (m,).
    """

    real_radius: FloatArray
    synthetic_radius: FloatArray
    covered_from: FloatArray
    authentic: BoolArray


def geometry(real: FloatArray, synthetic: FloatArray) -> Geometry:
    """Distances between real (n, d) and synthetic (m, d) rows. Memory n × m in blocks."""
    from sklearn.neighbors import NearestNeighbors

    centre, other = real.mean(axis=0), synthetic.mean(axis=0)
    spacing = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(real).kneighbors(real)[0][:, 1]
    nearest, which = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(real).kneighbors(synthetic)
    radius = np.linalg.norm(synthetic - other, axis=1)
    # β at which a synthetic row enters the synthetic β-support: its rank among the radii.
    enters = (np.searchsorted(np.sort(radius), radius, side="right")) / len(radius)
    covered = np.full(len(real), 2.0)
    squares = (synthetic**2).sum(axis=1)
    for start in range(0, len(real), 500):
        block = real[start : start + 500]
        distance = np.sqrt(
            np.maximum((block**2).sum(axis=1)[:, None] + squares - 2 * block @ synthetic.T, 0.0)
        )
        near = distance <= spacing[start : start + 500, None] + 1e-9
        covered[start : start + 500] = np.where(near, enters, 2.0).min(axis=1)
    return Geometry(
        real_radius=np.linalg.norm(real - centre, axis=1),
        synthetic_radius=np.linalg.norm(synthetic - centre, axis=1),
        covered_from=covered,
        authentic=np.asarray(nearest[:, 0] > spacing[which[:, 0]]),
    )


def precision_curve(found: Geometry, real_weights: FloatArray, synthetic_weights: FloatArray) -> FloatArray:
    """P(α) at `LEVELS` under row weights."""
    order = np.argsort(found.real_radius)
    cumulated = np.cumsum(real_weights[order]) / real_weights.sum()
    place = np.minimum(np.searchsorted(cumulated, LEVELS - 1e-12), len(order) - 1)
    radii = np.where(LEVELS > 0, found.real_radius[order][place], -1.0)
    ranked = np.argsort(found.synthetic_radius)
    mass = np.concatenate([[0.0], np.cumsum(synthetic_weights[ranked])]) / synthetic_weights.sum()
    return np.asarray(mass[np.searchsorted(found.synthetic_radius[ranked], radii + 1e-12, side="right")])


def recall_curve(found: Geometry, real_weights: FloatArray) -> FloatArray:
    """R(β) at `LEVELS` under row weights of the real rows."""
    order = np.argsort(found.covered_from)
    mass = np.concatenate([[0.0], np.cumsum(real_weights[order])]) / real_weights.sum()
    return np.asarray(mass[np.searchsorted(found.covered_from[order], LEVELS + 1e-12, side="right")])


def summed(curve: FloatArray) -> float:
    """1 − 2 ∫ |curve(α) − α| dα."""
    gap = np.abs(curve - LEVELS)
    return float(1.0 - (gap[1:] + gap[:-1]) @ np.diff(LEVELS))


@dataclass(frozen=True, slots=True)
class Coverage:
    """The `coverage` probe."""

    name: str = "coverage"
    summary: str = (
        "Looks at rows as points: does the release stay where real rows are (α-precision), and does it reach everywhere where they are "
        "(β-recall)? Low recall means that kinds of people are absent."
    )

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """The three figures for the whole table and every slice, and the curves of the whole."""
        fresh = at_mix(arena.controls, arena.weights, repeat=False)
        return over_parts(
            arena,
            "distances between rows",
            progress,
            lambda part: _measure_part(part, fresh, rng),
            repeat=False,
        )


COVERAGE = Coverage()


def _measure_part(part: Part, fresh: Table, rng: np.random.Generator) -> Findings:
    pen = Pen(COVERAGE.name)
    few = too_few(part.real.n_units, part.synthetic.n_units)
    if few is not None:
        return Findings(evidence=pen.none(_METRICS, part.subject, few.reason, few.needed))
    held_out = within(fresh, part.subject)
    # Recall grows with the number of synthetic rows: both are measured at the size of the reference, where there is one.
    enough = too_few(held_out.n_units) is None
    size = min(ROWS, len(part.synthetic), len(held_out) if enough else ROWS)
    sides = (thin(part.real, ROWS, rng), thin(part.synthetic, size, rng))
    encoding = lay_encoding(sides, tuple(part.real.columns))
    points = [encoding.linear(side, sides[0]) for side in sides]
    if float(points[0].std(axis=0).max()) == 0.0:
        return Findings(evidence=pen.none(_METRICS, part.subject, "every real row is the same"))
    with one_thread():
        found = geometry(*points)
        reference = _reference(held_out, encoding, sides[0], points[0], size, rng) if enough else {}
    plain = [np.ones(len(side)) for side in sides]
    curves = (precision_curve(found, *plain), recall_curve(found, plain[0]))
    draws = zip(
        (row for block in bootstrap_weights(sides[0].units, REPEATS, rng) for row in block),
        (row for block in bootstrap_weights(sides[1].units, REPEATS, rng) for row in block),
        strict=True,
    )
    repeats = np.array(
        [
            (
                summed(precision_curve(found, a, b)),
                summed(recall_curve(found, a)),
                float(b @ found.authentic / b.sum()),
            )
            for a, b in draws
        ]
    )
    estimates = (summed(curves[0]), summed(curves[1]), float(found.authentic.mean()))
    trials = min(side.n_units for side in sides)
    evidence = [
        pen(
            metric,
            part.subject,
            measured(value, float(error), trials, least=0.0, most=1.0),
            _against(reference.get(metric)),
        )
        for metric, value, error in zip(_METRICS, estimates, repeats.std(axis=0, ddof=1), strict=True)
    ]
    return Findings(
        evidence=evidence, exhibits=() if part.subject else (_picture(estimates, reference, curves),)
    )


def _against(reference: tuple[int, float] | None) -> str:
    if reference is None:
        return "too few held-out real rows for a reference"
    return f"{reference[0]} held-out real rows score {reference[1]:.3f}"


def _reference(
    controls: Table,
    encoding: Encoding,
    fitted_on: Table,
    real: FloatArray,
    size: int,
    rng: np.random.Generator,
) -> dict[str, tuple[int, float]]:
    """(rows, score) by metric of as many held-out real rows in the release's place."""
    fresh = thin(controls, size, rng)
    found = geometry(real, encoding.linear(fresh, fitted_on))
    plain = (np.ones(len(real)), np.ones(len(fresh)))
    values = (
        summed(precision_curve(found, *plain)),
        summed(recall_curve(found, plain[0])),
        float(found.authentic.mean()),
    )
    return {metric: (len(fresh), value) for metric, value in zip(_METRICS, values, strict=True)}


def _picture(
    estimates: tuple[float, float, float],
    reference: Mapping[str, tuple[int, float]],
    curves: tuple[FloatArray, FloatArray],
) -> Exhibit:
    beside = [
        f" (held-out real rows {reference[metric][1]:.2f})" if metric in reference else ""
        for metric in _METRICS[:2]
    ]
    return Exhibit(
        probe=COVERAGE.name,
        title="α-precision and β-recall curves",
        kind="lines",
        takeaway=(
            f"For staying where real rows are, the release scores {estimates[0]:.2f}{beside[0]}; for reaching all of them, "
            f"{estimates[1]:.2f}{beside[1]}."
        ),
        data={
            "x": LEVELS.tolist(),
            "x_label": "share of the support (α, β)",
            "y_label": "share of rows inside",
            "series": {
                "α-precision": curves[0].tolist(),
                "β-recall": curves[1].tolist(),
                "perfect": LEVELS.tolist(),
            },
        },
    )
