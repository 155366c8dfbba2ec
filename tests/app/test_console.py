"""Progress and rendering."""

from __future__ import annotations

import io
import sys

from app.console import progress, table_of


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_silent_where_stderr_is_not_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress("run") as report:
        report(0.5, "half")
    assert sys.stderr.getvalue() == ""


def test_progress_is_shown_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress("run") as report:
        report(0.5, "round 7 of 16 [bold]")
        report(7.0, "past the end")
    shown = sys.stderr.getvalue()
    assert "run" in shown
    assert "100 %" in shown


def test_tables_show_text_as_it_is():
    from rich.console import Console

    console = Console(file=io.StringIO(), width=80)
    console.print(table_of(("a", "b"), [("[red]x[/red]", 3)]))
    assert "[red]x[/red]" in console.file.getvalue()
