"""Inference: knowing all of a person's columns but one, can the release tell the last?

The nearest synthetic row by all the other columns gives the guess (anonymeter, 2211.10459, 1-nearest neighbour). A
category is right when equal; a number within 5 % of the guess's size, a date within 5 % of the robust range; a missing cell
when the guess is missing in the same way. Reported per sensitive column: the rate for members minus the rate for
controls, and R; among many columns the lower end of one passes zero by chance, so lower ends hold jointly. One row per unit (its first), because the best of several rows would be right by chance too often.

Where the schema names no sensitive column, every column that is no quasi-identifier is taken for one.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from attacks.attack import Adversary, Attack
from attacks.bench import F64, Bench, Bool
from attacks.distances import Neighbours, nearest_without
from attacks.encoding import I32, I64, Encoded
from attacks.explain import bare_risk, risk_without, some_of_each_arm
from attacks.risks import excess_risk, joint_level, jointly_low, power_loss, rate_difference
from release.data.schema import ColumnKind, Role, Schema
from release.protocols import Progress, no_progress
from release.records import Evidence, Exhibit, NotMeasured, ProbeReport

NAME = "inference"
TOLERANCE = 0.05
JOINTLY = " The lower end holds jointly over {among:,} columns: an effect must be {times:.2f} times as large to show as in one alone."


def secrets(schema: Schema) -> tuple[str, ...]:
    """The columns whose values are guessed."""
    declared = tuple(column.name for column in schema.with_role(Role.SENSITIVE))
    known = {column.name for column in schema.with_role(Role.QUASI_IDENTIFIER)}
    others = tuple(column.name for column in schema.released if column.name not in known)
    return declared or others or tuple(column.name for column in schema.released)


def places(bench: Bench) -> I64:
    """Column numbers of the secrets."""
    return np.array(
        [bench.encoding.names.index(name) for name in secrets(bench.arena.members.schema)], np.int64
    )


def one_row_each(bench: Bench) -> Encoded:
    """The first row of each target unit, in the order of the units."""
    if bench.base is not None:
        return one_row_each(bench.base)
    return bench.once(
        "one_row", lambda: bench.targets.rows.take(np.unique(bench.targets.unit, return_index=True)[1])
    )


def right_guesses(bench: Bench, progress: Progress = no_progress) -> Bool:
    """(secrets, U) whether the nearest synthetic row by all other columns tells the secret."""

    def compute() -> Bool:
        found = _nearest(bench, progress)
        targets = one_row_each(bench)
        return np.stack(
            [
                is_right(bench, int(column), targets, guess_rows(bench.synthetic, found.index[:, place]))
                for place, column in enumerate(places(bench))
            ]
        )

    return bench.once("right_guesses", compute)


def guess_rows(base: Encoded, index: I64) -> Encoded:
    """The rows of these numbers."""
    return base.take(np.maximum(index, 0))


def is_right(bench: Bench, column: int, truth: Encoded, guess: Encoded) -> Bool:
    """(m,) whether the guessed cells of a column tell the true ones."""
    return equal_enough(
        bench,
        column,
        (truth.codes[column], truth.values[column].astype(np.float64)),
        (guess.codes[column], guess.values[column].astype(np.float64)),
    )


def equal_enough(bench: Bench, column: int, truth: tuple[I32, F64], guess: tuple[I32, F64]) -> Bool:
    """The same for bare cells, as (codes, values)."""
    same = truth[0] == guess[0]
    encoding = bench.encoding
    if not encoding.numeric[column]:
        return np.asarray(same)
    end = encoding.missing_from[column]
    both = (truth[0] < end) & (guess[0] < end)
    kind = bench.arena.members.schema.column(encoding.names[column]).kind
    low, width = encoding.low[column], encoding.width[column]
    distance = np.abs(truth[1] - guess[1]) * width
    if kind in {ColumnKind.DATE, ColumnKind.DATETIME}:
        allowed = np.full(len(distance), TOLERANCE * width)
    else:
        allowed = TOLERANCE * np.abs(low + width * guess[1])
    # Half a part in a million of the range absorbs the rounding of float32 cells.
    return np.asarray(same | (both & (distance <= allowed + 5e-7 * width)))


def _nearest(bench: Bench, progress: Progress) -> Neighbours:
    def compute() -> Neighbours:
        targets, left_out = one_row_each(bench), places(bench)
        if bench.base is not None and bench.added is not None:
            near, mine = _nearest(bench.base, progress), nearest_without(targets, bench.added, left_out)
            better = mine.distance < near.distance - 1e-5
            return Neighbours(
                np.where(better, mine.distance, near.distance),
                np.where(better, mine.index + bench.base.synthetic.n_rows, near.index),
            )
        return nearest_without(targets, bench.synthetic, left_out, progress)

    return bench.once("nearest_without", compute)


def _run(bench: Bench, progress: Progress) -> ProbeReport:
    names = secrets(bench.arena.members.schema)
    targets = bench.targets
    if len(bench.encoding.names) < 2:
        return _nothing(
            names, NotMeasured(reason="a table of one column gives the attacker nothing to go by")
        )
    if not targets.n_members or not targets.n_controls or not bench.synthetic.n_rows:
        reason = f"{targets.n_members:,} members, {targets.n_controls:,} controls, {bench.synthetic.n_rows:,} synthetic rows"
        return _nothing(names, NotMeasured(reason=f"{reason}: all three are needed", needed=1))
    right = right_guesses(bench, progress)
    report = differences(NAME, bench, names, right, "all other columns")
    more = _counterfactual(bench, names, right)
    return ProbeReport(evidence=report.evidence, exhibits=(*report.exhibits, *more))


def _counterfactual(bench: Bench, names: tuple[str, ...], right: Bool) -> tuple[Exhibit, ...]:
    """For the secret that leaks most surely: its excess risk when the attacker lacks one more column. Nothing where none leaks."""
    member = bench.targets.is_member
    n, m = bench.targets.n_members, bench.targets.n_controls
    sure = [rate_difference(int(hits[member].sum()), n, int(hits[~member].sum()), m).low for hits in right]
    worst = int(np.argmax(sure))
    if sure[worst] <= 0 or len(bench.encoding.names) < 3:
        return ()
    secret = int(places(bench)[worst])
    units = some_of_each_arm(bench)
    part, mine = one_row_each(bench).take(units), member[units]
    known = np.setdiff1d(np.arange(len(bench.encoding.names)), [secret])
    found = nearest_without(part, bench.synthetic, known, columns=known)
    left = []
    for place, column in enumerate(known.tolist()):
        hits = is_right(bench, secret, part, guess_rows(bench.synthetic, found.index[:, place]))
        left.append((bench.encoding.names[column], bare_risk(hits[mine], hits[~mine])))
    now = right[worst][units]
    risk = bare_risk(now[mine], now[~mine])
    return risk_without(
        NAME,
        f'inferring "{names[worst]}"',
        risk,
        left,
        "on the units tried for this, the column unknown to the attacker",
    )


def differences(probe: str, bench: Bench, names: tuple[str, ...], right: Bool, by: str) -> ProbeReport:
    """Evidence and bars of right guesses (secrets, U), per secret; lower ends hold jointly over the secrets."""
    member = bench.targets.is_member
    evidence: list[Evidence] = []
    bars = []
    for name, hits in zip(names, right, strict=True):
        counts = int(hits[member].sum()), int(member.sum()), int(hits[~member].sum()), int((~member).sum())
        joint = JOINTLY.format(among=len(names), times=power_loss(joint_level(len(names))))
        figures = (
            ("risk_difference", jointly_low(partial(rate_difference, *counts), len(names))),
            ("excess_risk", jointly_low(partial(excess_risk, *counts), len(names))),
        )
        evidence.extend(
            Evidence(
                probe=probe,
                metric=metric,
                subject=name,
                outcome=outcome,
                note=f"Guessing this column from {by}: right for members, beyond right for controls.{joint if len(names) > 1 else ''}",
            )
            for metric, outcome in figures
        )
        bars.append({"what": name, "members": counts[0] / counts[1], "controls": counts[2] / counts[3]})
    worst = max(bars, key=lambda bar: float(str(bar["members"])) - float(str(bar["controls"])))
    exhibit = Exhibit(
        probe=probe,
        title=f"Secrets guessed from {by}",
        kind="bars",
        takeaway=(
            f'Largest gap: "{worst["what"]}", right for {worst["members"]:.1%} of members and {worst["controls"]:.1%} of controls. '
            "What holds for controls too is knowledge about everybody, not a leak."
        ),
        data={"bars": bars},
    )
    return ProbeReport(evidence=tuple(evidence), exhibits=(exhibit,))


def _nothing(names: tuple[str, ...], outcome: NotMeasured) -> ProbeReport:
    return ProbeReport(
        evidence=tuple(
            Evidence(probe=NAME, metric=metric, subject=name, outcome=outcome)
            for name in names
            for metric in ("risk_difference", "excess_risk")
        )
    )


ATTACK = Attack(
    name=NAME,
    summary=(
        "Knows all of a person's columns but one and takes the last from the most similar synthetic record. "
        "If it is right more often for people whose data were used, the release tells things about them in particular."
    ),
    adversary=Adversary(
        goal="learn a sensitive value of a known person",
        knowledge="none of the generator",
        data="all other columns of the person, and the release",
    ),
    paper="WP216; anonymeter 2211.10459",
    run=_run,
)
