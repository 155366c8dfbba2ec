"""The compiled loops against slow, obvious ones; missing as a value; normalisation of matches."""

import numpy as np
import pytest

from attacks.distances import best_match, graded_match, nearest, nearest_without, row_hashes
from attacks.encoding import Scaling, encode
from attacks.rarity import TreeRarity
from tests.attacks.arenas import mixed_schema, mixed_table
from tests.builders import make_schema, make_table


@pytest.fixture(scope="module")
def coded():
    rng = np.random.default_rng(0)
    tables = {"a": mixed_table(300, rng), "b": mixed_table(5000, rng)}
    return encode(tables, ["a"]).tables


def slow_distances(a, b):
    return np.minimum(np.abs(a.values[:, :, None] - b.values[:, None, :]), 1.0)


def test_nearest_is_the_slow_one(coded):
    a, b = coded["a"].take(np.arange(40)), coded["b"]
    found = nearest(a, b, 3)
    slow = slow_distances(a, b).sum(axis=0)
    assert np.allclose(np.sort(slow, axis=1)[:, :3], found.distance, atol=1e-5)
    assert np.allclose(np.take_along_axis(slow, found.index, 1), found.distance, atol=1e-5)


def test_nearest_without_each_column_is_the_slow_one(coded):
    a, b = coded["a"].take(np.arange(40)), coded["b"]
    left_out = np.array([0, 4, 5])
    found = nearest_without(a, b, left_out)
    parts = slow_distances(a, b)
    for place, column in enumerate(left_out):
        slow = (parts.sum(axis=0) - parts[column]).min(axis=1)
        assert np.allclose(slow, found.distance[:, place], atol=1e-4)


def test_nearest_without_leaves_out_of_the_columns_given(coded):
    a, b = coded["a"].take(np.arange(40)), coded["b"]
    columns = np.array([0, 1, 2, 4, 5, 7])
    found = nearest_without(a, b, np.array([4]), columns=columns)
    slow = slow_distances(a, b)[[0, 1, 2, 5, 7]].sum(axis=0).min(axis=1)
    assert np.allclose(slow, found.distance[:, 0], atol=1e-4)


def test_best_match_is_the_slow_one(coded):
    a, b = coded["a"].take(np.arange(40)), coded["b"]
    weights = np.random.default_rng(1).random((8, 40)).astype(np.float32)
    found = best_match(a, b, weights)
    slow = ((a.codes[:, :, None] == b.codes[:, None, :]) * weights[:, :, None]).sum(axis=0)
    assert np.allclose(slow.max(axis=1), found.score, atol=1e-5)


def test_graded_match_is_the_slow_one(coded):
    a, b = coded["a"].take(np.arange(30)), coded["b"]
    rng = np.random.default_rng(1)
    reach = np.sort(rng.random((3, 8)), axis=0).astype(np.float32)
    weights = -np.sort(-rng.random((3, 8, 30)), axis=0).astype(np.float32)
    gap = np.abs(a.values[:, :, None] - b.values[:, None, :])
    worth = np.zeros(gap.shape)
    for grade in (2, 1, 0):  # the narrowest reach that a cell is in counts
        worth = np.where(gap <= reach[grade][:, None, None], weights[grade][:, :, None], worth)
    slow = -np.sort(-worth.sum(axis=0), axis=1)[:, :5]
    assert np.allclose(graded_match(a, b, reach, weights, 5), slow, atol=1e-4)
    assert (graded_match(a, b.take(np.arange(2)), reach, weights, 5)[:, 2:] == -1).all()


def test_the_first_of_many_neighbours_are_the_few(coded):
    a, b = coded["a"].take(np.arange(40)), coded["b"]
    many, few = nearest(a, b, 30), nearest(a, b, 4)
    assert (many.first(4).index == few.index).all()
    with pytest.raises(ValueError, match="5 neighbours"):
        few.first(5)


def test_more_neighbours_than_rows_are_said_to_be_absent(coded):
    found = nearest(coded["a"].take(np.arange(3)), coded["b"].take(np.arange(2)), 5)
    assert (found.index[:, 2:] == -1).all()
    assert np.isinf(found.distance[:, 2:]).all()


def test_planted_rows_merge_as_if_searched_together(coded):
    a, b = coded["a"].take(np.arange(40)), coded["b"]
    first, second = b.take(np.arange(4000)), b.take(np.arange(4000, 5000))
    together, merged = nearest(a, b, 4), nearest(a, first, 4).merged(nearest(a, second, 4), 4000)
    assert (together.index == merged.index).all()


HEIGHT = {"kind": "real", "domain": {"min": 0.0, "max": 3.0}, "missing": [{"code": ""}]}


def test_records_equal_but_for_a_missing_cell():
    """Two missing cells are equal; a missing and a present one differ by one column, not by all (anonymeter: 1)."""
    schema = make_schema(sex=["f", "m"], weight=(0.0, 100.0), height=HEIGHT)
    table = make_table(
        schema, {"sex": ["f"] * 4, "weight": [50.0, 50.0, 60.0, 70.0], "height": [None, None, 1.5, 1.6]}
    )
    coded = encode({"t": table}, ["t"]).tables["t"]
    distance = slow_distances(coded, coded).sum(axis=0)
    assert distance[0, 1] == 0.0
    both_there = make_table(schema, {"sex": ["f"] * 2, "weight": [50.0, 50.0], "height": [1.5, None]})
    pair = encode({"t": both_there}, ["t"]).tables["t"]
    assert slow_distances(pair, pair).sum(axis=0)[0, 1] == 1.0


def test_case_spacing_and_jitter_do_not_hide_a_copy():
    schema = make_schema(job={"kind": "categorical"}, weight={"kind": "real"})
    real = make_table(
        schema, {"job": ["Nurse", "Clerk", "Smith"] * 50, "weight": np.linspace(40, 90, 150).tolist()}
    )
    noise = np.random.default_rng(1).normal(0, 1e-9, 150)
    copy = make_table(
        schema,
        {"job": [" nurse", "CLERK", "smith "] * 50, "weight": (np.linspace(40, 90, 150) + noise).tolist()},
    )
    coded = encode({"real": real, "copy": copy}, ["real"]).tables
    assert (row_hashes(coded["real"].codes) == row_hashes(coded["copy"].codes)).mean() > 0.98


def test_hashes_tell_rows_apart():
    codes = np.random.default_rng(0).integers(0, 3, (6, 20_000)).astype(np.int32)
    assert len(np.unique(row_hashes(codes))) == len(np.unique(codes, axis=1).T)


def test_tree_bits_of_independent_columns_add_up():
    rng = np.random.default_rng(0)
    schema = make_schema(a=["x", "y"], b=["x", "y", "z"])
    table = make_table(
        schema, {"a": list(rng.choice(["x", "y"], 4000)), "b": list(rng.choice(["x", "y", "z"], 4000))}
    )
    coded = encode({"t": table}, ["t"]).tables["t"]
    bits = TreeRarity.of(coded).match_bits(coded, np.ones((2, 4000), bool), np.full((2, 4000), -1))
    assert bits == pytest.approx(np.full(4000, np.log2(6)), abs=0.15)


def test_tree_bits_count_a_determined_column_once():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 8, 4000)
    schema = make_schema(a=[f"v{k}" for k in range(8)], b=[f"w{k}" for k in range(8)])
    table = make_table(schema, {"a": [f"v{k}" for k in codes], "b": [f"w{k}" for k in codes]})
    coded = encode({"t": table}, ["t"]).tables["t"]
    bits = TreeRarity.of(coded).match_bits(coded, np.ones((2, 4000), bool), np.full((2, 4000), -1))
    assert bits == pytest.approx(np.full(4000, 3.0), abs=0.15)


def test_range_scaling_is_gowers():
    schema = mixed_schema()
    table = mixed_table(500, np.random.default_rng(0), schema)
    coded = encode({"t": table}, ["t"], Scaling.RANGE).tables["t"]
    place = list(table.columns).index("weight")
    assert coded.values[place].min() == 0.0
    assert coded.values[place].max() == 1.0
