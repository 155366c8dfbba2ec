"""The one table of what may happen to a release, and who may do it.

Rules: what is not in the table is refused. The table says from where to where and by which role; conditions on the
records (votes, verdict, digests) are the registry's, except the three that hold whatever the records say: a
baseline, a non-private generator and augmented rows never reach review (`may_enter_review`), and nobody acts on their own request as
a reviewer. `docs/workflow.md` is generated from here (`diagram`), and a test holds them together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from release.errors import NotAuthorisedError, TransitionError
from release.records import Kind, Person, Purpose
from release.workflow.people import SYSTEM, Member, Role, may_act, require_role


class State(StrEnum):
    """Where a release stands."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    GENERATING = "generating"
    EVALUATING = "evaluating"
    BLOCKED = "blocked"
    IN_REVIEW = "in_review"
    PARTIALLY_REVIEWED = "partially_reviewed"
    REVIEWED = "reviewed"
    APPROVED = "approved"
    RETURNED = "returned"
    REJECTED = "rejected"
    EXPORTING = "exporting"
    RELEASED = "released"
    EXPIRED = "expired"
    REVOKED = "revoked"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    FAILED = "failed"
    RE_REVIEW_REQUIRED = "re_review_required"


class Action(StrEnum):
    """What somebody does to it."""

    SUBMIT = "submit"
    BEGIN_GENERATION = "begin_generation"
    RECORD_CANDIDATE = "record_candidate"
    RECORD_VERDICT = "record_verdict"
    FAIL = "fail"
    APPROVE = "approve"
    RETURN = "return"
    REJECT = "reject"
    REQUIRE_RE_REVIEW = "require_re_review"
    LAPSE = "lapse"
    BEGIN_EXPORT = "begin_export"
    FAIL_EXPORT = "fail_export"
    RECORD_EXPORT = "record_export"
    EXPIRE = "expire"
    REVOKE = "revoke"
    SUPERSEDE = "supersede"
    WITHDRAW = "withdraw"


VERBS: dict[Action, str] = {
    Action.SUBMIT: "submit {}",
    Action.BEGIN_GENERATION: "run {}",
    Action.RECORD_CANDIDATE: "store the candidate of {}",
    Action.RECORD_VERDICT: "judge {}",
    Action.FAIL: "give up the turn of {}",
    Action.APPROVE: "approve {}",
    Action.RETURN: "send {} back",
    Action.REJECT: "reject {}",
    Action.REQUIRE_RE_REVIEW: "have {} judged again",
    Action.LAPSE: "let the approval of {} lapse",
    Action.BEGIN_EXPORT: "export {}",
    Action.FAIL_EXPORT: "break off the export of {}",
    Action.RECORD_EXPORT: "record the export of {}",
    Action.EXPIRE: "let {} expire",
    Action.REVOKE: "revoke {}",
    Action.SUPERSEDE: "supersede {}",
    Action.WITHDRAW: "withdraw {}",
}
"""Each action as messages say it, after "to"."""

COMMANDS: dict[Action, str] = {
    Action.SUBMIT: "run",
    Action.BEGIN_GENERATION: "run",
    Action.RECORD_CANDIDATE: "run",
    Action.RECORD_VERDICT: "run",
    Action.FAIL: "run",
    Action.APPROVE: "approve",
    Action.RETURN: "return",
    Action.REJECT: "reject",
    Action.BEGIN_EXPORT: "export",
    Action.FAIL_EXPORT: "export",
    Action.RECORD_EXPORT: "export",
    Action.REVOKE: "revoke",
    Action.SUPERSEDE: "supersede",
    Action.WITHDRAW: "withdraw",
}
"""The verb of `sluice release` that does it; what happens by itself has none. One left half done is taken up by the same verb."""


_WITH = {"export": " --to DIR", "revoke": ' -m "why"', "supersede": " --by LATER-ID"}
"""What these verbs do not go without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One arrow.

    Attributes:
        source: from where.
        action: by which action.
        target: to where.
        roles: any of these roles may do it; empty: it happens by itself.
        others: only people other than the requester.
        own: only the requester.
    """

    source: State
    action: Action
    target: State
    roles: tuple[Role, ...]
    others: bool = False
    own: bool = False


def _rows(
    action: Action,
    sources: tuple[State, ...],
    targets: tuple[State, ...],
    *roles: Role,
    others: bool = False,
    own: bool = False,
) -> tuple[Transition, ...]:
    return tuple(
        Transition(source=source, action=action, target=target, roles=roles, others=others, own=own)
        for source in sources
        for target in targets
    )


_S = State
_UNDER_REVIEW = (_S.IN_REVIEW, _S.PARTIALLY_REVIEWED, _S.REVIEWED)

TRANSITIONS: tuple[Transition, ...] = (
    *_rows(Action.SUBMIT, (_S.DRAFT,), (_S.SUBMITTED,), Role.REQUESTER, own=True),
    *_rows(
        Action.BEGIN_GENERATION,
        (_S.SUBMITTED, _S.BLOCKED, _S.RETURNED, _S.FAILED),
        (_S.GENERATING,),
        Role.REQUESTER,
    ),
    *_rows(Action.RECORD_CANDIDATE, (_S.GENERATING,), (_S.EVALUATING,), Role.REQUESTER),
    *_rows(
        Action.RECORD_VERDICT,
        (_S.EVALUATING, _S.RE_REVIEW_REQUIRED),
        (_S.IN_REVIEW, _S.BLOCKED),
        Role.REQUESTER,
        Role.REVIEWER,
    ),
    *_rows(Action.FAIL, (_S.GENERATING, _S.EVALUATING), (_S.FAILED,), Role.REQUESTER),
    *_rows(
        Action.APPROVE,
        _UNDER_REVIEW,
        (_S.PARTIALLY_REVIEWED, _S.REVIEWED, _S.APPROVED),
        Role.REVIEWER,
        Role.POLICY_OWNER,
        others=True,
    ),
    *_rows(
        Action.RETURN,
        (*_UNDER_REVIEW, _S.APPROVED),
        (_S.RETURNED,),
        Role.REVIEWER,
        Role.POLICY_OWNER,
        others=True,
    ),
    *_rows(
        Action.REJECT,
        (*_UNDER_REVIEW, _S.APPROVED),
        (_S.REJECTED,),
        Role.REVIEWER,
        Role.POLICY_OWNER,
        others=True,
    ),
    *_rows(Action.REQUIRE_RE_REVIEW, (*_UNDER_REVIEW, _S.APPROVED), (_S.RE_REVIEW_REQUIRED,)),
    *_rows(Action.LAPSE, (_S.APPROVED,), (_S.RE_REVIEW_REQUIRED,)),
    *_rows(Action.BEGIN_EXPORT, (_S.APPROVED,), (_S.EXPORTING,), Role.RELEASER),
    *_rows(Action.FAIL_EXPORT, (_S.EXPORTING,), (_S.RE_REVIEW_REQUIRED, _S.APPROVED), Role.RELEASER),
    *_rows(Action.RECORD_EXPORT, (_S.EXPORTING,), (_S.RELEASED,), Role.RELEASER),
    *_rows(Action.EXPIRE, (_S.RELEASED,), (_S.EXPIRED,)),
    *_rows(Action.REVOKE, (_S.RELEASED,), (_S.REVOKED,), Role.RELEASER, Role.POLICY_OWNER),
    *_rows(Action.SUPERSEDE, (_S.RELEASED,), (_S.SUPERSEDED,), Role.RELEASER),
    *_rows(
        Action.WITHDRAW,
        (
            _S.DRAFT,
            _S.SUBMITTED,
            _S.BLOCKED,
            *_UNDER_REVIEW,
            _S.APPROVED,
            _S.RETURNED,
            _S.FAILED,
            _S.RE_REVIEW_REQUIRED,
        ),
        (_S.WITHDRAWN,),
        Role.REQUESTER,
        own=True,
    ),
)


def arrows(rows: Iterable[Transition]) -> dict[tuple[State, Action, State], Transition]:
    """The table by source, action and target. ValueError where an arrow stands twice."""
    found: dict[tuple[State, Action, State], Transition] = {}
    for row in rows:
        if (row.source, row.action, row.target) in found:
            raise ValueError(f"the transition table has {row.source} → {row.action} → {row.target} twice")
        found[row.source, row.action, row.target] = row
    return found


_ARROWS = arrows(TRANSITIONS)


# ---------------------------------------------------------------------------------------------- questions


def actions_from(state: State) -> tuple[Action, ...]:
    """What can happen to a release in this state, in the table's order."""
    return tuple(dict.fromkeys(row.action for row in TRANSITIONS if row.source is state))


def steps_from(state: State, release: str) -> tuple[str, ...]:
    """What people can type in this state, each with who may: "`sluice release withdraw claims-1` (requester)"."""
    found: dict[str, tuple[Role, ...]] = {}
    for row in TRANSITIONS:
        if row.source is state and row.roles:
            again = row.action is Action.BEGIN_GENERATION and state is not State.SUBMITTED
            verb = COMMANDS[row.action]
            command = f"`sluice release {verb} {release}{' --new-turn' if again else _WITH.get(verb, '')}`"
            found[command] = tuple(role for role in found.get(command, row.roles) if role in row.roles)
    return tuple(f"{command} ({' or '.join(roles)})" for command, roles in found.items())


def may_move(source: State, action: Action, target: State) -> bool:
    """Whether the table has this arrow."""
    return (source, action, target) in _ARROWS


def require_move(source: State, action: Action, target: State, release: str = "ID") -> Transition:
    """The table's arrow. TransitionError where there is none, with where it starts and what can be done instead."""
    if not may_move(source, action, target):
        starts = dict.fromkeys(row.source for row in TRANSITIONS if row.action is action)
        if source in starts:
            fact = f"to {VERBS[action].format(release)} does not lead from {source} to {target}"
        else:
            fact = (
                f"{release} is {source}; to {VERBS[action].format(release)} it must be {' or '.join(starts)}"
            )
        steps = steps_from(source, release)
        raise TransitionError(
            fact,
            mend=f"`sluice release show {release}` says why; "
            + (f"possible now: {', '.join(steps)}" if steps else "nothing can be done to it any more"),
        )
    return _ARROWS[source, action, target]


def may_do(row: Transition, member: Member | None, person: Person, requester: Person) -> bool:
    """Whether this person may take this arrow on a release that `requester` asked for."""
    if not row.roles:
        return person == SYSTEM
    if (row.others and person == requester) or (row.own and person != requester):
        return False
    return any(may_act(member, role) for role in row.roles)


def require_do(row: Transition, member: Member | None, person: Person, requester: Person) -> None:
    """Raise `NotAuthorisedError`, saying why, where `may_do` says no."""
    if may_do(row, member, person, requester):
        return
    if not row.roles:
        raise NotAuthorisedError(
            f"to {VERBS[row.action].format('a release')} happens by itself; {person} cannot do it"
        )
    if row.others and person == requester:
        raise NotAuthorisedError(
            f"{person} asked for this release and so cannot {VERBS[row.action].format('it')}",
            mend="another person has to",
        )
    if row.own and person != requester:
        raise NotAuthorisedError(
            f"only {requester}, who asked for it, can {VERBS[row.action].format('this release')}",
            mend=f"ask {requester}",
        )
    what = VERBS[row.action].format("a release")
    if len(row.roles) == 1:
        require_role(member, person, row.roles[0], what)
    raise NotAuthorisedError(
        f"{person} has none of the roles {', '.join(row.roles)}, one of which it takes to {what}",
        mend="ask somebody who has",
    )


def may_enter_review(purpose: Purpose, provenance: Kind, *, private: bool) -> bool:
    """Whether a candidate of this kind can ever be reviewed: no baseline, nothing non-private, no augmented rows."""
    return purpose is not Purpose.BASELINE and private and provenance is not Kind.AUGMENTED


def require_enter_review(purpose: Purpose, provenance: Kind, *, private: bool) -> None:
    """Raise `TransitionError`, saying why, where `may_enter_review` says no."""
    if purpose is Purpose.BASELINE:
        raise TransitionError("a baseline is for comparison and can never be reviewed or exported")
    if not private:
        raise TransitionError("a candidate without a privacy cost can never be reviewed or exported")
    if provenance is Kind.AUGMENTED:
        raise TransitionError(
            "augmented rows are real rows transformed and can never be exported",
            mend="release from their source",
        )


# ---------------------------------------------------------------------------------------------- the picture


def diagram() -> str:
    """The whole of docs/workflow.md: a Mermaid state diagram and a table of who may do what."""
    drawn: dict[tuple[State, State], list[str]] = {}
    for row in TRANSITIONS:
        drawn.setdefault((row.source, row.target), []).append(row.action)
    lines = ["stateDiagram-v2", "    [*] --> draft: propose"]
    lines += [f"    {source} --> {target}: {', '.join(names)}" for (source, target), names in drawn.items()]
    lines += [f"    {state} --> [*]" for state in State if not actions_from(state)]
    who: dict[Action, Transition] = {row.action: row for row in TRANSITIONS}
    table = ["| action | `sluice release` | who | on whose request |", "|---|---|---|---|"]
    for action, row in who.items():
        people = " or ".join(row.roles) or "happens by itself"
        whose = "another person's" if row.others else "their own" if row.own else "anyone's"
        command = f"`{COMMANDS[action]}`" if action in COMMANDS else ""
        table.append(f"| `{action}` | {command} | {people} | {whose} |")
    return "\n".join(
        (
            "# Workflow of a release",
            "",
            "Generated from `release/workflow/transitions.py`: change it there, then run",
            "`python -c 'import release.workflow.transitions as t; print(t.diagram(), end=\"\")' > docs/workflow.md`.",
            "",
            "```mermaid",
            *lines,
            "```",
            "",
            *table,
            "",
            "A baseline, a candidate without a privacy cost and augmented rows never reach `in_review`. A vote counts only",
            "for the very turn, candidate, evidence and policy that were seen, and only since the review was opened.",
            "",
        )
    )
