"""Tables summed over one axis, or into groups of its codes: the loops that inference and counting share.

A step (`routes.Routes.step`) folds the middle axis of an (outer, size, inner) array. Tables stand in one flat vector, `start` says where;
`source` names the table that each is folded from, -1 being the array above all of them.
"""

from __future__ import annotations

from typing import Any

from generators.core.jit import kernel


@kernel
def _spread(vector: Any, table: Any, outer: int, size: int, inner: int, width: int, groups: Any) -> None:
    """Add a folded (outer, width, inner) vector to the (outer, size, inner) table that it is folded from; see `_fold`."""
    grouped = groups.shape[0] > 0
    if inner == 1 and not grouped:
        for o in range(outer):
            value = vector[o]
            row = table[o * size : (o + 1) * size]
            for k in range(size):
                row[k] += value
        return
    for o in range(outer):
        for k in range(size):
            to = o * width + (groups[k] if grouped else 0)
            row = table[(o * size + k) * inner : (o * size + k + 1) * inner]
            part = vector[to * inner : (to + 1) * inner]
            for i in range(inner):
                row[i] += part[i]


@kernel
def _fold(table: Any, vector: Any, outer: int, size: int, inner: int, width: int, groups: Any) -> None:
    """Sum an (outer, size, inner) table over its middle axis into `vector`, or into groups of it; groups: (size,), or empty."""
    vector[:] = 0
    grouped = groups.shape[0] > 0
    if inner == 1 and not grouped:
        for o in range(outer):
            row = table[o * size : (o + 1) * size]
            total = vector[o]
            for k in range(size):
                total += row[k]
            vector[o] = total
        return
    for o in range(outer):
        for k in range(size):
            to = o * width + (groups[k] if grouped else 0)
            row = table[(o * size + k) * inner : (o * size + k + 1) * inner]
            part = vector[to * inner : (to + 1) * inner]
            for i in range(inner):
                part[i] += row[i]


@kernel
def spread_up(
    own: Any, sums: Any, first: int, end: int, start: Any, source: Any, step: Any, groups: Any
) -> None:
    """Add the tables first … end - 1 in `sums` to those that they are folded from, the last ones first, and so to `own`."""
    for m in range(end - 1, first - 1, -1):
        outer, size, inner, width, group = step[m, 0], step[m, 1], step[m, 2], step[m, 3], step[m, 4]
        grouping = groups[group : group + size] if group >= 0 else groups[:0]
        table = sums[start[source[m]] : start[source[m] + 1]] if source[m] >= 0 else own
        _spread(sums[start[m] : start[m + 1]], table, outer, size, inner, width, grouping)


@kernel
def fold_down(
    own: Any, sums: Any, first: int, end: int, start: Any, source: Any, step: Any, groups: Any
) -> None:
    """Write into `sums` the tables first … end - 1, folded from `own` and from each other."""
    for m in range(first, end):
        outer, size, inner, width, group = step[m, 0], step[m, 1], step[m, 2], step[m, 3], step[m, 4]
        grouping = groups[group : group + size] if group >= 0 else groups[:0]
        table = sums[start[source[m]] : start[source[m] + 1]] if source[m] >= 0 else own
        _fold(table, sums[start[m] : start[m + 1]], outer, size, inner, width, grouping)
