"""Which target units belong to a declared subgroup: those with at least one row inside it."""

from __future__ import annotations

import numpy as np

from attacks.bench import Bench, Bool
from release.data.schema import Range, Slice
from release.data.table import Table


def members_of(bench: Bench, part: Slice) -> Bool:
    """(U,) True for units of the subgroup."""
    result = np.zeros(len(bench.targets.is_member), bool)
    for arm, table in (
        (bench.targets.is_member, bench.arena.members),
        (~bench.targets.is_member, bench.arena.controls),
    ):
        inside = np.unique(table.units[rows_of(table, part)])
        result[arm] = np.isin(bench.targets.number[arm], inside)
    return result


def rows_of(table: Table, part: Slice) -> Bool:
    """(rows,) True where all the subgroup's conditions hold; a missing cell meets none."""
    result = np.ones(len(table), bool)
    for name, wanted in part.where.items():
        if name not in table.columns:
            return np.zeros(len(table), bool)
        spec, column = table.schema.column(name), table.columns[name]
        result &= column.present
        if isinstance(wanted, Range):
            values = column.values.astype(np.float64)
            result &= (values >= spec.to_number(wanted.min)) & (values <= spec.to_number(wanted.max))
        elif spec.kind.coded:
            result &= np.isin(
                column.values, [code for code, level in enumerate(column.levels) if level in wanted]
            )
        else:
            result &= np.isin(
                column.values.astype(np.float64), [spec.to_number(float(value)) for value in wanted]
            )
    return result
