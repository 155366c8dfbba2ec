"""The units that stand alone: those whose membership is easiest to tell, found without knowing who is a member.

Meeus and others, "Achilles' heels" (2306.10308): rank by the mean distance to the 5 nearest real records, 1 − cosine of
one-hot categories and of scaled numbers, weighted by their shares of columns. The pool is members, controls and
reference together, so that the ranking sees no coins. Per unit: its most isolated row.
"""

from __future__ import annotations

import numpy as np

from attacks.bench import F64, Bench, Bool
from attacks.distances import in_threads
from attacks.encoding import F32, MISSING_BASE

VULNERABLE = 300
"""Units of each arm."""
NEIGHBOURS = 5
NUMBER_CUT = 10.0
"""Numbers enter the cosine as robust ranges from the median, cut here."""


def isolation(bench: Bench) -> F64:
    """(U,) how far each unit's most isolated row lies from its nearest real records."""
    return bench.once("isolation", lambda: _isolation(bench)) if bench.base is None else isolation(bench.base)


def vulnerable(bench: Bench) -> Bool:
    """(U,) True for the 300 most isolated units of each arm (all, where an arm has fewer)."""
    lonely = isolation(bench)
    chosen = np.zeros(len(lonely), bool)
    for arm in (bench.targets.is_member, ~bench.targets.is_member):
        places = np.flatnonzero(arm)
        chosen[places[np.argsort(-lonely[places], kind="stable")[:VULNERABLE]]] = True
    return chosen


def _isolation(bench: Bench) -> F64:
    from attacks import kernels

    rows, unit = bench.targets.rows, bench.targets.unit
    numeric = bench.encoding.numeric
    numbers, codes = rows.values[numeric], rows.codes[~numeric]
    pool_unit = unit
    if bench.reference is not None:
        numbers = np.concatenate([numbers, bench.reference.values[numeric]], axis=1)
        codes = np.concatenate([codes, bench.reference.codes[~numeric]], axis=1)
        pool_unit = np.concatenate([unit, bench.reference.units + int(unit.max(initial=0)) + 1])
    numbers = _unit_norm(numbers)
    m = rows.n_rows
    result = np.empty(m)

    def part(start: int, stop: int) -> None:
        kernels.isolation(
            np.ascontiguousarray(numbers[:, start:stop]),
            np.ascontiguousarray(codes[:, start:stop]),
            float(numeric.mean()),
            np.ascontiguousarray(unit[start:stop]),
            numbers,
            codes,
            pool_unit,
            NEIGHBOURS,
            result[start:stop],
        )

    codes = np.ascontiguousarray(codes)
    in_threads(m, part)
    return bench.targets.per_unit(result)


def _unit_norm(values: F32) -> F32:
    if not values.size:
        return np.ascontiguousarray(values)
    present = values < MISSING_BASE
    centred = np.where(present, values, np.nan)
    middles = np.array(
        [np.median(row[ok]) if ok.any() else 0.0 for row, ok in zip(values, present, strict=True)]
    )
    centred = np.nan_to_num(np.clip(centred - middles[:, None], -NUMBER_CUT, NUMBER_CUT), nan=0.0)
    norm = np.sqrt((centred**2).sum(axis=0))
    return np.ascontiguousarray(centred / np.where(norm > 0, norm, 1.0), dtype=np.float32)
