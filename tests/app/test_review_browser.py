"""The review app in a real Chromium: what people do, on the two widths and in the two themes they do it in, checked by axe."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import app
from app.workspace import Workspace
from release.workflow.transitions import State
from tests.app import review_place as place

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
REPOSITORY = Path(app.__file__).parent.parent
PATIENCE = 30_000


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One workspace for all: each test has a release of its own in it."""
    return place.build(tmp_path_factory.mktemp("review-browser") / "workspace")


@pytest.fixture(scope="module")
def address(root, tmp_path_factory):
    """The app's own process on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("review-log") / "log.txt"
    with log.open("w") as out:
        server = subprocess.Popen(
            [
                sys.executable, "-m", "streamlit", "run", str(REPOSITORY / "app" / "review.py"),
                "--server.address", "127.0.0.1", "--server.port", str(port), "--server.headless", "true",
            ],
            cwd=REPOSITORY, env=place.environment(root), stdout=out, stderr=out,
        )  # fmt: skip
    try:
        _wait_for(f"http://127.0.0.1:{port}/_stcore/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    assert "Traceback" not in log.read_text()


def _wait_for(url, server, log):
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.2)
    pytest.fail(f"the review app did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        found.close()


class Sight:
    """One person's browser tab."""

    def __init__(self, browser, address, *, width=1280, theme="light"):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        self.context.set_default_timeout(PATIENCE)
        self.tab = self.context.new_page()
        self.address = address
        self.asked = []
        self.dialogs = []
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def go(self, path, *, person=None):
        self.tab.goto(self.address + path)
        self.tab.get_by_text("Act as (demo only)").wait_for()
        if person:
            self.tab.get_by_test_id("stSidebar").get_by_role("combobox").click()
            self.tab.get_by_role("option", name=person, exact=True).click()
            self.sees(f"{person}: ")
        self.settled()
        return self

    def settled(self):
        """Wait until the script has run."""
        self.tab.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")

    def sees(self, text):
        self.tab.get_by_text(text).filter(visible=True).first.wait_for()
        return self

    def press(self, name):
        self.tab.get_by_role("button", name=name).click()
        return self

    def violations(self):
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.tab).response["violations"]
        return [(item["id"], item["impact"], item["nodes"][0]["html"][:200]) for item in found]

    def overflow(self):
        """How many pixels the page is wider than the window."""
        return self.tab.evaluate(
            "Math.max(...[document.documentElement, ...document.querySelectorAll('[data-testid=stMain],[data-testid=stMainBlockContainer]')]"
            ".map(part => part.scrollWidth - part.clientWidth))"
        )


@pytest.fixture
def sight(browser, address):
    opened = []

    def open_one(**named):
        opened.append(Sight(browser, address, **named))
        return opened[-1]

    yield open_one
    for one in opened:
        strangers = [url for url in one.asked if not re.match(r"(http|ws)://127\.0\.0\.1:|data:|blob:", url)]
        one.context.close()
        assert one.dialogs == []
        assert strangers == [], "the app asks nobody outside this machine"


def registry(root):
    return Workspace.open(root).registry


def test_two_reviewers_approve_a_release(root, sight):
    ben = sight().go("/", person="ben")
    ben.sees("Waits for you")
    ben.press("Open toy-1").sees("Every rule is met").settled()
    assert "/release?id=toy-1" in ben.tab.url
    ben.tab.get_by_label("Comment (stays inside)").fill(place.HOSTILE_COMMENT)
    ben.press("✓ Approve").sees("You have approved toy-1")
    ben.sees(place.HOSTILE_COMMENT)
    cleo = sight(theme="dark").go("/release?id=toy-1", person="cleo")
    cleo.sees("1 of 2 approvals").press("✓ Approve").sees("now approved: waits to be exported")
    assert registry(root).show("toy-1").approval.approvers == ("ben", "cleo")


def test_the_requester_cannot_vote(root, sight):
    ana = sight().go("/release?id=toy-5", person="ana")
    ana.sees("ana asked for this release, and nobody approves their own")
    assert ana.tab.get_by_role("button", name="✓ Approve").count() == 0
    assert registry(root).show("toy-5").votes == ()


def test_a_stale_page_cannot_vote_and_then_rejects(root, sight):
    ben = sight().go("/release?id=toy-4", person="ben")
    ben.sees("What you decide binds to what you see: turn 1")
    registry(root).send_back("toy-4", comment="again", by="cleo")
    place.run_turn(root, "toy-4", new_turn=True)
    ben.press("✓ Approve").sees("has changed since you looked at it")
    assert registry(root).show("toy-4").votes == ()
    ben.sees("What you decide binds to what you see: turn 2")
    ben.press("✗ Reject …").press("✗ Reject for good").sees("You have rejected toy-4")
    assert registry(root).show("toy-4").state is State.REJECTED


def test_a_page_follows_what_others_do(root, sight):
    """Not run yet: the page follows by itself. Being read: it says so, and waits to be asked."""
    ben = sight().go("/release?id=toy-3", person="ben").sees("Submitted: waits to be run")
    place.run_turn(root, "toy-3")
    ben.sees("Every rule is met").settled()
    registry(root).send_back("toy-3", comment="", by="cleo")
    ben.sees("This release has changed since this page was drawn")
    ben.press("Show what it is now").sees("There is nothing to vote on")


def test_every_page_is_accessible_and_fits_a_telephone(sight):
    """axe finds nothing on any page or tab, and at 390 pixels no page scrolls sideways."""
    one = sight(width=390)
    found = {}
    for path, sign in {
        "/": "Waits for you",
        "/budget": "% spent",
        "/policies": "In force",
        "/audit": "Check everything",
        "/release?id=toy-2": "This table must not leave",
    }.items():
        one.tab.goto(one.address + path)
        one.sees(sign).settled()
        found[path] = (one.violations(), one.overflow())
    one.tab.get_by_text("Every figure against its limit").click()
    one.tab.get_by_test_id("stVegaLiteChart").filter(visible=True).first.wait_for()
    for tab in one.tab.get_by_role("tab").all():
        tab.click()
        one.settled()
        found[tab.inner_text()] = (one.violations(), one.overflow())
    assert found == dict.fromkeys(found, ([], 0))


def test_the_dark_theme_is_accessible(sight):
    one = sight(theme="dark").go("/release?id=toy-5", person="ben").sees("✓ Approve")
    assert one.violations() == []
    one.tab.goto(one.address + "/release?id=toy-2")
    one.sees("This table must not leave").settled()
    assert one.violations() == []


def test_hostile_strings_do_nothing(sight):
    """They stand on the page to the letter; no element of theirs, no dialog, no request (see the fixture)."""
    one = sight().go("/release?id=toy-2")
    one.sees(place.HOSTILE_PARTNER)
    one.tab.get_by_role("tab", name="Synthetic rows").click()
    one.sees(place.HOSTILE_COLUMN)
    one.tab.get_by_role("tab", name="Pictures").click()
    one.sees(f"roc {place.HOSTILE_COLUMN}")
    main = one.tab.get_by_test_id("stMain")
    assert main.locator("img[src=x], script, a[href*=evil], a[href^=javascript]").count() == 0
