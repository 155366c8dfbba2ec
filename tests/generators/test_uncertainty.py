"""Standard errors of any marginal, and several draws: what they claim is how far the model really lies from its table."""

from __future__ import annotations

import numpy as np
import pytest

from generators import get
from generators.uncertainty import combine, estimate, refits
from release.data.table import Table
from release.errors import PlanError
from release.records import Budget
from tests.builders import make_schema, random_table
from tests.seeded_noise import SeededNoise

BUDGET = Budget(epsilon=1.0, delta=1e-7)
SIZES = {"a": 3, "b": 4, "c": 3, "d": 2}
ROWS = 20_000


def chain() -> Table:
    """A table whose very counts are (but for rounding) those of a Markov chain a → b → c → d.

    A tree of pairs is then the truth, also of marginals that nobody measures, and only noise is left to be wrong.
    """
    schema = make_schema(**{name: [f"v{k}" for k in range(size)] for name, size in SIZES.items()})
    shape = tuple(SIZES.values())
    joint = np.full(shape, ROWS / shape[0])
    for axis in range(1, len(shape)):
        step = np.full((shape[axis - 1], shape[axis]), 0.4 / shape[axis])
        for level in range(shape[axis - 1]):
            step[level, level % shape[axis]] += 0.6
        joint = joint * step.reshape([n if k in (axis - 1, axis) else 1 for k, n in enumerate(shape)])
    codes = np.repeat(np.arange(joint.size), np.rint(joint).astype(int).reshape(-1))
    table = random_table(schema, len(codes), np.random.default_rng(0))
    columns = {
        name: type(column)(code.astype(np.int32), column.missing, column.levels)
        for (name, column), code in zip(table.columns.items(), np.unravel_index(codes, shape), strict=True)
    }
    return Table(schema, columns, table.units)


def truth(table: Table, columns: tuple[str, ...]) -> np.ndarray:
    shape = tuple(SIZES[name] for name in columns)
    counts = np.zeros(shape)
    np.add.at(counts, tuple(table[name].values for name in columns), 1)
    return counts


def z_scores(name: str, columns: tuple[str, ...], runs: int, **options) -> np.ndarray:
    table = chain()
    exact = truth(table, columns)
    found = []
    for seed in range(runs):
        model = get(name).plan(table.schema, BUDGET, options=options).run(table, SeededNoise(seed))
        result = estimate(model, columns, refits(model, np.random.default_rng(seed), 12))
        inside = tuple(slice(0, size) for size in exact.shape)  # the level for values outside is always empty
        found.append(((result.counts[inside] - exact) / result.standard_errors[inside]).reshape(-1))
    return np.concatenate(found)


MARGINALS = {
    "measured": ("a", "b"),
    "one column": ("a",),
    "never measured": ("a", "c"),
    "three": ("a", "b", "d"),
}


@pytest.mark.parametrize("columns", MARGINALS.values(), ids=MARGINALS)
def test_errors_cover_the_truth_as_often_as_they_say_and_are_not_larger_than_need_be(columns):
    """With right errors |z| ≤ 2.18 (t, 12 refits) holds for 95 % of cells, and the mean square of z is 12/10 = 1.2.

    25 fits of one table, 75 to 600 cells that depend on each other inside a fit: bounds at 88 % and at half and nearly twice
    the mean square. Errors off by a factor of 1.5 either way are outside: 0.53 or 2.7, with 85 % covered.
    """
    z = z_scores("mst", columns, 25)
    assert (np.abs(z) <= 2.18).mean() > 0.88
    assert 0.6 < (z**2).mean() < 2.1


def test_several_draws_give_an_interval_that_holds_for_the_table():
    """A share in five synthetic tables, each sampled from a refit; |z| ≤ 2.78 (t, 4 degrees) holds in 95 % of 40 runs.

    With right errors fewer than 33 hits have probability 0.2 %; without the refits (rows from one model) fewer than half hit.
    """
    table = chain()
    wanted = float(((table["a"].values == 0) & (table["b"].values == 0)).mean())
    plan = get("mst").plan(table.schema, Budget(epsilon=0.15, delta=1e-7))
    hits = {"refits": 0, "one model": 0}
    for seed in range(40):
        model = plan.run(table, SeededNoise(seed))
        rng = np.random.default_rng(seed)
        for way, models in (("refits", refits(model, rng, 5)), ("one model", (model,) * 5)):
            rows = [one.sample(3_000, rng) for one in models]
            mean, error = combine([float(((r["a"].values == 0) & (r["b"].values == 0)).mean()) for r in rows])
            hits[way] += abs(mean - wanted) <= 2.78 * error
    assert hits["refits"] >= 33
    assert hits["one model"] < 20


@pytest.mark.parametrize("name", ["independent", "aim", "auto", "wide"])
def test_every_generator_s_model_has_errors_for_any_marginal_saved_or_not(name, tmp_path):
    table = chain()
    model = get(name).plan(table.schema, BUDGET).run(table, SeededNoise(2))
    model.save(tmp_path / "model")
    for one in (model, get(name).load(tmp_path / "model")):
        again = refits(one, np.random.default_rng(3), 6)
        result = estimate(one, ("d", "a"), again)
        assert result.attributes == ("a", "d")
        assert result.counts.shape == result.standard_errors.shape == tuple(map(len, result.levels))
        assert result.counts.sum() == pytest.approx(model.fitted.total)
        assert result.standard_errors.max() > 1.0
        assert len(again[0].sample(7, np.random.default_rng(0))) == 7


def test_more_budget_less_error():
    table = chain()
    errors = []
    for epsilon in (0.5, 5.0):
        model = get("mst").plan(table.schema, Budget(epsilon=epsilon, delta=1e-7)).run(table, SeededNoise(1))
        errors.append(estimate(model, ("a", "c"), refits(model, np.random.default_rng(1), 10)))
    assert errors[1].standard_errors.mean() < errors[0].standard_errors.mean() / 4


def test_what_makes_no_sense_is_refused_with_the_mend():
    table = chain()
    model = get("mst").plan(table.schema, BUDGET).run(table, SeededNoise(1))
    again = refits(model, np.random.default_rng(0), 2)
    for columns, reason in ((("a", "zip"), "zip"), ((), "no column")):
        with pytest.raises(PlanError, match=reason):
            estimate(model, columns, again)
    with pytest.raises(PlanError, match="refits"):
        estimate(model, ("a",), again[:1])
    with pytest.raises(PlanError, match="draws"):
        refits(model, np.random.default_rng(0), 1)
    with pytest.raises(PlanError, match="draws"):
        combine([0.5])
    big = make_schema(**{f"c{k}": [f"v{j}" for j in range(60)] for k in range(5)})
    wide = (
        get("independent")
        .plan(big, BUDGET)
        .run(random_table(big, 500, np.random.default_rng(1)), SeededNoise(1))
    )
    with pytest.raises(PlanError, match="fewer columns"):
        estimate(wide, tuple(big.names), refits(wide, np.random.default_rng(0), 2))
