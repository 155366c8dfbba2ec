"""Policies by command: which are in force, how one is changed, what the second owner sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from app import wiring


@pytest.fixture
def changed(reviewed):
    """toy-1 is in review, and dora has proposed a stricter internal-dev."""
    document = wiring.policies()["internal-dev"]
    Path("tier.yaml").write_text(
        document.replace('version: "1"', 'version: "2"', 1) + "# [red]stricter[/red]\n"
    )
    reviewed("policy propose tier.yaml --as dora --json")
    reviewed.digest = reviewed.json["digest"]
    return reviewed


def standings(shell, name="internal-dev"):
    return [(p["version"], p["standing"]) for p in shell("policy list --json").json if p["name"] == name]


def test_list_says_what_is_in_force_and_what_waits(changed):
    assert standings(changed) == [("1", "in force"), ("2", "waits")]
    assert "waits" in changed("policy list").out


def test_without_a_workspace_the_built_in_tiers_are_listed(tmp_path, monkeypatch, empty):
    monkeypatch.delenv("SLUICE_WORKSPACE")
    monkeypatch.chdir(tmp_path)
    assert standings(empty) == [("1", "built in")]


def test_diff_shows_each_changed_line_and_how_to_confirm(changed):
    changed("policy diff internal-dev")
    assert '-version: "1"' in changed.out
    assert '+version: "2"' in changed.out
    assert "[red]stricter[/red]" in changed.out  # text, no markup
    assert f"--seen {changed.digest[:12]}" in changed.out
    changed("policy diff internal-dev --json")
    assert changed.json["waits"] == changed.digest
    assert '+version: "2"' in changed.json["diff"]


def test_another_owner_confirms_what_they_saw_and_reviews_start_anew(changed):
    changed(f"policy confirm internal-dev --seen {changed.digest[:12]} --as finn", code=1)  # no policy owner
    changed(f"policy confirm internal-dev --seen {changed.digest[:12]} --as dora", code=1)  # who proposed it
    changed("policy confirm internal-dev --seen 000000000000", code=1)
    assert "is not the version" in changed.err
    changed(f"policy confirm internal-dev --seen {changed.digest[:6]}", code=1)
    changed(f"policy confirm internal-dev --seen {changed.digest[:12]} --json")
    assert changed.json["to_be_judged_anew"] == ["toy-1"]
    assert standings(changed) == [("2", "in force")]
    assert "stricter" in changed("policy show internal-dev").out
    changed(f"policy confirm internal-dev --seen {changed.digest[:12]}", code=2)
    assert "waits for a policy owner" in changed.err
    changed("release run toy-1 --as ana --json")
    assert changed.json["verdict"]["policy"] == changed.digest


def test_a_policy_that_is_none_changes_nothing(changed):
    Path("bad.yaml").write_text("format: sluicegate/policy@1\nname: internal-dev\n")
    changed("policy propose bad.yaml --as dora", code=2)
    changed("policy propose no-such-tier --as dora", code=2)
    changed("policy propose tier.yaml --as ana", code=1)  # no policy owner
    assert standings(changed) == [("1", "in force"), ("2", "waits")]
