"""Rows from an encoding without an inference core: codes drawn at random among those that the encoding allows."""

import numpy as np

from generators.encoding import Encoding
from release.data.table import Table


def random_rows(encoding: Encoding, rng, rows: int = 400, where=None, tries: int = 200) -> Table:
    """At most `rows` rows whose codes are uniform among those that meet structural zeros and the condition."""
    condition = encoding.condition(where) if where else None
    factors = [(names, allowed.astype(float)) for names, allowed in encoding.zeros]
    factors += list(condition.factors) if condition is not None else []
    single = {name: np.ones(size) for name, size in zip(encoding.attributes, encoding.sizes, strict=True)}
    for names, factor in factors:
        if len(names) == 1:
            single[names[0]] = single[names[0]] * factor
    kept = []
    for _ in range(tries):
        codes = np.stack([rng.choice(len(w), rows, p=w / w.sum()) for w in single.values()])
        weight = np.ones(rows)
        for names, factor in factors:
            if len(names) > 1:
                weight *= factor[tuple(codes[encoding.attributes.index(name)] for name in names)]
        kept.append(codes[:, rng.random(rows) < weight])
        if sum(part.shape[1] for part in kept) >= rows:
            break
    return encoding.decode(list(np.concatenate(kept, axis=1)[:, :rows]), rng, condition)
