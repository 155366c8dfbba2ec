"""Constraints: counted against an obvious row-by-row reading, and contradictions found before anything is charged."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release.data.constraints import describe, require_consistent, violating, violations
from release.data.schema import Schema
from release.errors import SchemaError
from tests.builders import make_schema, make_table, random_table
from tests.shared_schemas import load_shared

LEVELS = ["a", "b", "c"]
COLUMNS: dict[str, Any] = {
    "x": {"kind": "categorical", "domain": {"values": LEVELS}, "missing": [{"code": "?"}]},
    "y": ["a", "b", "c"],
    "lo": {"kind": "ordinal", "domain": {"values": ["s", "m", "l"]}},
    "hi": {"kind": "ordinal", "domain": {"values": ["s", "m", "l"]}},
    "n": {"kind": "integer", "domain": {"min": 0, "max": 20}, "missing": [{"code": ""}, {"code": "99"}]},
    "m": (0, 20),
    "r": (0.0, 20.0),
    "d": {"kind": "date", "domain": {"min": "1970-01-01", "max": "1970-02-01"}},
    "t": {"kind": "datetime", "domain": {"min": "1970-01-01", "max": "1970-02-01"}},
}


def schema_with(*constraints: dict[str, Any], **more: Any) -> Schema:
    return make_schema(constraints=constraints, **{**COLUMNS, **more})


def rank(value: str) -> int:
    return ["s", "m", "l"].index(value)


#: name -> (constraint, violated by a row given as a dict of cells, with None for a missing one)
CASES = {
    "impossible": (
        {"type": "impossible", "where": {"x": ["a", "b"], "n": {"min": 5, "max": 9}}},
        lambda r: r["x"] in {"a", "b"} and isinstance(r["n"], int) and 5 <= r["n"] <= 9,
    ),
    "impossible missing code": (
        {"type": "impossible", "where": {"x": ["?"], "y": ["c"]}},
        lambda r: r["x"] == "?" and r["y"] == "c",
    ),
    "impossible number": (
        {"type": "impossible", "where": {"m": ["3", "7"], "y": ["a"]}},
        lambda r: r["m"] in {3, 7} and r["y"] == "a",
    ),
    "less or equal": ({"type": "less-equal", "left": "n", "right": "m"}, lambda r: isinstance(r["n"], int) and r["n"] > r["m"]),
    "less": (
        {"type": "less-equal", "left": "n", "right": "m", "strictly": True},
        lambda r: isinstance(r["n"], int) and r["n"] >= r["m"],
    ),
    "ordinals": ({"type": "less-equal", "left": "lo", "right": "hi"}, lambda r: rank(r["lo"]) > rank(r["hi"])),
    "integer and real": ({"type": "less-equal", "left": "m", "right": "r"}, lambda r: r["m"] > r["r"]),
    "increment": ({"type": "increment", "column": "m", "step": 5}, lambda r: r["m"] % 5 != 0),
    "allowed": (
        {"type": "allowed", "columns": ["x", "y"], "rows": [["a", "a"], ["b", "b"], ["b", "c"], ["?", "c"]]},
        lambda r: (r["x"], r["y"]) not in {("a", "a"), ("b", "b"), ("b", "c"), ("?", "c")},
    ),
    "allowed without the missing code": (
        {"type": "allowed", "columns": ["x", "y"], "rows": [["a", "a"], ["b", "b"], ["c", "c"]]},
        lambda r: r["x"] != "?" and r["x"] != r["y"],
    ),
    "allowed numbers": (
        {"type": "allowed", "columns": ["m", "y"], "rows": [["1", "a"], ["2", "b"]]},
        lambda r: (r["m"], r["y"]) not in {(1, "a"), (2, "b")},
    ),
    "determines": (
        {"type": "determines", "determinants": ["x"], "dependent": "y", "table": [["a", "a"], ["b", "a"], ["c", "b"]]},
        lambda r: r["x"] != "?" and r["y"] != {"a": "a", "b": "a", "c": "b"}[r["x"]],
    ),
    "determined by two": (
        {
            "type": "determines",
            "determinants": ["y", "lo"],
            "dependent": "hi",
            "table": [[y, lo, "s" if y == "a" else lo] for y in LEVELS for lo in "sml"],
        },
        lambda r: r["hi"] != ("s" if r["y"] == "a" else r["lo"]),
    ),
    "cuts": (
        {"type": "determines", "determinants": ["n"], "dependent": "lo", "cuts": [5, 10], "values": ["s", "m", "l"]},
        lambda r: isinstance(r["n"], int) and r["lo"] != ("s" if r["n"] < 5 else "m" if r["n"] < 10 else "l"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_counts_agree_with_reading_row_by_row(name: str) -> None:
    constraint, broken = CASES[name]
    schema = schema_with(constraint)
    require_consistent(schema)
    rng = np.random.default_rng(11)
    n = 400
    rows = [
        {
            "x": rng.choice([*LEVELS, "?"]),
            "y": rng.choice(LEVELS),
            "lo": rng.choice(list("sml")),
            "hi": rng.choice(list("sml")),
            "n": rng.choice([None, "99", *range(21)]),
            "m": int(rng.integers(0, 21)),
            "r": float(rng.integers(0, 21)),
        }
        for _ in range(n)
    ]
    data = {key: [row[key] for row in rows] for key in rows[0]}
    table = make_table(schema, {**data, "d": ["1970-01-02"] * n, "t": ["1970-01-02"] * n})
    expected = np.array([bool(broken(row)) for row in rows])
    assert expected.any()
    assert not expected.all()
    assert np.array_equal(violating(table, schema.constraints[0]), expected)
    (count,) = violations(table)
    assert count.violations == expected.sum()
    assert count.rows >= count.violations
    assert count.constraint == describe(schema.constraints[0])


def test_a_learnt_dependency_counts_all_but_the_commonest() -> None:
    schema = make_schema(
        constraints=[{"type": "determines", "determinants": ["zip"], "dependent": "city"}],
        zip=["1", "2", "3"],
        city={"kind": "categorical", "domain": {"values": ["p", "q"]}, "missing": [{"code": ""}]},
    )
    table = make_table(schema, {"zip": list("1112223"), "city": ["p", "p", "q", "q", "q", None, "p"]})
    (count,) = violations(table)
    assert (count.rows, count.violations) == (6, 1)
    assert violating(table, schema.constraints[0]).tolist() == [
        False,
        False,
        True,
        False,
        False,
        False,
        False,
    ]


def test_dates_compare_with_datetimes() -> None:
    schema = schema_with({"type": "less-equal", "left": "d", "right": "t"})
    require_consistent(schema)
    base = {
        "x": ["a"] * 3,
        "y": ["a"] * 3,
        "lo": ["s"] * 3,
        "hi": ["s"] * 3,
        "n": [1] * 3,
        "m": [1] * 3,
        "r": [1.0] * 3,
    }
    table = make_table(
        schema,
        {**base, "d": ["1970-01-02"] * 3, "t": ["1970-01-02T00:00:00", "1970-01-01T23:59:59", "1970-01-03"]},
    )
    assert violating(table, schema.constraints[0]).tolist() == [False, True, False]


def test_values_outside_an_order_have_no_rank() -> None:
    schema = make_schema(
        constraints=[{"type": "less-equal", "left": "lo", "right": "hi"}], lo=COLUMNS["lo"], hi=COLUMNS["hi"]
    )
    table = make_table(schema, {"lo": ["huge", "l"], "hi": ["s", "s"]})
    (count,) = violations(table)
    assert (count.rows, count.violations) == (1, 1)


def test_lending_club_keeps_its_rule() -> None:
    (count,) = violations(load_shared("lending-club"))
    assert (count.constraint, count.rows, count.violations) == ("open_il_12m ≤ open_il_24m", 9_857, 0)


def test_a_spoilt_lending_club_does_not() -> None:
    table = load_shared("lending-club")
    spoilt = random_table(table.schema, 500, np.random.default_rng(2))
    assert violations(spoilt)[0].violations > 100


# ---------------------------------------------------------------------------------------------- contradictions

#: name -> (constraints, words)
BAD: dict[str, tuple[list[dict[str, Any]], str]] = {
    "allowed value outside the domain": ([{"type": "allowed", "columns": ["x", "y"], "rows": [["z", "a"]]}], '"z" is neither'),
    "allowed row too short": ([{"type": "allowed", "columns": ["x", "y"], "rows": [["a"]]}], "a row of 1 values"),
    "allowed row twice": ([{"type": "allowed", "columns": ["x", "y"], "rows": [["a", "a"], ["a", "a"]]}], "stands twice"),
    "a column twice": ([{"type": "allowed", "columns": ["x", "x"], "rows": [["a", "a"]]}], "the column stands twice"),
    "impossible value outside": ([{"type": "impossible", "where": {"y": ["?"]}}], '"?" is neither'),
    "impossible range on a category": ([{"type": "impossible", "where": {"y": {"min": 0, "max": 1}}}], "min and max do not fit"),
    "impossible range outside": ([{"type": "impossible", "where": {"m": {"min": 30, "max": 40}}}], "wholly outside"),
    "impossible range backwards": ([{"type": "impossible", "where": {"m": {"min": 9, "max": 4}}}], "is above max"),
    "impossible word for a number": ([{"type": "impossible", "where": {"m": ["x"]}}], '"x" is not a value of a integer'),
    "impossible number outside": ([{"type": "impossible", "where": {"m": ["21"]}}], "outside the column's bounds"),
    "impossible nothing": ([{"type": "impossible", "where": {"x": []}}], "empty list"),
    "impossible everything": ([{"type": "impossible", "where": {"y": LEVELS}}], "covers the whole domain"),
    "impossible everything in two": (
        [{"type": "impossible", "where": {"y": ["a", "b"]}}, {"type": "impossible", "where": {"y": ["c"]}}],
        "rules out every value",
    ),
    "impossible whole range": ([{"type": "impossible", "where": {"m": {"min": 0, "max": 20}, "y": LEVELS}}], "covers the whole domain"),
    "all allowed rows impossible": (
        [
            {"type": "allowed", "columns": ["x", "y"], "rows": [["a", "a"], ["b", "a"]]},
            {"type": "impossible", "where": {"y": ["a"]}},
        ],
        "every allowed combination is declared impossible",
    ),
    "a map with two answers": (
        [{"type": "determines", "determinants": ["x"], "dependent": "y", "table": [["a", "a"], ["a", "b"]]}],
        "two different values",
    ),
    "a map with a hole": (
        [{"type": "determines", "determinants": ["y"], "dependent": "x", "table": [["a", "a"], ["b", "a"]]}],
        "says nothing of 1 combinations, such as c",
    ),
    "a map to nowhere": (
        [{"type": "determines", "determinants": ["y"], "dependent": "x", "table": [["a", "q"]]}],
        '"q" is neither',
    ),
    "cuts and a table": (
        [{"type": "determines", "determinants": ["m"], "dependent": "y", "cuts": [1], "values": ["a", "b"], "table": [["1", "a"]]}],
        "both a table and cuts",
    ),
    "cuts of a category": (
        [{"type": "determines", "determinants": ["x"], "dependent": "y", "cuts": [1], "values": ["a", "b"]}],
        "exactly one numeric",
    ),
    "cuts too few": ([{"type": "determines", "determinants": ["m"], "dependent": "y", "cuts": [1], "values": ["a"]}], "2 parts"),
    "cuts unsorted": (
        [{"type": "determines", "determinants": ["m"], "dependent": "y", "cuts": [3, 1], "values": ["a", "b", "c"]}],
        "do not ascend",
    ),
    "a circle of maps": (
        [
            {"type": "determines", "determinants": ["x"], "dependent": "y"},
            {"type": "determines", "determinants": ["y"], "dependent": "x"},
        ],
        "is a circle",
    ),
    "disjoint ranges": ([{"type": "less-equal", "left": "late", "right": "m"}], "no row can satisfy it: late is at least 30, m at most 20"),
    "touching ranges, strictly": ([{"type": "less-equal", "left": "top", "right": "m", "strictly": True}], "no row can satisfy"),
    "a chain without room": (
        [
            {"type": "less-equal", "left": "late", "right": "free"},
            {"type": "less-equal", "left": "free", "right": "m"},
        ],
        "no row can satisfy",
    ),
    "a circle of order": (
        [
            {"type": "less-equal", "left": "m", "right": "r"},
            {"type": "less-equal", "left": "r", "right": "n"},
            {"type": "less-equal", "left": "n", "right": "m"},
        ],
        "is a circle: all of them would have to be equal",
    ),
    "a column with itself": ([{"type": "less-equal", "left": "m", "right": "m"}], "stands twice"),
    "a number with a date": ([{"type": "less-equal", "left": "m", "right": "d"}], "cannot be compared"),
    "a category in an order": ([{"type": "less-equal", "left": "x", "right": "y"}], "cannot be compared"),
    "bounds off the increments": ([{"type": "increment", "column": "m", "step": 7}], "the bound 20 is not 0 + k·7"),
    "increments of a category": ([{"type": "increment", "column": "x", "step": 7}], "has no increments"),
    "a dropped column": ([{"type": "less-equal", "left": "key", "right": "m"}], "never released"),
}  # fmt: skip
MORE: dict[str, Any] = {
    "late": (30, 40),
    "top": (20, 40),
    "free": (0, 100),
    "key": {"kind": "identifier"},
}


@pytest.mark.parametrize("name", BAD)
def test_contradictions_are_found_in_the_schema_alone(name: str) -> None:
    constraints, says = BAD[name]
    with pytest.raises(SchemaError) as caught:
        require_consistent(schema_with(*constraints, **MORE))
    assert says in str(caught.value)
    assert caught.value.mend


def test_a_step_that_misses_the_bound() -> None:
    schema = make_schema(amount={"kind": "integer", "domain": {"min": 0, "max": 99, "step": 25}})
    with pytest.raises(SchemaError, match=r'column "amount": columns\[0\]: 99 is not 0 \+ k·25'):
        require_consistent(schema)


def test_slices_are_checked_too() -> None:
    schema = make_schema(slices=[{"name": "s", "where": {"y": ["z"]}}], y=LEVELS)
    with pytest.raises(SchemaError, match='"z" is neither'):
        require_consistent(schema)


GOOD = {
    "all cases at once": [
        case[0] for key, case in CASES.items() if key in {"impossible", "less or equal", "increment", "cuts"}
    ],
    "touching ranges": [{"type": "less-equal", "left": "top", "right": "m"}],
    "a chain with room": [
        {"type": "less-equal", "left": "m", "right": "free", "strictly": True},
        {"type": "less-equal", "left": "free", "right": "late", "strictly": True},
    ],
    "a diamond": [
        {"type": "less-equal", "left": "m", "right": "n"},
        {"type": "less-equal", "left": "m", "right": "r"},
        {"type": "less-equal", "left": "n", "right": "free"},
        {"type": "less-equal", "left": "r", "right": "free"},
    ],
    "impossible in all but one": [{"type": "impossible", "where": {"y": ["a", "b"]}}],
    "impossible but for the missing": [{"type": "impossible", "where": {"x": LEVELS}}],
    "a chain of maps": [
        {"type": "determines", "determinants": ["x"], "dependent": "y"},
        {"type": "determines", "determinants": ["y"], "dependent": "lo"},
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_schemas_that_make_sense_pass(name: str) -> None:
    require_consistent(schema_with(*GOOD[name], **MORE))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted), min_size=3, max_size=3),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.booleans()), min_size=1, max_size=3),
)
def test_orders_are_refused_exactly_where_no_row_exists(
    ranges: list[list[int]], edges: list[tuple[int, int, bool]]
) -> None:
    """Against brute force over all rows of three small real-valued columns on a half grid (so that "<" has room)."""
    names = ["p", "q", "s"]
    edges = [edge for edge in edges if edge[0] < edge[1]]  # circles are refused for being circles
    schema = make_schema(
        constraints=[
            {"type": "less-equal", "left": names[a], "right": names[b], "strictly": strict}
            for a, b, strict in edges
        ],
        **{name: (float(low), float(high)) for name, (low, high) in zip(names, ranges)},
    )
    grid = [np.arange(low * 4, high * 4 + 1) / 4 for low, high in ranges]
    cells = np.meshgrid(*grid, indexing="ij")
    fine = np.ones(cells[0].shape, dtype=bool)
    for a, b, strict in edges:
        fine &= cells[a] < cells[b] if strict else cells[a] <= cells[b]
    try:
        require_consistent(schema)
        accepted = True
    except SchemaError:
        accepted = False
    assert accepted == bool(fine.any())
