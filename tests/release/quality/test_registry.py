"""What holds for every probe: the contract, and tables that are hardly tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from release.data.schema import ColumnKind, Role, Unit
from release.errors import InputError
from release.quality import PROBES, SUITES, measure_quality, suite_probes
from release.quality.ground import slice_mask
from release.records import Measured, NotMeasured
from tests.release.quality.build import (
    arena_of,
    coded_spec,
    number_spec,
    people,
    schema_of,
    table_of,
)

COUNTS = {"declared_slices", "weighted_slices"}
"""Figures of the schema and the request, not of rows."""
TARGET = coded_spec("y", ["no", "yes"], roles=[Role.TARGET])


def one_column(n=200):
    return table_of(schema_of(coded_spec("a", ["x", "y"])), a=np.arange(n) % 2)


def constant(n=200):
    schema = schema_of(coded_spec("a", ["x", "y"]), number_spec("b", 0, 9), TARGET)
    return table_of(schema, a=np.zeros(n, dtype=int), b=np.ones(n), y=np.zeros(n, dtype=int))


def all_missing(n=200):
    schema = schema_of(coded_spec("a", ["x", "y"]), number_spec("b", 0, 9), TARGET)
    every = np.ones(n, dtype=bool)
    zero = np.zeros(n, dtype=int)
    return table_of(schema, a=zero, b=zero, y=zero, missing={"a": every, "b": every, "y": every})


def one_class(n=200):
    rng = np.random.default_rng(0)
    schema = schema_of(coded_spec("a", ["x", "y"]), number_spec("b", 0, 1), TARGET)
    return table_of(schema, a=rng.integers(0, 2, n), b=rng.random(n), y=np.ones(n, dtype=int))


def several_rows_a_unit(n=210):
    rng = np.random.default_rng(0)
    unit = Unit(name="person", column="id", max_rows=3)
    schema = schema_of(number_spec("a", 0, 10_000, kind=ColumnKind.INTEGER), TARGET, unit=unit)
    return table_of(schema, units=np.arange(n) // 3, a=rng.integers(0, 99, n), y=rng.integers(0, 2, n))


def thirty_rows():
    return people(30, np.random.default_rng(0))


def no_rows():
    return people(200, np.random.default_rng(0)).take(np.arange(0))


def dates(n=200):
    rng = np.random.default_rng(0)
    schema = schema_of(number_spec("d", "2000-01-01", "2020-01-01", kind=ColumnKind.DATE), TARGET)
    return table_of(schema, d=rng.integers(11_000, 18_000, n), y=rng.integers(0, 2, n))


TABLES = {
    "one column": one_column,
    "constant columns": constant,
    "all missing": all_missing,
    "one class": one_class,
    "30 rows": thirty_rows,
    "no rows": no_rows,
    "units of three rows": several_rows_a_unit,
    "dates": dates,
}


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("case", TABLES)
def test_odd_tables_give_reasons_never_a_crash_or_nan(name, case):
    table = TABLES[case]()
    arena = arena_of(table, table, table, None)
    (report,) = measure_quality(arena, np.random.default_rng(0), names=[name])
    assert report.evidence
    for item in report.evidence:
        assert item.probe == name
        if isinstance(item.outcome, NotMeasured):
            assert "failed" not in item.outcome.reason
            assert item.outcome.reason
        else:
            assert all(math.isfinite(x) for x in (item.outcome.estimate, item.outcome.low, item.outcome.high))
    if case in {"30 rows", "no rows"}:
        assert not _figures(report)
    for exhibit in report.exhibits:
        assert exhibit.takeaway.endswith(".")


def _figures(report):
    """What was measured of the rows; how many slices the schema declares is not."""
    return [
        item for item in report.evidence if isinstance(item.outcome, Measured) and item.metric not in COUNTS
    ]


@pytest.mark.parametrize("synthetic", ["no rows", "30 rows"])
@pytest.mark.parametrize("name", PROBES)
def test_a_useless_release_of_a_good_table_gives_reasons(name, synthetic):
    real = people(400, np.random.default_rng(1))
    arena = arena_of(real, TABLES[synthetic](), people(300, np.random.default_rng(2)))
    (report,) = measure_quality(arena, np.random.default_rng(0), names=[name])
    assert not _figures(report)
    assert all("failed" not in item.outcome.reason for item in report.evidence if item.metric not in COUNTS)


@pytest.fixture(scope="module")
def reports():
    rng = np.random.default_rng(1)
    arena = arena_of(people(1500, rng), people(1500, rng), people(1000, rng))
    said = []
    found = measure_quality(arena, np.random.default_rng(0), lambda done, what: said.append((done, what)))
    return found, said, arena


def test_keys_are_unique_and_progress_goes_up(reports):
    found, said, _ = reports
    keys = [item.key for report in found for item in report.evidence]
    assert len(set(keys)) == len(keys)
    shares = [done for done, _ in said]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_the_names_that_policies_use_are_measured(reports):
    keys = {item.key for report in reports[0] for item in report.evidence}
    assert keys >= {
        ("marginals", "tvd_1way", "income"),
        ("marginals", "tvd_1way_worst", ""),
        ("marginals", "tvd_2way_mean", ""),
        ("marginals", "tvd_2way_mean", "slice:old"),
        ("marginals", "tvd_3way_mean", ""),
        ("marginals", "noise_floor_1way", ""),
        ("marginals", "noise_floor_2way", ""),
        ("tstr", "loss", "ill"),
        ("tstr", "tstr_score", "ill"),
        ("tstr", "trtr_score", "ill"),
        ("bias", "outcome_gap_amplification", "sex"),
        ("tails", "outlier_rate_ratio", ""),
        ("tails", "outlier_rate_ratio", "income"),
        ("missingness", "missing_rate_difference", ""),
        ("missingness", "missing_rate_difference", "income"),
    }


def test_a_figure_does_not_depend_on_what_else_was_asked_for(reports):
    found, _, arena = reports
    (alone,) = measure_quality(arena, np.random.default_rng(0), names=["marginals"])
    assert alone.evidence == found[list(PROBES).index("marginals")].evidence


def test_an_unknown_probe_is_refused(reports):
    with pytest.raises(InputError, match="no quality probe"):
        measure_quality(reports[2], np.random.default_rng(0), names=["fidelity"])


def test_suites_name_probes_that_exist_and_the_quick_one_trains_no_model():
    assert SUITES["standard"] == SUITES["deep"] == tuple(PROBES)
    assert set(SUITES["quick"]) < set(PROBES)
    assert not {"tstr", "fairness", "two_sample", "coefficients", "coverage"} & set(SUITES["quick"])
    assert suite_probes("quick") == SUITES["quick"]
    with pytest.raises(InputError, match="no suite 'fast'"):
        suite_probes("fast")


def test_slice_masks():
    table = people(300, np.random.default_rng(0))
    old, men = (slice_mask(table, part.where) for part in table.schema.slices)
    assert np.array_equal(old, table["age"].values >= 75)
    assert np.array_equal(men, table["sex"].values == 1)
    gone = slice_mask(table, {"income": ("",)})
    assert np.array_equal(gone, ~table["income"].present)
    assert np.array_equal(slice_mask(table, {"age": ("30",)}), table["age"].values == 30)
