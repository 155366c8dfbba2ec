"""Who gets into the review app of a workspace that is no demo and has no single sign-on."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import app
from app.people import found as first_people
from app.workspace import Settings, Workspace, user
from release.records import Person
from release.workflow.people import Role

REVIEW = Path(app.__file__).parent / "review.py"
SECRET = "for a test"


@pytest.fixture
def place(tmp_path, monkeypatch):
    made = Workspace.create(tmp_path / "workspace", Settings())
    first_people(made)
    monkeypatch.setenv("SLUICE_WORKSPACE", str(made.root))
    monkeypatch.setenv("SLUICE_APP_TOKEN", SECRET)
    yield made
    st.cache_resource.clear()


def opened(token):
    page = AppTest.from_file(str(REVIEW), default_timeout=60)
    if token:
        page.query_params["token"] = token
    page.run()
    assert not page.exception
    return page


def test_the_link_lets_in_and_is_remembered_while_the_session_lasts(place):
    page = opened(SECRET)
    assert not page.error
    assert page.title[0].value == "Releases"
    page.query_params.clear()
    assert not page.run().error


@pytest.mark.parametrize("token", ["", "another", SECRET + "x"])
def test_without_the_link_nothing_is_shown(place, token):
    page = opened(token)
    assert "link" in page.error[0].value
    assert not page.title
    assert str(user()) not in " ".join(item.value for item in page.sidebar.markdown)


def test_an_app_that_was_started_without_a_secret_lets_nobody_in(place, monkeypatch):
    monkeypatch.delenv("SLUICE_APP_TOKEN")
    assert opened("").error
    monkeypatch.setenv("SLUICE_APP_TOKEN", "")
    assert opened("").error


def test_who_has_no_role_sees_nothing_of_real_people(place):
    place.registry.people.add(Person("otto"), (Role.POLICY_OWNER,), by=user())
    place.registry.people.add(user(), (), by=Person("otto"))
    page = opened(SECRET)
    assert "no role" in page.error[0].value
    assert not page.title
