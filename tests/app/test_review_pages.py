"""The review app's pages, run by Streamlit's own test harness on a workspace of fast fakes."""

from __future__ import annotations

import contextlib
import html
import re
import shutil
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import app
from app.workspace import Workspace
from release.records import Decision
from release.workflow.people import Role
from release.workflow.transitions import State
from tests.app import review_place as place

REVIEW = Path(app.__file__).parent / "review.py"
PAGES = ("view_releases.py", "view_release.py", "view_budget.py", "view_policies.py", "view_audit.py")


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return place.build(tmp_path_factory.mktemp("review") / "workspace")


@pytest.fixture
def root(template, tmp_path, monkeypatch):
    """A fresh copy, and the app pointed at it."""
    copy = tmp_path / "workspace"
    shutil.copytree(template, copy)
    monkeypatch.setenv("SLUICE_WORKSPACE", str(copy))
    yield copy
    st.cache_resource.clear()


def registry(root):
    return Workspace.open(root).registry


def page(name, *, person="ben", release=None):
    """The page as this person sees it; no exception may have come out of it."""
    found = AppTest.from_file(str(REVIEW), default_timeout=60)
    found.run()
    found.sidebar.selectbox(key="person").set_value(person)
    if release:
        found.query_params["id"] = release
    found.switch_page(name).run()
    assert not found.exception, [item.value for item in found.exception]
    return found


def markup(found):
    """All HTML on the page."""
    return "\n".join(item.value if hasattr(item, "value") else item.proto.body for item in found.html)


def words(found):
    """All text on the page as people read it, whether it came as HTML or Markdown."""
    texts = [html.unescape(re.sub(r"<[^>]*>", " ", markup(found)))]
    for kind in (
        found.title,
        found.header,
        found.markdown,
        found.warning,
        found.error,
        found.info,
        found.success,
    ):
        texts += [re.sub(r"\\(.)", r"\1", item.value) for item in kind]
    return re.sub(r"\s+", " ", " ".join(texts))


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_drawn(root, name):
    found = page(name)
    assert len(found.title) == 1
    assert not found.error
    assert "ben: reviewer" in words(found)


def test_an_empty_workspace_says_what_to_do(tmp_path, monkeypatch):
    empty = tmp_path / "workspace"
    place.sluice("init", empty, "--demo")
    monkeypatch.setenv("SLUICE_WORKSPACE", str(empty))
    for name in PAGES:
        assert not page(name).error
    assert "sluice release propose" in words(page("view_release.py"))


def test_the_list_puts_what_waits_for_me_first(root):
    assert [item.value for item in page("view_releases.py", person="ben").header] == [
        "Waits for you (3)",
        "All others (2)",
    ]
    assert page("view_releases.py", person="ana").header[0].value == "Waits for you (2)"


def test_the_list_says_what_is_wrong(root):
    found = page("view_releases.py")
    assert "3 of" not in words(found)
    assert "findings stand in the way: membership" in words(found)
    found.text_input(key="filter").set_value("blocked").run()
    assert "findings stand in the way: membership" in words(found)
    assert "toy-3" not in markup(found)


def test_a_blocked_release_leads_with_what_is_broken(root):
    found = page("view_release.py", release="toy-2")
    text = words(found)
    order = [text.index(part) for part in ("✗ broken", "This table must not leave", "What to do:", "✓ met")]
    assert order == sorted(order)
    assert "findings stand in the way: membership, inference" in text
    assert "There is nothing to vote on" in text
    assert not [button for button in found.button if button.key == "approve"]


def test_a_met_release_shows_what_comes_closest_and_what_rules_do_not_cover(root):
    text = words(page("view_release.py", release="toy-1"))
    assert "Every rule is met. What is left is your judgement." in text
    assert "by itself allows an attack that finds" in text
    assert "outside ε (gate mode uncovered)" in text
    assert "toytown : " in text
    assert "of its lifetime budget is spent" in text


def test_margins_are_shares_of_the_limit(root):
    text = words(page("view_release.py", release="toy-2"))
    found = re.search(r"worst-column : (\d+)% of its limit .*?at most (0\.\d+)", text)
    assert found
    assert int(found[1]) == round(100 * 0.07 / float(found[2]))


def test_every_state_has_words_a_badge_and_something_to_do():
    from app import desk

    for table in (desk.STATE_WORDS, desk.STATE_BADGE, desk.WHAT_TO_DO):
        assert set(table) == set(State)


# ---------------------------------------------------------------------------------------------- voting


def press(found, key):
    next(button for button in found.button if button.key == key).click().run()
    assert not found.exception
    return found


def test_two_reviewers_approve(root):
    first = press(page("view_release.py", person="ben", release="toy-1"), "approve")
    assert "You have approved toy-1: now waits for further reviewers" in words(first)
    assert "You may not vote: ben has approved it already" in words(first)
    second = press(page("view_release.py", person="cleo", release="toy-1"), "approve")
    assert "now approved" in words(second)
    assert registry(root).show("toy-1").approval.approvers == ("ben", "cleo")


def test_a_comment_is_kept_and_shown_to_the_letter(root):
    found = page("view_release.py", release="toy-4")
    found.text_area[0].set_value(place.HOSTILE_COMMENT)
    press(found, "reject")
    view = registry(root).show("toy-4")
    assert (view.state, view.votes[0].comment) == (State.REJECTED, place.HOSTILE_COMMENT)
    assert html.escape(place.HOSTILE_COMMENT, quote=False) in markup(found).replace("&#34;", '"')
    assert "<h1>" not in markup(found)


def test_sending_back_returns_it(root):
    press(page("view_release.py", release="toy-5"), "return")
    assert registry(root).show("toy-5").state is State.RETURNED


def test_the_requester_reads_why_it_was_sent_back(root):
    found = page("view_release.py", release="toy-5")
    found.text_area[0].set_value(place.HOSTILE_COMMENT)
    press(found, "return")
    theirs = markup(page("view_release.py", person="ana", release="toy-5"))
    assert "Sent back" in theirs
    assert html.escape(place.HOSTILE_COMMENT, quote=False) in theirs.replace("&#34;", '"')
    assert "<h1>" not in theirs
    place.run_turn(root, "toy-5", new_turn=True)
    again = words(page("view_release.py", person="ben", release="toy-5"))
    assert re.search(r"Sent back person turn comment ben 1 ", again)


def test_sending_back_from_a_page_that_is_out_of_date_is_refused(root):
    """What cleo sent back was mended meanwhile: ben's remark is about the turn before."""
    stale = page("view_release.py", person="ben", release="toy-4")
    registry(root).send_back("toy-4", comment="again", by="cleo")
    place.run_turn(root, "toy-4", new_turn=True)
    press(stale, "return")
    assert "toy-4 has changed since you looked at it" in words(stale)
    assert registry(root).show("toy-4").state is State.IN_REVIEW
    press(stale, "return")  # now the page shows the second turn
    assert registry(root).show("toy-4").state is State.RETURNED


def test_nobody_is_offered_a_vote_on_their_own(root):
    found = page("view_release.py", person="ana", release="toy-1")
    assert "You may not vote: ana asked for this release, and nobody approves their own" in words(found)
    assert {button.key for button in found.button}.isdisjoint({"approve", "return", "reject"})


def test_people_without_the_role_are_told_so(root):
    found = page("view_release.py", person="emil", release="toy-1")
    assert "You may not vote: emil is neither a reviewer nor a policy owner" in words(found)
    text = words(found)
    assert "ben ○ may vote" in text


def test_the_requester_pressing_anyway_is_refused_by_the_registry(root):
    """The page offers no button; whoever forces the callback meets the registry."""
    founder = registry(root).people.all()[0].added_by
    registry(root).people.add("ana", (Role.REQUESTER, Role.REVIEWER), by=founder)
    found = page("view_release.py", person="ben", release="toy-1")
    found.sidebar.selectbox(key="person").set_value("ana")
    press(found, "approve")
    assert "Not done:" in found.error[0].value
    assert "ana asked for this release and so cannot approve it" in words(found)
    assert registry(root).show("toy-1").votes == ()


def test_a_role_lost_since_the_page_was_drawn_is_refused(root):
    found = page("view_release.py", person="ben", release="toy-1")
    founder = registry(root).people.all()[0].added_by
    registry(root).people.add("ben", (), by=founder)
    press(found, "approve")
    assert "has none of the roles" in words(found)
    assert registry(root).show("toy-1").votes == ()


def test_a_vote_on_a_page_that_is_out_of_date_is_refused(root):
    """The button carries what the page showed, not what is so when it is pressed."""
    stale = page("view_release.py", person="ben", release="toy-4")
    registry(root).send_back("toy-4", comment="again", by="cleo")
    place.run_turn(root, "toy-4", new_turn=True)
    assert registry(root).show("toy-4").state is State.IN_REVIEW
    press(stale, "approve")
    assert "toy-4 has changed since you looked at it" in words(stale)
    assert registry(root).show("toy-4").votes == ()
    press(stale, "approve")  # now the page shows the second turn
    assert [vote.turn for vote in registry(root).show("toy-4").votes] == [2]


def test_the_registry_refuses_a_vote_on_something_else(root):
    from release.canonical import digest
    from release.errors import TransitionError
    from release.workflow.votes import Binding

    view = registry(root).show("toy-4")
    honest = {
        "release": view.release,
        "turn": view.turn,
        "candidate": digest(view.candidate),
        "evidence": view.verdict.evidence,
        "policy": view.terms.digest,
    }
    for field, other in {"turn": 9, "candidate": "0" * 64, "evidence": "0" * 64, "policy": "0" * 64}.items():
        with pytest.raises(TransitionError, match="changed since you looked at it"):
            registry(root).vote("toy-4", Decision.APPROVE, by="ben", seen=Binding(**{**honest, field: other}))
    assert registry(root).vote("toy-4", Decision.APPROVE, by="ben", seen=Binding(**honest)) is State.APPROVED


# ---------------------------------------------------------------------------------------------- strings and exhibits


def test_hostile_strings_are_shown_to_the_letter(root):
    """No tag of theirs becomes a tag, no Markdown of theirs becomes a link."""
    for name, release in (("view_releases.py", None), ("view_release.py", "toy-2"), ("view_audit.py", None)):
        found = page(name, release=release)
        body = markup(found)
        assert not re.search(r"<(script|img|b|h1|a)\b", body)
        for item in (*found.markdown, *found.warning, *found.title):
            assert "](http" not in item.value
            assert "<b>" not in item.value.replace("\\<", "")
    assert place.HOSTILE_PARTNER in words(page("view_release.py", release="toy-2"))
    synthetic = markup(page("view_release.py", release="toy-2"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in synthetic


def test_an_unknown_release_is_said_to_the_letter(root):
    found = page("view_release.py", release="[x](http://evil)")
    assert found.warning[0].value == r"There is no release \[x\]\(http\://evil\)."


def test_pictures_of_odd_exhibits_show_the_table(root):
    found = page("view_release.py", release="toy-1")
    choice = next(item for item in found.selectbox if item.label == "Pictures of")
    assert len(found.get("vega_lite_chart")) >= 1
    choice.select("odd_ones").run()
    assert not found.exception
    text = words(found)
    for name in place.ODD_EXHIBITS:
        if name != "a number beyond every number":
            assert f"What to take from {name}." in text


def test_only_synthetic_rows_are_read(root, monkeypatch):
    """The page opens the candidate's file and no other table."""
    from release.data import table_file

    opened = []
    honest = table_file.read_table_file
    monkeypatch.setattr(
        table_file, "read_table_file", lambda path, schema: opened.append(path) or honest(path, schema)
    )
    page("view_release.py", release="toy-1")
    workspace = Workspace.open(root)
    candidate = workspace.registry.show("toy-1").candidate
    assert set(opened) == {workspace.objects.path(candidate.table, keyed=False)}


def test_a_changed_record_is_said_and_not_hidden(root):
    import sqlite3

    with contextlib.closing(sqlite3.connect(root / "registry.sqlite")) as database, database:
        for (name,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
            database.execute(f"drop trigger {name}")
        database.execute("update audit set body = replace(body, 'ana', 'eve')")
    found = page("view_audit.py")
    assert "Not done:" in found.error[0].value


def test_everything_can_be_checked_on_request(root):
    found = page("view_audit.py")
    found.button[0].click().run()
    assert "agree with each other" in words(found)


def test_the_documentation_names_every_page_and_tab():
    from app import evidence_tabs

    text = (REVIEW.parent.parent / "docs" / "review-app.md").read_text(encoding="utf-8")
    for title in re.findall(r'"view_\w+\.py", "([^"]+)"', REVIEW.read_text(encoding="utf-8")):
        assert f"| {title} |" in text
    for title, _ in evidence_tabs.TABS:
        assert f"- *{title}*:" in text
