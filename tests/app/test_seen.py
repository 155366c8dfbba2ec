"""A vote binds to what was looked at; one file has one population; a draft is not a schema; a release can be taken back."""

from __future__ import annotations

from tests.app import fakes


def test_a_vote_on_what_was_shown_counts(reviewed):
    seen = reviewed("release show toy-1 --json").json["seen"]
    reviewed(f"release approve toy-1 --seen {seen} --as ben")


def test_a_vote_on_something_else_is_refused(reviewed):
    reviewed("release approve toy-1 --seen 000000000000 --as ben", code=1)
    assert "look at it again" in reviewed.err


def test_what_was_shown_can_be_sent_back_and_the_requester_reads_why(reviewed):
    seen = reviewed("release show toy-1 --json").json["seen"]
    reviewed(["release", "return", "toy-1", "--seen", seen, "-m", "fewer columns", "--as", "ben"])
    assert "by ben, turn 1: fewer columns" in reviewed.out
    reviewed("release run toy-1 --new-turn --as ana")
    reviewed("release show toy-1 --json")
    assert reviewed.json["sent_back"] == [{"person": "ben", "turn": 1}]
    assert "fewer columns" not in reviewed.out  # comments are for people; a document may be passed on


def test_something_else_than_was_shown_is_not_sent_back(reviewed):
    seen = reviewed("release show toy-1 --json").json["seen"]
    reviewed("release return toy-1 --as ben")
    reviewed("release run toy-1 --new-turn --as ana")
    reviewed(f"release return toy-1 --seen {seen} --as ben", code=1)
    assert f"no longer what {seen} stands for: it is now " in reviewed.err
    assert "turn 2" in reviewed.err
    assert reviewed("release show toy-1 --json").json["state"] == "in_review"


def test_a_release_without_a_verdict_is_nothing_to_have_seen(proposed):
    proposed("release return toy-1 --seen 3fa9c1d27b04 --as ben", code=1)
    assert "it has no verdict now" in proposed.err
    proposed("release return toy-1 --as ben", code=1)
    assert (
        "to send toy-1 back it must be in_review or partially_reviewed or reviewed or approved"
        in proposed.err
    )


def test_a_file_cannot_get_a_second_budget(shell, tmp_path):
    text = fakes.SCHEMA.replace("name: toy\n", "name: again\n").replace("toytown", "elsewhere")
    (tmp_path / "again.yaml").write_text(text)
    shell("dataset add toy.csv --schema again.yaml --as ana", code=2)
    assert "toytown" in shell.err
    (tmp_path / "again.yaml").write_text(text.replace("elsewhere", "toytown"))
    shell("dataset add toy.csv --schema again.yaml --as ana")


def test_a_draft_as_it_is_cannot_be_registered(empty, tmp_path):
    empty("schema draft toy.csv --out draft.yaml")
    empty("dataset add toy.csv --schema draft.yaml --as ana", code=2)
    assert "population" in empty.err


def test_a_released_bundle_is_revoked_by_a_releaser_only(reviewed, tmp_path):
    reviewed("release approve toy-1 --as ben")
    reviewed(f"release export toy-1 --to {tmp_path / 'out'} --as emil")
    reviewed(["release", "revoke", "toy-1", "-m", "a wrong schema", "--as", "ben"], code=1)
    reviewed(["release", "revoke", "toy-1", "-m", "a wrong schema", "--as", "emil", "--json"])
    assert reviewed.json["state"] == "revoked"
    reviewed("release supersede toy-1 --by toy-1 --as emil", code=1)
