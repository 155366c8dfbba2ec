"""One-way counts drawn towards their mean by as much as their noise calls for (James & Stein 1961; Efron & Morris 1971, 1972).

Where a column's levels hold about the same (quantile bins) or the noise is as large as what differs between them, most of what
differs is noise. The positive part of 1 - (k - 3) σ² / Σ (count - mean)² is kept of every difference, but no count is moved further than
its σ: without that limit the column as a whole would be nearer the truth on average and one level that stands out alone would pay for it
(Efron and Morris' limited translation). The sum stays as it is. Post-processing of measured values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from generators.core.domain import FloatTable
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
        sigma = variance**0.5
        moved = np.clip((max(kept, 0.0) - 1.0) * apart, -sigma, sigma)
        found.append(Measurement(view, _whole(counts + moved - moved.mean()), sigma))
    return found


def _whole(counts: FloatTable) -> npt.NDArray[np.int64]:
    """Whole counts of the same rounded sum: what is left over goes to the largest remainders."""
    whole = np.floor(counts).astype(np.int64)
    order = np.argsort(whole - counts, kind="stable")
    whole[order[: int(np.rint(counts.sum())) - int(whole.sum())]] += 1
    return whole
