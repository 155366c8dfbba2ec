"""Encoding: columns of every kind ↔ discrete attributes, learnt under the privacy budget.

`plan_encoding(schema, rho=…, delta=…)` → `EncodingPlan.fit(table, noise)` → `Encoding`, which encodes, decodes, makes
conditions ready and names the structural zeros. Where to look:

    plan, options       what may be set; the budget's shares; the events
    encoding            the whole: attributes, codes, conditions, rows back, storage
    coded, keys         coded columns: declared, pooled, learnt by thresholds
    hierarchy           public code trees
    numeric, grid, bins numbers: public cells, levels, the shape inside them
    bounded, bounds     planning numbers with public bounds, and with bounds to be learnt
    binning, tree       how bins are found; the noisy tree
    texture             round numbers, weekdays, hours
    rules, orders       constraints: structural zeros, left ≤ right
    derive, learnt      columns that follow from others; maps that are learnt
    wanted              what a condition or a constraint asks of one column
"""

from generators.encoding.encoding import Condition, Encoding
from generators.encoding.options import Binner, EncodingOptions
from generators.encoding.plan import EncodingPlan, plan_encoding

__all__ = ["Binner", "Condition", "Encoding", "EncodingOptions", "EncodingPlan", "plan_encoding"]
