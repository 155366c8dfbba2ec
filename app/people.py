"""The first people and policies of a new workspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import wiring
from app.workspace import user
from release.records import Person

if TYPE_CHECKING:
    from app.workspace import Workspace
    from release.records import PolicyTerms
    from release.workflow.people import Member

DEMO_PEOPLE: dict[str, tuple[str, ...]] = {
    "ana": ("requester",),
    "ben": ("reviewer",),
    "cleo": ("reviewer",),
    "dora": ("policy-owner",),
    "emil": ("releaser",),
    "finn": ("budget-owner",),
}
"""Who is in a demo workspace, beside the person who made it."""


def found(workspace: Workspace) -> tuple[tuple[Member, ...], tuple[PolicyTerms, ...]]:
    """Give the operating system's user every role, add the demo's people, put the built-in tiers into force."""
    from release.workflow.people import Role

    registry = workspace.registry
    founder = user()
    registry.people.add(founder, tuple(Role), by=founder)
    if workspace.settings.demo:
        for name, roles in DEMO_PEOPLE.items():
            registry.people.add(Person(name), tuple(Role(role) for role in roles), by=founder)
    judge = wiring.judge()
    terms = tuple(
        registry.policies.install(document, judge, by=founder) for document in wiring.policies().values()
    )
    return registry.people.all(), terms
