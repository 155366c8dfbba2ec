"""Public code trees: which node a code belongs to, so that rare codes can roll up.

A tree file (YAML, `hierarchies/*.yaml` for the built-in ones, or the same document in the option `hierarchies`):

    format: sluicegate/hierarchy@1
    name: icd9-chapters
    title: for people
    nodes:                      # the first node that holds a code wins
      - name: "001-139"         # what a rolled-up value is called in the release
        title: Infectious and parasitic diseases
        ranges: [["001", "139"]]   # of the whole number that the code begins with, both inclusive
        prefixes: ["V"]            # codes that begin so
        codes: ["250.83"]          # codes to the letter

Rules: a tree is public; it is checked when read; unknown keys are refused.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from release.data.schema import OUTSIDE_LEVEL
from release.errors import PlanError

FOLDER = Path(__file__).parent / "hierarchies"

_NUMBER = re.compile(r"\d+")


class Node(BaseModel):
    """One node: its name, and the codes that belong to it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    title: str = ""
    ranges: tuple[tuple[str, str], ...] = ()
    prefixes: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.ranges or self.prefixes or self.codes):
            raise ValueError(f'node "{self.name}" holds no code')
        for low, high in self.ranges:
            if not (low.isdigit() and high.isdigit() and int(low) <= int(high)):
                raise ValueError(f'node "{self.name}": {low}…{high} is no range of whole numbers')
        return self

    def holds(self, code: str) -> bool:
        """Whether the code belongs to this node."""
        if code in self.codes or any(code.startswith(prefix) for prefix in self.prefixes):
            return True
        found = _NUMBER.match(code)
        return found is not None and any(int(low) <= int(found[0]) <= int(high) for low, high in self.ranges)


class Hierarchy(BaseModel):
    """A tree of one level above the codes."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: Literal["sluicegate/hierarchy@1"]
    name: Annotated[str, Field(min_length=1)]
    title: str = ""
    nodes: Annotated[tuple[Node, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError("a node's name stands twice")
        if OUTSIDE_LEVEL in self.names:
            raise ValueError(f'a node may not be named "{OUTSIDE_LEVEL}"')
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes' names, in order."""
        return tuple(node.name for node in self.nodes)

    def node_of(self, code: str) -> str:
        """The name of the first node that holds the code; "" where none does."""
        return next((node.name for node in self.nodes if node.name == code or node.holds(code)), "")


def read_hierarchy(document: Mapping[str, Any]) -> Hierarchy:
    """A tree from its document. Raises `PlanError`."""
    import json

    try:
        return Hierarchy.model_validate_json(json.dumps(document))
    except (ValidationError, TypeError) as error:
        raise PlanError(
            f"a code tree cannot be read: {error}", mend="see generators/encoding/hierarchy.py"
        ) from error


@functools.cache
def built_in(name: str) -> Hierarchy | None:
    """The built-in tree of that name; None where there is none."""
    names = [path.stem for path in FOLDER.glob("*.yaml")]
    if name not in names:
        return None
    return read_hierarchy(yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8")))


def hierarchy_of(name: str, declared: Mapping[str, Hierarchy]) -> Hierarchy:
    """The declared or built-in tree of that name. Raises `PlanError`."""
    found = declared.get(name) or built_in(name)
    if found is None:
        known = sorted({*declared, *(path.stem for path in FOLDER.glob("*.yaml"))})
        raise PlanError(
            f'there is no code tree "{name}"; known are {known}',
            mend="give its document in the option `hierarchies`",
        )
    return found
