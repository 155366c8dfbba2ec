"""A policy's digest outlives the program's version: a key that is added later changes none."""

from __future__ import annotations

import pytest

from policies.format import Policy, parse
from policies.rules import AtMost, Claim
from policies.rules.shared import Subject
from release.canonical import digest

TEXT = """\
format: sluicegate/policy@1
name: mine
version: "1"
suite: quick
approvals: 1
approval_days: 30
smallest_cell: 11
rules:
  - {id: claim, kind: claim, max_epsilon: 3.0, max_delta: 1.0e-6}
  - id: copies
    kind: at-most
    layer: privacy
    title: copies
    figure: {probe: copies, metric: excess_exact_share}
    limit: 0.01
"""

UNDERSTOOD = {
    "format": "sluicegate/policy@1",
    "name": "mine",
    "version": "1",
    "suite": "quick",
    "approvals": 1,
    "approval_days": 30,
    "smallest_cell": 11,
    "rules": [
        {"id": "claim", "kind": "claim", "max_epsilon": 3.0, "max_delta": 1.0e-6},
        {
            "id": "copies",
            "kind": "at-most",
            "layer": "privacy",
            "title": "copies",
            "figure": {"probe": "copies", "metric": "excess_exact_share"},
            "limit": 0.01,
        },
    ],
}


def test_only_what_is_not_as_by_default_is_digested() -> None:
    assert parse(TEXT).digest == digest(UNDERSTOOD)


@pytest.mark.parametrize("line", ["title: ''", "notes: []", "owner_approval: false", "requires_sweep: []"])
def test_a_default_that_is_written_out_is_the_same_policy(line: str) -> None:
    assert parse(f"{line}\n{TEXT}").digest == parse(TEXT).digest


@pytest.mark.parametrize(
    "line", ["title: mine", "notes: [a]", "owner_approval: true", "requires_sweep: [training]"]
)
def test_anything_else_is_another(line: str) -> None:
    assert parse(f"{line}\n{TEXT}").digest != parse(TEXT).digest


DEFAULTS = {
    Policy: {"title": "", "notes": (), "owner_approval": False, "requires_sweep": ()},
    AtMost: {
        "max_detectable": None,
        "vouched_by": (),
        "needs_controls": True,
        "max_p": 0.01,
        "waivable": False,
    },
    Subject: {"subjects": ("",), "besides": (), "counted_by": None},
    Claim: {"title": "claimed privacy cost"},
}
"""They may never change under this format; a new key's default is added."""


@pytest.mark.parametrize("model", DEFAULTS, ids=lambda model: model.__name__)
def test_the_defaults_of_the_format_stay_what_they_were(model: type) -> None:
    for name, default in DEFAULTS[model].items():
        found = model.model_fields[name].get_default(call_default_factory=True)
        assert (type(found), found) == (type(default), default)
