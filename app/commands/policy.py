"""`sluice policy …`: what a release must show, and how that is changed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.console import AsOption, JsonOption, WorkspaceOption, examples, lines_of, show, table_of

if TYPE_CHECKING:
    from app.workspace import Workspace
    from release.records import PolicyTerms
    from release.workflow.offices import PublishedPolicy

app = typer.Typer(
    help="The policies (tiers): list, show, check; change one, which takes two policy owners.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

PolicyArgument = Annotated[str, typer.Argument(metavar="NAME", help="The policy's name.")]
SEEN = 12
"""Characters of a digest that a person types at least."""


@app.command(name="list", epilog=examples("sluice policy list", "sluice policy list --json"))
def list_command(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """The policies in force in the workspace, and those that wait for a second policy owner.

    Where there is no workspace: the built-in tiers.
    """
    from app import wiring
    from app.workspace import Workspace, find
    from release.canonical import to_json

    root = find(workspace)
    found: list[tuple[str, PolicyTerms]] = []
    if root is None:
        judge = wiring.judge()
        found += [("built in", judge.terms(document)) for document in wiring.policies().values()]
    else:
        policies = Workspace.open(root).registry.policies
        found += [("in force", policy.terms) for policy in policies.all()]
        found += [("waits", policy.terms) for policy in policies.waiting()]
    heads = ("policy", "version", "standing", "max ε", "suite", "approvals", "lasts", "least cell")
    show(
        [{**to_json(terms), "standing": standing} for standing, terms in found],
        lambda: table_of(
            heads,
            [
                (
                    terms.name,
                    terms.version,
                    standing,
                    f"{terms.max_epsilon:g}",
                    terms.suite,
                    _approvals(terms),
                    f"{terms.approval_days} days",
                    terms.smallest_cell,
                )
                for standing, terms in found
            ],
        ),
        as_json=as_json,
    )


@app.command(
    name="show",
    epilog=examples("sluice policy show partner-healthcare", "sluice policy show my-tier.yaml --json"),
)
def show_command(
    policy: Annotated[
        str, typer.Argument(help="The name of a policy in force or of a built-in tier, or a policy file.")
    ],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """The policy's own text: every rule with its limit. In a workspace, the version that is in force there."""
    from app import wiring
    from app.evaluation import policy_document
    from app.workspace import Workspace, find
    from release.canonical import to_json

    root = find(workspace)
    published = _named(Workspace.open(root).registry.policies.all(), policy) if root else None
    document = published.document if published else policy_document(policy)
    terms = wiring.judge().terms(document)
    if as_json:
        show({"terms": to_json(terms), "document": document}, lambda: "", as_json=True)
    else:
        typer.echo(document, nl=not document.endswith("\n"))


@app.command(
    epilog=examples("sluice policy check my-tier.yaml", "sluice policy check partner-finance --json")
)
def check(
    policy: Annotated[Path, typer.Argument(help="A policy file, or a built-in tier's name.")],
    as_json: JsonOption = False,
) -> None:
    """Say whether a policy file is well-formed, and what it asks. Exit code 2 where it is not."""
    from app import wiring
    from app.evaluation import policy_document
    from release.canonical import to_json

    terms = wiring.judge().terms(policy_document(str(policy)))
    show(
        to_json(terms),
        lambda: lines_of(
            [
                ("policy", f"{terms.name} {terms.version} is well-formed"),
                ("digest", terms.digest),
                ("ε at most", f"{terms.max_epsilon:g}"),
                ("suite", terms.suite),
                ("approvals", _approvals(terms)),
            ]
        ),
        as_json=as_json,
    )


@app.command(
    epilog=examples("sluice policy propose my-tier.yaml", "sluice policy propose partner-healthcare --json")
)
def propose(
    policy: Annotated[
        str, typer.Argument(help="A policy file, or a built-in tier's name for its text today.")
    ],
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose a new policy, or a new version. It changes nothing until another policy owner confirms it."""
    from app import wiring
    from app.evaluation import policy_document
    from app.workspace import open_workspace
    from release.canonical import to_json

    place = open_workspace(workspace)
    terms = place.registry.policies.propose(policy_document(policy), wiring.judge(), by=place.person(as_name))
    show(
        to_json(terms),
        lambda: lines_of(
            [
                ("waits", f"{terms.name} {terms.version}, for another policy owner than you"),
                ("digest", terms.digest),
                ("next", f"they look at it with sluice policy diff {terms.name}, and confirm it"),
            ]
        ),
        as_json=as_json,
    )


@app.command(epilog=examples("sluice policy diff partner-healthcare", "sluice policy diff my-tier --json"))
def diff(policy: PolicyArgument, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """What a waiting version would change: its text beside the one in force."""
    from difflib import unified_diff

    from app.workspace import open_workspace

    place = open_workspace(workspace)
    new = _waiting(place, policy)
    old = _named(place.registry.policies.all(), policy)
    lines = list(
        unified_diff(
            old.document.splitlines() if old else [],
            new.document.splitlines(),
            f"{policy} {old.terms.version}, in force" if old else "nothing in force",
            f"{policy} {new.terms.version}, waits",
            lineterm="",
        )
    )

    def render() -> Any:
        from rich.console import Group
        from rich.text import Text

        colours = {"+": "green", "-": "red", "@": "cyan"}
        text = Text("\n").join(Text(line, style=colours.get(line[:1], "")) for line in lines)
        seen = new.terms.digest[:SEEN]
        return Group(
            text,
            lines_of(
                [
                    ("proposed by", new.proposed_by),
                    ("next", f"another policy owner: sluice policy confirm {policy} --seen {seen}"),
                ]
            ),
        )

    show(
        {
            "policy": policy,
            "in_force": old.terms.digest if old else None,
            "waits": new.terms.digest,
            "proposed_by": new.proposed_by,
            "diff": lines,
        },
        render,
        as_json=as_json,
    )


@app.command(
    epilog=examples(
        "sluice policy confirm partner-healthcare --seen 3fa9c1d27b04",
        "sluice policy confirm my-tier --seen 3fa9c1d27b04 --json",
    )
)
def confirm(
    policy: PolicyArgument,
    seen: Annotated[
        str,
        typer.Option(
            "--seen", metavar="DIGEST", help="What `diff` says you looked at; refused if that has changed."
        ),
    ],
    workspace: WorkspaceOption = None,
    as_name: AsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a waiting version into force, as the second policy owner. What is under review by it must be judged anew."""
    from app.workspace import open_workspace
    from release.canonical import to_json
    from release.errors import TransitionError
    from release.workflow.transitions import State

    place = open_workspace(workspace)
    waiting = _waiting(place, policy)
    if len(seen) < SEEN or not waiting.terms.digest.startswith(seen):
        raise TransitionError(
            f'{seen!r} is not the version of "{policy}" that waits',
            mend=f"look at it with sluice policy diff {policy}, which names at least {SEEN} characters",
        )
    terms = place.registry.policies.confirm(policy, waiting.terms.digest, by=place.person(as_name))
    anew = [
        view.request.release
        for view in place.registry.all()
        if view.request.policy == policy and view.state is State.RE_REVIEW_REQUIRED
    ]
    show(
        {"terms": to_json(terms), "to_be_judged_anew": anew},
        lambda: lines_of(
            [
                ("in force", f"{terms.name} {terms.version}"),
                *(("judge anew", f"sluice release run {release}") for release in anew),
            ]
        ),
        as_json=as_json,
    )


def _approvals(terms: PolicyTerms) -> str:
    return f"{terms.approvals}" + (" + policy owner" if terms.owner_approval else "")


def _named(policies: Iterable[PublishedPolicy], name: str) -> PublishedPolicy | None:
    return next((policy for policy in policies if policy.terms.name == name), None)


def _waiting(place: Workspace, policy: str) -> PublishedPolicy:
    """The version of that name that waits. Raises InputError where none does."""
    from release.errors import InputError

    found = _named(place.registry.policies.waiting(), policy)
    if found is None:
        raise InputError(
            f'no version of "{policy}" waits for a policy owner', mend="sluice policy list shows which do"
        )
    return found
