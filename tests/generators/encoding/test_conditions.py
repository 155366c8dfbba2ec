"""`where`: exact values, sets, ranges that cut bins, derived columns, orders; impossible conditions are refused."""

import numpy as np
import pytest

import generators
from generators.encoding import plan_encoding
from release.data.constraints import violations
from release.data.mix import condition
from release.errors import PlanError
from release.records import Budget, Within
from tests.builders import make_schema, make_table
from tests.generators.encoding.sampled import random_rows
from tests.seeded_noise import SeededNoise

MISSING = [{"code": "?"}]
RULES = [
    {
        "type": "determines",
        "determinants": ["age"],
        "dependent": "minor",
        "cuts": [18.0],
        "values": ["yes", "no"],
    },
    {
        "type": "determines",
        "determinants": ["sex", "ward"],
        "dependent": "bed",
        "table": [["f", "a", "1"], ["f", "b", "2"], ["m", "a", "2"], ["m", "b", "4"]],
    },
    {
        "type": "determines",
        "determinants": ["stage"],
        "dependent": "grade",
        "table": [["I", "low"], ["II", "low"], ["III", "high"]],
    },
    {"type": "less-equal", "left": "low", "right": "high"},
]


@pytest.fixture(scope="module")
def fitted():
    schema = make_schema(
        constraints=RULES,
        sex=["f", "m"],
        ward=["a", "b"],
        bed=(1, 4),
        stage={"kind": "ordinal", "domain": {"values": ["I", "II", "III"]}},
        grade=["low", "high"],
        age={"kind": "integer", "domain": {"min": 0, "max": 120}, "missing": []},
        minor=["yes", "no"],
        income={"kind": "real", "domain": {"min": 0.0, "max": 1e6}, "missing": MISSING},
        low=(0, 1_000),
        high=(0, 1_000),
        day={"kind": "date", "domain": {"min": "2020-01-01", "max": "2024-12-31"}},
        drug={"kind": "categorical"},
    )
    rng = np.random.default_rng(0)
    n = 4_000
    age = rng.integers(0, 121, n)
    low = rng.integers(0, 1_001, n)
    sex, ward, stage = rng.choice(["f", "m"], n), rng.choice(["a", "b"], n), rng.choice(["I", "II", "III"], n)
    bed = {"fa": 1, "fb": 2, "ma": 2, "mb": 4}
    table = make_table(
        schema,
        {
            "sex": sex,
            "ward": ward,
            "bed": [bed[a + b] for a, b in zip(sex, ward, strict=True)],
            "stage": stage,
            "grade": np.where(stage == "III", "high", "low"),
            "age": age,
            "minor": np.where(age < 18, "yes", "no"),
            "income": np.where(
                rng.random(n) < 0.1, "?", rng.exponential(40_000, n).clip(max=1e6).astype(str)
            ),
            "low": low,
            "high": rng.integers(low, 1_001),
            "day": (np.datetime64("2020-01-01") + rng.integers(0, 1_800, n)).astype(str),
            "drug": rng.choice(["x", "y"], n),
        },
    )
    plan = plan_encoding(schema, rho=0.05, delta=1e-7, options={"max_bins": 6})
    return plan.fit(table, SeededNoise(1))


def words(table, name):
    column = table[name]
    return set(np.array(column.levels)[column.values].tolist())


def test_values_and_sets(fitted):
    rows = random_rows(
        fitted, np.random.default_rng(1), where={"sex": ("f",), "age": (31, 77, 78), "drug": ("y",)}
    )
    assert len(rows) > 0
    assert words(rows, "sex") == {"f"}
    assert words(rows, "drug") == {"y"}
    assert set(rows["age"].values.tolist()) == {31, 77, 78}


def test_ranges_that_cut_bins(fitted):
    where = {
        "income": Within(low=12_345.6, high=12_399.9),
        "day": Within(low="2021-02-03", high="2021-02-05"),
    }
    rows = random_rows(fitted, np.random.default_rng(2), where=where, rows=300)
    income, day = rows["income"], rows["day"].values
    assert income.present.all()
    assert income.values.min() >= 12_345.6
    assert income.values.max() <= 12_399.9
    assert set(day.tolist()) == {18_661, 18_662, 18_663}
    half = random_rows(fitted, np.random.default_rng(2), where={"income": Within(high=500_000)}, rows=300)
    assert half["income"].values.max() <= 500_000


def test_shares_are_those_of_the_draw(fitted):
    """The likelihood of a cut bin is the share of its draws that meet the condition."""
    code = fitted.codes["age"]
    place = fitted.attributes.index("age")
    (_, share), *_ = fitted.condition({"age": Within(low=37, high=64)}).factors
    rng = np.random.default_rng(3)
    for level in range(code.present):
        drawn = code.draw(np.full(20_000, level), rng)
        assert ((drawn >= 37) & (drawn <= 64)).mean() == pytest.approx(share[level], abs=0.02)
    assert fitted.masks({"age": (0,)})["age"].shape == (fitted.sizes[place],)


def test_missing_codes_can_be_asked_for(fitted):
    rows = random_rows(fitted, np.random.default_rng(4), where={"income": ("?",)})
    assert (rows["income"].missing == 1).all()
    rows = random_rows(fitted, np.random.default_rng(4), where={"income": (0, "?")})
    assert (rows["income"].values == 0).all()


def test_derived_columns(fitted):
    assert "minor" not in fitted.attributes
    assert "grade" not in fitted.attributes
    assert "bed" not in fitted.attributes
    rows = random_rows(
        fitted, np.random.default_rng(5), where={"minor": ("yes",), "grade": ("high",), "bed": (2,)}
    )
    assert rows["age"].values.max() < 18
    assert words(rows, "stage") == {"III"}
    pairs = {(a, b) for a, b in zip(rows["sex"].values.tolist(), rows["ward"].values.tolist(), strict=True)}
    assert pairs == {(0, 1), (1, 0)}
    rows = random_rows(fitted, np.random.default_rng(5), where={"minor": ("no",), "age": Within(high=20)})
    assert set(rows["age"].values.tolist()) == {18, 19, 20}


def test_orders_hold_under_conditions(fitted):
    where = {"low": Within(low=400, high=410), "high": Within(high=405)}
    rows = random_rows(fitted, np.random.default_rng(6), where=where, rows=300)
    low, high = rows["low"].values, rows["high"].values
    assert len(rows) > 50
    assert low.min() >= 400
    assert high.max() <= 405
    assert (low <= high).all()
    assert len(set(low.tolist())) > 3


def test_ordinals_take_ranges(fitted):
    rows = random_rows(fitted, np.random.default_rng(7), where={"stage": Within(low="II")})
    assert words(rows, "stage") == {"II", "III"}


def modelled(columns, rules, data, seed=0, epsilon=20.0):
    """A model of real rows, with `where` through the inference core."""
    schema = make_schema(constraints=rules, **columns)
    plan = generators.get("mst").plan(schema, Budget(epsilon=epsilon, delta=1e-7))
    return plan.run(make_table(schema, data), SeededNoise(seed))


ORDERED = {
    "integers": {"kind": "integer", "domain": {"min": 0, "max": 100}},
    "reals": {"kind": "real", "domain": {"min": 0.0, "max": 100.0}},
    "cents": {"kind": "real", "domain": {"min": 0.0, "max": 100.0, "decimals": 2}},
    "few values": {"kind": "integer", "domain": {"min": 0, "max": 20}},
}


@pytest.mark.parametrize("column", ORDERED.values(), ids=ORDERED)
def test_missing_codes_of_ordered_columns(column):
    missing = [{"code": "?"}, {"code": ""}]
    rng = np.random.default_rng(0)
    low = rng.integers(0, 15, 2_000)
    data = {"low": low, "high": low + rng.integers(0, 5, 2_000), "c": rng.choice(["x", "y"], 2_000)}
    data = {name: values.astype(object) for name, values in data.items()}
    data["low"][:150], data["high"][100:250] = "?", ""
    model = modelled(
        {"low": {**column, "missing": missing}, "high": {**column, "missing": missing}, "c": ["x", "y"]},
        [{"type": "less-equal", "left": "low", "right": "high"}],
        data,
    )
    for name, other in (("low", "high"), ("high", "low")):
        rows = model.sample(300, np.random.default_rng(1), {name: ("?",)})
        assert (rows[name].missing == 1).all()
        assert rows[other].present.any()
        rows = model.sample(300, np.random.default_rng(1), {name: ("", 7), other: ("?", 9)})
        assert set(rows[name].missing.tolist()) <= {0, 2}
        assert set(rows[other].missing.tolist()) <= {0, 1}
        assert set(rows[name].values[rows[name].present].tolist()) <= {7}
        assert [found.violations for found in violations(rows)] == [0]
    rows = model.sample(50, np.random.default_rng(1), {"low": ("?",), "high": ("",)})
    assert (rows["low"].missing == 1).all()
    assert (rows["high"].missing == 2).all()


@pytest.mark.parametrize("first", ["det", "dep"])
@pytest.mark.parametrize("many", [False, True], ids=["one", "two"])
def test_a_determinant_with_kinds_of_missing_beside_what_it_determines_by_a_learnt_map(first, many):
    """Named together, in either order: both conditions hold, for values and for kinds of missing."""
    rng = np.random.default_rng(1)
    det = rng.choice(["a", "b", "c", "", "?"], 3_000)
    data = {
        "det": det,
        "dep": np.where(np.isin(det, ["a", ""]), "x", "y"),
        "z": rng.choice(["0", "1"], 3_000),
    }
    determinants = ["det", "z"] if many else ["det"]
    model = modelled(
        {
            "det": {
                "kind": "categorical",
                "domain": {"values": ["a", "b", "c"]},
                "missing": [{"code": ""}, {"code": "?"}],
            },
            "dep": ["x", "y"],
            "z": ["0", "1"],
        },
        [{"type": "determines", "determinants": determinants, "dependent": "dep"}],
        data,
    )
    asked = {"det": ("a", "b", "?"), "dep": ("x",)}
    where = {name: asked[name] for name in (first, *(n for n in asked if n != first))}
    rows = model.sample(300, np.random.default_rng(2), where)
    assert words(rows, "det") == {"a"}
    assert rows["det"].present.all()
    assert words(rows, "dep") == {"x"}
    rows = model.sample(300, np.random.default_rng(2), {**where, "dep": ("y",), "det": ("a", "?", "c")})
    assert words(rows, "dep") == {"y"}
    assert set(rows["det"].missing.tolist()) == {0, 2}


@pytest.mark.parametrize("kind", ["integer", "real"])
@pytest.mark.parametrize("codes", [[], [{"code": "?"}]], ids=["whole", "missing kinds"])
def test_a_learnt_map_between_numbers(kind, codes):
    rng = np.random.default_rng(3)
    det = rng.integers(0, 31, 3_000)
    data = {"det": det.astype(object), "dep": det // 10, "z": rng.choice(["0", "1"], 3_000)}
    if codes:
        data["det"][:200], data["dep"][:200] = "?", 2
    dependent = {"kind": kind, "domain": {"min": 0, "max": 3, **({"decimals": 0} if kind == "real" else {})}}
    model = modelled(
        {
            "det": {"kind": "integer", "domain": {"min": 0, "max": 30}, "missing": codes},
            "dep": dependent,
            "z": ["0", "1"],
        },
        [{"type": "determines", "determinants": ["det"], "dependent": "dep"}],
        data,
    )
    rows = model.sample(1_000, np.random.default_rng(4))
    assert [found.violations for found in violations(rows)] == [0]
    assert (rows["dep"].values == np.where(rows["det"].present, rows["det"].values // 10, 2)).mean() > 0.95
    rows = model.sample(300, np.random.default_rng(4), {"dep": (2,), "det": Within(low=15, high=25)})
    assert set(rows["det"].values.tolist()) == set(range(20, 26))


def test_values_that_slices_name_are_no_typing_errors_where_they_were_not_kept():
    """A mix is filled after the charge: a category below the threshold must not end it where others of the slice were kept."""
    schema = make_schema(
        drug={"kind": "categorical"},
        sex=["f", "m"],
        slices=[{"name": "some", "where": {"drug": ["x", "rare"]}}],
    )
    table = make_table(schema, {"drug": ["x", "y"] * 1_000 + ["rare"], "sex": ["f"] * 2_001})
    encoding = plan_encoding(schema, rho=0.5, delta=1e-7).fit(table, SeededNoise(1))
    rows = random_rows(encoding, np.random.default_rng(9), where=condition(schema.slices[0]))
    assert words(rows, "drug") == {"x"}
    with pytest.raises(PlanError, match="not among its categories"):
        encoding.condition({"drug": ("x", "rear")})
    with pytest.raises(PlanError, match="no row can have"):
        encoding.condition({"drug": "rare"})


LEARNT = {"type": "determines", "determinants": ["ward"], "dependent": "team"}
CHAINS = {
    "table": (
        ["u0", "u1", "u2"],
        {
            "type": "determines",
            "determinants": ["team"],
            "dependent": "house",
            "table": [["u0", "x"], ["u1", "x"], ["u2", "y"]],
        },
    ),
    "cuts": (
        (0, 2),
        {
            "type": "determines",
            "determinants": ["team"],
            "dependent": "house",
            "cuts": [1.5],
            "values": ["x", "y"],
        },
    ),
}


@pytest.mark.parametrize("turned", [False, True], ids=["learnt first", "public first"])
@pytest.mark.parametrize(("unit", "public"), CHAINS.values(), ids=CHAINS)
def test_a_public_map_of_what_a_learnt_map_determines(unit, public, turned, tmp_path):
    ward = np.random.default_rng(5).integers(0, 9, 3_000)
    data = {
        "ward": [f"w{k}" for k in ward],
        "team": [f"u{k // 3}" if isinstance(unit, list) else k // 3 for k in ward],
        "house": np.where(ward >= 6, "y", "x"),
    }
    rules = [public, LEARNT] if turned else [LEARNT, public]
    model = modelled({"ward": [f"w{k}" for k in range(9)], "team": unit, "house": ["x", "y"]}, rules, data)
    model.save(tmp_path / "model")
    for fitted in (model, generators.get("mst").load(tmp_path / "model")):
        rows = fitted.sample(900, np.random.default_rng(6))
        assert [found.violations for found in violations(rows)] == [0, 0]
        assert (rows["house"].values == (rows["ward"].values >= 6)).mean() > 0.95
        rows = fitted.sample(300, np.random.default_rng(6), {"house": ("y",), "ward": ("w2", "w6", "w7")})
        assert set(rows["ward"].values.tolist()) == {6, 7}
        assert words(rows, "house") == {"y"}


def test_a_public_map_of_several_columns_one_of_which_follows_by_a_learnt_map_is_refused():
    rules = [
        LEARNT,
        {
            "type": "determines",
            "determinants": ["team", "sex"],
            "dependent": "house",
            "table": [[u, s, u + s] for u in "ab" for s in "fm"],
        },
    ]
    schema = make_schema(
        constraints=rules, ward=["1", "2"], team=["a", "b"], sex=["f", "m"], house=["af", "am", "bf", "bm"]
    )
    with pytest.raises(PlanError, match="the map to team is to be learnt"):
        generators.get("mst").plan(schema, Budget(epsilon=1.0, delta=1e-7))


LISTED = {
    "a word": ("f", {0}),
    "a list": (["f"], {0}),
    "a set": ({"f", "m"}, {0, 1}),
    "a frozen set": (frozenset({"m"}), {1}),
    "an array": (np.array(["f", "m"]), {0, 1}),
}


@pytest.mark.parametrize(("asked", "found"), LISTED.values(), ids=LISTED)
def test_values_may_stand_alone_or_in_any_collection(fitted, asked, found):
    rows = random_rows(fitted, np.random.default_rng(8), where={"sex": asked})
    assert set(rows["sex"].values.tolist()) == found
    for number in (31, 31.0, np.int64(31), [31], {31}):
        rows = random_rows(fitted, np.random.default_rng(8), where={"age": number}, rows=50)
        assert set(rows["age"].values.tolist()) == {31}
    rows = random_rows(fitted, np.random.default_rng(8), where={"day": "2021-02-03", "income": "?"}, rows=50)
    assert set(rows["day"].values.tolist()) == {18_661}


DIAGNOSES = ["038", "041.9", "250", "428"]
KEPT = {
    "learnt": ({}, {}),
    "declared": ({"domain": {"values": DIAGNOSES}}, {}),
    "pooled": ({"domain": {"values": DIAGNOSES}}, {"max_levels": 2}),
}


@pytest.mark.parametrize(("column", "options"), KEPT.values(), ids=KEPT)
def test_a_chapter_is_its_codes_as_well_as_what_was_rolled_up(column, options):
    schema = make_schema(
        diagnosis={"kind": "code", "hierarchy": "icd9-chapters", "missing": [{"code": ""}], **column},
        sex=["f", "m"],
    )
    codes = ["038"] * 1_000 + ["428"] * 1_000 + ["250"] * 500 + ["041.9"] * 3 + [""] * 300
    table = make_table(schema, {"diagnosis": codes, "sex": ["f"] * len(codes)})
    encoding = plan_encoding(schema, rho=0.5, delta=1e-7, options=options).fit(table, SeededNoise(1))
    for where, found in (
        ("001-139", {"038", "041.9"}),
        (["001-139", "428"], {"038", "041.9", "428"}),
        ("038", {"038"}),
        (("001-139", ""), {"038", "041.9", None}),
    ):
        rows = random_rows(encoding, np.random.default_rng(9), where={"diagnosis": where}, rows=2_000)
        column_ = rows["diagnosis"]
        seen = {column_.levels[k] if k >= 0 else None for k in column_.values.tolist()}
        assert seen == ({"001-139" if code == "041.9" else code for code in found} if not column else found)
    with pytest.raises(PlanError, match="a text of 7 characters"):
        encoding.condition({"diagnosis": ("038", "001-140")})


IMPOSSIBLE = {
    "unknown column": ({"wird": ("a",)}, "no released column"),
    "unknown value": (
        {"ward": ("z",)},
        '"ward": a text of 1 character is asked for that is not in its domain',
    ),
    "unknown value by itself": ({"ward": "z"}, "not in its domain"),
    "unknown value among others": ({"ward": ("a", "typo", "z")}, "a text of 4 characters .* and 1 more"),
    "unknown value of an ordinal": ({"stage": {"I", "IV"}}, "not in its domain"),
    "unknown value of a derived column": ({"grade": ("low", "hgih")}, "not in its domain"),
    "learnt away": ({"drug": ("rare",)}, "not among its categories"),
    "learnt away among others": ({"drug": ["x", "rare"]}, "not among its categories"),
    "a number outside the bounds among others": ({"age": (50, 300)}, "inside its bounds"),
    "a number between whole ones": ({"age": (50, 50.5)}, "on its grid"),
    "a truth value for a number": ({"age": (True,)}, "a bool is not a value"),
    "nothing": ({"age": None}, "a NoneType"),
    "a mapping": ({"age": {"min": 3}}, "a dict"),
    "a list in a list": ({"ward": [["a"]]}, "a list"),
    "outside the bounds": ({"age": Within(low=300)}, "no row can have"),
    "ends swapped": ({"age": Within(low=30, high=20)}, "no value lies between"),
    "not a number": ({"age": ("old",)}, "is not a value"),
    "not a date": ({"day": Within(low="yesterday")}, "is not a value"),
    "NaN": ({"income": (float("nan"),)}, "NaN"),
    "no order": ({"ward": Within(low="a")}, "has no order"),
    "nothing allowed": ({"ward": ()}, "no value is allowed"),
    "a derived value that is never": ({"bed": (3,)}, "no row can have"),
    "against its determinant": ({"minor": ("yes",), "age": Within(low=20)}, "no row can have"),
    "against an order": ({"low": Within(low=500), "high": Within(high=400)}, "no row can have"),
}


@pytest.mark.parametrize(("where", "message"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_conditions_are_refused_with_the_reason(fitted, where, message):
    with pytest.raises(PlanError, match=message):
        fitted.condition(where)
