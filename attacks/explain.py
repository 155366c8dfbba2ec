"""Where a leak sits: which columns and marginals carry it, and what would be left without them.

Made only where an attack found something (its lower end lies above what guessing gives), because on a calm release
differences between columns are noise. Units never appear here but by surrogate ids, cells never.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attacks.bench import F64, Bench, Bool
from attacks.distances import nearest_without
from attacks.encoding import I64, Encoded
from attacks.marginals import binned, cliques
from attacks.near_subset import synthetic_bits
from attacks.statistics import Thresholds
from release.records import Exhibit

ALPHA = 0.01
MOST = 12
"""Rows of an explanation: the strongest."""


def without_columns(probe: str, bench: Bench, smallest: float) -> tuple[Exhibit, ...]:
    """Counterfactual of the distance attack: its rate when one column after the other is left out of the distance.

    The nearest rows by all columns but one come from one pass over the pairs (`nearest_without`).
    """
    d = len(bench.encoding.names)
    if d < 2 or bench.synthetic.n_rows == 0:
        return ()
    columns = np.arange(d, dtype=np.int64)
    score = -np.log(_nearest_each(bench, bench.synthetic, columns) + smallest)
    if bench.reference is not None and bench.reference.n_rows:
        score += np.log(_nearest_each(bench, bench.reference, columns) + smallest)
    whole = bench.to_synthetic(1).distance[:, 0].astype(np.float64)
    base = -np.log(whole + smallest)
    strangers = bench.to_reference(1)
    if strangers is not None:
        base += np.log(strangers.distance[:, 0].astype(np.float64) + smallest)
    left = [(bench.encoding.names[column], _rate(bench, score[:, column])) for column in columns.tolist()]
    return _named_without(probe, _rate(bench, base), left)


def gap_without_columns(probe: str, bench: Bench, rival: int) -> tuple[Exhibit, ...]:
    """Counterfactual of the gap: its rate when one column's part is taken off the distances to the rows that were nearest by all."""
    rows, synthetic = bench.targets.rows, bench.synthetic
    near = bench.to_synthetic(rival).first(min(rival, synthetic.n_rows))
    whole = near.distance.astype(np.float64)

    def rate(distance: F64) -> float:
        root = np.sqrt(np.maximum(distance, 0.0))
        return _rate(bench, root.max(axis=1) - root.min(axis=1))

    left = []
    for column, name in enumerate(bench.encoding.names):
        part = np.abs(rows.values[column][:, None] - synthetic.values[column][near.index])
        left.append((name, rate(whole - np.minimum(part, 1.0))))
    return _named_without(probe, rate(whole), left) if len(left) > 1 else ()


def _named_without(probe: str, now: float, left: list[tuple[str, float]]) -> tuple[Exhibit, ...]:
    left.sort(key=lambda pair: pair[1])
    name, rate = left[0]
    return (
        Exhibit(
            probe=probe,
            title="What would be left without a column",
            kind="table",
            takeaway=(
                f'Without column "{name}" the share of members that are named at 1 % false alarms falls from {now:.1%} to {rate:.1%}.'
                if rate < now
                else f"No single column carries the leak: without any of them the share named stays at {now:.1%} or more."
            ),
            data={
                "columns": ["left out", "share of members named at 1 % false alarms"],
                "rows": [["(nothing)", now], *([column, value] for column, value in left[:MOST])],
            },
        ),
    )


def matched_columns(probe: str, bench: Bench) -> tuple[Exhibit, ...]:
    """In which columns the strongest matches agree: members above the controls' 1 % threshold."""
    bits = synthetic_bits(bench)
    index = bench.match_synthetic().index
    unit_bits = bench.targets.per_unit(bits)
    member = bench.targets.is_member
    threshold = np.quantile(unit_bits[~member], 1 - ALPHA, method="higher")
    rows = np.flatnonzero((bits > threshold) & member[bench.targets.unit])
    everybody = np.flatnonzero(~member[bench.targets.unit])
    if not len(rows) or not len(everybody):
        return ()
    same = bench.targets.rows.codes == bench.synthetic.codes[:, np.maximum(index, 0)]
    shares = same[:, rows].mean(axis=1), same[:, everybody].mean(axis=1)
    order = np.argsort(shares[1] - shares[0], kind="stable")[:MOST]
    names = [bench.encoding.names[column] for column in order.tolist()]
    return (
        Exhibit(
            probe=probe,
            title="Columns in which the telling matches agree",
            kind="bars",
            takeaway=f"Against controls' best matches, {', '.join(names[:3])} agree most more often: they carry the copied part.",
            data={
                "bars": [
                    {"what": name, "members": float(shares[0][c]), "controls": float(shares[1][c])}
                    for name, c in zip(names, order.tolist(), strict=True)
                ]
            },
        ),
    )


def telling_marginals(probe: str, bench: Bench) -> tuple[Exhibit, ...]:
    """Which marginals are fuller around members: each alone as a score, by its rate at 1 % false alarms."""
    tables = binned(bench)
    if tables is None:
        return ()
    names = bench.encoding.names
    rates = [
        (" × ".join(names[column] for column in clique), _rate(bench, tables.ratio(clique)))
        for clique in cliques(bench, tables.sizes)
    ]
    rates.sort(key=lambda pair: -pair[1])
    return (
        Exhibit(
            probe=probe,
            title="Marginals that carry the leak",
            kind="table",
            takeaway=f"The marginal {rates[0][0]} alone names {rates[0][1]:.1%} of members at 1 % false alarms.",
            data={
                "columns": ["marginal", "share of members named at 1 % false alarms"],
                "rows": [[name, value] for name, value in rates[:MOST]],
            },
        ),
    )


def risk_without(
    probe: str, of: str, risk: float, left: Sequence[tuple[str, float]], on: str
) -> tuple[Exhibit, ...]:
    """Counterfactual of an excess risk: what it would be without each column in turn.

    Args:
        probe: whose.
        of: what the risk is of, in words.
        risk: as it is.
        left: (column, risk without it).
        on: what it was tried on.
    """
    if not left:
        return ()
    ordered = sorted(left, key=lambda pair: pair[1])
    name, value = ordered[0]
    return (
        Exhibit(
            probe=probe,
            title=f"What would be left without a column: {of}",
            kind="table",
            takeaway=(
                f'Without column "{name}" the excess risk of {of} falls from {risk:.3f} to {value:.3f} ({on}).'
                if value < risk
                else f"No single column carries it: without any of them the excess risk of {of} stays at {risk:.3f} or more ({on})."
            ),
            data={
                "columns": ["left out", "excess risk R"],
                "rows": [["(nothing)", risk], *([column, one] for column, one in ordered[:MOST])],
            },
        ),
    )


def some_of_each_arm(bench: Bench, most: int = 500) -> I64:
    """Places of the first so many units of each arm: a counterfactual is an explanation, not evidence."""
    member = bench.targets.is_member
    return np.concatenate([np.flatnonzero(member)[:most], np.flatnonzero(~member)[:most]])


def bare_risk(members: Bool, controls: Bool) -> float:
    """R of two lists of hits; 0 where every control is hit."""
    r, c = float(members.mean()), float(controls.mean())
    return (r - c) / (1.0 - c) if c < 1 else 0.0


def _nearest_each(
    bench: Bench, base: Encoded, columns: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
) -> F64:
    return nearest_without(bench.targets.rows, base, columns).distance.astype(np.float64).clip(min=0.0)


def _rate(bench: Bench, row_scores: F64) -> float:
    scores, member = bench.targets.per_unit(row_scores), bench.targets.is_member
    return Thresholds.of(scores[member], scores[~member], ALPHA).counted / max(int(member.sum()), 1)
