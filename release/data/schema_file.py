"""schema.yaml ↔ `Schema`, and the JSON Schema that is published for editors and validators.

Rules: read by `release.data.yaml_text` (safe, small, no aliases), checked strictly by the model and then for contradictions;
every error is one `SchemaError` with file, line, column, what and mend. What a schema means is said in
`release.data.schema`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from release.data import schema as model
from release.data.constraints import contradictions
from release.data.schema import ColumnKind, Schema
from release.data.yaml_text import Document, block, item, parse_yaml, read_yaml
from release.errors import SchemaError


def load_schema(path: Path) -> Schema:
    """The schema in a YAML file. Raises SchemaError with file, line, column, what and mend."""
    return _schema_of(read_yaml(path, SchemaError))


def parse_schema(text: str, file: str = "schema.yaml") -> Schema:
    """The schema in a YAML text; `file` is its name in messages. Raises SchemaError."""
    return _schema_of(parse_yaml(text, SchemaError, file))


def dump_schema(schema: Schema) -> str:
    """YAML that `load_schema` reads back to an equal schema; what has its default is left out."""
    data = schema.model_dump(mode="json", exclude_defaults=True)
    ordered = {"format": schema.format, **{key: value for key, value in data.items() if key != "format"}}
    return "\n".join(_lines(ordered)) + "\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of schema.yaml. What only the model can check is not in it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:sluicegate:schema:1",
        **Schema.model_json_schema(),
        "title": "Sluicegate schema.yaml",
    }


def _lines(data: dict[str, Any]) -> Iterator[str]:
    for key, value in data.items():
        if key in {"columns", "constraints", "slices"}:
            yield f"{key}:"
            for part in value:
                yield from _opened(part) if key == "columns" else item(part, 2)
        else:
            yield from block(key, value)


def _opened(column: dict[str, Any]) -> Iterator[str]:
    """A column, one key a line, whatever its length: so that differences between versions are easy to read."""
    lead = "  - "
    for key, value in column.items():
        for text in block(key, value, 4):
            yield lead + text[4:]
            lead = "    "


# ---------------------------------------------------------------------------------------------- errors


def _schema_of(document: Document) -> Schema:
    if not isinstance(document.data, dict):
        raise SchemaError(
            "is not a map of keys",
            mend="begin with `name:`, `population:`, `columns:`",
            file=document.file,
            row=1,
        )
    try:
        schema = Schema.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        raise _schema_error(document, error) from None
    found = next(contradictions(schema), None)
    if found is not None:
        raise SchemaError(
            found.fact,
            mend=found.mend,
            file=document.file,
            row=document.line(found.path),
            column=found.column,
        )
    return schema


def _schema_error(document: Document, error: ValidationError) -> SchemaError:
    """The first error that is not a consequence of another, in the reader's terms."""
    errors = error.errors(include_url=False, include_context=False)
    places = [detail["loc"] for detail in errors]
    errors = [
        e
        for e in errors
        if not any(len(p) > len(e["loc"]) and p[: len(e["loc"])] == e["loc"] for p in places)
    ]
    chosen = [detail for detail in errors if _fits_branch(document, detail)] or errors
    detail = chosen[0]
    path = _path(document, detail["loc"])
    path = path or _named_part(document, detail["msg"])
    column = _column_name(document, path)
    fact, mend = _words(detail, path)
    prefix = f'column "{column}": '
    if column and fact.startswith(prefix):
        fact = fact[len(prefix) :]
    if len(chosen) > 1:
        fact += f" (and {len(chosen) - 1} more)"
    return SchemaError(fact, mend=mend, file=document.file, row=document.line(path), column=column)


def _fits_branch(document: Document, detail: ErrorDetails) -> bool:
    """Whether the error belongs to the shape that the author meant: `values` means Categories, `min` means Range."""
    steps = [str(step) for step in detail["loc"]]
    path = _path(document, detail["loc"])
    of_range = "Range" in steps
    if any("Categories" in step for step in steps) or (of_range and "domain" in path):
        place = _at(document.data, path[: path.index("domain") + 1])
        if isinstance(place, dict) and of_range == ("values" in place):
            return False
    if "where" in path and (of_range or "tuple[str, ...]" in steps):
        value = _at(document.data, path[: path.index("where") + 2])
        if of_range != isinstance(value, dict):
            return False
    return steps[-1:] != ["str"]  # of `min: float | str` the other error says it better


def _path(document: Document, location: Sequence[int | str]) -> tuple[str | int, ...]:
    """The error's place in the document: pydantic's names of union members are not part of it."""
    path: tuple[str | int, ...] = ()
    here: Any = document.data
    for step in location:
        inside = (
            step in here if isinstance(here, dict) else isinstance(here, list) and step in range(len(here))
        )
        if inside:
            here = _at(here, (step,))
            path = (*path, step)
    return path


def _named_part(document: Document, message: str) -> tuple[str | int, ...]:
    """The place that a message about the whole schema names at its beginning: "constraints[2]: …"."""
    found = re.match(r"Value error, (\w+)(?:\[(\d+)\])?: ", message)
    if found is None:
        return ()
    part, index = found.groups()
    return _path(document, (part,) if index is None else (part, int(index)))


def _at(data: Any, path: Iterable[Any]) -> Any:
    for step in path:
        data = data[step]
    return data


def _column_name(document: Document, path: Sequence[str | int]) -> str:
    if len(path) >= 2 and path[0] == "columns":
        name = _at(document.data, path[:2])
        name = name.get("name", "") if isinstance(name, dict) else ""
        return name if isinstance(name, str) else ""
    return ""


def _words(detail: ErrorDetails, path: Sequence[str | int]) -> tuple[str, str]:
    """(fact, mend)."""
    kind, value = detail["type"], detail["input"]
    where = ".".join(str(step) for step in path if not isinstance(step, int)) or "the schema"
    last = str(detail["loc"][-1]) if detail["loc"] else ""
    if kind == "missing":
        return f'the key "{last}" is missing under {where}', "add it"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(last, _known_keys(), n=1, cutoff=0.7)
        mend = f'write "{near[0]}"' if near and near[0] != last else "remove it, or move it where it belongs"
        return f'"{last}" is no key that is known there', mend
    if "string" in kind and isinstance(value, bool):
        return (
            f"{where}: YAML reads an unquoted yes, no, on, off, true or false as a Boolean, but text is expected",
            'put it in quotes ("no")',
        )
    if "string" in kind and isinstance(value, int | float):
        return f"{where}: {value} is read as a number, but text is expected", f'put it in quotes ("{value}")'
    if "string" in kind and value is None:
        return (
            f"{where}: is empty, but text is expected",
            'write the text, in quotes where it is "null" or "~"',
        )
    message = detail["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        fact, _, mend = message.rpartition("; ")
        return (fact, mend) if fact else (message, "correct it")
    if kind == "enum" and path and path[-1] == "kind":
        return f"kind: {value!r} is no column kind", f"choose one of {', '.join(ColumnKind)}"
    return f"{where}: {message[0].lower()}{message[1:]}", "correct the value"


def _known_keys() -> list[str]:
    classes = (
        model.Schema,
        model.ColumnSpec,
        model.Range,
        model.Categories,
        model.MissingCode,
        model.Unit,
        model.Provenance,
        model.Slice,
        model.Impossible,
        model.Determines,
        model.LessEqual,
        model.Increment,
        model.Allowed,
    )
    return sorted({name for cls in classes for name in cls.model_fields})
