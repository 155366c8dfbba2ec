"""Singling out: predicates that fit exactly one unit of the release, do they fit exactly one real person?

Univariate and multivariate ones (`attacks.predicates`; 2211.10459, Cohen and Nissim 1904.06009). Each is tried on member and
control tables of equal numbers of units: unequal ones bias the excess. Where the whole release gives hardly any predicates,
samples of it of the arms' size give more: a predicate that isolates in 2,000 units need not isolate in 50,000. R rests on the predicates really made, counted as
fewer where many of them hit the same unit. Beside it stand the R of the worst family of predicates, and the share of people whom
any of them singles out: guesses that hit nobody hide a leak in the one, and not in the others (`attacks.singled`).
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, Attack
from attacks.bench import Bench
from attacks.encoding import I64, Encoded
from attacks.explain import bare_risk, risk_without
from attacks.predicates import Queries, SortedTable, alike, multivariate, univariate
from attacks.singled import REACHED, WORST_FAMILY, Count, Reach, WorstFamily
from release.protocols import Progress
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport

NAME = "singling_out"
MODES = ("univariate", "multivariate")
MOST = {"univariate": 100_000, "multivariate": 8_000}
"""Predicates of each kind: univariate ones cost little, and a large release has many. With 2,000 multivariate ones a copy of 40 % of
500 people reaches too few of them to tell (z = 2.4 to 3.0 on meps and Adult; 4.6 to 5.8 with 8,000)."""
FEWEST_QUERIES = 1_000
"""Below this, samples of the release of the arms' size are asked too: R ≤ .09 cannot be shown with a few hundred guesses."""
SAMPLES = 100
DRY = 10
"""So many samples in a row that bring less than one new predicate for every hundred known end the search."""


def queries(bench: Bench, mode: str, most: int | None = None) -> Queries:
    """The attacker's predicates, from the release alone; at most so many (as `MOST` says where None)."""
    wanted = MOST[mode] if most is None else most
    return bench.once(("queries", mode, wanted), lambda: _queries(bench, mode, wanted))


def whom(bench: Bench, mode: str, most: int | None = None) -> tuple[I64, I64]:
    """For each predicate, the unit that it singles out among members, and among as many controls; -1 where none."""

    def compute() -> tuple[I64, I64]:
        arms = equal_arms(bench)
        asked = queries(bench, mode, most)
        return asked.whom(arms[0]), asked.whom(arms[1])

    return bench.once(("singled", mode, most), compute)


def reach(bench: Bench, mode: str) -> Reach:
    """Whom predicates of this kind single out in both arms."""
    members, controls = (np.unique(arm.rows.units) for arm in equal_arms(bench))
    return Reach(members=members, controls=controls, reached=np.unique(np.concatenate(whom(bench, mode))))


def _queries(bench: Bench, mode: str, most: int) -> Queries:
    rng = bench.stream(f"{NAME}:{mode}")
    encoding = bench.encoding

    def from_table(rows: Encoded, wanted: int, *, whole: bool) -> Queries:
        table = SortedTable.of(rows)
        if mode == "univariate":
            # Ends of samples are many, and nearly all of them hit the one person who is furthest out.
            ends = encoding.numeric if whole else np.zeros(len(encoding.numeric), bool)
            return univariate(table, encoding.missing_from, ends)
        return multivariate(table, encoding.missing_from, encoding.numeric, wanted, rng)

    found = from_table(bench.synthetic, most, whole=True)
    size, rows = min(bench.targets.n_members, bench.targets.n_controls), bench.synthetic.n_rows
    known = [len(found)]
    while len(known) <= SAMPLES and known[-1] < min(most, FEWEST_QUERIES) and size < rows:
        sample = bench.synthetic.take(np.sort(rng.choice(rows, size, replace=False)))
        found = found.joined(from_table(sample, most - len(found), whole=False))
        known.append(len(found))
        if len(known) > DRY and known[-1] <= 1.01 * known[-1 - DRY]:
            break
    return found if len(found) <= most else found.take(alike(found.columns[:, 0], most, rng))


def equal_arms(bench: Bench) -> tuple[SortedTable, SortedTable]:
    """As many member as control units, chosen once per bench."""
    if bench.base is not None:
        return equal_arms(bench.base)

    def compute() -> tuple[SortedTable, SortedTable]:
        rng = bench.stream(f"{NAME}:arms")
        targets = bench.targets
        size = min(targets.n_members, targets.n_controls)
        arms = []
        for arm in (targets.is_member, ~targets.is_member):
            kept = rng.choice(np.flatnonzero(arm), size, replace=False)
            rows = np.flatnonzero(np.isin(targets.unit, kept))
            part = targets.rows.take(rows)
            arms.append(SortedTable.of(Encoded(part.values, part.codes, targets.unit[rows])))
        return arms[0], arms[1]

    return bench.once("equal_arms", compute)


def _run(bench: Bench, progress: Progress) -> ProbeReport:
    evidence: list[Evidence] = []
    bars: list[dict[str, object]] = []
    more: list[Exhibit] = []
    for done, mode in enumerate(MODES):
        progress(done / len(MODES), f"{mode} predicates")
        if missing := _why_not(bench):
            evidence.extend(_evidence(metric, mode, missing) for metric in NOTES)
            continue
        found, tables = _measured(bench, mode)
        evidence.extend(found)
        more.extend(tables)
        count = Count.of(*whom(bench, mode))
        if n := count.predicates:
            bars.append({"what": mode, "members": count.members / n, "controls": count.controls / n})
            if count.risk().low > 0:
                more.extend(_counterfactual(bench, mode))
    exhibit = Exhibit(
        probe=NAME,
        title="Predicates from the release that fit exactly one real person",
        kind="bars",
        takeaway="Members above controls: what is unique in the release is unique because somebody's data made it so.",
        data={"bars": bars},
    )
    return ProbeReport(evidence=tuple(evidence), exhibits=(exhibit, *more) if bars else ())


NOTES = {
    "excess_risk": "Excess risk R of a predicate that fits one synthetic record fitting exactly one real person.",
    WORST_FAMILY: "The same R for the family of predicates where it is surest",
    REACHED: (
        "Share of members whom at least one predicate singles out, beyond the same share of controls. "
        "Unlike R it does not fall where more guesses are made that hit nobody."
    ),
}


def _evidence(metric: str, mode: str, outcome: Measured | NotMeasured, more: str = "") -> Evidence:
    return Evidence(probe=NAME, metric=metric, subject=mode, outcome=outcome, note=NOTES[metric] + more)


def _measured(bench: Bench, mode: str) -> tuple[list[Evidence], list[Exhibit]]:
    asked, (members, controls) = queries(bench, mode), whom(bench, mode)
    share = reach(bench, mode).share()
    if not len(asked):
        # No predicate, no guess: this attacker cannot single anybody out, and that is a measured zero.
        none = Measured(estimate=0.0, low=0.0, high=0.0, trials=0)
        return [
            _evidence("excess_risk", mode, none),
            _evidence(WORST_FAMILY, mode, none),
            _evidence(REACHED, mode, share),
        ], []
    worst = WorstFamily.of(asked, bench.encoding.names, members, controls)
    family = f": {worst.name}, of {worst.tried:,}; both ends at the level {worst.level:.4f}, which holds jointly over them."
    evidence = [
        _evidence("excess_risk", mode, Count.of(members, controls).risk()),
        _evidence(WORST_FAMILY, mode, worst.risk, family),
        _evidence(REACHED, mode, share),
    ]
    if worst.risk.low <= 0:
        return evidence, []
    table = Exhibit(
        probe=NAME,
        title=f"Families of {mode} predicates that single out members more than controls",
        kind="table",
        takeaway=f"Predicates {worst.name} single out with an excess risk of at least {worst.risk.low:.3f}.",
        data={
            "columns": ["predicates", "made", "fit one member", "fit one control", "R", "lower end"],
            "rows": worst.rows,
        },
    )
    return evidence, [table]


def _why_not(bench: Bench) -> NotMeasured | None:
    members, controls, rows = bench.targets.n_members, bench.targets.n_controls, bench.synthetic.n_rows
    if members and controls and rows:
        return None
    reason = f"{members:,} members, {controls:,} controls, {rows:,} synthetic rows: all three are needed"
    return NotMeasured(reason=reason, needed=1)


def _counterfactual(bench: Bench, mode: str) -> tuple[Exhibit, ...]:
    """R of the predicates that do without each column in turn."""
    asked, found = queries(bench, mode), whom(bench, mode)
    hits = found[0] >= 0, found[1] >= 0
    left = []
    for column, name in enumerate(bench.encoding.names):
        without = ~(asked.columns == column).any(axis=1)
        if without.any():
            left.append((name, bare_risk(hits[0][without], hits[1][without])))
    return risk_without(
        NAME,
        f"singling out by {mode} predicates",
        bare_risk(*hits),
        left,
        "by the predicates that do without it",
    )


ATTACK = Attack(
    name=NAME,
    summary=(
        "Makes descriptions that fit exactly one synthetic record and counts how often they fit exactly one real person. "
        "If that works better for people whose data were used than for others, the release lets them be singled out."
    ),
    adversary=Adversary(
        goal="describe exactly one person",
        knowledge="none of the generator",
        data="the release alone",
    ),
    paper="WP216; Cohen and Nissim 1904.06009; anonymeter 2211.10459",
    run=_run,
)
