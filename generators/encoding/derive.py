"""Columns that follow from others: worked out when rows are decoded, and turned around for conditions.

Rules: no data; a derivation is public, or was learnt under the budget.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from generators.encoding.numeric import NumericCode
from generators.encoding.rules import Code, Derivation
from generators.encoding.wanted import Wanted, number, parse
from release.data.schema import OUTSIDE_LEVEL, ColumnSpec
from release.data.table import Column

IntArray = npt.NDArray[np.int64]


def derive(derivation: Derivation, columns: Mapping[str, Column]) -> Column:
    """The dependent column of rows whose determinants are decoded."""
    if derivation.cuts:
        values = columns[derivation.determinants[0]].values.astype(np.float64)
        which = np.searchsorted(np.array(derivation.cuts), values, side="right")
    else:
        which = _looked_up(derivation, columns)
    spec = derivation.spec
    kinds = [code.code for code in spec.missing]
    missing = np.array(
        [kinds.index(r) + 1 if r in kinds else 0 for r in derivation.results] + [0], dtype=np.uint8
    )
    if spec.kind.coded:
        levels = (*(spec.levels or _unlisted(derivation, kinds)), OUTSIDE_LEVEL)
        place = [levels.index(r) if r not in kinds else -1 for r in derivation.results]
        results = np.array([*place, len(levels) - 1], dtype=np.int32)
        return Column(results[which], missing[which], levels)
    numbers = [0.0 if r in kinds else number(spec, r) for r in derivation.results]
    results_ = np.array([*numbers, 0.0], dtype=np.float64)[which]
    return Column(results_ if spec.kind.value == "real" else results_.astype(np.int64), missing[which])


def _unlisted(derivation: Derivation, kinds: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(derivation.results) - set(kinds) - {OUTSIDE_LEVEL}))


def _looked_up(derivation: Derivation, columns: Mapping[str, Column]) -> IntArray:
    """Index into the results for each row; -1 (the last place) where the table does not list the combination."""
    listed = [
        tuple(dict.fromkeys(row[axis] for row in derivation.table)) for axis in range(len(derivation.specs))
    ]
    table = np.full(tuple(len(words) + 1 for words in listed), -1, dtype=np.int64)
    places = [{word: place for place, word in enumerate(words)} for words in listed]
    for combination, result in derivation.table.items():
        table[tuple(place[word] for place, word in zip(places, combination, strict=True))] = result
    rows = [
        _places(spec, columns[spec.name], place) for spec, place in zip(derivation.specs, places, strict=True)
    ]
    return np.asarray(table[tuple(rows)], dtype=np.int64)


def _places(spec: ColumnSpec, column: Column, places: Mapping[str, int]) -> IntArray:
    """Which of the listed words each row holds; -1 where none."""
    kinds = np.array([-1, *(places.get(code.code, -1) for code in spec.missing)], dtype=np.int64)
    if spec.kind.coded:
        levels = np.array([*(places.get(level, -1) for level in column.levels), -1], dtype=np.int64)
        found = levels[column.values.astype(np.int64)]
    else:
        codes = {code.code for code in spec.missing}
        pairs = sorted((number(spec, word), place) for word, place in places.items() if word not in codes)
        points, targets = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs], dtype=np.int64)
        spot = np.searchsorted(points, column.values).clip(max=len(points) - 1)
        found = np.where(points[spot] == column.values, targets[spot], -1)
    return np.asarray(np.where(column.missing == 0, found, kinds[column.missing]), dtype=np.int64)


def determinants_of(
    derivation: Derivation, wanted: Wanted, codes: Mapping[str, Code]
) -> dict[tuple[str, ...], npt.NDArray[np.bool_]] | Wanted:
    """What a condition on the dependent asks of the determinants.

    One determinant: what is wanted of it. Several: which combinations of their levels are wanted.
    """
    spec = derivation.spec
    good = [_is_wanted(spec, result, wanted) for result in derivation.results]
    if derivation.cuts:
        code = codes[derivation.determinants[0]]
        edges = [-math.inf, *derivation.cuts, math.inf]
        ranges = [
            (low, _just_below(code, high))
            for low, high, good_ in zip(edges[:-1], edges[1:], good, strict=True)
            if good_
        ]
        return Wanted(ranges=tuple(ranges))
    chosen = [combination for combination, result in derivation.table.items() if good[result]]
    if len(derivation.determinants) == 1:
        return _all_of(derivation.specs[0], [combination[0] for combination in chosen])
    mine = [codes[name] for name in derivation.determinants]
    allowed = np.zeros(tuple(code.size for code in mine), dtype=np.bool_)
    for combination in chosen:
        masks = [
            code.narrow(_all_of(spec, [word]))[1] > 0
            for code, spec, word in zip(mine, derivation.specs, combination, strict=True)
        ]
        allowed[np.ix_(*masks)] = True
    return {derivation.determinants: allowed}


def _all_of(spec: ColumnSpec, words: list[str]) -> Wanted:
    return parse(spec, tuple(words)) if words else Wanted()


def _is_wanted(spec: ColumnSpec, result: str, wanted: Wanted) -> bool:
    kinds = [code.code for code in spec.missing]
    if result in kinds:
        return kinds.index(result) + 1 in wanted.missing
    if spec.kind.coded:
        return result in wanted.values
    value = number(spec, result)
    return any(low <= value <= high for low, high in wanted.ranges)


def _just_below(code: Code, cut: float) -> float:
    if not isinstance(code, NumericCode) or math.isinf(cut):
        return cut
    grid = code.grid
    if grid.continuous:
        return math.nextafter(cut, -math.inf)
    cell = int(grid.at_most(np.array([cut]), strictly=True)[0])
    return (grid.origin + grid.step * cell) / grid.scale
