"""`sluice app`: start the Streamlit review app on a workspace."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.console import WorkspaceOption, examples, note

app = typer.Typer(
    help="Start the review app on this workspace.", rich_markup_mode="rich", add_completion=False
)


@app.command(name="app", epilog=examples("sluice app", "sluice app --workspace .demo/workspace --port 8600"))
def review(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on this machine.")] = 8501,
    workspace: WorkspaceOption = None,
) -> None:
    """Serve the review app on this machine alone (127.0.0.1) until Ctrl-C.

    Open the link that it prints: without single sign-on, who has it acts as you.
    """
    from app.workspace import Workspace, require

    place = require(workspace)
    Workspace.open(place)
    page = Path(__file__).parent.parent / "review.py"
    token = secrets.token_urlsafe(24)
    note(f"review app on http://127.0.0.1:{port}/?token={token} for {place}; Ctrl-C stops it")
    done = subprocess.run(
        [
            sys.executable, "-m", "streamlit", "run", str(page),
            "--server.address", "127.0.0.1", "--server.port", str(port), "--server.headless", "true",
            "--browser.gatherUsageStats", "false",
        ],
        env={**os.environ, "SLUICE_WORKSPACE": str(place.resolve()), "SLUICE_APP_TOKEN": token},
        cwd=Path(__file__).parent.parent.parent,
        check=False,
    )  # fmt: skip
    raise typer.Exit(0 if done.returncode in {0, -2, 130} else 4)
