"""The price of privacy: the release beside a non-private generator's table of the same rows, figure by figure.

Rules: both are measured by the same probes against the same real rows and the same holdout; beside them stand what chance alone would show
(the noise floor, or the model trained on real rows) and a table whose columns know nothing of each other. The price is the release's
figure less the baseline's, signed so that above 0 is worse for the release; its interval adds both errors as if they were independent, which is
on the safe side because they share the real rows. A baseline is no upper bound: a private generator may do better than a
poor non-private one, and then the price is below 0.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from release.data.table import Table
from release.protocols import Arena, Probe, Progress, no_progress
from release.quality.ground import Pen, real_table
from release.quality.intervals import Z, measured
from release.quality.references import FULL, INDEPENDENT, headlines, independent_columns
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport

PROBE = "price"
RELEASE = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One figure of the comparison.

    Attributes:
        metric: as its probe has it.
        words: for people.
        loss: turns the figure into one of which 0 is perfect and more is worse.
        perfect: the figure at which nothing is lost, in words.
    """

    metric: str
    words: str
    loss: Callable[[float], float]
    perfect: str


def _as_it_is(value: float) -> float:
    return value


HEADLINES: tuple[Headline, ...] = (
    Headline(metric="tvd_1way_mean", words="distance of columns", loss=_as_it_is, perfect="the noise floor"),
    Headline(metric="tvd_2way_mean", words="distance of pairs", loss=_as_it_is, perfect="the noise floor"),
    Headline(metric="tvd_3way_mean", words="distance of triples", loss=_as_it_is, perfect="the noise floor"),
    Headline(
        metric="association_difference_mean",
        words="change of associations",
        loss=_as_it_is,
        perfect="chance alone",
    ),
    Headline(
        metric="outlier_rate_ratio",
        words="outlier rate, release over real",
        loss=lambda value: abs(math.log(max(value, 1e-9))),
        perfect="1",
    ),
    Headline(
        metric="two_sample_auc",
        words="told from real rows (AUC)",
        loss=lambda value: abs(value - 0.5),
        perfect="0.5",
    ),
    Headline(
        metric="loss", words="loss of a model against one trained on real rows", loss=_as_it_is, perfect="0"
    ),
)


def price_of_privacy(
    arena: Arena,
    baseline: Table,
    name: str,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    *,
    probes: Sequence[Probe] = FULL,
) -> ProbeReport:
    """Headline figures of the release (without its mix, if it has one), of `baseline` and of independent columns; the price of each.

    Evidence: each headline metric by subject "release", the baseline's `name` and "independent columns"; metric "<headline>_price" with
    the baseline's name, in units of the figure (of the outlier ratio: of its logarithm).
    """
    plain = dataclasses.replace(arena, weights={}, unweighted=None)
    release = arena.unweighted if arena.unweighted is not None else arena.synthetic
    real = real_table(plain)
    tables = {
        RELEASE: release,
        name: baseline,
        INDEPENDENT: independent_columns(real, len(release), rng),
    }
    pen = Pen(PROBE)
    found: dict[tuple[str, str], Evidence] = {}
    for number, (subject, table) in enumerate(tables.items()):
        progress(number / len(tables), f"measuring {subject}")
        for item in headlines(plain, table, rng, probes=probes):
            found[item.metric, subject] = pen(item.metric, subject, item.outcome, item.note)
    prices = [price for headline in HEADLINES for price in _price(pen, headline, name, found)]
    return ProbeReport(
        evidence=(*found.values(), *prices),
        exhibits=_picture(name, found, {item.metric: item for item in prices}),
    )


def _price(
    pen: Pen, headline: Headline, name: str, found: Mapping[tuple[str, str], Evidence]
) -> tuple[Evidence, ...]:
    items = [found.get((headline.metric, subject)) for subject in (RELEASE, name)]
    metric = f"{headline.metric}_price"
    outcomes = [item.outcome if item is not None else NotMeasured(reason="no such figure") for item in items]
    for outcome, whose in zip(outcomes, (RELEASE, name), strict=True):
        if isinstance(outcome, NotMeasured):
            return pen.none((metric,), name, f"{whose}: {outcome.reason}", outcome.needed)
    one, two = (outcome for outcome in outcomes if isinstance(outcome, Measured))
    error = math.hypot(_error(headline, one), _error(headline, two))
    gap = headline.loss(one.estimate) - headline.loss(two.estimate)
    note = f"above 0: privacy costs something; nothing lost is {headline.perfect}"
    return (pen(metric, name, measured(gap, error, min(one.trials, two.trials)), note),)


def _error(headline: Headline, figure: Measured) -> float:
    """The larger half-width of the figure's loss, as a standard error."""
    middle = headline.loss(figure.estimate)
    return max(abs(headline.loss(end) - middle) for end in (figure.low, figure.high)) / Z


def _picture(
    name: str, found: Mapping[tuple[str, str], Evidence], prices: Mapping[str, Evidence]
) -> tuple[Exhibit, ...]:
    rows: list[list[str | float | None]] = []
    dearest: tuple[float, str, Measured] | None = None
    for headline in HEADLINES:
        price = prices[f"{headline.metric}_price"].outcome
        if isinstance(price, NotMeasured):
            continue
        values = [
            _estimate(found.get((headline.metric, subject))) for subject in (RELEASE, name, INDEPENDENT)
        ]
        rows.append([headline.words, headline.perfect, *values, price.estimate, price.low, price.high])
        if dearest is None or price.estimate > dearest[0]:
            dearest = (price.estimate, headline.words, price)
    if dearest is None:
        return ()
    _, words, price = dearest
    ends = f"{price.estimate:+.3f} ({price.low:+.3f} to {price.high:+.3f})"
    if price.low > 0:
        takeaway = f"Privacy costs most in the {words}: {ends}."
    elif price.high < 0:
        takeaway = f"Privacy costs nothing in any of these figures: the release is better than {name} throughout, by the least in the {words}: {ends}."
    else:
        takeaway = f"No cost of privacy could be shown; the nearest to one is the {words}: {ends}."
    return (
        Exhibit(
            probe=PROBE,
            title=f"The release beside {name}, which has no privacy",
            kind="table",
            takeaway=takeaway,
            data={
                "columns": [
                    "figure",
                    "nothing lost",
                    "release",
                    name,
                    "independent columns",
                    "price",
                    "at least",
                    "at most",
                ],
                "rows": rows,
            },
        ),
    )


def _estimate(item: Evidence | None) -> float | None:
    return item.outcome.estimate if item is not None and isinstance(item.outcome, Measured) else None
