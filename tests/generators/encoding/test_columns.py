"""Every kind of column there and back: kinds, bounds, decimals, steps, spikes, missing; odd tables; stored encodings."""

import io
import json

import numpy as np
import pytest

from generators.encoding import Encoding, EncodingOptions, plan_encoding
from generators.encoding.tree import project
from release.data.schema import OUTSIDE_LEVEL
from release.errors import IntegrityError, PlanError, SchemaError
from tests.builders import make_schema, make_table, random_table
from tests.generators.encoding.sampled import random_rows
from tests.seeded_noise import SeededNoise

DELTA = 1e-7
MISSING = [{"code": ""}, {"code": "?", "meaning": "refused"}]
BINNERS = ("tree", "privtree", "quantiles")


def number(low, high, kind="integer", **extra):
    keys = {"step", "decimals", "spikes"}
    domain = {"min": low, "max": high, **{k: v for k, v in extra.items() if k in keys}}
    return {"kind": kind, "domain": domain, **{k: v for k, v in extra.items() if k not in keys}}


EVERY = {
    "ward": {"kind": "categorical", "domain": {"values": ["a", "b", "c"]}, "missing": MISSING},
    "stage": {"kind": "ordinal", "domain": {"values": ["I", "II", "III"]}},
    "smoker": {"kind": "boolean", "domain": {"values": ["no", "yes"]}},
    "few": (3, 9),
    "age": number(0, 120, missing=MISSING),
    "fee": number(0, 10_000, step=25.0, spikes=[0.0]),
    "price": number(-5.0, 900.0, kind="real", decimals=2),
    "tenth": number(0.0, 8.0, kind="real", step=0.1),
    "level": number(-1.0, 1.0, kind="real"),
    "day": number("2010-01-01", "2024-12-31", kind="date"),
    "moment": number("2020-01-01T00:00:00", "2024-01-01T00:00:00", kind="datetime", missing=MISSING),
    "free": {"kind": "integer", "missing": MISSING},
    "weight": {"kind": "real"},
    "born": {"kind": "date"},
    "code": {"kind": "code", "missing": MISSING},
    "diag": {"kind": "code", "hierarchy": "icd9-chapters"},
    "many": {"kind": "categorical", "domain": {"values": [f"v{k}" for k in range(600)]}},
}


def everything(rows=2_000, seed=0):
    schema = make_schema(**EVERY)
    rng = np.random.default_rng(seed)
    table = random_table(schema, rows, rng)
    columns = dict(table.columns)
    for spec in schema.released:
        if spec.missing:
            missing = (rng.random(rows) < 0.1).astype(np.uint8) * rng.integers(1, 3, rows).astype(np.uint8)
            values = np.where(missing > 0, -1 if spec.kind.coded else 0, columns[spec.name].values)
            kind = columns[spec.name].values.dtype
            columns[spec.name] = type(columns[spec.name])(
                values.astype(kind), missing, columns[spec.name].levels
            )
    return type(table)(schema, columns, table.units)


def in_domain(table):
    """What the schema promises of every cell."""
    for spec in table.schema.released:
        column = table[spec.name]
        assert column.missing.max(initial=0) <= len(spec.missing), spec.name
        present = column.values[column.present]
        if spec.kind.coded:
            assert column.values.dtype == np.int32
            assert (column.values[~column.present] == -1).all()
            assert present.min(initial=0) >= 0
            assert present.max(initial=0) < len(column.levels)
            if spec.levels is not None:
                assert column.levels == (*spec.levels, OUTSIDE_LEVEL)
            continue
        assert column.values.dtype == (np.float64 if spec.kind.value == "real" else np.int64), spec.name
        assert np.isfinite(column.values.astype(float)).all()
        assert (column.values[~column.present] == 0).all()
        if spec.bounds is None:
            continue
        assert present.min(initial=spec.bounds[1]) >= spec.bounds[0], spec.name
        assert present.max(initial=spec.bounds[0]) <= spec.bounds[1], spec.name
        if spec.domain.decimals is not None:
            assert np.array_equal(np.round(present, spec.domain.decimals), present)
        if spec.domain.step is not None:
            steps = (present - spec.bounds[0]) / spec.domain.step
            assert np.abs(steps - np.rint(steps)).max(initial=0) < 1e-6


@pytest.mark.parametrize("binner", BINNERS)
def test_there_and_back(binner):
    table = everything()
    encoding = plan_encoding(table.schema, rho=0.05, delta=DELTA, options={"binner": binner}).fit(
        table, SeededNoise(1)
    )
    codes = encoding.encode(table)
    for array, size in zip(codes, encoding.sizes, strict=True):
        assert array.dtype == (np.uint8 if size <= 256 else np.uint16)
        assert array.max() < size
    decoded = encoding.decode(codes, np.random.default_rng(2))
    in_domain(decoded)
    for name, before, after in zip(encoding.attributes, codes, encoding.encode(decoded), strict=True):
        assert np.array_equal(before, after), name
    in_domain(random_rows(encoding, np.random.default_rng(3), rows=500))
    for name in encoding.attributes:
        assert len(encoding.labels(name)) == encoding.sizes[encoding.attributes.index(name)]
        assert encoding.columns_of(name) == (name,)


def test_spikes_keep_their_mass():
    """Zero inflation, a round number and a top code survive with few bins; reals at exactly 0.0."""
    rng = np.random.default_rng(4)
    draw = rng.random(6_000)
    gain = np.where(draw < 0.8, 0, np.where(draw < 0.9, 7_298, rng.integers(1, 99_999, 6_000)))
    rate = np.where(draw < 0.5, 0.0, rng.exponential(2.0, 6_000).clip(max=99.0))
    schema = make_schema(gain=(0, 99_999), rate=(-100.0, 100.0))
    table = make_table(schema, {"gain": gain.tolist(), "rate": rate.tolist()})
    encoding = plan_encoding(schema, rho=0.02, delta=DELTA, options={"max_bins": 8}).fit(
        table, SeededNoise(2)
    )
    decoded = encoding.decode(encoding.encode(table), rng)
    assert (decoded["gain"].values == 0).mean() == pytest.approx(0.8, abs=0.02)
    assert (decoded["gain"].values == 7_298).mean() == pytest.approx(0.1, abs=0.02)
    assert (decoded["rate"].values == 0.0).mean() == pytest.approx(0.5, abs=0.02)


def test_heavy_tails_keep_their_quantiles():
    rng = np.random.default_rng(5)
    values = np.exp(rng.normal(7.0, 2.0, 20_000)).clip(0, 1e9).astype(int)
    schema = make_schema(amount=(0, 1_000_000_000))
    table = make_table(schema, {"amount": values.tolist()})
    encoding = plan_encoding(schema, rho=0.005, delta=DELTA).fit(table, SeededNoise(3))
    decoded = encoding.decode(encoding.encode(table), rng)["amount"].values
    for share in (0.05, 0.25, 0.5, 0.75, 0.95, 0.99):
        below = (decoded <= np.quantile(values, share)).mean()
        assert below == pytest.approx(share, abs=0.02)


def test_learnt_bounds_hold_the_data_and_keep_decimals():
    rng = np.random.default_rng(6)
    data = {
        "cents": np.round(rng.normal(40.0, 9.0, 5_000), 2).tolist(),
        "smooth": rng.normal(-3e-3, 1e-3, 5_000).tolist(),
        "count": rng.poisson(30, 5_000).tolist(),
        "nothing": [0] * 5_000,
    }
    schema = make_schema(
        cents={"kind": "real"},
        smooth={"kind": "real"},
        count={"kind": "integer"},
        nothing={"kind": "integer"},
    )
    table = make_table(schema, data)
    encoding = plan_encoding(schema, rho=0.1, delta=DELTA).fit(table, SeededNoise(4))
    decoded = encoding.decode(encoding.encode(table), rng)
    cents, smooth = decoded["cents"].values, decoded["smooth"].values
    assert np.array_equal(np.round(cents, 2), cents)
    assert not np.array_equal(np.round(smooth, 5), smooth)
    for name, truth in data.items():
        low, high = np.quantile(truth, [0.05, 0.95])
        inside = ((decoded[name].values >= low) & (decoded[name].values <= high)).mean()
        assert inside == pytest.approx(0.9, abs=0.1), name


def test_rare_codes_roll_up_into_their_chapter():
    cells = (
        ["250.83"] * 1_500
        + ["428"] * 1_200
        + [f"25{k}" for k in range(1, 9)] * 20
        + ["V57"] * 9
        + ["xyz"] * 4
    )
    schema = make_schema(diag={"kind": "code", "hierarchy": "icd9-chapters"})
    table = make_table(schema, {"diag": cells})
    encoding = plan_encoding(schema, rho=0.02, delta=DELTA).fit(table, SeededNoise(5))
    decoded = encoding.decode(encoding.encode(table), np.random.default_rng(0))["diag"]
    counts = dict(zip(*np.unique(np.array(decoded.levels)[decoded.values], return_counts=True), strict=True))
    assert counts == {"250.83": 1_500, "428": 1_200, "240-279": 160, "V01-V91": 9, OUTSIDE_LEVEL: 4}


def test_declared_codes_pool_by_chapter_and_come_back_as_codes():
    codes = [str(k) for k in range(1, 1_000)]
    rng = np.random.default_rng(7)
    cells = rng.choice(codes[:200], 3_000).tolist() + ["428"] * 3_000
    schema = make_schema(diag={"kind": "code", "domain": {"values": codes}, "hierarchy": "icd9-chapters"})
    table = make_table(schema, {"diag": cells})
    plan = plan_encoding(schema, rho=0.02, delta=DELTA, options={"max_levels": 40})
    encoding = plan.fit(table, SeededNoise(6))
    assert encoding.sizes[0] <= plan.columns[0].most_levels == 40 + 19 + 1 + 1
    decoded = encoding.decode(encoding.encode(table), rng)["diag"]
    values = np.array(decoded.levels)[decoded.values]
    assert (values == "428").sum() == 3_000
    assert np.isin(values, codes).all()
    infectious = np.array([value.isdigit() and int(value) <= 139 for value in values])
    truth = np.array([int(value) <= 139 for value in cells])
    assert infectious.sum() == truth.sum()


def test_a_tree_of_ones_own():
    own = {
        "format": "sluicegate/hierarchy@1",
        "name": "shops",
        "nodes": [{"name": "food", "codes": ["baker", "grocer"]}, {"name": "other", "prefixes": ["x-"]}],
    }
    schema = make_schema(shop={"kind": "code", "hierarchy": "shops"})
    table = make_table(schema, {"shop": ["baker"] * 5 + ["grocer"] * 4 + ["x-1", "x-2", "y"]})
    encoding = plan_encoding(schema, rho=0.02, delta=DELTA, options={"hierarchies": [own]}).fit(
        table, SeededNoise(7)
    )
    assert encoding.codes["shop"].encode(table["shop"]).tolist() == [0] * 9 + [1, 1, 2]
    with pytest.raises(PlanError, match="no code tree"):
        plan_encoding(schema, rho=0.02, delta=DELTA)
    own["nodes"][0]["codes"] = []
    with pytest.raises(PlanError, match="holds no code"):
        EncodingOptions.parse({"hierarchies": [own]})


ODD = {
    "one row": (
        {"a": (0, 1_000), "b": ["x", "y"], "c": {"kind": "categorical"}},
        {"a": [3], "b": ["x"], "c": ["q"]},
    ),
    "no rows": ({"a": (0, 1_000), "c": {"kind": "categorical"}}, None),
    "constant": ({"a": (0, 10**9), "b": {"kind": "real"}}, {"a": [5] * 50, "b": [2.5] * 50}),
    "bounds equal": ({"a": (7, 7), "b": (1.5, 1.5)}, {"a": [7] * 9, "b": [1.5] * 9}),
    "all missing": (
        {
            n: {**EVERY[n], "missing": MISSING}
            for n in ("age", "price", "level", "free", "weight", "code", "many")
        },
        {n: [None] * 30 for n in ("age", "price", "level", "free", "weight", "code", "many")},
    ),
    "a value per row": (
        {"a": (0, 10**9), "b": {"kind": "categorical"}, "c": {"kind": "real"}},
        {"a": list(range(400)), "b": [f"v{k}" for k in range(400)], "c": [k / 7 for k in range(400)]},
    ),
    "five thousand categories": (
        {"a": [f"v{k}" for k in range(5_000)], "b": {"kind": "categorical"}},
        {"a": [f"v{k * k % 5_000}" for k in range(6_000)], "b": [f"v{k * k % 5_000}" for k in range(6_000)]},
    ),
    "huge numbers": (
        {"a": (-(10**15), 10**15), "b": {"kind": "integer"}, "c": (-1e300, 1e300)},
        {"a": [10**15, -(10**15), 0], "b": [10**15, 1, -(10**12)], "c": [1e300, -1e299, 3.0]},
    ),
    "fine decimals": (
        {"a": number(0.0, 100.0, kind="real", decimals=12), "b": number(0.0, 1e-9, kind="real", decimals=12)},
        {"a": [0.123456789012, 99.0], "b": [1e-12, 5e-10]},
    ),
}


@pytest.mark.parametrize("rho", [1e-9, 0.01, 100.0])
@pytest.mark.parametrize("binner", BINNERS)
@pytest.mark.parametrize("case", ODD.values(), ids=ODD)
def test_odd_tables(case, binner, rho):
    columns, data = case
    schema = make_schema(**columns)
    if data is None:
        table = random_table(schema, 5, np.random.default_rng(0)).take(np.empty(0, dtype=np.int64))
    else:
        table = make_table(schema, data)
    encoding = plan_encoding(schema, rho=rho, delta=DELTA, options={"binner": binner}).fit(
        table, SeededNoise(8)
    )
    in_domain(encoding.decode(encoding.encode(table), np.random.default_rng(0)))
    in_domain(random_rows(encoding, np.random.default_rng(1), rows=50))


def stored(encoding):
    """Through JSON text and an NPZ file."""
    file = io.BytesIO()
    np.savez(file, **encoding.arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return Encoding.from_json(json.loads(json.dumps(encoding.to_json())), dict(arrays))


@pytest.mark.parametrize("total", [5e-324, 1e-16, 1e-9, 1.0, 1e16])
def test_counts_are_projected_onto_any_total(total):
    """A total that rounding made all but 0 is one: noisy counts of a table of a few rows may sum to 1e-16."""
    estimates = np.array([-2.8, 1.9, 0.1, 2.2, -2.1])
    found = project(estimates, total)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(total, rel=1e-9, abs=1e-15)


def test_a_stored_encoding_is_the_same():
    table = everything()
    encoding = plan_encoding(table.schema, rho=0.05, delta=DELTA).fit(table, SeededNoise(9))
    again = stored(encoding)
    assert again.to_json() == encoding.to_json()
    assert again.attributes == encoding.attributes
    assert again.sizes == encoding.sizes
    codes = encoding.encode(table)
    assert all(np.array_equal(a, b) for a, b in zip(codes, again.encode(table), strict=True))
    one, two = (e.decode(codes, np.random.default_rng(1)) for e in (encoding, again))
    for name in table.columns:
        assert np.array_equal(one[name].values, two[name].values)
        assert one[name].levels == two[name].levels
    damaged = encoding.to_json()
    damaged["columns"][0]["type"] = "other"
    with pytest.raises(IntegrityError, match="cannot be read"):
        Encoding.from_json(damaged, encoding.arrays())


REFUSED = {
    "unknown option": (lambda: {"bins": 3}, "unknown encoding options"),
    "unknown binner": (lambda: {"binner": "kmeans"}, "wrong value"),
    "too few bins": (lambda: {"max_bins": 1}, "max_bins = 1"),
    "half a bin": (lambda: {"max_bins": 20.5}, "whole number"),
    "a word for a number": (lambda: {"texture": "much"}, "texture = much"),
    "weight of nobody": (lambda: {"weights": {"nobody": 1.0}}, "nobody"),
    "weight of a column that needs no budget": (
        lambda: {"weights": {"ward": 2.0}},
        r"\['ward'\], which need no budget",
    ),
    "a word": (lambda: "tree", "not a mapping"),
    "a list": (lambda: ["tree"], "not a mapping"),
    "negative weight": (lambda: {"weights": {"ward": -1.0}}, "weights"),
    "no shares": (lambda: {"shares": []}, "shares is empty"),
    "a share of zero": (lambda: {"shares": [1.0, 0.0]}, "shares"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(PlanError, match=message):
        plan_encoding(make_schema(**EVERY), rho=0.1, delta=DELTA, options=options())


def test_schemas_that_cannot_be_planned_on():
    with pytest.raises(PlanError, match="not positive"):
        plan_encoding(make_schema(a=["x"]), rho=0.0, delta=DELTA)
    with pytest.raises(PlanError, match="δ"):
        plan_encoding(make_schema(a=["x"]), rho=0.1, delta=0.1)
    with pytest.raises(PlanError, match="2\\^52"):
        plan_encoding(make_schema(a=number(0.0, 1e9, kind="real", decimals=12)), rho=0.1, delta=DELTA)
    wide = {"a": (0, 100_000), "b": (0, 100_000), "c": (0, 100_000)}
    rule = {"type": "impossible", "where": {n: {"min": 0, "max": 9} for n in wide}}
    with pytest.raises(PlanError, match="combinations"):
        plan_encoding(
            make_schema(constraints=[rule], **wide), rho=0.1, delta=DELTA, options={"max_bins": 500}
        )
    order = {"type": "less-equal", "left": "a", "right": "free"}
    with pytest.raises(PlanError, match="learnt"):
        plan_encoding(
            make_schema(constraints=[order], a=(0, 9), free={"kind": "integer"}), rho=0.1, delta=DELTA
        )
    with pytest.raises(SchemaError, match="beyond"):
        plan_encoding(make_schema(a=(-1.7e308, 1.7e308)), rho=0.1, delta=DELTA)
    unknown = {"type": "determines", "determinants": ["a"], "dependent": "b"}
    with pytest.raises(PlanError, match="cannot be learnt"):
        plan_encoding(make_schema(constraints=[unknown], a=(0, 99_999), b=["x"]), rho=0.1, delta=DELTA)
