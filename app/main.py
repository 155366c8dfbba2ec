"""`sluice`: the entry point of the command line, its nouns and its exit codes.

Exit codes: 0 yes, 1 broken or refused, 2 usage, 3 unproven or invalid, 4 fault, 130 stopped by Ctrl-C. An error of
ours is printed as its fact and its mend; any other exception is a fault: what it says may hold a cell of a real
table, so it goes to a private log and the screen names only its kind and place.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from app.console import Stopped, print_error, print_fault, print_stop
from app.installation import require_one_place
from release.errors import ReleaseError


@dataclass(frozen=True, slots=True)
class Noun:
    """One word after `sluice`: the module that holds it, and what the list of commands says of it."""

    module: str
    summary: str


NOUNS: dict[str, Noun] = {
    "init": Noun("app.commands.init", "Make a workspace: registry, object store, keys, built-in policies."),
    "schema": Noun("app.commands.schema", "Draft and check schema.yaml, the public description of a table."),
    "person": Noun("app.commands.person", "People and their roles: list, add."),
    "dataset": Noun("app.commands.dataset", "Register real tables, and show what is registered."),
    "release": Noun("app.commands.release", "Propose, run, show, review and export releases."),
    "generator": Noun("app.commands.generator", "The generators, and what each is good for."),
    "attack": Noun("app.commands.attack", "The attacks, their adversaries and the suites."),
    "policy": Noun("app.commands.policy", "The policies (tiers): list, show, check."),
    "budget": Noun("app.commands.budget", "Lifetime privacy budgets: what was charged, what is left, caps."),
    "audit": Noun("app.commands.audit", "The audit log: read it, verify its chain."),
    "evaluate": Noun("app.commands.evaluate", "Attack and measure any synthetic table, whoever made it."),
    "verify": Noun("app.commands.verify", "Check a bundle offline, as its recipient does."),
    "doctor": Noun("app.commands.doctor", "Check installation and workspace, with mends."),
    "demo": Noun("app.commands.demo", "The whole way on a packaged real table, to a verified bundle."),
    "app": Noun("app.commands.review_app", "Start the review app on this workspace."),
}
"""Every word after `sluice`. A module is imported only when its word is used."""


class LazyGroup(TyperGroup):
    """Loads a noun's module when it is asked for; lists the nouns without loading any."""

    listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(NOUNS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        noun = NOUNS.get(cmd_name)
        if noun is None:
            return None
        if self.listing:
            stub = typer.Typer(help=noun.summary)
            stub.command(name=cmd_name, help=noun.summary)(lambda: None)
            return typer.main.get_command(stub)
        command = typer.main.get_command(importlib.import_module(noun.module).app)
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self.listing = False

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Stopped(str(error)) from error


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.callback(
    epilog="Exit codes: 0 yes · 1 broken or refused · 2 usage · 3 unproven or invalid · 4 fault · 130 stopped."
)
def sluice() -> None:
    """Sluicegate: release a synthetic table only after it was attacked, judged and approved.

    The usual way: init, schema draft, dataset add, release propose, run, show, approve, export; then verify.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Never raises, except `SystemExit` from the interpreter."""
    as_json = "--json" in arguments
    try:
        require_one_place()
        code = typer.main.get_command(app).main(
            args=list(arguments), prog_name="sluice", standalone_mode=False
        )
    except ReleaseError as error:
        print_error(error, as_json=as_json)
        return error.exit_code
    except Stopped as error:
        print_stop(error)
        return 130
    except typer.TyperException as error:
        from typer.rich_utils import rich_format_error

        rich_format_error(error)  # type: ignore[arg-type]  # every TyperException here is a click one
        return 2
    except Exception as error:  # noqa: BLE001 - the one place where a foreign exception ends
        print_fault(error, arguments, as_json=as_json)
        return 4
    return code if isinstance(code, int) else 0


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
