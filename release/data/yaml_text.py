"""Safe YAML in, pleasant YAML out: for files that people write and we must not trust.

Rules for reading: plain JSON types only; at most 4 MiB, 32 levels deep; no anchors or aliases (so nothing can unfold), no
tags, no key twice, one document; dates must be quoted, because YAML would turn them into something else. Each value's
line is kept, so that whoever checks the content can say where. Policies are read with the same rules.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from release.errors import InputError

MOST_BYTES = 4 << 20
MOST_DEPTH = 32
WIDTH = 110

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = {"bool", "int", "float", "null", "str"}


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML document as plain JSON values, with the line of each.

    Attributes:
        file: the file's name.
        data: dicts, lists, strings, numbers, Booleans, None.
        lines: 1-based line by path ("columns", 3, "name").
    """

    file: str
    data: Any
    lines: Mapping[tuple[str | int, ...], int]

    def line(self, path: Sequence[str | int]) -> int:
        """The line of the value at `path`, or of its nearest parent that exists."""
        steps = tuple(path)
        while steps and steps not in self.lines:
            steps = steps[:-1]
        return self.lines.get(steps, 1)


def read_yaml(path: Path, error: type[InputError]) -> Document:
    """The document in a file. Raises `error` with file and line."""
    file = path.name or str(path)
    try:
        if path.is_dir():
            raise error("is a directory, not a file", mend="name the YAML file", file=file)
        with path.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise error("there is no such file", mend="check the path", file=file) from None
    except OSError as cause:
        raise error(
            f"cannot be read ({cause.strerror})", mend="check the file's permissions", file=file
        ) from cause
    if len(raw) > MOST_BYTES:
        raise error(f"is larger than {MOST_BYTES >> 20} MiB", mend="shorten it", file=file)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        row = raw.count(b"\n", 0, cause.start) + 1
        raise error("is not UTF-8 text", mend="write it as UTF-8", file=file, row=row) from None
    return parse_yaml(text, error, file)


def parse_yaml(text: str, error: type[InputError], file: str = "") -> Document:
    """The document in a text. Raises `error` with the line."""
    if len(text) > MOST_BYTES:
        raise error(f"is larger than {MOST_BYTES >> 20} MiB", mend="shorten it", file=file)
    try:
        _require_tame(text, error, file)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        raise error(
            f"is not YAML ({cause.problem or cause.context})",
            mend="check indentation, colons and quotes there",
            file=file,
            row=mark.line + 1 if mark is not None else None,
        ) from None
    except (yaml.YAMLError, ValueError):
        raise error(
            "is not YAML (a character that YAML does not allow)", mend="remove it", file=file
        ) from None
    if node is None:
        raise error("is empty", mend="write at least the required keys", file=file)
    lines: dict[tuple[str | int, ...], int] = {}
    data = _plain(node, (), lines, error, file)
    return Document(file, data, lines)


def _require_tame(text: str, error: type[InputError], file: str) -> None:
    """One pass over the events, before anything is built: depth, aliases, tags, number of documents."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        row = event.start_mark.line + 1 if event.start_mark is not None else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise error("uses an anchor or alias", mend="write the value out", file=file, row=row)
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) not in {None, "!"}:
            raise error("uses a tag", mend="write plain values", file=file, row=row)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_DEPTH:
                raise error(
                    f"is nested deeper than {MOST_DEPTH} levels", mend="flatten it", file=file, row=row
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise error("holds several documents", mend="keep one, without ---", file=file, row=row)


def _plain(
    node: yaml.Node,
    path: tuple[str | int, ...],
    lines: dict[tuple[str | int, ...], int],
    error: type[InputError],
    file: str,
) -> Any:
    row = node.start_mark.line + 1
    lines[path] = row
    if isinstance(node, yaml.SequenceNode):
        return [_plain(part, (*path, place), lines, error, file) for place, part in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(key_node, error, file)
            if key in result:
                raise error(
                    f'the key "{key}" stands twice',
                    mend="remove one",
                    file=file,
                    row=key_node.start_mark.line + 1,
                )
            result[key] = _plain(value_node, (*path, key), lines, error, file)
        return result
    kind = node.tag.rsplit(":", 1)[-1]
    if kind == "timestamp":
        raise error(
            f"YAML reads {node.value} as a date of its own",
            mend=f'put it in quotes: "{node.value}"',
            file=file,
            row=row,
        )
    if kind not in _PLAIN:
        raise error(f"YAML reads {node.value!r} as a {kind}", mend="put it in quotes", file=file, row=row)
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (ValueError, OverflowError):
        raise error(f"{node.value!r} is not a value", mend="put it in quotes", file=file, row=row) from None


def _key(node: yaml.Node, error: type[InputError], file: str) -> str:
    row = node.start_mark.line + 1
    if not isinstance(node, yaml.ScalarNode):
        raise error("a key is a list or a map", mend="write a name", file=file, row=row)
    if node.tag.rsplit(":", 1)[-1] != "str":
        raise error(
            f"the key {node.value} is not read as text but as something else",
            mend=f'put it in quotes: "{node.value}"',
            file=file,
            row=row,
        )
    return str(node.value)


# ---------------------------------------------------------------------------------------------- writing


def flow(value: Any) -> str:
    """A value on one line, as YAML reads it back: quoted where it must be, lists and maps in brackets."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(part) for part in value) + "]"
    # Inside brackets YAML has stricter rules for plain text, so let it write a one-item list and take the item.
    return _dumped([_tidy(value)], value, flow_style=True)[1:-1]


def _scalar(value: Any) -> str:
    """A value on a line of its own, where YAML is more generous with plain text."""
    return _dumped({"k": _tidy(value)}, value, flow_style=False)[3:]


def _dumped(data: Any, value: Any, *, flow_style: bool) -> str:
    """One line of YAML. Text with line breaks or controls is escaped, never spread over lines."""
    escape = isinstance(value, str) and (not value.isprintable())
    text: str = yaml.safe_dump(
        data,
        default_flow_style=flow_style,
        default_style='"' if escape else None,
        width=float("inf"),
        allow_unicode=not escape,
    )
    return text.strip() if flow_style or not escape else text.strip().replace('"k": ', "k: ", 1)


def _tidy(value: Any) -> Any:
    """Whole floats as people write them: 1000, not 1000.0."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2.0**53
    return int(value) if whole else value


def block(key: str, value: Any, indent: int = 0) -> Iterator[str]:
    """`key: value` as lines: on one line where it fits, maps opened up, long lists wrapped."""
    pad = " " * indent
    if not isinstance(value, Mapping | list | tuple):
        yield f"{pad}{flow(key)}: {_scalar(value)}"
        return
    line = f"{pad}{flow(key)}: {flow(value)}"
    if len(line) <= WIDTH:
        yield line
    elif isinstance(value, Mapping):
        yield f"{pad}{flow(key)}:"
        for name, part in value.items():
            yield from block(name, part, indent + 2)
    elif all(not isinstance(part, Mapping | list | tuple) for part in value):
        yield f"{pad}{flow(key)}: ["
        yield from _wrapped([flow(part) for part in value], indent + 2)
        yield f"{pad}]"
    else:
        yield f"{pad}{flow(key)}:"
        for part in value:
            yield from item(part, indent + 2)


def item(value: Any, indent: int) -> Iterator[str]:
    """One `- …` of a list, maps opened up."""
    pad = " " * indent
    line = f"{pad}- {flow(value)}"
    if len(line) <= WIDTH or not isinstance(value, Mapping):
        yield line
        return
    lead = f"{pad}- "
    for name, part in value.items():
        for text in block(name, part, indent + 2):
            yield lead + text[indent + 2 :]
            lead = pad + "  "


def comment(text: str, indent: int = 0) -> Iterator[str]:
    """`# …` lines, wrapped."""
    pad = " " * indent + "# "
    yield from textwrap.wrap(text, WIDTH, initial_indent=pad, subsequent_indent=pad, break_on_hyphens=False)


def _wrapped(parts: Sequence[str], indent: int) -> Iterator[str]:
    pad = " " * indent
    line = pad
    for place, part in enumerate(parts):
        piece = part + ("," if place < len(parts) - 1 else "")
        if line != pad and len(line) + len(piece) + 1 > WIDTH:
            yield line
            line = pad
        line += ("" if line == pad else " ") + piece
    yield line
