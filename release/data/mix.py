"""The mix a request may ask for: slices of the schema with the shares of the synthetic table that they are to have.

Rules: a weight is a public number that the requester names, a share of the *synthetic* rows, and never one measured on the real table; each
named slice gets its share, and what is left goes to rows outside all of them. Where named slices overlap, a row may count for several, so that
each has at least its share. Filling a mix is sampling from a fitted model: it reads no real row and costs no ε.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from release.data.schema import Range, Schema, Slice
from release.errors import InputError
from release.records import Where, Within

_SLACK = 1e-9
"""Shares such as .1 + .2 + .7 add up to a little more than 1 in floating point."""


def condition(part: Slice) -> Where:
    """A slice's condition as generators take it."""
    return {
        name: Within(low=what.min, high=what.max) if isinstance(what, Range) else tuple(what)
        for name, what in part.where.items()
    }


def require_weights(schema: Schema, weights: Mapping[str, float], rows: int) -> None:
    """Raise `InputError` unless the weights name slices of released columns and are shares that `rows` rows can have."""
    known = {part.name: part for part in schema.slices}
    released = {spec.name for spec in schema.released}
    for name, weight in weights.items():
        part = known.get(name)
        if part is None:
            raise InputError(
                f"there is no slice {name[:60]!r}",
                mend=f"the schema declares {', '.join(known) or 'none: add slices to it'}",
            )
        private = sorted(set(part.where) - released)
        if private:
            raise InputError(
                f'the slice "{name}" is defined by {", ".join(private)}, which is not released',
                mend="name a slice of released columns",
            )
        if not (math.isfinite(weight) and 0.0 < weight <= 1.0):
            raise InputError(
                f'the slice "{name}" is to have the share {weight:g}, which is not above 0 and at most 1',
                mend=f'write --slices "{name}=0.3"',
            )
        if round(weight * rows) < 1:
            raise InputError(
                f'a share of {weight:g} of {rows:,} rows is no row of the slice "{name}"',
                mend="ask for more rows, or for a larger share",
            )
    total = math.fsum(weights.values())
    if total > 1.0 + _SLACK:
        raise InputError(
            f"the slices' shares add up to {total:g}, and they can add up to at most 1", mend="lower them"
        )


def shares_in_words(weights: Mapping[str, float]) -> str:
    """As `poor health 30 %, hispanic 20 %, the rest 50 %`; nothing for no weights."""
    if not weights:
        return ""
    rest = 1.0 - math.fsum(weights.values())
    parts = [f"{name} {100 * weight:.3g} %" for name, weight in weights.items()]
    return ", ".join([*parts, *([f"the rest {100 * rest:.3g} %"] if rest > _SLACK else [])])
