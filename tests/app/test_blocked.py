"""What a person is told when something is in the way: what is so, which limit, where, and what can be typed next."""

from __future__ import annotations

import shlex

import pytest
import typer

from app import console
from app.commands.release import app as release_commands
from app.notes import notes
from app.workspace import Workspace
from policies import builtin
from release.records import Finding, Measured, ReleaseId, Ruling
from release.workflow.transitions import COMMANDS, State, steps_from
from tests.app import fakes
from tests.app.conftest import PROPOSE

WORST = ("marginals", "tvd_1way_worst", "")
BAD = Measured(estimate=0.2, low=0.19, high=0.21, trials=7000)


def shown(shell, release="toy-1"):
    return Workspace.open(shell.workspace).registry.show(ReleaseId(release))


@pytest.fixture
def blocked(proposed, fast, monkeypatch):
    """toy-1 has run; one column is too far off, and its probe says which."""
    fast.suite.figures = {WORST: BAD}
    honest = fakes.Evidence
    monkeypatch.setattr(
        fakes,
        "Evidence",
        lambda **named: honest(
            **named, note="worst column: colour" if (named["probe"], named["metric"]) == WORST[:2] else ""
        ),
    )
    proposed("release run toy-1 --as ana", code=1)
    return proposed


def words(text):
    return " ".join(text.split())


def test_every_command_that_a_message_names_exists_and_lacks_nothing():
    commands = typer.main.get_command(release_commands).commands
    assert set(COMMANDS.values()) <= set(commands)
    for state in State:
        for step in steps_from(state, "x-1"):
            verb, *arguments = shlex.split(step.split("`")[1])[2:]
            with commands[verb].make_context(verb, arguments):  # raises where an option is missing or unknown
                pass


def test_a_blocked_release_says_which_limit_is_passed_where_and_what_to_do(blocked):
    blocked("release show toy-1")
    said = words(blocked.out)
    assert (
        "broken worst-column (release): total variation distance of the worst column: at most 0.15; the whole interval "
        "0.2 [0.19, 0.21] is outside [worst column: colour]" in said
    )
    assert (
        "possible now sluice release run toy-1 --new-turn (requester) sluice release withdraw toy-1" in said
    )
    assert "--seen" not in said  # there is nothing to vote on


def test_no_note_stands_for_another_policy_s_rule(blocked):
    view = shown(blocked)
    policy = view.document
    assert notes(view.verdict, view.evidence, policy) == {("worst-column", ""): "worst column: colour"}
    assert notes(view.verdict, view.evidence, builtin()["public"]) == {}
    assert notes(None, view.evidence, policy) == notes(view.verdict, None, policy) == {}


def test_the_card_in_the_review_app_says_where_too():
    from app import concerns

    broken = Finding(
        rule="worst-column",
        subject="",
        ruling=Ruling.BROKEN,
        value=BAD,
        limit="distance: at most 0.15",
        reason="outside",
    )
    card = concerns._card([broken], {("worst-column", ""): "worst column: <b>colour</b>"})
    assert "worst column: &lt;b&gt;colour" in card
    assert "worst column" not in concerns._card([broken], {("worst-column", "ill"): "worst column: colour"})


def test_export_of_what_is_blocked_says_why_and_what_to_type(blocked):
    blocked("release export toy-1 --to out --as emil", code=1)
    assert blocked.err == (
        "sluice: toy-1 is blocked; to export toy-1 it must be approved; `sluice release show toy-1` says why; "
        "possible now: `sluice release run toy-1 --new-turn` (requester), `sluice release withdraw toy-1` (requester)\n"
    )
    blocked("release approve toy-1 --as ben", code=1)
    assert "to approve toy-1 it must be in_review or partially_reviewed or reviewed; `sluice" in blocked.err


def test_a_run_with_nothing_to_run_says_what_to_type(reviewed):
    reviewed("release run toy-1 --as ana", code=1)
    assert (
        "toy-1 is in_review, and there is nothing to run; possible now: `sluice release approve toy-1`"
        in words(reviewed.err)
    )


def test_who_may_not_export_is_told_whom_to_ask(reviewed):
    reviewed("release approve toy-1 --as ben")
    reviewed("release export toy-1 --to out --as ana", code=1)
    assert "to export a release takes the role releaser; ask somebody who is releaser" in words(reviewed.err)


# ---------------------------------------------------------------------------------------------- hostile names


def test_no_name_can_move_the_cursor_or_reorder_a_line(shell):
    partner = "lab\x1b[2Kstate  approved\u202eevil\x9b1m\u200b"
    shell([partner if word == "lab" else word for word in PROPOSE.split()])
    assert shown(shell).request.partner == partner  # kept to the letter; only the screen writes it out
    for line in ("release show toy-1", "release show", "release run toy-1 --as ana"):
        shell(line)
        assert "\\x1b[2K" in shell.out
        assert not any(sign in shell.out + shell.err for sign in "\x1b\x9b\u202e\u200b")
    shell(["release", "export", "\x1b]0;x\x07", "--to", "out", "--as", "emil"], code=2)
    assert "\x1b" not in shell.err


def test_letters_of_any_script_stay():
    text = "Größe, Ελλάδα, 日本, हिन्दी, e\u0301\n\tnext"
    assert console.legible(text) == text
    assert console.legible("\udc80\u2028") == "\\udc80\\u2028"
