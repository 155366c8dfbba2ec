"""Expected counts of many marginals at once, whether the junction tree holds them or not: counted on a sample.

Rows are drawn from the model by randomised rounding and run through the counting kernel: hundreds of marginals cost
what counting costs, whatever the tree looks like. The sampling error of a cell of c rows is below sqrt(c · total / rows)
rows, small beside the noise of the measurements that the estimates are compared with; `rows` is chosen for that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from generators.core.counting import Rows, count
from generators.core.domain import Clique
from generators.core.inference import Fitted, FloatTable
from generators.core.sampling import sample

_LEAST, _MOST = 50_000, 400_000


def expected_counts(fitted: Fitted, cliques: Sequence[Clique], rng: np.random.Generator) -> list[FloatTable]:
    """The model's expected counts of each marginal, of its sizes' shape."""
    rows = int(min(max(4.0 * fitted.total, _LEAST), _MOST))
    drawn = Rows.of(fitted.tree.domain, sample(fitted.tree, fitted.theta, rows, rng))
    return [table * (fitted.total / rows) for table in count(drawn, cliques)]
