"""Subgroups: is a secret known of one group in particular, though hardly of everybody?

A generator can learn by heart what it saw of one small group. Over all members that drowns: a group of a tenth cannot move the
overall rate by more than a tenth. So quasi-identifier linkage is counted again within every group that one value of a
quasi-identifier makes (numbers in eighths), and the group with the surest excess risk R is reported. Its ends hold
jointly over all groups and secrets that were tried (Bonferroni; a joint permutation would gain 1 to 8 % on four tables), so that a lower end above zero is no find of a long search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attacks.bench import Bench, Bool
from attacks.encoding import I64
from attacks.inference import one_row_each
from attacks.risks import excess_risk, power_loss
from attacks.statistics import SEARCH_LEVEL
from release.records import Evidence, Exhibit, Measured

METRIC = "worst_subgroup_excess_risk"
SMALLEST = 50
"""Units of each arm; in smaller groups no risk can be shown at the joint level."""
PARTS = 8
"""Groups of a numeric quasi-identifier."""
MOST = 12
EVERYBODY = "(everybody)"


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Units that share one value of a column (or everybody, where `column` is None).

    Attributes:
        column: number of the column. units: (U,) who belongs to it.
    """

    column: int | None
    units: Bool


def groups(bench: Bench, columns: I64) -> list[Group]:
    """Everybody, and the groups of at least `SMALLEST` units of each arm by one value of one of these columns."""
    member, rows = bench.targets.is_member, one_row_each(bench)
    found = [Group(None, np.ones(len(member), bool))]
    for column in columns.tolist():
        value = rows.codes[column].astype(np.int64)
        end = int(bench.encoding.missing_from[column])
        if bench.encoding.numeric[column] and (value < end).any():
            cuts = np.unique(np.quantile(value[value < end], np.linspace(0, 1, PARTS + 1)[1:-1]))
            value = np.where(value < end, np.searchsorted(cuts, value, side="left") - end, value)
        for one in np.unique(value).tolist():
            units = value == one
            if min(int((units & member).sum()), int((units & ~member).sum())) >= SMALLEST:
                found.append(Group(column, units))
    return found


def worst_groups(
    probe: str, bench: Bench, known: I64, names: Sequence[str], right: Bool
) -> tuple[tuple[Evidence, ...], Exhibit]:
    """For each secret the group with the surest excess risk, and a table of the surest of all.

    Args:
        probe: whose guesses.
        bench: of the run.
        known: columns that make the groups.
        names: (secrets,).
        right: (secrets, U) right guesses.
    """
    member = bench.targets.is_member
    tried = groups(bench, known)
    level = 1 - (1 - SEARCH_LEVEL) / (len(tried) * len(names))
    evidence: list[Evidence] = []
    rows: list[tuple[Measured, list[object]]] = []
    for name, hits in zip(names, right, strict=True):
        risks = []
        for group in tried:
            mine, others = hits[group.units & member], hits[group.units & ~member]
            risk = excess_risk(int(mine.sum()), len(mine), int(others.sum()), len(others), level)
            risks.append(risk)
            by = EVERYBODY if group.column is None else bench.encoding.names[group.column]
            shown = [name, by, len(mine), float(mine.mean()), float(others.mean()), risk.estimate, risk.low]
            rows.append((risk, shown))
        worst = max(risks, key=lambda risk: risk.low)
        evidence.append(
            Evidence(
                probe=probe,
                metric=METRIC,
                subject=name,
                outcome=worst,
                note=(
                    f"Surest of {len(tried):,} groups by one quasi-identifier; both ends at the level {level:.6f}, which holds jointly "
                    f"over all {len(tried) * len(names):,} group-secret pairs: an effect must be "
                    f"{power_loss(level):.2f} times as large to show as in one alone."
                ),
            )
        )
    rows.sort(key=lambda row: -row[0].low)
    surest = rows[0]
    whose = "Everybody has" if surest[1][1] == EVERYBODY else f'A group by "{surest[1][1]}" has'
    exhibit = Exhibit(
        probe=probe,
        title="Groups whose secrets are guessed better than their controls'",
        kind="table",
        takeaway=(
            f'{whose} "{surest[1][0]}" guessed with an excess risk of at least {surest[0].low:.3f}: it was learnt by heart.'
            if surest[0].low > 0
            else f"In none of {len(tried):,} groups are secrets surely guessed better for members than for controls."
        ),
        data={
            "columns": [
                "secret",
                "group by",
                "members",
                "right, members",
                "right, controls",
                "R",
                "lower end",
            ],
            "rows": [shown for _, shown in rows[:MOST]],
        },
    )
    return tuple(evidence), exhibit
