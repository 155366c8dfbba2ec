"""What every generator in the registry keeps, whatever is behind it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from generators import GENERATORS, get
from release.canonical import digest, to_json
from release.data.table import Table
from release.errors import FaultError, InputError, IntegrityError, PlanError
from release.privacy import accounting
from release.protocols import Generator, Model, Plan
from release.records import Budget, Mechanism, Task
from tests.builders import make_schema, random_table
from tests.seeded_noise import SeededNoise

BUDGET = Budget(epsilon=2.0, delta=1e-7)
PRIVATE = [name for name, generator in GENERATORS.items() if generator.private]
QUICK = {
    "dp_autoregressive": {"steps": 12, "hidden": 8, "sampling_rate": 0.5},
    "dp_ctgan": {"steps": 12, "hidden": 8, "critic_hidden": 8, "batch": 64, "sampling_rate": 0.5},
}
"""Options under which a generator that trains is done in a second; the contract does not ask for quality."""


@pytest.fixture(scope="module")
def schema():
    return make_schema(
        colour=["red", "green", "blue"], size=["s", "m", "l", "xl"], age=(0, 20), flag=["no", "yes"]
    )


@pytest.fixture(scope="module")
def table(schema):
    return random_table(schema, 2_000, np.random.default_rng(1))


def test_names_are_the_registry_s():
    assert all(generator.name == name for name, generator in GENERATORS.items())
    assert all(generator.summary for generator in GENERATORS.values())


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(PlanError, match="mst"):
        get("nothing")


class Untouched:
    """A noise source that nobody may ask for anything."""

    def __getattr__(self, what):
        raise AssertionError(f"{what} was asked for")


class Unread(dict):
    """Columns that nobody may read."""

    def __getitem__(self, name):
        raise AssertionError(f"{name} was read")


def foreign_tables():
    """Schema of the plan (two rows a unit), and tables that it does not cover; a cell that is read raises."""
    columns = {"age": (0, 20), "flag": ["no", "yes"]}
    own = make_schema(unit="who", max_rows=2, **columns)
    rng = np.random.default_rng(2)
    loose = random_table(make_schema(unit="who", max_rows=500, **columns), 500, rng)
    wider = random_table(make_schema(unit="who", max_rows=2, **{**columns, "age": (-9, 20)}), 60, rng)
    return own, {
        "read for more rows a unit": loose,
        "read for other bounds": wider,
        "more rows a unit by hand": Table(own, loose.columns, loose.units),
        "of a schema without units": random_table(make_schema(**columns), 60, rng),
    }


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("case", foreign_tables()[1])
def test_a_table_that_the_plan_does_not_cover_is_refused_before_a_cell_is_read(name, case):
    own, tables = foreign_tables()
    foreign = Table(tables[case].schema, Unread(tables[case].columns), tables[case].units)
    plan = planned(name, own) if get(name).private else get(name).plan(own, BUDGET)
    with pytest.raises(InputError, match=r"digest|max_rows") as caught:
        plan.run(foreign, Untouched())
    assert caught.value.mend


def planned(name, schema, budget=BUDGET, task=None, **options):
    return get(name).plan(schema, budget, task, {**QUICK.get(name, {}), **options})


@pytest.mark.parametrize("name", PRIVATE)
class TestPrivateGenerator:
    def test_plan_costs_what_its_events_cost_and_no_more_than_asked(self, name, schema):
        plan = planned(name, schema)
        assert isinstance(plan, Plan)
        assert plan.cost.epsilon <= BUDGET.epsilon
        assert plan.cost.epsilon > 0.98 * BUDGET.epsilon
        again = accounting.cost(plan.cost.events, BUDGET.delta, unit="row", max_rows=1)
        assert abs(again.epsilon - plan.cost.epsilon) < 1e-9

    def test_plan_describes_itself_in_plain_json(self, name, schema):
        described = planned(name, schema).describe()
        assert json.loads(json.dumps(described)) == described
        assert digest(described) == digest(planned(name, schema).describe())

    def test_the_parts_of_the_budget_that_it_describes_are_all_of_it(self, name):
        schema = make_schema(
            income={"kind": "integer", "domain": {"min": 0, "max": 100_000}},
            drug={"kind": "code"},
            flag=["no", "yes"],
        )
        plan = planned(name, schema)
        shares = plan.describe().get("shares_of_rho")
        if shares is None:  # trained by sampled steps, which have no ρ
            assert any(event.mechanism is Mechanism.POISSON_GAUSSIAN for event in plan.cost.events)
            return
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-12)
        spent = accounting.rho_of(plan.cost.events)
        for label, share in shares.items():
            part = [event for event in plan.cost.events if event.label == label]
            assert share == pytest.approx(accounting.rho_of(part) / spent, rel=1e-12)
        assert shares["categories of drug"] > 0.0

    def test_run_sample_save_load(self, name, schema, table, tmp_path):
        generator: Generator = get(name)
        steps = []
        model = planned(name, schema, task=Task(target="flag")).run(
            table, SeededNoise(3), lambda done, what: steps.append((done, what))
        )
        assert isinstance(model, Model)
        assert steps[0][0] <= steps[-1][0] <= 1.0
        rows = model.sample(300, np.random.default_rng(0))
        assert rows.schema == schema
        assert len(rows) == 300
        assert set().union(*model.published) <= set(schema.names)
        model.save(tmp_path / "model")
        loaded = generator.load(tmp_path / "model")
        again = loaded.sample(300, np.random.default_rng(0))
        for column in schema.names:
            assert np.array_equal(rows[column].values, again[column].values)
        assert to_json(loaded.cost) == to_json(model.cost)
        assert [path.name for path in tmp_path.iterdir()] == ["model"]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError], ids=["ctrl-c", "disk"])
    def test_a_save_that_ends_early_leaves_nothing(self, name, schema, table, tmp_path, monkeypatch, error):
        model = planned(name, schema).run(table, SeededNoise(3))

        def half(file, **_arrays):
            file.write_bytes(b"half")
            raise error

        with monkeypatch.context() as patched:
            patched.setattr("generators.model.np.savez", half)
            with pytest.raises((KeyboardInterrupt, FaultError)):
                model.save(tmp_path / "model")
        assert list(tmp_path.iterdir()) == []
        model.save(tmp_path / "model")
        with pytest.raises(FaultError, match="exists"):
            model.save(tmp_path / "model")

    def test_ctrl_c_at_any_report_comes_through_and_a_new_run_works(self, name, schema, table, monkeypatch):
        # Reports that wait for no clock, so that every run says as much as the first.
        monkeypatch.setattr("generators.pace.LEAST_GAP", 0.0)
        monkeypatch.setattr("generators.deep.stepper.SECONDS_BETWEEN_REPORTS", float("inf"))
        plan = planned(name, schema)
        said = []
        plan.run(table, SeededNoise(6), lambda done, _what: said.append(done))
        for stop in range(0, len(said), max(1, len(said) // 4)):
            left = [stop]

            def count_down(_done: float, _what: str, left=left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                plan.run(table, SeededNoise(6), count_down)
        assert len(plan.run(table, SeededNoise(6)).sample(5, np.random.default_rng(0))) == 5

    def test_conditions_hold_on_every_row(self, name, schema, table):
        model = planned(name, schema).run(table, SeededNoise(4))
        rows = model.sample(500, np.random.default_rng(0), {"colour": ("red", "blue"), "flag": ("yes",)})
        assert set(rows["colour"].values.tolist()) <= {0, 2}
        assert set(rows["flag"].values.tolist()) == {1}

    def test_impossible_condition_is_refused_with_the_reason(self, name, schema, table):
        model = planned(name, schema).run(table, SeededNoise(4))
        with pytest.raises(PlanError):
            model.sample(5, np.random.default_rng(0), {"colour": ("mauve",)})

    def test_a_damaged_model_is_not_loaded(self, name, schema, table, tmp_path):
        model = planned(name, schema).run(table, SeededNoise(5))
        model.save(tmp_path / "model")
        arrays = [path for path in (tmp_path / "model").rglob("*") if path.suffix in (".npz", ".safetensors")]
        assert arrays
        for path in arrays:
            whole = path.read_bytes()
            path.write_bytes(b"no")
            with pytest.raises(IntegrityError):
                get(name).load(tmp_path / "model")
            path.write_bytes(whole)
        get(name).load(tmp_path / "model")

    def test_an_unknown_option_is_refused_before_anything(self, name, schema):
        with pytest.raises(PlanError, match="speed"):
            planned(name, schema, speed=9)

    def test_delta_above_the_schema_s_limit_is_refused(self, name, schema):
        with pytest.raises(PlanError):
            planned(name, schema, Budget(epsilon=1.0, delta=1e-3))

    def test_interrupting_leaves_nothing(self, name, schema, table):
        def stop(done: float, _what: str) -> None:
            if done > 0.05:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            planned(name, schema).run(table, SeededNoise(6), stop)
