"""Generative likelihood ratio: would the nearby synthetic points be likelier if this person had been among the strangers?

Score: Σ over the k nearest synthetic points s of log p_{R∪x}(s) − log p_R(s). With a kernel density estimate of fixed bandwidth the
first is (n·p_R(s) + K(s − x))/(n + 1), so that each term is log(1 + (K(s − x)/p_R(s) − 1)/(n + 1)): only p_R at the few
synthetic points that are near somebody has to be computed. K is Gaussian in the truncated Gower distance; the bandwidth
is the targets' median distance to the nearest synthetic row, over both arms; where no stranger is near, p_R is taken as half a stranger's worth.
"""

from __future__ import annotations

import numpy as np

from attacks.attack import Adversary, MembershipAttack
from attacks.bench import F64, Bench
from attacks.distances import in_threads
from attacks.encoding import Encoded
from release.protocols import Progress

NEIGHBOURS = 5


def _score(bench: Bench, progress: Progress) -> F64 | None:
    reference = bench.reference
    if reference is None or reference.n_rows < 2:
        return None
    near = bench.to_synthetic(NEIGHBOURS, progress=progress)
    n = reference.n_rows
    bandwidth = _bandwidth(near.distance[:, 0].astype(np.float64))
    points, where = np.unique(np.maximum(near.index, 0), return_inverse=True)
    density = kernel_mean(bench.synthetic.take(points), reference, bandwidth)[where].reshape(near.index.shape)
    kernel = np.exp(-0.5 * (near.distance.astype(np.float64) / bandwidth) ** 2)
    terms = np.log1p((kernel / np.maximum(density, 0.5 / n) - 1.0) / (n + 1))
    return bench.targets.per_unit(np.where(near.index >= 0, terms, 0.0).sum(axis=1))


def kernel_mean(points: Encoded, base: Encoded, bandwidth: float) -> F64:
    """(m,) mean of K(point − row) over the rows of `base`."""
    from attacks import kernels

    total = np.zeros(points.n_rows)

    def part(start: int, stop: int) -> None:
        kernels.kernel_sum(
            np.ascontiguousarray(points.values[:, start:stop]),
            base.values,
            1.0 / bandwidth,
            total[start:stop],
        )

    in_threads(points.n_rows, part)
    return total / base.n_rows


def _bandwidth(near: F64) -> float:
    middle = float(np.median(near))
    return middle if middle > 0 else max(float(near.mean()), 1e-3)


ATTACK = MembershipAttack(
    name="gen_lra",
    summary=(
        "Asks whether the synthetic records around a person would be likelier had that person been part of the population sample. "
        "If they would be for people whose data were used, and not for others, the release has learnt them by heart."
    ),
    adversary=Adversary(
        goal="tell whether a known person was in the data",
        knowledge="none of the generator",
        data="the person's record, the release, and some other people's records",
    ),
    paper="Gen-LRA, in Synth-MIA 2509.18014",
    score=_score,
    needs="there is no reference: strangers' records to compare with",
)
