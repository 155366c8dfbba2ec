"""How far rows are from real ones: the provenance-depth rule.

Rules: depth 0 is collected; each generation adds one. A source that is itself synthetic is refused without its real anchor, which must be a dataset
of this workspace with collected rows; deeper than `DEEPEST` it is refused altogether (generators trained on their own output lose
their tails, 2305.17493).
"""

from __future__ import annotations

from collections.abc import Mapping

from release.data.schema import Provenance
from release.errors import GateError
from release.records import Kind

DEEPEST = 2
"""A source of this depth may still be used; what is released from it would be one deeper."""


def may_source(provenance: Provenance, known: Mapping[str, Provenance]) -> bool:
    """Whether a dataset may be the source of a release; `known` are the workspace's datasets by name."""
    return _objection(provenance, known) is None


def require_source(provenance: Provenance, known: Mapping[str, Provenance]) -> None:
    """Raise `GateError` where `may_source` says no."""
    objection = _objection(provenance, known)
    if objection is not None:
        raise GateError(
            objection, mend="register the real rows it was made from and name them as real_anchor"
        )


def _objection(provenance: Provenance, known: Mapping[str, Provenance]) -> str | None:
    if provenance.depth == 0 and provenance.kind in {Kind.COLLECTED, Kind.SIMULATED}:
        return None
    if provenance.depth > DEEPEST:
        return f"the source lies {provenance.depth} synthetic generations from collected rows (at most {DEEPEST})"
    if provenance.real_anchor is None:
        return f"the source is {provenance.kind} and declares no real anchor"
    anchor = known.get(provenance.real_anchor)
    if anchor is None:
        return f'the real anchor "{provenance.real_anchor}" is not a dataset of this workspace'
    if anchor.kind is not Kind.COLLECTED or anchor.depth != 0:
        return f'the real anchor "{provenance.real_anchor}" is {anchor.kind}, not collected'
    return None


def released(source: Provenance, dataset: str) -> Provenance:
    """The provenance of rows generated from a dataset: one deeper, anchored in its real rows."""
    return Provenance(
        kind=Kind.GENERATED,
        source=source.source,
        licence=source.licence,
        depth=source.depth + 1,
        real_anchor=source.real_anchor or dataset,
    )
