"""`sluice release sweep | collapse | report` on a real generator and real measurements; only the attacks are stood in for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from app import wiring
from app.commands.release_studies import percents, weights
from app.workspace import Workspace
from release.errors import InputError
from release.records import ReleaseId
from tests.app import fakes
from tests.app.conftest import Shell

SCHEMA = """\
format: sluicegate/schema@1
name: toy
population: toytown
population_size: 5000
unit: {name: person}
provenance: {kind: collected, source: made up for a test, licence: none}
columns:
  - {name: age, kind: integer, roles: [quasi-identifier], domain: {min: 0, max: 100}, domain_source: codebook}
  - {name: colour, kind: categorical, roles: [quasi-identifier], domain: {values: [red, green, blue]}, domain_source: codebook}
  - {name: ill, kind: boolean, roles: [sensitive, target], domain: {values: ["no", "yes"]}, domain_source: codebook}
slices:
  - {name: red, where: {colour: [red]}}
"""


def toy(n):
    rng = np.random.default_rng(5)
    age = rng.integers(0, 101, n)
    colour = rng.choice(["red", "green", "blue"], n, p=[0.2, 0.4, 0.4])
    ill = np.where(rng.random(n) < 1 / (1 + np.exp(-(age - 60) / 12)), "yes", "no")
    return "age,colour,ill\n" + "".join(f"{a},{c},{i}\n" for a, c, i in zip(age, colour, ill, strict=True))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A workspace with one measured release, made once."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "schema.yaml").write_text(SCHEMA)
    (folder / "toy.csv").write_text(toy(2500))
    return folder


@pytest.fixture
def shell(measured, monkeypatch, capsys):
    root = measured / "workspace"
    suite = fakes.FakeSuite()
    probes = ("marginals", "tails", "tstr", "rebalance")
    monkeypatch.setattr(wiring, "attack_suite", lambda: suite)
    monkeypatch.setattr(wiring, "quality_probes", lambda suite: probes)
    monkeypatch.setenv("SLUICE_WORKSPACE", str(root))
    monkeypatch.chdir(measured)
    shell = Shell(root, capsys)
    if not root.exists():
        shell(f"init {root} --demo")
        shell("dataset add toy.csv --schema schema.yaml --as ana")
        shell("budget set toytown --epsilon 20 --as finn")
        shell(
            "release propose toy --generator mst --epsilon 3 --policy internal-dev --partner lab"
            " --target ill --rows 1500 --as ana"
        )
        shell("release run toy-1 --as ana", code=3)
    return shell


SWEEP = "release sweep toy-1 --ratios 0,50,100 --seeds 2 --slices red=2"


def test_a_sweep_goes_on_file_repeats_to_the_digit_and_is_revalidated(shell):
    shell("release sweep toy-1 --revalidate", code=1)
    assert "no sweep" in shell.err
    first = shell(f"{SWEEP} --as ana --json").json
    assert first["sweep"]["finding"]
    assert {point["subject"] for point in first["sweep"]["points"]} == {"", "slice:red", "weighted"}
    again = shell(f"{SWEEP} --as ana --json").json
    assert again == first
    assert shell("release sweep toy-1 --revalidate --json").json["mix"] == first["mix"]
    assert "unchanged" in shell("release sweep toy-1 --revalidate").out
    assert "against real only" in shell.out
    place = Workspace.open(shell.workspace)
    assert len(place.registry.show(ReleaseId("toy-1")).sweeps) == 2


def test_a_sweep_that_makes_no_sense_is_refused(shell):
    assert "no slice" in shell("release sweep toy-1 --slices nobody --as ana", code=2).err
    assert "real only" in shell("release sweep toy-1 --ratios 50,100 --as ana", code=2).err
    assert "no list of percents" in shell("release sweep toy-1 --ratios half --as ana", code=2).err
    assert "not a released column" in shell("release sweep toy-1 --target shoe --as ana", code=3).err


def test_collapse_begins_with_the_candidate_and_charges_nothing(shell):
    before = shell("budget --json").json
    found = shell("release collapse toy-1 --generations 3 --json").json
    subjects = {item["subject"] for item in found["evidence"]}
    assert subjects == {"", "generation 1", "generation 2", "generation 3"}
    assert shell("budget --json").json == before
    assert "tvd 2way growth" in shell("release collapse toy-1 --generations 3").out
    assert "generations are not in" in shell("release collapse toy-1 --generations 0", code=2).err


def test_rebalancing_shows_before_and_after_and_charges_nothing(shell):
    before = shell("budget --json").json
    found = {
        (item["metric"], item["subject"]): item["outcome"]
        for item in shell("release rebalance toy-1 --slices red=0.6 --json").json["evidence"]
    }
    assert found["share_before", "slice:red"]["estimate"] < 0.3
    assert found["share_after", "slice:red"]["estimate"] == 0.6
    for subject in ("", "slice:red"):
        low, high = (found["score_change", subject][end] for end in ("low", "high"))
        assert low <= found["score_change", subject]["estimate"] <= high
    assert shell("budget --json").json == before
    assert "at most 1" in shell("release rebalance toy-1 --slices red=3", code=2).err


class Copy:
    """A baseline that gives the training rows back."""

    name, private, summary = "copy", False, "for tests"

    def plan(self, schema, budget, task=None, options=None):
        return self

    def run(self, table, noise, progress=None):
        self.table = table
        return self

    def sample(self, n, rng, where=None):
        made = self.table.take(rng.integers(0, len(self.table), n))
        return type(made)(made.schema, made.columns, np.arange(n))


def test_a_baseline_stands_beside_the_release_and_a_private_generator_is_refused(shell, monkeypatch):
    known = dict(wiring.generators())
    monkeypatch.setattr(wiring, "generators", lambda: {**known, "copy": Copy()})
    told = shell("release compare toy-1 --with copy --json").json
    found = {(item["metric"], item["subject"]): item["outcome"] for item in told["evidence"]}
    assert "The release beside copy, which has no privacy" in Path(told["page"]).read_text(encoding="utf-8")
    # A resample of the training rows lies at the noise floor of these sizes.
    assert 0 < found["tvd_2way_mean", "copy"]["estimate"] < 0.06
    assert {subject for metric, subject in found if metric == "loss"} == {
        "copy",
        "release",
        "independent columns",
    }
    assert found["tvd_2way_mean_price", "copy"]["low"] <= found["tvd_2way_mean_price", "copy"]["high"]
    assert "would be charged" in shell("release compare toy-1 --with mst", code=1).err


def test_coverage_over_draws(shell):
    (item,) = shell("release draws toy-1 --draws 4 --json").json["evidence"]
    assert item["metric"] == "naive_coverage"
    assert 0 <= item["outcome"]["estimate"] <= 1
    assert "draws are not in" in shell("release draws toy-1 --draws 1", code=2).err


def test_a_synthetic_source_is_refused_without_its_real_anchor(shell, measured):
    made = SCHEMA.replace("name: toy\n", "name: made\n").replace(
        "kind: collected,", "kind: generated, depth: 1, real_anchor: {},"
    )
    (measured / "unknown.yaml").write_text(made.replace("{},", "nowhere,"))
    assert (
        "is not a dataset of this workspace"
        in shell("dataset add toy.csv --schema unknown.yaml --as ana", code=1).err
    )
    (measured / "made.yaml").write_text(made.replace("{},", "toy,"))
    shell("dataset add toy.csv --schema made.yaml --as ana")


def test_reports_lie_in_the_workspace_and_the_partners_page_has_no_figure(shell):
    shell(f"{SWEEP} --as ana")
    paths = shell("release report toy-1 --json").json["pages"]
    assert [os.path.basename(path) for path in paths] == ["toy-1-1-internal.html", "toy-1-1-partner.html"]
    internal, partner = (Path(path).read_text("utf-8") for path in paths)
    view = Workspace.open(shell.workspace).registry.show(ReleaseId("toy-1"))
    assert 'id="sweep"' in internal
    assert view.sweeps[-1].result["finding"] in internal
    for finding in view.verdict.findings:
        assert finding.rule in internal
        assert finding.rule in partner
        # The claim itself is public; every other reason quotes a figure of the real data.
        assert finding.rule == "claim" or finding.reason not in partner
    assert os.stat(paths[0]).st_mode & 0o077 == 0
    assert shell("release report toy-1 --json").json["pages"] == paths


def test_options_are_read_once_at_the_edge():
    assert percents("--ratios", "0, 25,100") == (0.0, 0.25, 1.0)
    assert percents("--add", "") == ()
    assert weights("poor health=2, hispanic") == {"poor health": 2.0, "hispanic": 1.0}
    with pytest.raises(InputError, match="no weight"):
        weights("a=b")


def test_a_release_at_a_mix_of_slices_says_so_and_shows_its_effect(shell):
    propose = (
        "release propose toy --generator mst --epsilon 1 --policy internal-dev --partner lab"
        " --target ill --rows 1000 --as ana --slices "
    )
    before = shell("budget --json").json
    for slices, words in (
        ("nobody=0.3", "no slice"),
        ("red=1.3", "not above 0 and at most 1"),
        ("red=nan", "not above 0"),
        ("red=lots", "is no share"),
        ("red", "not NAME=VALUE"),
        ("red=0.1,red=0.2", "twice"),
        ("red=0.0001", "no row of the slice"),
    ):
        assert words in shell(propose + slices, code=2).err
    assert shell("budget --json").json == before
    asked = shell(f"{propose}red=0.6 --json").json
    assert asked["request"]["weights"] == {"red": 0.6}
    shell(f"release run {asked['release']} --as ana", code=3)
    assert "red 60 %, the rest 40 %" in shell(f"release show {asked['release']}").out
    found = {
        (item["metric"], item["subject"]): item["outcome"]
        for item in shell(f"release show {asked['release']} --json").json["evidence"]
        if item["probe"] == "rebalance"
    }
    assert found["share_after", "slice:red"]["estimate"] == 0.6
    assert found["share_before", "slice:red"]["estimate"] < 0.3
    assert found["tvd_2way_change", ""]["low"] > 0.0
    assert "estimate" in found["score_change", "slice:red"]
