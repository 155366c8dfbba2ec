"""A workspace: one folder with settings, keys, stored objects, the registry, private logs.

    .sluice/
        workspace.yaml    format, demo or not, where the registry is
        keys/             digest key and signing key
        objects/          every stored file, named by its digest
        registry.sqlite   datasets, releases, votes, ledger, audit log (or a Postgres URL in workspace.yaml)
        locks/            one lock file for each release that a process works on
        logs/             private: what faults said

Rules: found by --workspace, else SLUICE_WORKSPACE, else ./.sluice; everything in it is its owner's alone; made whole or not at
all. Who acts is the operating system's user; only a demo workspace believes `--as NAME`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

SETTINGS = "workspace.yaml"
DEFAULT = Path(".sluice")
ENVIRONMENT = "SLUICE_WORKSPACE"
FOLDERS = ("keys", "objects", "locks", "logs")


class Settings(BaseModel):
    """What `workspace.yaml` says.

    Attributes:
        format: the format's version.
        demo: whether `--as NAME` is believed. Never in real use.
        registry: SQLAlchemy URL; a relative SQLite path is relative to the workspace.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: Literal["sluicegate/workspace@1"] = "sluicegate/workspace@1"
    demo: bool = False
    registry: str = "sqlite:///registry.sqlite"
