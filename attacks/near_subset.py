"""Rare sets of equal cells: the only simple score that sees partial copying.

For each person the synthetic row is found that shares the rarest cells with them; the score is how improbable that set
of equal cells is under a tree model of the release (bits), less what choosing among so many sets is worth. With a
reference, less the same for the best matching stranger.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, Leak, MembershipAttack
from attacks.bench import F64, Bench
from attacks.distances import Matches, best_match
from attacks.encoding import Encoded
from release.protocols import Progress, no_progress
from release.records import Exhibit


def matched_bits(bench: Bench, matches: Matches, base: Encoded) -> F64:
    """(rows,) bits of evidence in each target row's best match: tree bits less what choosing among so many sets is worth."""
    rows = bench.targets.rows
    if not base.n_rows:
        return np.zeros(rows.n_rows)
    same = rows.codes == base.codes[:, np.maximum(matches.index, 0)]
    bits = bench.match_bits(same)
    matched = same.sum(axis=0)
    return np.asarray(bits - choices(rows.codes.shape[0], matched) - BEYOND_PAIRS * matched, np.float64)


BEYOND_PAIRS = 0.25
"""Bits taken off for each matched column: dependencies beyond pairs make long matches likelier than a tree says."""


def choices(d: int, k: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> F64:
    """log₂ of the number of subsets of k among d columns."""
    from scipy.special import gammaln

    return np.asarray((gammaln(d + 1) - gammaln(k + 1) - gammaln(d - k + 1)) / np.log(2.0), np.float64)


def synthetic_bits(bench: Bench, progress: Progress = no_progress) -> F64:
    """(rows,) `matched_bits` against the candidate, once per bench."""
    return bench.once(
        "synthetic_bits", lambda: matched_bits(bench, bench.match_synthetic(progress), bench.synthetic)
    )


def reference_bits(bench: Bench) -> F64 | None:
    """(rows,) the same against the reference; None without one."""
    if bench.base is not None:
        return reference_bits(bench.base)
    reference = bench.reference
    if reference is None:
        return None
    return bench.once(
        "reference_bits",
        lambda: matched_bits(
            bench, best_match(bench.targets.rows, reference, bench.cell_weights()), reference
        ),
    )


def _score(bench: Bench, progress: Progress) -> F64 | None:
    bits = synthetic_bits(bench, progress)
    strangers = reference_bits(bench)
    return bench.targets.per_unit(bits if strangers is None else bits - strangers)


def _explain(bench: Bench) -> tuple[Exhibit, ...]:
    from attacks.explain import matched_columns

    return matched_columns("near_subset", bench)


ATTACK = MembershipAttack(
    name="near_subset",
    summary=(
        "Looks for the synthetic row that repeats the rarest combination of a person's values, in whichever columns. "
        "If people whose data were used find rarer repetitions than others, parts of their records were copied."
    ),
    adversary=Adversary(
        goal="tell whether a known person was in the data, from a partial copy",
        knowledge="none of the generator",
        data="the person's record, the release, and some other people's records",
    ),
    paper="column-subset near match; tree model after Chow and Liu 1968",
    score=_score,
    explain=_explain,
    answers_for=(Leak.VERBATIM, Leak.PARTIAL_COLUMNS),
    answers_jointly=True,
)
