"""SDV's baselines: valid rows, repeatable, honest about what they cannot do, and no privacy claimed anywhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from generators import GENERATORS, get
from generators.baseline_rows import FrameForm, meets, valid_numbers
from generators.baselines import BASELINES
from release.canonical import digest
from release.data.constraints import violations
from release.errors import FaultError, InputError, IntegrityError, PlanError
from release.protocols import Generator, Model, Plan
from release.records import Budget, Task, Within
from tests.builders import make_schema, make_table, random_table
from tests.seeded_noise import SeededNoise

BUDGET = Budget(epsilon=1.0, delta=1e-7)
NAMES = [baseline.name for baseline in BASELINES]
NETWORKS = [baseline.name for baseline in BASELINES if baseline.network]
QUICK = {name: {"epochs": 2} if name in NETWORKS else {} for name in NAMES}

SCHEMA = make_schema(
    colour=["red", "green", "blue"],
    stage={"kind": "ordinal", "domain": {"values": ["I", "II", "III"]}, "missing": [{"code": "?"}]},
    age={"kind": "integer", "domain": {"min": 0, "max": 120}, "missing": [{"code": ""}, {"code": "-9"}]},
    weight={"kind": "real", "domain": {"min": 0.0, "max": 200.0, "decimals": 1}},
    dose={"kind": "real", "domain": {"min": 0, "max": 500, "step": 25.0}},
    seen={"kind": "date", "domain": {"min": "2019-01-01", "max": "2020-12-31"}},
    floor={"kind": "integer", "domain": {"min": 1, "max": 10}},
    roof={"kind": "integer", "domain": {"min": 1, "max": 10}},
    constraints=[
        {"type": "less-equal", "left": "floor", "right": "roof"},
        {"type": "increment", "column": "age", "step": 5, "start": 0},
    ],
)


def mixed_table(n=160):
    rng = np.random.default_rng(2)
    floor = rng.integers(1, 10, n)
    age = (rng.integers(0, 20, n) * 5).astype(object)
    age[:30], age[30:50] = None, "-9"
    stage = rng.choice(["I", "II", "III", "?"], n)
    day = rng.integers(0, 700, n)
    return make_table(
        SCHEMA,
        {
            "colour": rng.choice(["red", "green", "blue", "mauve"], n).tolist(),
            "stage": stage.tolist(),
            "age": age.tolist(),
            "weight": np.round(rng.uniform(40, 120, n), 1).tolist(),
            "dose": (rng.integers(0, 20, n) * 25.0).tolist(),
            "seen": [str(np.datetime64("2019-01-01") + int(d)) for d in day],
            "floor": floor.tolist(),
            "roof": (floor + 1).tolist(),
        },
    )


@pytest.fixture(scope="module")
def table():
    return mixed_table()


@pytest.fixture(scope="module", params=NAMES)
def fitted(request, table):
    name = request.param
    steps: list[tuple[float, str]] = []
    model = (
        get(name)
        .plan(SCHEMA, BUDGET, Task(target="colour"), QUICK[name])
        .run(table, SeededNoise(3), lambda done, what: steps.append((done, what)))
    )
    return name, model, steps


def same(a, b):
    return all(
        np.array_equal(a[c].values, b[c].values) and np.array_equal(a[c].missing, b[c].missing)
        for c in a.columns
    )


def test_registered_as_what_they_are():
    assert set(NAMES) == {name for name, generator in GENERATORS.items() if not generator.private}
    for name in NAMES:
        generator: Generator = get(name)
        plan = generator.plan(SCHEMA, BUDGET)
        assert isinstance(plan, Plan)
        assert plan.cost is None
        assert "Business Source" in generator.summary
        described = plan.describe()
        assert json.loads(json.dumps(described)) == described
        assert digest(described) == digest(generator.plan(SCHEMA, BUDGET).describe())
        assert described["epsilon"] == "infinite"
        assert described["constraints_kept"] == ["age = 0 + k·5"]
        assert described["constraints_not_kept"] == ["floor ≤ roof"]


def test_rows_are_valid(fitted, table):
    name, model, steps = fitted
    assert isinstance(model, Model)
    assert model.published == ()
    assert steps[0][0] <= steps[-1][0] == 1.0
    assert (len([s for s in steps if "epoch 2 of 2" in s[1]]) == 1) == (name in NETWORKS)
    rows = model.sample(1_000, np.random.default_rng(0))
    assert rows.schema == SCHEMA
    assert len(rows) == rows.n_units == 1_000
    for spec in SCHEMA.released:
        column = rows[spec.name]
        assert column.values.dtype == table[spec.name].values.dtype, spec.name
        assert column.levels == table[spec.name].levels
        assert column.missing.max() <= len(spec.missing)
        assert (column.values[~column.present] == (-1 if spec.kind.coded else 0)).all()
        if spec.bounds:
            low, high = spec.bounds
            assert low <= column.values[column.present].min() <= column.values[column.present].max() <= high
    assert (rows["dose"].values % 25 == 0).all()
    assert np.array_equal(rows["weight"].values, np.round(rows["weight"].values, 1))
    order, increments = violations(rows)
    assert increments.violations == 0
    assert order.rows == 1_000  # what SDV does not keep is counted, not hidden
    assert len(model.sample(0, np.random.default_rng(0))) == 0


def test_both_kinds_of_missing_are_learnt(fitted):
    _, model, _ = fitted
    missing = model.sample(2_000, np.random.default_rng(0))["age"].missing
    assert set(np.unique(missing).tolist()) == {0, 1, 2}


def test_the_same_numbers_from_the_same_randomness_and_global_states_untouched(fitted):
    _, model, _ = fitted
    before = np.random.get_state()[1].copy(), torch.get_rng_state(), torch.get_num_threads()
    first = model.sample(200, np.random.default_rng(5))
    assert same(first, model.sample(200, np.random.default_rng(5)))
    assert not same(first, model.sample(200, np.random.default_rng(6)))
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert torch.get_num_threads() == before[2]


SMALL = make_schema(a=["x", "y", "z"], b=(0.0, 9.0))


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_follows_the_given_randomness(name):
    small = random_table(SMALL, 60, np.random.default_rng(0))

    def rows(seed):
        model = get(name).plan(SMALL, BUDGET, options=QUICK[name]).run(small, SeededNoise(seed))
        return model.sample(100, np.random.default_rng(0))

    first = rows(1)
    assert same(first, rows(1))
    if name in NETWORKS:
        assert not same(first, rows(2))


def test_conditions(fitted):
    _, model, _ = fitted
    rows = model.sample(
        60, np.random.default_rng(0), {"colour": ("red", "blue"), "age": Within(low=10, high=90)}
    )
    assert len(rows) == rows.n_units == 60
    assert set(rows["colour"].values.tolist()) <= {0, 2}
    assert rows["age"].present.all()
    missing = model.sample(5, np.random.default_rng(0), {"age": ("-9",)})
    assert (missing["age"].missing == 2).all()
    with pytest.raises(PlanError, match="meet the condition"):
        model.sample(5, np.random.default_rng(0), {"colour": ("red",), "weight": Within(low=199.9)})
    with pytest.raises(PlanError, match="no released column"):
        model.sample(5, np.random.default_rng(0), {"sex": ("f",)})
    with pytest.raises(PlanError, match="-1 rows"):
        model.sample(-1, np.random.default_rng(0))


def test_kept_rows(fitted, tmp_path, monkeypatch):
    name, model, _ = fitted
    monkeypatch.setattr("generators.baseline_model.KEPT_ROWS", 300)
    model.save(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "rows.parquet"]
    loaded = get(name).load(tmp_path / "model")
    rows = loaded.sample(300, np.random.default_rng(1))
    assert same(rows, loaded.sample(300, np.random.default_rng(1)))
    for column in SCHEMA.names:
        assert sorted(rows[column].values) == sorted(loaded.rows[column].values)
    (colour,) = set(rows["colour"].values[:1].tolist())
    if colour >= 0:
        level = rows["colour"].levels[colour]
        assert set(loaded.sample(1, np.random.default_rng(1), {"colour": (level,)})["colour"].values) == {
            colour
        }
    with pytest.raises(PlanError, match="kept 300"):
        loaded.sample(301, np.random.default_rng(1))
    loaded.save(tmp_path / "again")
    with pytest.raises(FaultError, match="exists already"):
        loaded.save(tmp_path / "again")
    other = next(n for n in NAMES if n != name)
    with pytest.raises(IntegrityError, match="no saved"):
        get(other).load(tmp_path / "model")
    (tmp_path / "model" / "rows.parquet").write_bytes(b"no")
    with pytest.raises(IntegrityError):
        get(name).load(tmp_path / "model")
    with pytest.raises(IntegrityError):
        get(name).load(tmp_path / "nowhere")


ODD = {
    "one column of categories": (
        make_schema(a=["x", "y"]),
        lambda s: random_table(s, 50, np.random.default_rng(0)),
    ),
    "one column of numbers": (make_schema(a=(0, 9)), lambda s: random_table(s, 50, np.random.default_rng(0))),
    "constant columns": (
        make_schema(a=["x", "y"], b=(0, 9), c=(0.0, 1.0)),
        lambda s: make_table(s, {"a": ["x"] * 60, "b": [4] * 60, "c": [0.5] * 60}),
    ),
    "all missing": (
        make_schema(
            a={"kind": "integer", "domain": {"min": 3, "max": 9}, "missing": [{"code": ""}]},
            b={"kind": "categorical", "domain": {"values": ["x"]}, "missing": [{"code": ""}]},
            c=["x", "y"],
        ),
        lambda s: make_table(s, {"a": [None] * 60, "b": [None] * 60, "c": ["x", "y"] * 30}),
    ),
    "thirty rows": (
        make_schema(a=["x", "y"], b=(0, 9), c=(0.0, 1.0)),
        lambda s: random_table(s, 30, np.random.default_rng(1)),
    ),
    "two rows": (make_schema(a=["x", "y"], b=(0, 9)), lambda s: random_table(s, 2, np.random.default_rng(1))),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("name", NAMES)
def test_odd_tables(name, case):
    schema, make = ODD[case]
    table = make(schema)
    model = get(name).plan(schema, BUDGET, options=QUICK[name]).run(table, SeededNoise(1))
    rows = model.sample(40, np.random.default_rng(0))
    assert len(rows) == 40
    for column in schema.names:
        if (table[column].values == table[column].values[0]).all():
            assert set(rows[column].values[rows[column].present]) <= set(table[column].values.tolist())
    if case == "all missing":
        assert (rows["a"].missing == 1).all()
        assert (rows["b"].missing == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_done_is_refused(name, table, monkeypatch):
    generator = get(name)
    with pytest.raises(PlanError, match="speed"):
        generator.plan(SCHEMA, BUDGET, options={"speed": 9})
    with pytest.raises(PlanError, match="nothing"):
        generator.plan(SCHEMA, BUDGET, Task(target="nothing"))
    with pytest.raises(PlanError, match="free text"):
        generator.plan(make_schema(a=["x"], note={"kind": "text"}), BUDGET)
    for rows in (0, 1):
        with pytest.raises(InputError, match=f"from {rows} rows"):
            generator.plan(SCHEMA, BUDGET).run(table.take(np.arange(rows)), SeededNoise(1))
    if name in NETWORKS:
        monkeypatch.setattr("generators.baselines._MOST_CELLS", 1_000)
        with pytest.raises(InputError, match="one-hot"):
            generator.plan(SCHEMA, BUDGET).run(table, SeededNoise(1))


OPTIONS = {
    "no number": {"epochs": "many"},
    "true is no number": {"epochs": True},
    "none": {"epochs": 0},
    "half an epoch": {"epochs": 0.5},
    "not a list": {"generator_dim": 64},
    "empty list": {"generator_dim": []},
    "a list": {"epochs": [1]},
    "nan": {"generator_lr": float("nan")},
    "batch is no multiple of pac": {"batch_size": 502, "pac": 10},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_odd_options_are_refused(case):
    with pytest.raises(PlanError):
        get("sdv-ctgan").plan(SCHEMA, BUDGET, options=OPTIONS[case])


def test_what_sdv_raises_does_not_cross_the_edge(monkeypatch, table):
    from sdv.single_table import GaussianCopulaSynthesizer

    def fit(*_):
        raise LookupError("a cell")

    monkeypatch.setattr(GaussianCopulaSynthesizer, "fit", fit)
    with pytest.raises(InputError, match="LookupError") as caught:
        get("sdv-gaussian-copula").plan(SCHEMA, BUDGET).run(table, SeededNoise(1))
    assert "a cell" not in str(caught.value)


@pytest.mark.parametrize("name", NETWORKS)
def test_stopping_leaves_nothing(name):
    import ctgan.synthesizers.ctgan

    small = random_table(SMALL, 60, np.random.default_rng(0))
    bar = ctgan.synthesizers.ctgan.tqdm

    def stop(_done: float, what: str) -> None:
        if "epoch 2" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(name).plan(SMALL, BUDGET, options={"epochs": 5}).run(small, SeededNoise(1), stop)
    assert ctgan.synthesizers.ctgan.tqdm is bar


def test_relations_are_learnt():
    """The copula keeps a correlation of .9; shuffled columns would have none."""
    schema = make_schema(a=(0.0, 10.0), b=(0.0, 10.0))
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 9, 500)
    table = make_table(schema, {"a": x.tolist(), "b": np.clip(x + rng.normal(0, 1, 500), 0, 10).tolist()})
    rows = get("sdv-gaussian-copula").plan(schema, BUDGET).run(table, SeededNoise(1))
    drawn = rows.sample(2_000, np.random.default_rng(0))
    assert np.corrcoef(drawn["a"].values, drawn["b"].values)[0, 1] > 0.8


def test_numbers_stay_on_grid_and_inside():
    schema = make_schema(
        a={"kind": "integer", "domain": {"min": 2, "max": 11}},
        b={"kind": "real", "domain": {"min": 0.5, "max": 2.0, "step": 0.5}},
        constraints=[{"type": "increment", "column": "a", "step": 4, "start": 1}],
    )
    numbers = np.array([-1e300, 2.0, 6.9, 7.1, 11.0, 1e300])
    assert valid_numbers(schema, schema.column("a"), numbers).tolist() == [5, 5, 5, 9, 9, 9]
    assert valid_numbers(schema, schema.column("b"), numbers).tolist() == [0.5, 2.0, 2.0, 2.0, 2.0, 2.0]


def test_there_and_back(table):
    form = FrameForm.of(table)
    back = form.table(form.frame(table, np.random.default_rng(0)))
    assert same(back, table)
    assert meets(table, {}).all()


def test_a_frame_with_holes_is_no_table(table):
    form = FrameForm.of(table)
    frame = form.frame(table, np.random.default_rng(0))
    frame.loc[3, "weight"] = np.nan
    with pytest.raises(FaultError, match="weight"):
        form.table(frame)
