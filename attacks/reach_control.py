"""The test of singling out by people reached: does it reach the people who were planted?

Two kinds of predicates, two plants, since one kind is blind to the other's. Univariate: one value each that no other target and no row
of the candidate has, in rows that are otherwise the candidate's: no other attack has to see them. Multivariate: whole rows. People in whom
nothing was planted hide a leak in a share of all members, so the planted ones are held against the controls by themselves too (those
who also have a value of their own, for the first). In a candidate that leaks already planted rows may be second copies, which single
out nobody: there all members tell.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attacks import singling_out
from attacks.bench import Bench
from attacks.encoding import I64
from attacks.own_values import own_cells

ALL_MEMBERS = 0.1
"""Part of the error allowed that goes to the share of all members: the planted people by themselves tell more."""


def reach_p(mode: str) -> Callable[[Bench], float]:
    """The p-value of "members are reached no more often than controls", by predicates of this kind."""

    def p_value(bench: Bench) -> float:
        reach = singling_out.reach(bench, mode)
        if bench.added is None:
            return reach.p_value()
        planted = np.unique(bench.targets.unit[np.isin(bench.targets.rows.units, bench.added.units)])
        by_planted = reach.p_value(planted, _alike(bench, mode))
        return min(1.0, by_planted / (1 - ALL_MEMBERS), reach.p_value() / ALL_MEMBERS)

    return p_value


def _alike(bench: Bench, mode: str) -> I64:
    """Controls who could have been planted just so."""
    could = ~bench.targets.is_member
    return np.flatnonzero(could & (own_cells(bench)[0] >= 0) if mode == "univariate" else could)
