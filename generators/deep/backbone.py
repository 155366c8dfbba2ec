"""The base model as a chain of conditional distributions, one attribute after another: what a network adds to.

A junction tree in preorder is such a chain: each attribute depends on those of its clique that stand before it. The chain's product is the
base exactly, structural zeros included, which no order of drawing can then leave without a level. Post-processing of measured marginals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from generators.core.inference import Fitted

FloatTable = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

NEVER = -1e4
"""The logarithm that stands for probability 0."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backbone:
    """See the module.

    Attributes:
        sizes: levels of each attribute.
        order: attributes in the order of drawing.
        contexts: for each attribute those before it that it depends on.
        logs: for each attribute ln p(level | context), shape (cells of the context, size); float32.
    """

    sizes: tuple[int, ...]
    order: tuple[int, ...]
    contexts: tuple[tuple[int, ...], ...]
    logs: tuple[npt.NDArray[np.float32], ...]

    @classmethod
    def of(cls, fitted: Fitted) -> Backbone:
        """The chain of a fitted (or conditioned) base."""
        tree = fitted.tree
        beliefs = fitted.beliefs()
        d = len(tree.domain)
        order: list[int] = []
        contexts: list[tuple[int, ...]] = [()] * d
        logs: list[npt.NDArray[np.float32]] = [np.zeros((1, 1), np.float32)] * d
        for clique in range(len(tree.layout)):
            # In the schema's order, whatever the table's: what is drawn late, the task's target say, shall see many others.
            layout = (*sorted(tree.separator(clique)), *sorted(tree.fresh(clique)))
            table = tree.table(beliefs, clique).transpose([tree.layout[clique].index(a) for a in layout])
            known = int(tree.separators[clique])
            for place in range(known, len(layout)):
                attribute = layout[place]
                joint = table.sum(axis=tuple(range(place + 1, len(layout)))).reshape(
                    -1, tree.domain.sizes[attribute]
                )
                mass = joint.sum(axis=1, keepdims=True)
                share = joint / np.where(mass > 0.0, mass, 1.0)
                logs[attribute] = np.log(np.maximum(share, math.exp(NEVER / 20))).astype(np.float32)
                logs[attribute][share <= 0.0] = NEVER
                contexts[attribute] = tuple(layout[:place])
                order.append(attribute)
        return cls(sizes=tree.domain.sizes, order=tuple(order), contexts=tuple(contexts), logs=tuple(logs))

    def given(self, attribute: int, codes: IntArray) -> FloatTable:
        """Log-probabilities of the attribute's levels, shape (n, size). `codes` (n, d) holds its context."""
        return np.asarray(self.logs[attribute][self.cell(attribute, codes)], dtype=np.float64)

    def cell(self, attribute: int, codes: IntArray) -> IntArray:
        """The context's cell of each row, shape (n,)."""
        cell = np.zeros(len(codes), dtype=np.int64)
        for other in self.contexts[attribute]:
            cell = cell * self.sizes[other] + codes[:, other]
        return cell

    def restricted(self, single: Mapping[int, FloatTable]) -> Backbone:
        """The chain with each of these attributes multiplied by a likelihood of its levels, where it stands."""
        logs = list(self.logs)
        for attribute, likelihood in single.items():
            with np.errstate(divide="ignore"):
                logs[attribute] = np.maximum(logs[attribute] + np.log(likelihood), NEVER).astype(np.float32)
        return replace(self, logs=tuple(logs))

    def again(self, attribute: int, codes: IntArray) -> FloatTable:
        """Log-probabilities, up to a constant, of the attribute's levels given *all* other attributes, shape (n, size)."""
        found = self.given(attribute, codes)
        size = self.sizes[attribute]
        for child, context in enumerate(self.contexts):
            if attribute in context:
                place = context.index(attribute)
                stride = math.prod(self.sizes[a] for a in context[place + 1 :])
                here = self.cell(child, codes)
                first = here - codes[:, attribute] * stride
                cells = first[:, None] + np.arange(size) * stride
                found = found + self.logs[child][cells, codes[:, child][:, None]]
        return np.asarray(found)
