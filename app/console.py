"""The screen: results on stdout (a rendering for people, or pure JSON), everything else on stderr.

Rules: `--json` prints exactly one JSON document on stdout; progress appears only on a terminal, on stderr; an
unexpected exception shows its kind and place, never its text, which may quote a cell of a real table; no name that somebody chose
can move the cursor, colour or reorder what a reviewer reads (`legible`).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from release.errors import ReleaseError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from release.protocols import Progress

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace", "-w", envvar="SLUICE_WORKSPACE", help="The workspace's folder. Default: ./.sluice"
    ),
]
AsOption = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Act as this person. Only in demo workspaces.", hidden=False),
]


SHORT_CELL = 20
"""Columns of cells up to this many characters keep their width; longer ones share what is left."""


class Stopped(Exception):  # noqa: N818 - not an error: somebody pressed Ctrl-C
    """Ctrl-C, with what the step that was stopped left behind."""


def examples(*lines: str) -> str:
    """An epilog that shows command lines as they are typed."""
    return "[bold]Examples[/bold]\n\n" + "\n\n".join("  $ " + line.replace("[", r"\[") for line in lines)


WIDTH = 120
"""Columns where the output is no terminal."""


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, width=None if stream.isatty() else WIDTH)


def stdout() -> Console:
    """Where results go."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Where notes, errors and progress go."""
    return _console(sys.stderr)


def show(data: Any, render: Callable[[], Any], *, as_json: bool) -> None:
    """Print a result: `data` as JSON, or what `render` makes of it."""
    if as_json:
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        stdout().print(render())


def legible(text: object) -> str:
    """The text with each sign that a terminal would obey written out by its code: controls, and marks that reorder a line.

    Line ends and tabs stay. Letters and marks of any script stay.
    """
    return "".join(
        repr(sign)[1:-1] if unicodedata.category(sign) in _OBEYED and sign not in "\n\t" else sign
        for sign in str(text)
    )


_OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of controls, format marks (direction, invisible joiners), halves of pairs, line and paragraph ends."""


def note(text: str) -> None:
    """One line for people, on stderr."""
    stderr().print(legible(text), markup=False)


def lines_of(pairs: Sequence[tuple[str, object]]) -> RenderableType:
    """Label and value in two aligned columns."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in pairs:
        grid.add_row(label, value if hasattr(value, "__rich_console__") else Text(legible(value)))
    return grid


def table_of(
    header: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None
) -> RenderableType:
    """Rows under a header; plain text in every cell."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(header):
        widest = max((len(str(row[index])) for row in rows), default=0)
        table.add_column(name, overflow="fold", min_width=widest if widest <= SHORT_CELL else None)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(legible(cell)) for cell in row))
    return table


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """A progress bar on stderr while the block runs; silent where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, what: None  # noqa: ARG005 - the Progress protocol's names
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.fields[title]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=stderr(),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=1.0, title=title)

        def report(done: float, what: str) -> None:
            bar.update(task, completed=min(max(done, 0.0), 1.0), description=what)

        yield report


def print_error(error: ReleaseError, *, as_json: bool) -> None:
    """Fact and mend, in plain words; with `--json` the same as a document on stdout."""
    if as_json:
        document = {
            "error": type(error).__name__,
            "fact": error.fact if error.mend else str(error),
            "mend": error.mend,
            "exit_code": error.exit_code,
        }
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    sys.stderr.write(f"sluice: {legible(error)}\n")


def print_stop(error: Stopped) -> None:
    """What Ctrl-C left behind."""
    sys.stderr.write(f"sluice: stopped; {error or 'nothing more was written'}\n")


def print_fault(error: Exception, arguments: Sequence[str], *, as_json: bool) -> None:
    """Kind and place of an unexpected exception on the screen; its text and traceback in a private log."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    log = _write_log("".join(traceback.format_exception(error)), arguments)
    kind = _kind_of(error)
    message = f"{kind} at {place}" + (f"; details (private: may quote data) in {log}" if log else "")
    if as_json:
        document = {"error": "fault", "fact": message, "mend": "run sluice doctor", "exit_code": 4}
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    sys.stderr.write(f"sluice: fault: {message}; run sluice doctor\n")


def _kind_of(error: Exception) -> str:
    """What can be said of an exception without quoting it. The operating system's own words hold no data."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"{type(error).__name__} ({os.strerror(error.errno)})"
    return type(error).__name__


def _write_log(text: str, arguments: Sequence[str]) -> Path | None:
    """A new private file (0600) in the workspace's `logs`, else in the temporary folder; None where neither works."""
    for folder in (_logs_of(arguments), None):
        try:
            handle, name = tempfile.mkstemp(prefix="sluice-fault-", suffix=".log", dir=folder)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            continue
        return Path(name)
    return None


def _logs_of(arguments: Sequence[str]) -> Path | None:
    words = list(arguments)
    chosen = [words[i + 1] for i, word in enumerate(words[:-1]) if word in {"--workspace", "-w"}]
    folder = Path(chosen[0] if chosen else os.environ.get("SLUICE_WORKSPACE", ".sluice")) / "logs"
    return folder if folder.is_dir() else None
