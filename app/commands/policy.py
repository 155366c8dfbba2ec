"""`sluice policy list|show|check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.console import JsonOption, examples, lines_of, show, table_of

app = typer.Typer(
    help="The policies (tiers): list, show, check.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.command(name="list", epilog=examples("sluice policy list", "sluice policy list --json"))
def list_command(as_json: JsonOption = False) -> None:
    """The built-in tiers and what they ask of the workflow."""
    from app import wiring
    from release.canonical import to_json

    judge = wiring.judge()
    terms = [judge.terms(document) for document in wiring.policies().values()]
    show(
        [to_json(term) for term in terms],
        lambda: table_of(
            (
                "policy",
                "version",
                "max ε",
                "suite",
                "approvals",
                "lasts",
                "least cell",
            ),
            [
                (
                    term.name,
                    term.version,
                    f"{term.max_epsilon:g}",
                    term.suite,
                    f"{term.approvals}" + (" + policy owner" if term.owner_approval else ""),
                    f"{term.approval_days} days",
                    term.smallest_cell,
                )
                for term in terms
            ],
        ),
        as_json=as_json,
    )


@app.command(
    name="show",
    epilog=examples("sluice policy show partner-healthcare", "sluice policy show my-tier.yaml --json"),
)
def show_command(
    policy: Annotated[str, typer.Argument(help="A built-in tier's name, or a policy file.")],
    as_json: JsonOption = False,
) -> None:
    """The policy's own text: every rule with its limit."""
    from app import wiring
    from app.evaluation import policy_document
    from release.canonical import to_json

    document = policy_document(policy)
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
                ("approvals", f"{terms.approvals}" + (" + policy owner" if terms.owner_approval else "")),
            ]
        ),
        as_json=as_json,
    )
