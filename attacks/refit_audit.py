"""The white-box audit of this very plan, in the `deep` suite: many small fits on worst-case tables of this schema.

`attacks.white_box` says how. The tables are made of the schema: units whose cells are all the first level or the lower
bound, and one unit that has the last level or the upper bound everywhere and as many rows as it may. Where a domain is
learnt, the levels that the members have are taken. Refitting touches no real rows and costs no budget.

The number of fits follows from the claim: a small μ takes many to see, up to `MOST_FITS`. `detectable` of the evidence is the
smallest factor of too little noise that these fits would have refuted with 80 % power.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, Attack
from attacks.bench import Bench
from attacks.white_box import Audit, AuditRuling, audit, detectable_ratio, fits_needed, gaussian_mu
from release.data.schema import OUTSIDE_LEVEL, ColumnSpec
from release.data.table import Column, Table
from release.errors import ReleaseError
from release.protocols import Progress
from release.records import Evidence, Measured, Mechanism, NotMeasured, ProbeReport

NAME = "white_box"
FEWEST_FITS = 200
MOST_FITS = 1_000
SAME_UNITS = 50


def worst_case(table: Table) -> tuple[Table, Table]:
    """Equal units, and the same with one unit that differs in every column and fills its bound."""
    rows = table.schema.unit.max_rows
    cells = np.r_[np.zeros(SAME_UNITS, bool), np.ones(rows, bool)]
    units = np.r_[np.arange(SAME_UNITS), np.full(rows, SAME_UNITS)].astype(np.int64)
    columns = {spec.name: _extreme(spec, table.columns[spec.name], cells) for spec in table.schema.released}
    both = Table(table.schema, columns, units)
    return both.take(np.flatnonzero(~cells)), both


def _extreme(
    spec: ColumnSpec, column: Column, last: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> Column:
    none = np.zeros(len(last), np.uint8)
    if spec.kind.coded:
        usable = [code for code, level in enumerate(column.levels) if level != OUTSIDE_LEVEL] or [0]
        return Column(np.where(last, usable[-1], usable[0]).astype(column.values.dtype), none, column.levels)
    low, high = spec.bounds or (0.0, 1.0)
    return Column(np.where(last, high, low).astype(column.values.dtype), none, ())


def _run(bench: Bench, progress: Progress) -> ProbeReport:
    refit = bench.arena.refit
    outcome: Measured | NotMeasured
    note = "Measured μ over the claimed μ: above 1 there is less noise than was accounted."
    if refit is None or refit.plan.cost is None:
        outcome = NotMeasured(
            reason="there is no private plan to refit (a table brought by hand, or a baseline)"
        )
    elif any(event.mechanism is Mechanism.POISSON_GAUSSIAN for event in refit.plan.cost.events):
        outcome = NotMeasured(
            reason="it trains by DP-SGD, whose noise does not pass through the source, and hundreds of fits would take"
            " hours; its steps are audited by its own tests"
        )
    else:
        try:
            fits = _fits(gaussian_mu(refit.plan.cost))
            found = audit(refit.plan, *worst_case(bench.arena.members), lambda: refit.noise, fits, progress)
        except ReleaseError as error:
            outcome = NotMeasured(reason=f"the plan cannot be fitted to the audit's tables: {error.fact}")
        else:
            outcome, note = _outcome(found), f"{note} {found.ruling.capitalize()}: {found.reason}."
    return ProbeReport(
        evidence=(Evidence(probe=NAME, metric="mu_over_claim", subject="", outcome=outcome, note=note),)
    )


def _fits(mu: float) -> int:
    return min(max(FEWEST_FITS, fits_needed(mu)), MOST_FITS) if mu > 0 else FEWEST_FITS


def _outcome(found: Audit) -> Measured | NotMeasured:
    if found.claimed <= 0:
        return NotMeasured(reason="the plan claims no Gaussian noise")
    if found.ruling is AuditRuling.NO_POWER:
        needed = fits_needed(found.claimed)
        more = f"; a claim this small takes about {needed:,} fits" if needed > found.fits else ""
        return NotMeasured(reason=f"{found.reason}{more}")
    estimate = found.estimate / found.claimed
    low = max(found.low / found.claimed, found.lengths_low / found.claimed_all)
    return Measured(
        estimate=max(estimate, low),
        low=low,
        high=max(2 * estimate - found.low / found.claimed, low, estimate),
        trials=found.fits,
        detectable=detectable_ratio(found.claimed, found.fits),
    )


ATTACK = Attack(
    name=NAME,
    summary=(
        "Fits the same plan many times to made-up tables that differ in one unit and watches its noise. "
        "If the two can be told apart more easily than the claim allows, the generator adds less noise than it says."
    ),
    adversary=Adversary(
        goal="refute the claimed privacy of the generator itself",
        knowledge="the plan, and all that it asks of its source of noise",
        data="none: made-up tables",
    ),
    paper="2405.10994, 2604.18352; Gaussian differential privacy 1905.02383",
    run=_run,
)
