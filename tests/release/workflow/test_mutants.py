"""Every mutant of the votes, of the table's questions and of the ledger dies on their own tests.

The tests of a module are run in this process with the mutant's functions in place of the real ones. Tests that need
processes or Hypothesis are left out: what remains kills all mutants by itself. The registry's mutants take longer:
tests/benchmarks/registry_mutants.py.
"""

from __future__ import annotations

import inspect
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from release import database
from tests.mutation import load_as, survivors
from tests.release.privacy import test_ledger as ledger_tests
from tests.release.workflow import test_transitions as transition_tests
from tests.release.workflow import test_votes as vote_tests


def calls(tests: ModuleType, fixtures: dict[str, Callable[[], object]]) -> Iterator[Callable[[], object]]:
    """Each plain or parametrised test of a module as a call without arguments; the rest are passed over."""
    for name, function in vars(tests).items():
        if not name.startswith("test_") or hasattr(function, "hypothesis"):
            continue
        rows: list[dict[str, object]] = [{}]
        for mark in getattr(function, "pytestmark", []):
            if mark.name == "parametrize":
                names = [mark.args[0]] if isinstance(mark.args[0], str) else list(mark.args[0])
                names = [part.strip() for joined in names for part in joined.split(",")]
                values = [value if len(names) > 1 else (value,) for value in mark.args[1]]
                rows = [{**row, **dict(zip(names, value, strict=True))} for row in rows for value in values]
        wanted = set(inspect.signature(function).parameters)
        for row in rows:
            if wanted - row.keys() <= fixtures.keys():
                given = {name: fixtures[name] for name in wanted - row.keys()}
                yield lambda function=function, row=row, given=given: function(
                    **row, **{name: make() for name, make in given.items()}
                )


def content(tests: Iterable[Callable[[], object]]) -> bool:
    for call in tests:
        try:
            call()
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - any failure is a death
            return False
    return True


def put(patch: pytest.MonkeyPatch, tests: ModuleType, mutant: ModuleType, original: str) -> None:
    """Whatever the tests took from the original module they now have from the mutant."""
    for name, value in list(vars(tests).items()):
        if getattr(value, "__module__", "") == original and hasattr(mutant, name):
            patch.setattr(tests, name, getattr(mutant, name))


def test_no_mutant_of_the_votes_survives() -> None:
    def passes(mutant: object) -> bool:
        assert isinstance(mutant, ModuleType)
        with pytest.MonkeyPatch.context() as patch:
            put(patch, vote_tests, mutant, "release.workflow.votes")
            fields = {name: getattr(vote_tests.BINDING, name) for name in vote_tests.BINDING.__slots__}
            patch.setattr(vote_tests, "BINDING", mutant.Binding(**fields))
            return content(calls(vote_tests, {}))

    name = "release.workflow.votes"
    assert survivors(name, lambda tree: load_as(name, tree), passes) == []


def test_no_mutant_of_the_table_s_questions_survives() -> None:
    """The table as mutated speaks of mutated states: the tests take both from it."""

    def passes(mutant: object) -> bool:
        assert isinstance(mutant, ModuleType)
        with pytest.MonkeyPatch.context() as patch:
            put(patch, transition_tests, mutant, "release.workflow.transitions")
            patch.setattr(transition_tests, "TRANSITIONS", mutant.TRANSITIONS)
            try:
                for source, action in itertools.product(mutant.State, mutant.Action):
                    transition_tests.test_what_is_not_in_the_table_is_refused_with_what_is_possible(
                        source, action
                    )
            except (Exception, pytest.fail.Exception):  # noqa: BLE001
                return False
            others = (call for call in calls(transition_tests, {}) if "source" not in call.__defaults__[1])
            return content(others)

    name = "release.workflow.transitions"
    assert survivors(name, lambda tree: load_as(name, tree), passes) == []


def test_no_mutant_of_the_ledger_survives() -> None:
    name = "release.privacy.ledger"

    def load(tree: object) -> ModuleType:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database, "log_table", lambda log: database.METADATA.tables[log])
            return load_as(name, tree)

    def passes(mutant: object) -> bool:
        assert isinstance(mutant, ModuleType)
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            numbers = iter(range(10_000))

            inner = pytest.MonkeyPatch()

            def bench() -> object:
                inner.undo()  # what the test before patched
                place = Path(folder) / str(next(numbers))
                place.mkdir()
                return ledger_tests.Bench(place)

            put(patch, ledger_tests, mutant, name)
            patch.setattr(ledger_tests, "ledger_module", mutant)
            try:
                return content(calls(ledger_tests, {"bench": bench, "monkeypatch": lambda: inner}))
            finally:
                inner.undo()

    assert survivors(name, load, passes) == []
