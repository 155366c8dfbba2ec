"""Near matches, each cell by what it is worth: sees copies whose numbers were blurred.

For each person the synthetic rows are found with the greatest sums of bits: an equal category is worth −log₂ of its frequency
in the release; a number within a reach h is worth −log₂ of the share of the release that lies within h, for four reaches
from "equal" to 0.15 robust ranges. Distance alone weighs a rare profession like a common one, and a tight match of six
numbers like a loose one. The score is how far the best row stands out from what chance alone comes to. That is read off twice:
off the `RIVAL`-th best row of the release, more exactly than off a few hundred strangers; and, where there are strangers, off
the best of them, whom nobody can have repeated: a record of which the release holds ten, or a thousand, near copies has no
rival among them, and stands out from every stranger. The lower of both counts, strangers moved up to the rivals' height in the median.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, Leak, MembershipAttack
from attacks.bench import F64, Bench
from attacks.distances import graded_match
from attacks.encoding import F32, MISSING_BASE
from release.protocols import Progress, no_progress

REACHES = (1e-6, 0.02, 0.06, 0.15)
"""In robust ranges (5 % to 95 %), each about a third of a standard deviation per 0.1."""
CATEGORY_REACH = 0.5
RIVAL = 9
"""The row of the release that the best one is compared with: sharp for records that were repeated up to eight times."""


def cell_worth(bench: Bench) -> tuple[F32, F32]:
    """(grades, d) reaches and (grades, d, rows) bits of each target cell, by the candidate (the first of a chain)."""
    if bench.base is not None:
        return cell_worth(bench.base)
    return bench.once("cell_worth", lambda: _cell_worth(bench))


def best_bits(bench: Bench, progress: Progress = no_progress) -> F32:
    """(rows, RIVAL) bits of the best synthetic rows of each target row, best first; -1 where there are fewer."""

    def compute() -> F32:
        reach, weights = cell_worth(bench)
        rows = bench.targets.rows
        if bench.base is not None and bench.added is not None:
            both = best_bits(bench.base, progress), graded_match(rows, bench.added, reach, weights, RIVAL)
            return -np.sort(-np.concatenate(both, axis=1), axis=1)[:, :RIVAL]
        return graded_match(rows, bench.synthetic, reach, weights, RIVAL, progress)

    return bench.once("graded_synthetic", compute)


def stranger_bits(bench: Bench) -> F32 | None:
    """(rows,) bits of the best matching reference row of each target row; None without a reference."""
    if bench.base is not None:
        return stranger_bits(bench.base)
    reference = bench.reference
    if reference is None:
        return None
    reach, weights = cell_worth(bench)
    return bench.once(
        "graded_reference",
        lambda: graded_match(bench.targets.rows, reference, reach, weights)[:, 0],
    )


def _cell_worth(bench: Bench) -> tuple[F32, F32]:
    rows, synthetic, numeric = bench.targets.rows, bench.synthetic, bench.encoding.numeric
    d = len(numeric)
    reach = np.full((len(REACHES), d), CATEGORY_REACH, np.float32)
    exact = bench.cell_weights()
    weights = np.repeat(exact[None], len(REACHES), axis=0).astype(np.float32)
    for column in np.flatnonzero(numeric):
        reach[:, column] = REACHES
        ordered = np.sort(synthetic.values[column])
        x = rows.values[column]
        present = x < MISSING_BASE
        for grade, width in enumerate(REACHES):
            inside = np.searchsorted(ordered, x + width, "right") - np.searchsorted(
                ordered, x - width, "left"
            )
            bits = -np.log2((inside + 0.5) / (len(ordered) + 0.5))
            weights[grade, column, present] = bits[present]
    return reach, np.ascontiguousarray(np.maximum(weights, 0.0))


def _score(bench: Bench, progress: Progress) -> F64 | None:
    bits = best_bits(bench, progress).astype(np.float64)
    best, chance = bits[:, 0], bits[:, -1]
    strangers = stranger_bits(bench)
    if strangers is not None:
        # The reference is smaller than the release (its best row is worse): moved up, so that neither is always the lower.
        chance = np.minimum(chance, strangers + np.median(chance - strangers))
    return bench.targets.per_unit(best - chance)


ATTACK = MembershipAttack(
    name="near_match",
    summary=(
        "Looks for the synthetic row that resembles a person in the most telling way: rare values and tight numbers count more. "
        "If people whose data were used find more telling likenesses than others, their records shine through."
    ),
    adversary=Adversary(
        goal="tell whether a known person was in the data, from a blurred copy",
        knowledge="none of the generator",
        data="the person's record, the release, and some other people's records",
    ),
    paper="a likelihood-ratio form of nearest record matching (Fellegi and Sunter 1969's agreement weights)",
    score=_score,
    answers_for=(Leak.VERBATIM,),
    answers_jointly=True,
)
