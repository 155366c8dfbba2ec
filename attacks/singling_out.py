"""Singling out: predicates that fit exactly one unit of the release, do they fit exactly one real person?

Univariate predicates are extreme and unique values of one column; multivariate ones are conjunctions over 3, 5, 8 or
half of the columns of a random synthetic row (in a large release three columns isolate hardly anybody), numbers as "at least" above the median and "at most" below (the query generators of anonymeter,
2211.10459, Cohen and Nissim 1904.06009). Each is tried on member and control tables of equal numbers of units: unequal
ones bias the excess. Where the whole release gives hardly any predicates, samples of it of the arms' size give
more: a predicate that isolates in 2,000 units need not isolate in 50,000. R rests on the predicates really made, counted as
fewer where many of them hit the same unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from attacks.attack import Adversary, Attack
from attacks.bench import Bench, Bool
from attacks.distances import in_threads
from attacks.encoding import I32, I64, Encoded
from attacks.explain import bare_risk, risk_without
from attacks.risks import excess_p_value, paired_excess_risk
from release.protocols import Progress
from release.records import Evidence, Exhibit, Measured, NotMeasured, ProbeReport

NAME = "singling_out"
MOST = {"univariate": 20_000, "multivariate": 2_000}
"""Predicates of each kind: univariate ones cost little, and a large release has many."""
WIDTHS = (3, 5, 8)
"""Columns of a multivariate predicate, each for a part of the predicates, beside half of all columns."""
FEWEST_QUERIES = 1_000
"""Below this, samples of the release of the arms' size are asked too: R ≤ .09 cannot be shown with a few hundred guesses."""
BATCH = 4_000
FEWEST_BATCHES = 3
MOST_BATCHES = 25
SAMPLES = 24
HIGHEST = np.iinfo(np.int32).max


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Conjunctions of conditions low ≤ code ≤ high.

    Attributes:
        columns: (q, c), -1 where a query has fewer conditions. lows, highs: (q, c).
    """

    columns: I64
    lows: I32
    highs: I32

    def __len__(self) -> int:
        return len(self.columns)

    def take(self, which: npt.NDArray[np.generic]) -> Queries:
        """Those given by indices or a mask."""
        return Queries(self.columns[which], self.lows[which], self.highs[which])

    def joined(self, other: Queries) -> Queries:
        """Both, each different query once, in order of first appearance."""
        columns = np.concatenate([self.columns, other.columns])
        lows, highs = np.concatenate([self.lows, other.lows]), np.concatenate([self.highs, other.highs])
        key = np.concatenate([columns, lows, highs], axis=1)
        first = np.sort(np.unique(key, axis=0, return_index=True)[1]) if len(key) else np.zeros(0, np.intp)
        return Queries(columns[first], lows[first], highs[first])

    def singled_out(self, table: SortedTable) -> Bool:
        """(q,) True where exactly one unit of the table has a row that fits."""
        return np.asarray(self.whom(table) >= 0)

    def whom(self, table: SortedTable) -> I64:
        """(q,) the one unit of the table that has a row that fits; -1 where none or several have."""
        from attacks import kernels

        who = np.full(len(self), -1, np.int64)

        def part(start: int, stop: int) -> None:
            kernels.only_unit(
                table.rows.codes,
                table.rows.units,
                table.order,
                table.ordered,
                self.columns[start:stop],
                self.lows[start:stop],
                self.highs[start:stop],
                who[start:stop],
            )

        in_threads(len(self), part)
        return who


@dataclass(frozen=True, slots=True, eq=False)
class SortedTable:
    """A table with each column's rows in the order of its codes.

    Attributes:
        rows: the table. order: (d, n) row numbers. ordered: (d, n) sorted codes.
    """

    rows: Encoded
    order: I32
    ordered: I32

    @classmethod
    def of(cls, rows: Encoded) -> SortedTable:
        """Sort every column."""
        order = np.argsort(rows.codes, axis=1, kind="stable").astype(np.int32)
        return cls(rows, order, np.take_along_axis(rows.codes, order, axis=1))


def univariate(table: SortedTable, missing_from: I64, numeric: Bool) -> Queries:
    """Conditions on one column that single out in the table: unique values, and the ends of numbers."""
    columns, lows, highs = [], [], []
    for column, codes in enumerate(table.rows.codes):
        values, counts = np.unique(codes, return_counts=True)
        for value in values[counts == 1].tolist():
            columns.append(column)
            lows.append(value)
            highs.append(value)
        present = values[values < missing_from[column]]
        if numeric[column] and len(present):
            columns.extend([column, column])
            lows.extend([0, int(present[-1])])
            highs.extend([int(present[0]), int(missing_from[column]) - 1])
    made = Queries(
        np.array(columns, np.int64).reshape(-1, 1),
        np.array(lows, np.int32).reshape(-1, 1),
        np.array(highs, np.int32).reshape(-1, 1),
    )
    return made.take(made.singled_out(table))


def multivariate(
    table: SortedTable,
    missing_from: I64,
    numeric: Bool,
    wanted: int,
    rng: np.random.Generator,
    widths: tuple[int, ...] | None = None,
) -> Queries:
    """Up to `wanted` conjunctions over so many columns of random rows that single out in the table."""
    d, n = table.rows.codes.shape
    usable = (*WIDTHS, d // 2) if widths is None else widths
    width = min(max(usable), d)
    made = Queries(
        np.zeros((0, width), np.int64), np.zeros((0, width), np.int32), np.zeros((0, width), np.int32)
    )
    medians = np.array(
        [
            np.median(codes[codes < end]) if is_number and (codes < end).any() else 0.0
            for codes, end, is_number in zip(table.rows.codes, missing_from, numeric, strict=True)
        ]
    )
    for done in range(1, MOST_BATCHES + 1):
        rows = rng.integers(n, size=BATCH)
        columns = np.sort(np.argsort(rng.random((BATCH, d)), axis=1)[:, :width], axis=1)
        # Shorter predicates keep a random part of their columns, which come first; -1 stands for no condition.
        keep = np.minimum(rng.choice(usable, size=BATCH), width)[:, None] > np.argsort(
            rng.random((BATCH, width)), axis=1
        )
        first = np.argsort(~keep, axis=1, kind="stable")
        columns, keep = np.take_along_axis(columns, first, 1), np.take_along_axis(keep, first, 1)
        codes = table.rows.codes[columns, rows[:, None]]
        ranged = numeric[columns] & (codes < missing_from[columns])
        above = codes > medians[columns]
        batch = Queries(
            np.where(keep, columns, -1).astype(np.int64),
            np.where(keep, np.where(ranged & ~above, 0, codes), 0).astype(np.int32),
            np.where(keep, np.where(ranged & above, missing_from[columns] - 1, codes), 0).astype(np.int32),
        )
        made = made.joined(batch.take(batch.singled_out(table)))
        hopeless = done >= FEWEST_BATCHES and len(made) / done < wanted / MOST_BATCHES / 10
        if len(made) >= wanted or hopeless:
            break
    return made.take(np.arange(min(len(made), wanted)))


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Predicates that single out, in numbers that stand for independent ones.

    Many predicates may single out the same unit (a row of twenty unique amounts): the unit's membership is one toss of a
    coin, not twenty. Numbers are divided by Kish's design effect Σh²/Σh, h the predicates that hit each unit.

    Attributes:
        predicates: asked. members, controls: that single out there. both: in both. design_effect: 1 or more.
    """

    predicates: int
    members: int
    controls: int
    both: int
    design_effect: float

    @classmethod
    def of(cls, members: I64, controls: I64) -> Count:
        """From whom they single out."""
        hit = np.concatenate([members[members >= 0], controls[controls >= 0]])
        times = np.unique(hit, return_counts=True)[1].astype(np.float64)
        return cls(
            predicates=len(members),
            members=int((members >= 0).sum()),
            controls=int((controls >= 0).sum()),
            both=int(((members >= 0) & (controls >= 0)).sum()),
            design_effect=float((times**2).sum() / times.sum()) if len(times) else 1.0,
        )

    def risk(self) -> Measured:
        """The excess risk R; each predicate was tried on both arms."""
        of = self.design_effect
        found = paired_excess_risk(
            self.both / of,
            (self.members - self.both) / of,
            (self.controls - self.both) / of,
            self.predicates / of,
        )
        return replace(found, trials=self.predicates)

    def p_value(self) -> float:
        """One-sided p of "members are singled out no more often"."""
        if not self.predicates:
            return 1.0
        n = self.predicates / self.design_effect
        return excess_p_value(self.members / self.design_effect, n, self.controls / self.design_effect, n)


def _queries(bench: Bench, mode: str, most: int) -> Queries:
    rng = bench.stream(f"{NAME}:{mode}")
    encoding = bench.encoding

    def from_table(rows: Encoded, wanted: int) -> Queries:
        table = SortedTable.of(rows)
        if mode == "univariate":
            return univariate(table, encoding.missing_from, encoding.numeric)
        return multivariate(table, encoding.missing_from, encoding.numeric, wanted, rng)

    found = from_table(bench.synthetic, most)
    size = min(bench.targets.n_members, bench.targets.n_controls)
    for _ in range(SAMPLES):
        if len(found) >= min(most, FEWEST_QUERIES) or size >= bench.synthetic.n_rows:
            break
        sample = bench.synthetic.take(np.sort(rng.choice(bench.synthetic.n_rows, size, replace=False)))
        found = found.joined(from_table(sample, most - len(found)))
    if len(found) > most:
        found = found.take(np.sort(rng.choice(len(found), most, replace=False)))
    return found


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
    evidence, bars = [], []
    more: list[Exhibit] = []
    for done, mode in enumerate(("univariate", "multivariate")):
        progress(done / 2, f"{mode} predicates")
        outcome, shares = _measure(bench, mode)
        evidence.append(
            Evidence(
                probe=NAME,
                metric="excess_risk",
                subject=mode,
                outcome=outcome,
                note="Excess risk R of a predicate that fits one synthetic record fitting exactly one real person.",
            )
        )
        if shares:
            bars.append({"what": mode, "members": shares[0], "controls": shares[1]})
        if isinstance(outcome, Measured) and outcome.low > 0:
            more.extend(_counterfactual(bench, mode))
    exhibit = Exhibit(
        probe=NAME,
        title="Predicates from the release that fit exactly one real person",
        kind="bars",
        takeaway="Members above controls: what is unique in the release is unique because somebody's data made it so.",
        data={"bars": bars},
    )
    return ProbeReport(evidence=tuple(evidence), exhibits=(exhibit, *more) if bars else ())


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


def _measure(bench: Bench, mode: str) -> tuple[Measured | NotMeasured, tuple[float, float] | None]:
    size = min(bench.targets.n_members, bench.targets.n_controls)
    if not size or not bench.synthetic.n_rows:
        reason = f"{bench.targets.n_members:,} members, {bench.targets.n_controls:,} controls, {bench.synthetic.n_rows:,} rows"
        return NotMeasured(reason=f"{reason}: all three are needed", needed=1), None
    count = Count.of(*whom(bench, mode))
    n = count.predicates
    if not n:
        # No predicate, no guess: this attacker cannot single anybody out, and that is a measured zero.
        return Measured(estimate=0.0, low=0.0, high=0.0, trials=0), None
    return count.risk(), (count.members / n, count.controls / n)


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
