"""Rows from an autoregressive network, one attribute after another, with or without a condition.

Conditions: the base is conditioned exactly (evidence in its junction tree), and rows are proposed from the network on top of the conditioned
base, so that each attribute is drawn with an eye to what the condition asks of later ones. A proposal weighs what the network without the
condition gives it, over what proposed it; rows are chosen from `OVERSAMPLE` times as many by weight (importance resampling: exact as the
number of proposals grows; every row satisfies the condition in any case). Where all that the condition speaks of is one attribute that is drawn
first, all weights are equal and the rows are exact.

With a task, the target of each complete row is drawn once more from its distribution given all others (a Gibbs step): the base's exact one,
and the network's head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from generators.core.domain import Clique
from generators.deep.backbone import NEVER, Backbone, FloatTable, IntArray
from generators.deep.network import Network
from generators.deep.room import LEVELS_AT_ONCE, rows_at_once

if TYPE_CHECKING:
    import torch

OVERSAMPLE = 16
"""Proposals for each row wanted, under a condition."""

LEAST_PROPOSALS = 4096
CHUNK = 1 << 15
"""Rows in one pass."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """A condition.

    Attributes:
        backbone: of the base given the condition; its order is the network's.
        single: attribute → likelihood of each level, in [0, 1].
        joint: several attributes and the likelihood of each combination.
    """

    backbone: Backbone
    single: Mapping[int, FloatTable]
    joint: Sequence[tuple[Clique, FloatTable]]


class Drawing:
    """Rows in the making: `n` rows, of which the first attributes of the order are drawn."""

    def __init__(self, network: Network, n: int) -> None:
        layers: Any = network.module
        self._network = network
        self._weights = {
            name: (layers[name].weight * layers[name].mask).detach() for name in ("first", "second", "out")
        }
        self._biases = {name: layers[name].bias.detach() for name in ("second", "out")}
        self._hidden: torch.Tensor = layers["first"].bias.detach().expand(n, -1).clone()
        self.codes: IntArray = np.zeros((n, len(network.sizes)), dtype=np.int64)

    def logits(self, attribute: int) -> FloatTable:
        """What the network adds to the base's log-probabilities, shape (n, size), float64."""
        import torch

        network, span = self._network, self._network.span(attribute)
        h = torch.relu(self._hidden)
        h = h + torch.relu(h @ self._weights["second"].T + self._biases["second"])
        found = h @ self._weights["out"][span].T + self._biases["out"][span]
        tilt = network.tilt(attribute).numpy()[network.group(attribute, self.codes)]
        return np.asarray(found.numpy().astype(np.float64) + tilt)

    def put(self, attribute: int, levels: IntArray) -> None:
        """Make an attribute known."""
        import torch

        self.codes[:, attribute] = levels
        columns = self._weights["first"][:, self._network.span(attribute)].T.contiguous()
        self._hidden += columns[torch.from_numpy(levels)]


Adjust = Callable[[int, Drawing, FloatTable], FloatTable]
"""Given an attribute, the rows so far and the logits: other logits."""


def draw(
    network: Network,
    n: int,
    rng: np.random.Generator,
    evidence: Evidence | None = None,
    adjust: Adjust | None = None,
) -> IntArray | None:
    """Codes (n, d); None where every proposal contradicted the condition."""
    import torch

    parts: list[IntArray] = []
    most = rows_at_once(max(network.sizes), CHUNK, LEVELS_AT_ONCE)
    if adjust is not None:  # what one pass adjusts, another would adjust once more
        most = max(n, 1)
    chunk = most if evidence is None else max(1, most // OVERSAMPLE)
    with torch.no_grad():
        for begin in range(0, n, chunk):
            m = min(chunk, n - begin)
            part = (
                _unconditioned(network, m, rng, adjust)
                if evidence is None
                else _conditioned(network, m, rng, evidence)
            )
            if part is None:
                return None
            parts.append(_target_again(network, part, rng, evidence))
    return np.asarray(np.concatenate([np.zeros((0, len(network.sizes)), dtype=np.int64), *parts]))


def _unconditioned(network: Network, n: int, rng: np.random.Generator, adjust: Adjust | None) -> IntArray:
    drawing = Drawing(network, n)
    for attribute in network.order:
        logits = network.backbone.given(attribute, drawing.codes) + drawing.logits(attribute)
        if adjust is not None:
            logits = adjust(attribute, drawing, logits)
        drawing.put(attribute, _levels(np.exp(normalised(logits)), rng))
    return np.asarray(drawing.codes)


def _conditioned(network: Network, n: int, rng: np.random.Generator, evidence: Evidence) -> IntArray | None:
    drawing = Drawing(network, max(LEAST_PROPOSALS, OVERSAMPLE * n))
    rows = np.arange(len(drawing.codes))
    weight = np.zeros(len(rows))
    known: list[int] = []
    for attribute in network.order:
        residual = drawing.logits(attribute)
        free = normalised(network.backbone.given(attribute, drawing.codes) + residual)
        left = _left(evidence, attribute, known, drawing.codes)
        proposal = normalised(evidence.backbone.given(attribute, drawing.codes) + residual + left)
        levels = _levels(np.exp(proposal), rng)
        weight += free[rows, levels] + left[rows, levels] - proposal[rows, levels]
        if attribute in evidence.single:
            weight += _log(evidence.single[attribute])[levels]
        drawing.put(attribute, levels)
        known.append(attribute)
    if weight.max() <= NEVER / 2:
        return None
    share = np.exp(weight - weight.max())
    share[weight <= NEVER / 2] = 0.0
    return np.asarray(drawing.codes[_resample(share, n, rng)])


def _target_again(
    network: Network, codes: IntArray, rng: np.random.Generator, evidence: Evidence | None
) -> IntArray:
    target = network.target
    if target is None or (evidence and any(target in clique for clique, _ in evidence.joint)):
        return codes
    logits = again(network, target, codes)
    if evidence and target in evidence.single:
        logits = logits + _log(evidence.single[target])
    codes = codes.copy()
    codes[:, target] = _levels(np.exp(normalised(logits)), rng)
    return codes


def again(network: Network, target: int, codes: IntArray) -> FloatTable:
    """Logits of the target given all other attributes, shape (n, size)."""
    import torch

    part = rows_at_once(network.width, CHUNK)
    with torch.no_grad():
        residual = [
            network.head(network.one_hot(torch.from_numpy(codes[k : k + part]))).numpy()
            for k in range(0, len(codes), part)
        ]
    found = network.backbone.again(target, codes) + network.tilt_again().numpy()
    return np.asarray(found + np.concatenate([found[:0], *residual]))


def _left(evidence: Evidence, attribute: int, known: list[int], codes: IntArray) -> FloatTable:
    """Log of what the joint factors leave of each level, given the known attributes; relative to before. Shape (n or 1, size)."""
    found = np.zeros((len(codes), evidence.backbone.sizes[attribute]))
    for clique, likelihood in evidence.joint:
        if attribute in clique:
            hidden = tuple(k for k, a in enumerate(clique) if a != attribute and a not in known)
            kept = [a for a in clique if a == attribute or a in known]
            best = np.moveaxis(
                likelihood.max(axis=hidden) if hidden else likelihood, kept.index(attribute), -1
            )
            places = tuple(codes[:, a] for a in kept if a != attribute)
            before = best.max(axis=-1, keepdims=True)
            found = found + (_log(best) - _log(before))[places]
    return found


def normalised(logits: FloatTable) -> FloatTable:
    """Log-probabilities over the last axis."""
    logits = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


def _log(likelihood: FloatTable) -> FloatTable:
    return np.where(likelihood > 0.0, np.log(np.maximum(likelihood, 1e-300)), NEVER)


def _levels(p: FloatTable, rng: np.random.Generator) -> IntArray:
    """A level of each row, never one of probability 0. One uniform number in each n-th of [0, 1), in random order."""
    n = len(p)
    uniform = (rng.permutation(n) + rng.random(n)) / max(n, 1)
    edges = p.cumsum(axis=1)
    levels = (uniform[:, None] * edges[:, -1:] >= edges).sum(axis=1)
    last = p.shape[1] - 1 - np.argmax(p[:, ::-1] > 0.0, axis=1)  # rounding may pass it
    return np.asarray(np.minimum(levels, last))


def _resample(share: FloatTable, n: int, rng: np.random.Generator) -> IntArray:
    """`n` row numbers by weight (systematic resampling), in random order."""
    edges = np.cumsum(share / share.sum())
    found = np.searchsorted(edges, (np.arange(n) + rng.random()) / n, side="right")
    return rng.permutation(np.minimum(found, np.flatnonzero(share > 0.0)[-1]))
