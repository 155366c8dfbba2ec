"""The benchmark's own rules: limits of a fit, what is kept of it, which figures count, who is ahead of whom."""

import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def _as_scripts_find_each_other(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_process_that_spends_its_limit_is_stopped(monkeypatch):
    """By processor time, on however loaded a machine."""
    import measured_fits
    from measured_fits import FitError, run_process

    monkeypatch.setattr(measured_fits, "WALL", 200)
    with pytest.raises(FitError, match="not done in") as stopped:
        run_process(_python("while True: pass"), limit=1)
    assert 1.0 <= stopped.value.cpu_seconds < 6.0


def test_a_failing_process_says_its_last_line():
    from measured_fits import FitError, run_process

    with pytest.raises(FitError, match="out of luck") as failed:
        run_process(_python("raise SystemExit('out of luck')"), limit=5)
    assert failed.value.cpu_seconds is None


def test_a_peer_that_its_limit_stopped_gives_a_lower_bound_of_the_ratio(monkeypatch):
    import generator_speeds

    fits = {
        "aim": {"cpu_seconds": 2.0, "seconds": 4.0},
        "mbi aim": {"failed": "not done", "stopped_at": 90.0},
    }
    monkeypatch.setattr(generator_speeds, "command", lambda generator, *_, **__: [generator])
    monkeypatch.setattr(generator_speeds, "load", lambda name: name)
    monkeypatch.setattr(generator_speeds, "fit_and_score", lambda _, name, limit: fits[name[0]])
    found = generator_speeds.against_mbi(("aim", "mbi aim", "aim"), [("mbi aim", "aim")], 90.0)
    assert found == {"fits": {"aim": fits["aim"]}, "unfinished": ["mbi aim"], "mbi aim / aim": 45.0}
    fits["mbi aim"] = {"failed": "crashed"}
    with pytest.raises(generator_speeds.FitError, match="crashed"):
        generator_speeds.against_mbi(("aim", "mbi aim", "aim"), [("mbi aim", "aim")], 90.0)


def test_memory_is_the_process_own():
    """100 MiB that are touched show; this process's own memory does not."""
    from measured_fits import run_process

    ballast = np.ones(300 * 2**20, dtype=np.uint8)
    small = run_process(_python("import time; time.sleep(0.5)"), limit=5).peak_mib
    large = run_process(_python("import time; x = b'1' * (100 << 20); time.sleep(0.5)"), limit=5).peak_mib
    assert ballast[-1] == 1
    assert small < 60
    assert 95 < large - small < 120


def test_results_come_back_and_the_newest_counts(tmp_path):
    from measured_fits import Key, Results

    results = Results(tmp_path / "fits.jsonl")
    key = Key(table="adult", epsilon=1.0, generator="auto", version="a")
    assert results.find(key) is None
    results.add(key, {"two": 0.5}, load=0.0)
    results.add(key, {"two": 0.25}, load=0.0)
    assert results.find(key)["two"] == 0.25
    assert results.find(Key(table="adult", epsilon=1.0, generator="auto", version="b")) is None


def _row(generator: str, two: float, **more) -> dict:
    row = {"table": "adult", "epsilon": 1.0, "generator": generator, "version": "a", "run": 0}
    row |= {"one": 0.01, "two": two, "three": 2 * two, "auc": 0.9 - two, "cpu_seconds": 2.0, "seconds": 3.0}
    return row | {"peak_mib": 300.0, "measured": "2026-11-22T20:00:00+00:00", "load": 0.5} | more


def test_a_cell_is_the_mean_of_the_newest_version():
    from generator_goals import cells

    (cell,) = cells(
        [_row("auto", 0.5), _row("auto", 0.02, version="b"), _row("auto", 0.04, version="b", run=1)]
    )
    assert cell["runs"] == 2
    assert cell["two"] == pytest.approx(0.03)
    assert cell["two_sd"] == pytest.approx(0.02 / 2**0.5)


def test_a_table_is_of_one_code():
    """What older code of ours was measured elsewhere only is left out; peers keep their figures."""
    from generator_goals import cells

    rows = [
        _row("auto", 0.5, epsilon=3.0),
        _row("dpmm mst", 0.3, epsilon=3.0),
        _row("auto", 0.02, version="b"),
    ]
    assert [(c["epsilon"], c["generator"]) for c in cells(rows)] == [(1.0, "auto"), (3.0, "dpmm mst")]


@pytest.mark.parametrize(("runs", "behind"), [(3, False), (2, True)])
def test_mst_s_auc_is_judged_by_standard_errors_where_both_have_runs_enough(runs, behind):
    """Means .702 and .704, deviations .01: by means behind, by standard errors not."""
    from generator_goals import cells, goals
    from goals import reached

    rows = [
        _row(name, 0.1, run=run, auc=middle + 0.01 * (run - (runs - 1) / 2))
        for name, middle in (("mst", 0.702), ("mbi mst-lean", 0.704))
        for run in range(runs)
    ]
    (auc,) = (g for g in goals(cells(rows), rows) if "mst auc" in g["name"])
    assert reached(auc) is not behind
    clear = [row | {"auc": row["auc"] - 0.1} if row["generator"] == "mst" else row for row in rows]
    (auc,) = (g for g in goals(cells(clear), clear) if "mst auc" in g["name"])
    assert not reached(auc)


def test_a_peer_that_is_ahead_shows_in_table_and_goals():
    from generator_goals import cells, goals, lines
    from goals import reached

    for two, ahead in ((0.02, True), (0.04, False)):
        rows = [_row("auto", 0.03), _row("dpmm mst", two)]
        found = cells(rows)
        text = next(line for line in lines(found) if "dpmm mst" in line)
        assert text.count("<") == (3 if ahead else 0)
        places = next(g for g in goals(found, rows) if g["name"].startswith("places"))
        assert reached(places) is not ahead
        assert places["goal"] == 3


def test_a_peer_that_failed_is_said_and_not_compared():
    from generator_goals import cells, goals, lines

    failed = {k: v for k, v in _row("dpmm aim", 0.0).items() if k not in {"one", "two", "three", "auc"}}
    rows = [_row("auto", 0.03), failed | {"failed": "not done in 400 s of processor time"}]
    found = cells(rows)
    assert any("not done in 400 s" in line for line in lines(found))
    assert not [g for g in goals(found, rows) if g["name"].startswith("places")]


@pytest.mark.parametrize(("auto", "reached_it"), [((0.030, 0.032), True), ((0.040, 0.042), False)])
def test_the_default_must_keep_up_with_the_better_of_two(auto, reached_it):
    from generator_goals import cells, goals
    from goals import reached

    rows = [_row("auto", two, run=run) for run, two in enumerate(auto)]
    rows += [
        _row(name, two, run=run)
        for name, middle in (("mst", 0.05), ("aim", 0.031))
        for run, two in enumerate((middle - 0.001, middle + 0.001))
    ]
    behind = [g for g in goals(cells(rows), rows) if g["name"].startswith("auto behind")]
    assert len(behind) == 3
    assert all(reached(g) is reached_it for g in behind)


def test_no_unit_keeps_more_rows_than_it_may():
    from coded_tables import truncated

    units = np.random.default_rng(1).integers(0, 50, 400)
    kept = truncated(units, 2, np.random.default_rng(0))
    assert len(np.unique(kept)) == len(kept)
    np.testing.assert_array_equal(np.bincount(units[kept]), np.minimum(np.bincount(units), 2))


def test_peers_get_the_budget_of_a_unit_of_several_rows(monkeypatch):
    import generator_commands
    from coded_tables import CodedTable
    from generator_commands import DELTA, command

    from release.privacy.accounting import epsilon_of_rho, rho_for

    monkeypatch.setattr(generator_commands, "python_of", lambda library: Path(library))
    rows = np.zeros((4, 1), dtype=np.int32)
    table = CodedTable("t", ("a",), (1,), rows, rows, 0, 0, (False,), rows_per_unit=2)
    rho = rho_for(1.0, DELTA)
    assert float(command("mbi mst", table, epsilon=1.0, run=0)[5]) == pytest.approx(rho / 4)
    asked = float(command("dpmm mst", table, epsilon=1.0, run=0)[5])
    assert asked == pytest.approx(epsilon_of_rho(rho / 4, DELTA))
    assert command("mst", table, epsilon=1.0, run=0)[5:] == [repr(rho), "2"]
