"""Calibration: a trained network's tilts are set so that its rows have the base's marginals.

Errors of a network add up along the order of drawing; the measured marginals do not. Rows are drawn from the network, and for each attribute
what its partner's level adds to its logits is moved until the mean of the predicted distributions, among the rows of that level, is the
base's conditional distribution (iterative proportional fitting, one attribute at a time, in the order of drawing). The network keeps what it
learnt beyond these pairs. Post-processing: neither the base nor the rows are private data.
"""

from __future__ import annotations

import numpy as np

from generators.core.inference import Fitted
from generators.deep.backbone import FloatTable, IntArray
from generators.deep.network import Network
from generators.deep.room import LEVELS_AT_ONCE, rows_at_once
from generators.deep.sampling import Drawing, again, draw, normalised
from release.errors import FaultError

ROWS = 60_000
"""Of the network; one pass, and fewer where an attribute has so many levels that they would not fit."""

ROUNDS = 4
_WEIGHT = 200_000.0
"""Rows that the base's marginals count for, beside one row of its overall distribution for each level of a partner."""

_STEADY = 20.0
"""Rows' worth of the wanted distribution added to both sides, so that rare partners move little."""


def calibrate(network: Network, base: Fitted, rng: np.random.Generator) -> None:
    """Move the network's tilts, in place, towards the marginals of the base under it."""
    beliefs = base.beliefs()

    def adjust(attribute: int, drawing: Drawing, logits: FloatTable) -> FloatTable:
        size = network.sizes[attribute]
        partner = network.partners[attribute]
        groups = network.sizes[partner] if partner >= 0 else 1
        counts = _WEIGHT * _with_partner(base, beliefs, attribute, partner)
        overall = (counts.sum(axis=0) + 0.5) / (counts.sum() + 0.5 * size)
        wanted = (counts + overall) / (counts.sum(axis=1, keepdims=True) + 1.0)
        group = network.group(attribute, drawing.codes)
        rows = np.bincount(group, minlength=groups)[:, None]
        moved = np.zeros((groups, size))
        for _ in range(ROUNDS):
            p = np.exp(normalised(logits + moved[group]))
            predicted = np.stack(
                [np.bincount(group, weights=p[:, k], minlength=groups) for k in range(size)], axis=1
            )
            moved += np.log(wanted * (rows + _STEADY) / (predicted + _STEADY * wanted))
        network.add_tilt(attribute, moved)
        return np.asarray(logits + moved[group])

    drawn = draw(network, rows_at_once(max(network.sizes), ROWS, LEVELS_AT_ONCE), rng, None, adjust)
    if network.target is not None and drawn is not None:
        _calibrate_head(network, network.target, base.one_way()[network.target], drawn)


def _with_partner(base: Fitted, beliefs: FloatTable, attribute: int, partner: int) -> FloatTable:
    """The base's marginal of an attribute and its partner, shape (levels of the partner, or 1 where there is none, size)."""
    clique = tuple(sorted({attribute, partner} - {-1}))
    home = base.tree.home(clique)
    if home is None:
        raise FaultError(f"no clique of the base holds attributes {clique}", mend="report this")
    layout = base.tree.layout[home]
    table = base.tree.table(beliefs, home)
    table = table.sum(axis=tuple(k for k, a in enumerate(layout) if a not in clique))
    if partner >= 0 and layout.index(attribute) < layout.index(partner):
        table = table.T
    return np.asarray(table.reshape(-1, base.tree.domain.sizes[attribute]))


def _calibrate_head(network: Network, target: int, marginal: FloatTable, drawn: IntArray) -> None:
    """The target drawn once more keeps its marginal."""
    size = network.sizes[target]
    wanted = (_WEIGHT * marginal + 0.5) / (_WEIGHT + 0.5 * size)
    logits = again(network, target, drawn)
    moved = np.zeros(size)
    for _ in range(2 * ROUNDS):
        p = np.exp(normalised(logits + moved))
        moved += np.log(wanted * (len(p) + _STEADY) / (p.sum(axis=0) + _STEADY * wanted))
    network.add_tilt_again(moved)
