"""What is planted: rows of known members, leaked as asked.

Verbatim, nearly verbatim (once or a dozen times), the most isolated members verbatim, 60 % of the columns, the quasi-identifiers
and secrets of those with the rarest quasi-identifiers, or one value each that nobody else has.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attacks import inference, linkability, qi_linkage
from attacks.attack import Leak
from attacks.bench import Bench
from attacks.encoding import Encoded
from attacks.own_values import own_cells
from attacks.vulnerable import isolation

NEAR_SHIFT = 0.1
REPEATED = 12
"""Near copies of one member, each moved by itself: more than the rivals that a nearest row is compared with at the sharpest."""
MEMORISED = 8
"""Rows with a unit's memorised quasi-identifiers and secrets: what is learnt by heart is repeated."""
TIMES = {Leak.REPEATED: REPEATED, Leak.SUBGROUP_SECRET: MEMORISED}
"""How many rows are planted for each row of a leaked unit, where it is more than one."""


def plant(bench: Bench, leak: Leak, units: npt.NDArray[np.int64]) -> Encoded:
    """The rows of these member units, leaked as asked."""
    rng = bench.stream(f"plant:{leak}")
    if leak is Leak.OWN_VALUE:
        return _own_values(bench, units, rng)
    rows = np.flatnonzero(np.isin(bench.targets.unit, units))
    if leak in TIMES:
        rows = np.repeat(rows, TIMES[leak])
    leaked = bench.targets.rows.take(rows)
    values, codes = leaked.values.copy(), leaked.codes.copy()
    if leak in {Leak.NEAR_COPY, Leak.REPEATED}:
        _blur(bench, values, codes, rng)
    elif leak in {Leak.PARTIAL_COLUMNS, Leak.SUBGROUP_SECRET}:
        fillers = rng.integers(bench.synthetic.n_rows, size=len(rows))
        other = _not_copied(bench) if leak is Leak.PARTIAL_COLUMNS else _not_memorised(bench)
        values[other] = bench.synthetic.values[np.ix_(other, fillers)]
        codes[other] = bench.synthetic.codes[np.ix_(other, fillers)]
    return Encoded(values, codes, leaked.units)


def _own_values(bench: Bench, units: npt.NDArray[np.int64], rng: np.random.Generator) -> Encoded:
    """The candidate's rows with one cell each of these members: a value that no other target and no row of the candidate has."""
    columns, rows = (cells[units] for cells in own_cells(bench))
    fillers = bench.synthetic.take(rng.integers(bench.synthetic.n_rows, size=len(units)))
    values, codes = fillers.values.copy(), fillers.codes.copy()
    values[columns, np.arange(len(units))] = bench.targets.rows.values[columns, rows]
    codes[columns, np.arange(len(units))] = bench.targets.rows.codes[columns, rows]
    return Encoded(values, codes, bench.targets.rows.units[rows])


def _not_copied(bench: Bench) -> npt.NDArray[np.int64]:
    """The 40 % of columns that a partial copy leaves out: every second and fourth of five, most informative first."""
    left = [column for rank, column in enumerate(linkability.by_entropy(bench)) if rank % 5 in {1, 3}]
    return np.array(left, np.int64)


def _not_memorised(bench: Bench) -> npt.NDArray[np.int64]:
    """The columns that are neither quasi-identifiers nor secrets."""
    kept = np.concatenate([qi_linkage.quasi_identifiers(bench), qi_linkage.linked_secrets(bench)])
    return np.setdiff1d(np.arange(len(bench.encoding.names)), kept)


def leak_order(bench: Bench, leak: Leak) -> npt.NDArray[np.int64]:
    """Member units in the order in which they are leaked: all of them, or those that have what is leaked."""
    members = np.flatnonzero(bench.targets.is_member)
    if leak is Leak.ISOLATED:
        return members[np.argsort(-isolation(bench)[members], kind="stable")]
    if leak is Leak.SUBGROUP_SECRET:
        # The subgroup: those with the rarest quasi-identifiers, whom a generator could memorise.
        bits = bench.tree.cell_bits(inference.one_row_each(bench))[qi_linkage.quasi_identifiers(bench)]
        return members[np.argsort(-bits.sum(axis=0)[members], kind="stable")]
    if leak is Leak.OWN_VALUE:
        members = members[own_cells(bench)[0][members] >= 0]
    return bench.stream(f"units:{leak}").permutation(members)


def _blur(
    bench: Bench, values: npt.NDArray[np.float32], codes: npt.NDArray[np.int32], rng: np.random.Generator
) -> None:
    """Numbers move by 0.1 standard deviations; where none does, one cell of the row is taken from another row."""
    n = values.shape[1]
    moved = np.zeros(n, bool)
    for column in np.flatnonzero(bench.encoding.numeric):
        every = bench.targets.rows.values[column]
        present = every < 1e5
        spread = float(np.std(np.clip(every[present], -10, 10))) if present.any() else 0.0
        here = (values[column] < 1e5) & (spread > 0)
        values[column, here] += rng.normal(0.0, NEAR_SHIFT * spread, int(here.sum())).astype(np.float32)
        codes[column, here] = -1
        moved |= here
    for place in np.flatnonzero(~moved):
        column = int(rng.integers(len(values)))
        other = int(rng.integers(bench.synthetic.n_rows))
        values[column, place] = bench.synthetic.values[column, other]
        codes[column, place] = bench.synthetic.codes[column, other]
