"""Encoding: columns of every kind ↔ discrete attributes, learnt under the privacy budget.

`plan_encoding(schema, rho=…, delta=…)` → `EncodingPlan.fit(table, noise)` → `Encoding`, which encodes, decodes, turns
conditions into masks and names the structural zeros. Its files: `options` (what may be set), `grid` (public cells of
a number), `tree` (noisy counts), `bins` (levels and the shape inside), `numeric`, `coded`, `plan`, `encoding`.
"""

from generators.encoding.encoding import Encoding
from generators.encoding.options import Binner, EncodingOptions
from generators.encoding.plan import EncodingPlan, plan_encoding

__all__ = ["Binner", "Encoding", "EncodingOptions", "EncodingPlan", "plan_encoding"]
