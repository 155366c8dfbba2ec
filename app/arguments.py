"""Repeated NAME=VALUE options of the command line as dictionaries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from release.errors import InputError


def pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """NAME=VALUE texts as a dictionary. Raises InputError where there is no "=" or a name stands twice."""
    found: dict[str, str] = {}
    for text in given or ():
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise InputError(f"{option} {text!r} is not NAME=VALUE", mend=f"write {option} name=value")
        if name in found:
            raise InputError(f"{option} names {name!r} twice", mend="give it once")
        found[name] = value
    return found


def values(option: str, given: Sequence[str] | None) -> dict[str, Any]:
    """As `pairs`, with values read as JSON where they are JSON, else as text."""
    return {name: _value(text) for name, text in pairs(option, given).items()}


def shares_of(option: str, text: str) -> dict[str, float]:
    """Shares of "poor health=0.3,hispanic=0.2". Raises InputError where one has no number, or a name stands twice."""
    found: dict[str, float] = {}
    for name, share in pairs(option, [part for part in text.split(",") if part.strip()]).items():
        try:
            found[name.strip()] = float(share)
        except ValueError as error:
            raise InputError(
                f"{option}: {share[:40]!r} is no share", mend=f'write {option} "poor health=0.3,hispanic=0.2"'
            ) from error
    return found


def answers_of(file: Path | None, given: Sequence[str] | None) -> dict[str, str]:
    """Answers of a YAML file (a map of texts), with those given one by one on top. Raises InputError."""
    found = pairs("--answer", given)
    if file is None:
        return found
    import yaml

    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(
            f"{file.name} cannot be read as YAML", mend="write one `question: answer` a line"
        ) from error
    if not isinstance(data, dict) or not all(isinstance(part, str) for pair in data.items() for part in pair):
        raise InputError(
            f"{file.name} is not a map of questions and answers", mend="write one `question: answer` a line"
        )
    return {**data, **found}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
