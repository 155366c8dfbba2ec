"""JSON from outside, read with suspicion: small, no key twice, no NaN, not too deep, plain UTF-8.

Rules: standard library only, because the partner's `sluice verify` must be quick; what is wrong is a `VerificationError`
in plain words. Writing canonical JSON is `release.canonical`'s.
"""

from __future__ import annotations

import json
from typing import Any, Final

from release.errors import VerificationError

MOST_BYTES: Final = 16 * 1024 * 1024
MOST_DEPTH: Final = 32


def parse(data: bytes, name: str, *, most: int = MOST_BYTES) -> Any:
    """The JSON value in `data`. Raises VerificationError.

    Args:
        data: the bytes.
        name: of the file, for messages.
        most: largest size in bytes.
    """
    if len(data) > most:
        raise VerificationError(f"{name} has {len(data):,} bytes, more than {most:,}", mend=_MEND)
    try:
        text = data.decode("utf-8")
        _require_shallow(text, name)
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{name} is not JSON as we read it ({error})", mend=_MEND) from error


def text_of(data: Any, key: str, name: str) -> str:
    """`data[key]`, which must be text. Raises VerificationError."""
    value = mapping(data, name).get(key)
    if not isinstance(value, str):
        raise VerificationError(f'{name} has no text under "{key}"', mend=_MEND)
    return value


def mapping(data: Any, name: str) -> dict[str, Any]:
    """`data`, which must be a map. Raises VerificationError."""
    if not isinstance(data, dict):
        raise VerificationError(f"{name} is not a map of keys to values", mend=_MEND)
    return data


def sequence(data: Any, key: str, name: str) -> list[Any]:
    """`data[key]`, which must be a list. Raises VerificationError."""
    value = mapping(data, name).get(key)
    if not isinstance(value, list):
        raise VerificationError(f'{name} has no list under "{key}"', mend=_MEND)
    return value


_MEND = "ask the sender for the bundle again"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number of JSON")


def _require_shallow(text: str, name: str) -> None:
    """Refuse deep nesting before the parser recurses into it; brackets inside strings do not count."""
    depth, inside, escaped = 0, False, False
    for letter in text:
        if inside:
            inside = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            inside = True
        elif letter in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                raise VerificationError(f"{name} is nested deeper than {MOST_DEPTH} levels", mend=_MEND)
        elif letter in "]}":
            depth -= 1
