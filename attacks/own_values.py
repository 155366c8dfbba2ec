"""Values that one target unit alone has, and the candidate has not: what a leak of single cells can be planted with.

Nothing here knows of members or controls.
"""

from __future__ import annotations

import numpy as np

from attacks.bench import Bench
from attacks.encoding import I64

FEWEST = 10
"""Such units of each arm: of fewer, no planted number shows at p ≤ .01 when as many controls are not reached (2⁻⁷, and some are missed)."""


def own_cells(bench: Bench) -> tuple[I64, I64]:
    """For each unit one column in which it has such a value, and a target row that holds it: (U,), (U,); -1 where it has none.

    Asked of a bench with planted rows, it answers for the candidate without them. A unit's column is drawn among its own.
    """
    if bench.base is not None:
        return own_cells(bench.base)

    def compute() -> tuple[I64, I64]:
        targets = bench.targets
        columns, rows = (np.full(len(targets.is_member), -1, np.int64) for _ in range(2))
        draws = bench.stream("own values").random((len(targets.rows.codes), len(columns)))
        best = np.full(len(columns), np.inf)
        for column, codes in enumerate(targets.rows.codes):
            # One cell per unit and value: a value that one unit has in many rows is still that unit's alone.
            held, row = np.unique(np.stack([codes.astype(np.int64), targets.unit]), axis=1, return_index=True)
            _, first, units = np.unique(held[0], return_index=True, return_counts=True)
            alone = first[units == 1]
            alone = alone[~np.isin(held[0, alone], bench.synthetic.codes[column])]
            # A unit may have several such values in this column: any will do.
            unit = held[1, alone]
            better = draws[column, unit] < best[unit]
            columns[unit[better]], rows[unit[better]] = column, row[alone[better]]
            best[unit] = np.minimum(best[unit], draws[column, unit])
        return columns, rows

    return bench.once("own cells", compute)


def enough(bench: Bench) -> bool:
    """Whether a leak of such values can be planted, and compared with controls that have such values too."""
    own, member = own_cells(bench)[0] >= 0, bench.targets.is_member
    return min(int(own[member].sum()), int(own[~member].sum())) >= FEWEST
