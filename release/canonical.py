"""Canonical JSON (RFC 8785) and digests of records.

Rules: a record is written and read through pydantic's strict adapters, so that unknown or mistyped fields are
refused; NaN and infinity cannot be written; a digest is over the canonical bytes. What covers real data or
evidence is digested with a key that never leaves the workspace (`keyed_digest`), so that nobody outside can
test guesses against it.

A digest leaves out what a field would be anyway: a field that a later version of the program adds, with a default, does not change the
digests of records made before, so that what was judged and voted on still holds after an upgrade. The default of a field of a
digested record therefore never changes. What is written down (`to_json`) is always whole.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NewType, TypeVar, cast

Sha256 = NewType("Sha256", str)
"""A SHA-256 digest in lower-case hexadecimal, unkeyed: for what may be public."""

KeyedDigest = NewType("KeyedDigest", str)
"""HMAC-SHA-256 in lower-case hexadecimal under the workspace's key: for what covers real data or evidence."""

R = TypeVar("R")


@functools.cache
def _adapter(cls: Hashable) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cast(Any, cls))


def to_json(record: Any) -> Any:
    """The record as plain JSON values (dict, list, str, int, float, bool, None)."""
    return _adapter(cast(Hashable, type(record))).dump_python(record, mode="json")


def from_json(cls: type[R], data: Any) -> R:
    """The record that `to_json` wrote. Raises `IntegrityError` where the data does not fit the type."""
    from pydantic import ValidationError

    from release.errors import IntegrityError

    try:
        result: R = _adapter(cast(Hashable, cls)).validate_json(json.dumps(data), strict=True, extra="forbid")
    except (ValidationError, ValueError) as error:
        raise IntegrityError(
            f"a stored {cls.__name__} cannot be read: {error}",
            mend="restore the workspace from its backup; do not edit its files",
        ) from error
    return result


def canonical_bytes(data: Any) -> bytes:
    """RFC 8785 bytes of plain JSON values. Raises ValueError for NaN, infinity and integers beyond 2**53."""
    import rfc8785

    return rfc8785.dumps(data)


def digest(record: Any) -> Sha256:
    """SHA-256 over the canonical JSON of a record, less what is as by default, or of plain JSON values."""
    return Sha256(hashlib.sha256(_bytes_of(record)).hexdigest())


def keyed_digest(record: Any, key: bytes) -> KeyedDigest:
    """HMAC-SHA-256 over the same bytes as `digest`."""
    return KeyedDigest(hmac.new(key, _bytes_of(record), hashlib.sha256).hexdigest())


def file_digest(path: Path) -> Sha256:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return Sha256(hashlib.file_digest(file, "sha256").hexdigest())


def keyed_file_digest(path: Path, key: bytes) -> KeyedDigest:
    """HMAC-SHA-256 of a file's bytes."""
    code = hmac.new(key, digestmod=hashlib.sha256)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            code.update(block)
    return KeyedDigest(code.hexdigest())


def _bytes_of(record: Any) -> bytes:
    if isinstance(record, dict | list | str | int | float | bool | None):
        return canonical_bytes(record)
    adapter = _adapter(cast(Hashable, type(record)))
    found = adapter.dump_python(record, mode="json", exclude_defaults=True)
    version = getattr(record, "format", None)
    if isinstance(version, str):  # the version of a format is never left out
        found["format"] = version
    return canonical_bytes(found)
