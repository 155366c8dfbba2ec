"""README is true: its tour runs as written, its links lead somewhere, its commands exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.slow
def test_the_tour_runs_as_written(tmp_path):
    (tour,) = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    demo = ROOT / "app" / "demo_data" / "meps"
    shutil.copy(demo / "meps-drug-expense.csv.gz", tmp_path / "meps.csv.gz")
    shutil.copy(demo / "schema.yaml", tmp_path / "meps-schema.yaml")
    environment = {
        **{name: value for name, value in os.environ.items() if name != "SLUICE_WORKSPACE"},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-eu", "-c", tour],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    assert (tmp_path / "out" / "meps-1" / "card.html").is_file()


def test_every_command_of_readme_has_help():
    from app.main import run

    nouns = set(re.findall(r"^\s*sluice ((?:[a-z]+ )?[a-z]+)", TEXT, re.MULTILINE))
    nouns |= set(re.findall(r"`sluice ([a-z]+ [a-z]+)`", TEXT))
    assert len(nouns) > 10
    for noun in sorted(nouns):
        words = noun.split()
        known = run([*words, "--help"]) == 0 or run([words[0], "--help"]) == 0
        assert known, noun


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_named_in_documents_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+%?):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^    |`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    wrong = {name for name in named if name not in targets and not name.startswith("bench-")}
    assert not wrong
    for name in named:
        if name.startswith("bench-"):
            assert (ROOT / "tests" / "benchmarks" / f"bench_{name.removeprefix('bench-')}.py").is_file(), name


def test_command_lines_of_the_makefile_are_understood():
    from app.main import run

    lines = re.findall(r"\$\(VENV\)/bin/sluice (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert lines
    for line in lines:
        assert run([*line.split(), "--help"]) == 0, line


def test_every_command_that_the_product_speaks_of_exists():
    """Messages, cards and screens send people to commands: `sluice noun verb` must be one."""
    from app.main import run

    spoken = set()
    for package in ("release", "generators", "attacks", "policies", "app"):
        for path in (ROOT / package).rglob("*"):
            if path.suffix in {".py", ".jinja", ".yaml"}:
                spoken |= set(
                    re.findall(
                        r"`sluice (release|dataset|budget|audit|policy|schema|person) ([a-z-]+)",
                        path.read_text("utf-8"),
                    )
                )
    assert len(spoken) > 5
    for noun, verb in sorted(spoken):
        assert run([noun, verb, "--help"]) == 0, (noun, verb)
