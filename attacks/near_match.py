"""Near matches, each cell by what it is worth: sees copies whose numbers were blurred.

For each person the synthetic row is found with the greatest sum of bits: an equal category is worth −log₂ of its frequency
in the release; a number within a reach h is worth −log₂ of the share of the release that lies within h, for four reaches
from "equal" to 0.4 robust ranges. Distance alone weighs a rare profession like a common one, and a tight match of six
numbers like a loose one. With a reference, less the same for the best matching stranger.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, Leak, MembershipAttack
from attacks.bench import F64, Bench
from attacks.distances import Matches, graded_match
from attacks.encoding import F32, MISSING_BASE
from release.protocols import Progress, no_progress

REACHES = (1e-6, 0.02, 0.06, 0.15)
"""In robust ranges (5 % to 95 %), each about a third of a standard deviation per 0.1."""
CATEGORY_REACH = 0.5


def cell_worth(bench: Bench) -> tuple[F32, F32]:
    """(grades, d) reaches and (grades, d, rows) bits of each target cell, by the candidate (the first of a chain)."""
    if bench.base is not None:
        return cell_worth(bench.base)
    return bench.once("cell_worth", lambda: _cell_worth(bench))


def best_bits(bench: Bench, progress: Progress = no_progress) -> Matches:
    """The best synthetic row of each target row, by bits."""

    def compute() -> Matches:
        reach, weights = cell_worth(bench)
        rows = bench.targets.rows
        if bench.base is not None and bench.added is not None:
            mine = graded_match(rows, bench.added, reach, weights)
            return best_bits(bench.base, progress).merged(mine, bench.base.synthetic.n_rows)
        return graded_match(rows, bench.synthetic, reach, weights, progress)

    return bench.once("graded_synthetic", compute)


def _strangers(bench: Bench) -> F64 | None:
    if bench.base is not None:
        return _strangers(bench.base)
    reference = bench.reference
    if reference is None:
        return None

    def compute() -> F64:
        reach, weights = cell_worth(bench)
        return graded_match(bench.targets.rows, reference, reach, weights).score.astype(np.float64)

    return bench.once("graded_reference", compute)


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
    bits = best_bits(bench, progress).score.astype(np.float64)
    strangers = _strangers(bench)
    return bench.targets.per_unit(bits if strangers is None else bits - strangers)


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
)
