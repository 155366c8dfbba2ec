"""One-way counts drawn towards their mean by as much as their noise calls for (James & Stein 1961; Efron & Morris 1973).

Where a column's levels hold about the same (quantile bins) or the noise is as large as what differs between them, most of what
differs is noise. The positive part of 1 - (k - 3) σ² / Σ (count - mean)² is kept of every difference: for k ≥ 4 levels the
expected squared error is then never larger, whatever the column is, and counts that stand clear of their noise stay as they are.
Post-processing of measured values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from generators.core.inference import Measurement, combine

_CLEAR = 0.99
"""With more than this left of the differences, counts stay as they are."""


def shrunk(measured: Sequence[Measurement]) -> list[Measurement]:
    """The measurements with drawn counts in place of those that noise blurs, repeated ones of a view as one of their joint σ.

    Args:
        measured: one-way marginals of equal σ in each cell, some perhaps several times.
    """
    found: list[Measurement] = []
    for view, counts, precision in combine(measured):
        variance = 1.0 / float(precision.flat[0])
        apart = counts - counts.mean()
        kept = 1.0 - (counts.size - 3) * variance / max(float((apart**2).sum()), 1e-300)
        if counts.size < 4 or kept > _CLEAR:
            found += [m for m in measured if m.view == view]
            continue
        drawn = np.rint(counts.mean() + max(kept, 0.0) * apart).astype(np.int64)
        found.append(Measurement(view, drawn, variance**0.5))
    return found
