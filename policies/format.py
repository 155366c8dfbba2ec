"""The policy file: YAML, strict, versioned.

Rules: read with a safe loader that refuses tags, aliases, duplicate keys, deep nesting and big files; every key is
known or the file is refused; a policy's digest is over the canonical JSON of what was understood, so comments and
spelling do not change it and numbers do. What a key would be anyway is left out of the digest, so that a key that a later version of
the program adds does not change the digest of a policy in force, and with it void every vote: a default of this format therefore
never changes, another one is another format. Nothing here judges.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Hashable
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from policies.rules import AnyRule, ArenaSize, Claim
from policies.rules.shared import STRICT, RuleId, Text
from release.canonical import Sha256, digest
from release.errors import PolicyFormatError
from release.records import PolicyTerms, Purpose

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 12

SuiteName = Literal["quick", "standard", "deep"]
SUITES: Final[tuple[str, ...]] = ("quick", "standard", "deep")
"""From least to most: a policy is content with its own suite or a later one."""


class Policy(BaseModel):
    """One tier.

    Attributes:
        format: the format's version.
        name: "partner-healthcare".
        version: the policy's own version; a new one sends open releases back to review.
        title: for people.
        notes: where the numbers come from and what they are not; shown beside the verdict.
        suite: the least suite of attacks that must have run.
        approvals: how many people other than the requester must approve.
        owner_approval: whether the policy owner must approve as well.
        approval_days: after how many days an approval expires.
        smallest_cell: smallest count shown on screens and in published aggregates.
        requires_sweep: purposes for which a ratio sweep (quality.md) must be on file before anybody approves; a sweep
            is run on a candidate that was judged already, so the workflow asks for it and not the judge.
        rules: all must be met. None at all denies.
    """

    model_config = STRICT

    format: Literal["sluicegate/policy@1"]
    name: RuleId
    version: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+){0,2}$")]
    title: Text = ""
    notes: Annotated[tuple[Text, ...], Field(max_length=20)] = ()
    suite: SuiteName
    approvals: Annotated[int, Field(ge=1, le=20)]
    owner_approval: bool = False
    approval_days: Annotated[int, Field(ge=1, le=366)]
    smallest_cell: Annotated[int, Field(ge=2, le=10_000)]
    requires_sweep: tuple[Purpose, ...] = ()
    rules: Annotated[tuple[AnyRule, ...], Field(max_length=500)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [rule.id for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rules: the id {twice[0]!r} stands twice; rename one")
        return self

    @property
    def digest(self) -> Sha256:
        """SHA-256 of the canonical JSON of the policy as understood, without what is as by default."""
        return digest(self)

    @property
    def terms(self) -> PolicyTerms:
        """What the workflow needs to know."""
        limits = [rule.max_epsilon for rule in self.rules if isinstance(rule, Claim)]
        return PolicyTerms(
            name=self.name,
            version=self.version,
            digest=self.digest,
            approvals=self.approvals,
            owner_approval=self.owner_approval,
            approval_days=self.approval_days,
            suite=self.suite,
            smallest_cell=self.smallest_cell,
            # A policy that limits no ε lets nothing through: the judge denies it, and so does an early check.
            max_epsilon=min(limits, default=0.0),
            requires_sweep=self.requires_sweep,
            arena_units=max(
                (max(rule.members, rule.controls) for rule in self.rules if isinstance(rule, ArenaSize)),
                default=0,
            ),
        )


@functools.lru_cache(maxsize=64)
def parse(document: str, *, file: str = "policy.yaml") -> Policy:
    """The policy that a YAML text holds. Pure, so the last few are remembered.

    Args:
        document: the text.
        file: its name, for messages.

    Raises:
        PolicyFormatError: naming the file, the key, and the mend.
    """
    data = _plain(document, file)
    try:
        text = json.dumps(data, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PolicyFormatError(
            f"a value is not a string, number, truth value, list or map ({error})",
            mend='put dates and the like in quotation marks ("2026-01-31")',
            file=file,
        ) from error
    try:
        return Policy.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise PolicyFormatError(*_explain(first), file=file) from error


def _explain(error: Any) -> tuple[str]:
    place = ".".join(str(part) for part in error["loc"]) or "the policy"
    known = {
        "extra_forbidden": "is not a key of this format; remove it or correct its spelling",
        "missing": "is missing; add it",
        "union_tag_invalid": "has an unknown `kind`; `sluice policy show` of a built-in tier lists examples",
        "union_tag_not_found": "has no `kind`; add it",
    }
    kind = str(error["type"])
    if kind in known:
        return (f"{place} {known[kind]}",)
    given = error.get("input")
    shown = f" ({given!r} is given)" if isinstance(given, str | int | float) else ""
    hint = "; YAML reads 1e-6 as text: write 1.0e-6" if kind == "float_type" else "; correct it"
    return (f"{place}: {str(error['msg']).removeprefix('Value error, ')}{shown}{hint}",)


# ---------------------------------------------------------------------------------------------- YAML


class _Loader(yaml.SafeLoader):
    """Safe, and refusing what a policy has no use for."""


def _map(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[Hashable] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(None, None, "a key is not text", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f'the key "{key}" stands twice', key_node.start_mark
            )
        seen.add(key)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _map)


def _plain(document: str, file: str) -> Any:
    size = len(document.encode("utf-8", errors="replace"))
    if size > MAX_BYTES:
        raise PolicyFormatError(
            f"the file has {size:,} bytes, more than {MAX_BYTES:,}",
            mend="a policy is a page of text",
            file=file,
        )
    try:
        _require_simple(document, file)
        data = yaml.load(document, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "not YAML"
        raise PolicyFormatError(
            f"this is not YAML as we read it: {problem}",
            mend="correct that line",
            file=file,
            row=None if mark is None else mark.line + 1,
        ) from error
    except ValueError as error:  # such as the date 2026-02-31
        raise PolicyFormatError(f"a value cannot be read: {error}", mend="correct it", file=file) from error
    if not isinstance(data, dict):
        raise PolicyFormatError(
            "the policy is not a map of keys to values", mend="see a built-in one", file=file
        )
    return data


def _require_simple(document: str, file: str) -> None:
    depth = 0
    for event in yaml.parse(document, Loader=yaml.SafeLoader):
        row = 0 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise PolicyFormatError(
                "anchors and aliases are refused", mend="write it out", file=file, row=row
            )
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None):
            raise PolicyFormatError("tags are refused", mend="remove the !…", file=file, row=row)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise PolicyFormatError(
                f"nested deeper than {MAX_DEPTH} levels", mend="make it flatter", file=file, row=row
            )
