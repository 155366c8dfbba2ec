"""Density ratio: is the release denser around this person than the population is?

DOMIAS (2302.12580): log p_S(x) − log p_R(x). Both densities are forests of pairwise marginals over the same tree, the
maximum-information tree of the release (Chow and Liu 1968), in common bins; pairs are smoothed towards independence.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, MembershipAttack
from attacks.bench import F64, Bench
from attacks.encoding import I64
from attacks.marginals import Binned, binned
from release.protocols import Progress

SMOOTHING = 8.0
"""Rows of independence that are mixed into each pair's table."""


def _score(bench: Bench, progress: Progress) -> F64 | None:
    tables = binned(bench)
    if tables is None:
        return None
    progress(0.1, "reading the tree off the release")
    edges = tree(tables)
    score = np.zeros(bench.targets.rows.n_rows)
    for column in range(len(tables.sizes)):
        score += _log_single(tables, tables.synthetic, column) - _log_single(tables, tables.reference, column)
    for i, j in edges:
        score += _log_lift(tables, tables.synthetic, i, j) - _log_lift(tables, tables.reference, i, j)
    return bench.targets.per_unit(score)


def tree(tables: Binned) -> list[tuple[int, int]]:
    """The edges of the maximum-information spanning tree of the release (Prim)."""
    d = len(tables.sizes)
    if d < 2:
        return []
    information = np.zeros((d, d))
    for j in range(d):
        for i in range(j):
            joint = tables.table(tables.synthetic, (i, j)) + 1e-9
            joint /= joint.sum()
            independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
            information[i, j] = information[j, i] = float((joint * np.log(joint / independent)).sum())
    inside, edges = [0], []
    while len(inside) < d:
        outside = [column for column in range(d) if column not in inside]
        part = information[np.ix_(inside, outside)]
        a, b = np.unravel_index(int(part.argmax()), part.shape)
        edges.append((inside[int(a)], outside[int(b)]))
        inside.append(outside[int(b)])
    return edges


def _log_single(tables: Binned, which: I64, column: int) -> F64:
    counts = tables.table(which, (column,)) + 0.5
    return np.asarray(np.log(counts / counts.sum())[tables.targets[column]], np.float64)


def _log_lift(tables: Binned, which: I64, i: int, j: int) -> F64:
    """Log p(i, j) − log p(i) − log p(j) at the targets' cells."""
    counts = tables.table(which, (i, j))
    a = counts.sum(axis=1, keepdims=True) + 0.5
    b = counts.sum(axis=0, keepdims=True) + 0.5
    independent = (a / a.sum()) * (b / b.sum())
    joint = (counts + SMOOTHING * independent) / (counts.sum() + SMOOTHING)
    return np.asarray(np.log(joint / independent)[tables.targets[i], tables.targets[j]], np.float64)


ATTACK = MembershipAttack(
    name="domias",
    summary=(
        "Estimates how dense the release and the population are around a person, from trees of pairwise marginals. "
        "Where the release is denser around people whose data were used, it has overfitted to them."
    ),
    adversary=Adversary(
        goal="tell whether a known person was in the data",
        knowledge="none of the generator",
        data="the person's record, the release, and some other people's records",
    ),
    paper="DOMIAS 2302.12580",
    score=_score,
    needs="there is no reference: strangers' records to compare with",
)
