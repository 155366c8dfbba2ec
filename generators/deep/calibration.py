"""Calibration: a trained network's tilts are set so that its rows have the base's marginals.

Errors of a network add up along the order of drawing; the measured marginals do not. Rows are drawn from the network, and for each attribute
what its partner's level adds to its logits is moved until the mean of the predicted distributions, among the rows of that level, is the
base's conditional distribution (iterative proportional fitting, one attribute at a time, in the order of drawing). The network keeps what it
learnt beyond these pairs. Post-processing: neither the base nor the rows are private data.
"""

from __future__ import annotations

import numpy as np

from generators.deep.backbone import FloatTable, IntArray
from generators.deep.network import Network
from generators.deep.sampling import CHUNK, Drawing, again, draw, normalised

ROWS = min(20_000, CHUNK)
"""Of the network and of the base; one pass."""

ROUNDS = 4
_STEADY = 20.0
"""Rows' worth of the wanted distribution added to both sides, so that rare partners move little."""


def calibrate(network: Network, base: FloatTable, rng: np.random.Generator) -> None:
    """Move the network's tilts, in place. `base`: codes of rows of the base, shape (rows, d)."""
    codes = base.astype(np.int64)

    def adjust(attribute: int, drawing: Drawing, logits: FloatTable) -> FloatTable:
        size = network.sizes[attribute]
        partner = network.partners[attribute]
        groups = network.sizes[partner] if partner >= 0 else 1
        counts = np.bincount(
            network.group(attribute, codes) * size + codes[:, attribute], minlength=groups * size
        ).reshape(groups, size)
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

    drawn = draw(network, ROWS, rng, None, adjust)
    if network.target is not None and drawn is not None:
        _calibrate_head(network, network.target, codes, drawn)


def _calibrate_head(network: Network, target: int, base: IntArray, drawn: IntArray) -> None:
    """The target drawn once more keeps its marginal."""
    size = network.sizes[target]
    wanted = (np.bincount(base[:, target], minlength=size) + 0.5) / (len(base) + 0.5 * size)
    logits = again(network, target, drawn)
    moved = np.zeros(size)
    for _ in range(2 * ROUNDS):
        p = np.exp(normalised(logits + moved))
        moved += np.log(wanted * (len(p) + _STEADY) / (p.sum(axis=0) + _STEADY * wanted))
    network.add_tilt_again(moved)
