"""Quasi-identifier linkage: look a person up by what is known of them, and read off the secret.

The synthetic rows that agree with the person on every declared quasi-identifier are found, and their most frequent value
of the sensitive column is the guess; where none agrees, the row nearest in the quasi-identifiers gives it. Reported per
sensitive column as the rate for members minus the rate for controls: what holds for controls too is knowledge about
everybody. One row per unit, its first. `attacks.memorised` looks for the group of which most is known.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, Attack
from attacks.bench import Bench, Bool
from attacks.distances import nearest, row_hashes
from attacks.encoding import I64, Encoded
from attacks.inference import differences, equal_enough, one_row_each, places, secrets
from attacks.memorised import METRIC as WORST_GROUP
from attacks.memorised import worst_groups
from release.data.schema import Role
from release.protocols import Progress
from release.records import Evidence, NotMeasured, ProbeReport

NAME = "qi_linkage"


def quasi_identifiers(bench: Bench) -> I64:
    """Column numbers of the declared quasi-identifiers."""
    names = [column.name for column in bench.arena.members.schema.with_role(Role.QUASI_IDENTIFIER)]
    return np.array([bench.encoding.names.index(name) for name in names], np.int64)


def linked_secrets(bench: Bench) -> I64:
    """The secrets that quasi-identifiers can be linked to: those that are none themselves."""
    return np.setdiff1d(places(bench), quasi_identifiers(bench))


def right_guesses(bench: Bench) -> Bool:
    """(linked secrets, U) whether the secret read off the linked synthetic rows is the person's."""

    def compute() -> Bool:
        known, targets = quasi_identifiers(bench), one_row_each(bench)
        nearest_row = np.maximum(nearest(targets, bench.synthetic, 1, known).index[:, 0], 0)
        return np.stack(
            [_right(bench, int(column), targets, known, nearest_row) for column in linked_secrets(bench)]
        )

    return bench.once("linked_secrets", compute)


def _right(bench: Bench, column: int, targets: Encoded, known: I64, fallback: I64) -> Bool:
    row, found = most_frequent(bench.synthetic, targets, known, column)
    chosen = np.where(found, row, fallback)
    return equal_enough(
        bench,
        column,
        (targets.codes[column], targets.values[column].astype(np.float64)),
        (bench.synthetic.codes[column, chosen], bench.synthetic.values[column, chosen].astype(np.float64)),
    )


def most_frequent(base: Encoded, targets: Encoded, known: I64, column: int) -> tuple[I64, Bool]:
    """For each target a row of `base` with its `known` cells and the most frequent value of `column` among such rows.

    Returns row numbers (m,) and whether there is any such row (m,). Equally frequent: the smallest code.
    """
    keys, wanted = row_hashes(base.codes[known]), row_hashes(targets.codes[known])
    order = np.lexsort((base.codes[column], keys))
    sorted_keys, sorted_codes = keys[order], base.codes[column][order]
    starts = np.flatnonzero(
        np.r_[True, (sorted_keys[1:] != sorted_keys[:-1]) | (sorted_codes[1:] != sorted_codes[:-1])]
    )
    counts = np.diff(np.r_[starts, len(order)])
    # Runs of one (key, value); the longest run of each key comes first, then the smallest code.
    best = np.lexsort((starts, -counts, sorted_keys[starts]))
    run_keys = sorted_keys[starts][best]
    first = np.flatnonzero(np.r_[True, run_keys[1:] != run_keys[:-1]])
    unique_keys, rows = run_keys[first], order[starts[best[first]]]
    where = np.minimum(np.searchsorted(unique_keys, wanted), len(unique_keys) - 1)
    return rows[where].astype(np.int64), np.asarray(unique_keys[where] == wanted)


def why_not(bench: Bench) -> NotMeasured | None:
    """What is missing for linking by quasi-identifiers; None where nothing is."""
    if not len(quasi_identifiers(bench)):
        return NotMeasured(reason="the schema declares no quasi-identifier to link on")
    if not len(linked_secrets(bench)):
        return NotMeasured(
            reason="every sensitive column is a quasi-identifier itself: there is nothing left to learn"
        )
    if not (bench.targets.n_members and bench.targets.n_controls and bench.synthetic.n_rows):
        return NotMeasured(reason="members, controls and synthetic rows are all needed", needed=1)
    return None


def _run(bench: Bench, progress: Progress) -> ProbeReport:
    missing = why_not(bench)
    if missing is not None:
        return ProbeReport(
            evidence=tuple(
                Evidence(probe=NAME, metric=metric, subject=name, outcome=missing)
                for name in secrets(bench.arena.members.schema)
                for metric in ("risk_difference", WORST_GROUP)
            )
        )
    progress(0.1, "linking by quasi-identifiers")
    names = tuple(bench.encoding.names[column] for column in linked_secrets(bench))
    right = right_guesses(bench)
    report = differences(NAME, bench, names, right, "the quasi-identifiers")
    progress(0.7, "looking into groups")
    worst, table = worst_groups(NAME, bench, quasi_identifiers(bench), names, right)
    return ProbeReport(evidence=(*report.evidence, *worst), exhibits=(*report.exhibits, table))


ATTACK = Attack(
    name=NAME,
    summary=(
        "Looks a person up in the release by age, sex, place and the like, and reads the sensitive value off the rows found. "
        "If it is right more often for people whose data were used, all of them or one group, the release discloses secrets of known people."
    ),
    adversary=Adversary(
        goal="learn a sensitive value of a person known by quasi-identifiers",
        knowledge="none of the generator",
        data="the person's quasi-identifiers, and the release",
    ),
    paper="Sweeney 2002 for linkage; WP216 for the comparison with controls",
    run=_run,
)
