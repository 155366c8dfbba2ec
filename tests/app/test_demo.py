"""The demo's own logic, with fast parts; the real thing is `make demo`."""

from __future__ import annotations

import gzip

import pytest

from app import demo, wiring
from app.demo import TALES
from tests.app import fakes


@pytest.fixture
def stage(tmp_path, monkeypatch, fast):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLUICE_WORKSPACE", raising=False)
    data = tmp_path / "data" / "toy"
    data.mkdir(parents=True)
    (data / "schema.yaml").write_text(fakes.SCHEMA)
    (data / "answers.yaml").write_text("kind: generated\n")
    (data / "toy.csv.gz").write_bytes(gzip.compress(fakes.toy_csv().encode()))
    monkeypatch.setattr(demo, "HERE", tmp_path / "data")
    monkeypatch.setattr(wiring, "generators", lambda: {"auto": fakes.FakeGenerator(name="auto")})
    copied = [fakes.sure(0.9)]

    def suite(arena, *args):
        from_elsewhere = arena.claim is None
        fast.suite.figures = (
            {("copies", "excess_exact_share", ""): copied[0], ("linkability", "excess_risk", ""): copied[0]}
            if from_elsewhere
            else {}
        )
        return fakes.FakeSuite.__call__(fast.suite, arena, *args)

    monkeypatch.setattr(wiring, "attack_suite", lambda: suite)
    tale = demo.Tale(
        dataset="toy",
        file="toy.csv.gz",
        population="toytown",
        policy="partner-healthcare",
        partner="clinic",
        target="ill",
        epsilon="1",
        too_much="8",
        cap="20",
    )
    return tmp_path / ".demo", tale, fast, copied


def test_the_whole_tale(stage, capsys):
    root, tale, _, _ = stage
    assert demo.play(tale, root) == 0
    shown = capsys.readouterr()
    for words in ("Done in", "accepted", "make app", "broken by copies, linkability", "$ sluice verify"):
        assert words in shown.out, words
    assert "above the 3" in shown.err
    assert (root / "bundle" / "toy-1" / "card.html").is_file()
    assert demo.play(tale, root) == 0  # afresh


def test_a_turn_that_misses_a_limit_is_followed_by_another(stage, capsys, monkeypatch):
    root, tale, fast, _ = stage
    outcomes = iter([fakes.sure(0.9), None, None, None, None])
    original = fast.suite.measure

    def measure(*args, **kwargs):
        worst = next(outcomes)
        fast.suite.figures = {("marginals", "tvd_1way_worst", ""): worst} if worst else {}
        return original(*args, **kwargs)

    monkeypatch.setattr(wiring, "quality_suite", lambda: measure)
    assert demo.play(tale, root) == 0
    assert "Turn 1 missed a limit" in capsys.readouterr().out


def test_a_copy_that_is_not_found_out_fails_the_demo(stage, capsys):
    root, tale, _, copied = stage
    copied[0] = fakes.sure(0.0)
    assert demo.play(tale, root) == 1
    assert "found the copy out" in capsys.readouterr().out


def test_somebody_elses_folder_is_left_alone(stage, capsys):
    root, tale, _, _ = stage
    root.mkdir()
    (root / "thesis.doc").write_text("mine")
    assert demo.play(tale, root) == 1
    assert (root / "thesis.doc").read_text() == "mine"
    capsys.readouterr()


@pytest.mark.parametrize("name", TALES)
def test_tales_fit_their_packaged_tables(name):
    from app.api import read, schema

    tale = TALES[name]
    folder = demo.HERE / tale.dataset
    loaded = schema(folder / "schema.yaml")
    assert loaded.name == tale.dataset
    assert loaded.population == tale.population
    assert tale.target in {column.name for column in loaded.released}
    assert len(read(folder / tale.file, loaded)) > 9_000
    terms = wiring.judge().terms(wiring.policies()[tale.policy])
    assert float(tale.epsilon) <= terms.max_epsilon < float(tale.too_much)
