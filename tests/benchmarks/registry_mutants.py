"""Puts every mutant of the registry's modules to the registry's tests, each in a process of its own; names survivors.

    python -m tests.benchmarks.registry_mutants [release.workflow.dossier …]

A child is forked for each mutant, makes the loaded module over in place, gives its new functions to whoever imported the
old ones, and runs pytest until the first failure. First the same is done unchanged, which must pass.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys

import pytest

from tests.mutation import mutants, tree_of

FOLDER = "tests/release/workflow"
TESTS = [f"{FOLDER}/test_registry.py", f"{FOLDER}/test_tampering.py", f"{FOLDER}/test_votes.py"]
MODULES = (
    "dossier",
    "registry",
    "asking",
    "making",
    "reviewing",
    "releasing",
    "moves",
    "audit",
    "offices",
    "store",
)
BASES = ("Asking", "Making", "Reviewing", "Releasing")
"""Classes that the registry is put together from: their mutants go into the class that is there."""
SLOW = "not any_changed_or_removed and not breaking_off_in_the_middle"
"""Left out: they go through every row and statement, and find nothing that the rest does not."""


def passes(name: str, tree: ast.Module) -> bool:
    """Whether the registry's tests pass with the module made from this tree. Runs in a forked child."""
    child = os.fork()
    if not child:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        try:
            _make_over(name, tree)
            code = pytest.main(
                [
                    "-x",
                    "-q",
                    "-p",
                    "no:cacheprovider",
                    "--tb=no",
                    "-o",
                    "filterwarnings=default",
                    "-k",
                    SLOW,
                    *TESTS,
                ]
            )
        except BaseException:  # noqa: BLE001 - a module that no longer loads is a dead mutant
            code = 9
        os._exit(int(code))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _make_over(name: str, tree: ast.Module) -> None:
    from release.database import METADATA

    module = importlib.import_module(name)
    old = dict(vars(module))
    for value in old.values():
        if name.endswith(".store") and getattr(value, "name", "") in {"audit", "records", "releases"}:
            METADATA.remove(value)
    exec(compile(tree, name, "exec"), vars(module))
    for base in BASES:
        if base in old and base in vars(module) and old[base].__module__ == name:
            for key, value in vars(vars(module)[base]).items():
                if callable(value):
                    setattr(old[base], key, value)
    for other in list(sys.modules.values()):
        if getattr(other, "__name__", "").startswith(("release.", "tests.")) and other is not module:
            for key, value in list(vars(other).items()):
                if not key.startswith("__") and key in old and old[key] is value:
                    setattr(other, key, vars(module)[key])


def main(names: list[str]) -> int:
    importlib.import_module("release.workflow.registry")
    importlib.import_module(f"{FOLDER}.flow".replace("/", "."))
    importlib.import_module("dp_accounting.rdp")
    survived = 0
    for name in names:
        if not passes(name, tree_of(name)):
            print(f"{name}: the unchanged module does not pass")
            return 1
        tried = 0
        for line, what, tree in mutants(tree_of(name)):
            tried += 1
            if passes(name, tree):
                survived += 1
                print(f"survived: {name}:{line} {what}", flush=True)
        print(f"{name}: {tried} mutants", flush=True)
    print(f"{survived} survived")
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [f"release.workflow.{name}" for name in MODULES]))
