"""Whether structural zeros leave anything: asked of every fitted model before a row is drawn from it.

Messages of a junction tree make its support exact, so that one pass through it says whether any combination is possible. Without one,
beliefs would be numbers all the same, and rows would be drawn that break the schema's constraints.
"""

from __future__ import annotations

from collections.abc import Sequence

from generators.core.domain import Domain, FloatTable, StructuralZeros
from generators.core.inference import IMPOSSIBLE, base_potentials, log_partition
from generators.core.junction import JunctionTree, build


def possible(tree: JunctionTree, theta: FloatTable) -> bool:
    """Whether some combination of codes has no potential of a structural zero."""
    return tree.cells == 0 or log_partition(tree, theta) > IMPOSSIBLE / 2


def empty(domain: Domain, zeros: Sequence[StructuralZeros]) -> tuple[int, ...]:
    """Attributes whose structural zeros together leave no combination at all; () where every group of them leaves some."""
    for factors in _components(zeros):
        tree = build(domain, [factor.clique for factor in factors])
        if not possible(tree, base_potentials(tree, factors)):
            return tuple(sorted({attribute for factor in factors for attribute in factor.clique}))
    return ()


def _components(zeros: Sequence[StructuralZeros]) -> list[list[StructuralZeros]]:
    """Factors that share attributes, directly or through others."""
    groups: list[tuple[set[int], list[StructuralZeros]]] = []
    for factor in zeros:
        joined, factors = set(factor.clique), [factor]
        apart = []
        for attributes, others in groups:
            if attributes & joined:
                joined |= attributes
                factors += others
            else:
                apart.append((attributes, others))
        groups = [*apart, (joined, factors)]
    return [factors for _, factors in groups]
