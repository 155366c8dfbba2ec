"""People and what each may do.

Rules: a person is known by name (the operating system's user, or the identity provider's); roles are given by a
policy owner; a person's latest record counts; nobody can take the last policy owner's role away.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from release.errors import NotAuthorisedError
from release.records import Person


class Role(StrEnum):
    """What a person may be."""

    REQUESTER = "requester"
    """Asks for releases and runs them."""
    REVIEWER = "reviewer"
    """Approves, returns or rejects other people's releases."""
    RELEASER = "releaser"
    """Exports approved releases, revokes and supersedes released ones."""
    POLICY_OWNER = "policy-owner"
    """Publishes policies (two of them), gives roles, votes where a policy asks for its owner."""
    BUDGET_OWNER = "budget-owner"
    """Sets lifetime privacy caps."""


SYSTEM = Person("system")
"""Stands in the audit log for what happens by itself: an expiry, a policy's change. No person may have this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One person with their roles.

    Attributes:
        person: the name.
        roles: what they may do; empty once they have left.
        added_by: who gave the roles.
        added_at: when.
    """

    person: Person
    roles: tuple[Role, ...]
    added_by: Person
    added_at: datetime


def may_act(member: Member | None, role: Role) -> bool:
    """Whether the person is known and has the role."""
    return member is not None and role in member.roles


def require_role(member: Member | None, person: Person, role: Role, what: str) -> None:
    """Raise `NotAuthorisedError` where the person has not got the role that `what` takes."""
    if not may_act(member, role):
        known = f"has the roles {', '.join(member.roles) or 'none'}" if member else "is not known here"
        raise NotAuthorisedError(
            f"{person} {known}; to {what} takes the role {role}", mend=f"ask somebody who is {role}"
        )
