"""Expected counts of many marginals at once, whether the junction tree holds them or not: counted on a sample.

Rows are drawn from the model by randomised rounding and run through the counting kernel: hundreds of marginals cost
what counting costs, whatever the tree looks like. The sampling error of a cell of c rows is below sqrt(c · total / rows)
rows; `rows` is chosen so that it is small beside the noise of the measurements that follow, and is no larger than that needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from generators.core.counting import Rows, count_blocks
from generators.core.covering import Block
from generators.core.domain import Clique, FloatTable
from generators.core.inference import Fitted
from generators.core.sampling import sample

_LEAST, _MOST = 50_000, 400_000

_BESIDE_NOISE = 0.15
"""rows = 0.15 · (total / σ)²: in a cell of a hundredth of the rows the sampling error is a quarter of σ."""


def expected_counts(
    fitted: Fitted, blocks: Sequence[Block], cliques: Sequence[Clique], sigma: float, rng: np.random.Generator
) -> list[FloatTable]:
    """The model's expected counts of each marginal, of its sizes' shape.

    Args:
        fitted: the model.
        blocks: which cover the marginals.
        cliques: of the marginals.
        sigma: of the measurements that will follow.
        rng: of the sample.
    """
    rows = int(min(max(_BESIDE_NOISE * (fitted.total / sigma) ** 2, _LEAST), _MOST))
    drawn = Rows.of(fitted.tree.domain, sample(fitted.tree, fitted.theta, rows, rng))
    return [table * (fitted.total / rows) for table in count_blocks(drawn, blocks, cliques)]
