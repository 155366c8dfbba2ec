"""Every mutant of the judge and the rules dies on the core table.

Comparisons, boolean operators, negations, constants True/False, rulings and `any`/`all` are exchanged one at a time in
the syntax tree; the mutated module replaces the real one while the core table runs. A survivor is named with its line.
"""

from __future__ import annotations

import ast
import copy
import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.policies.cases import CORE, check

MODULES = (
    "policies.rules.shared",
    "policies.rules.figure",
    "policies.rules.at_most",
    "policies.rules.at_least",
    "policies.rules.between",
    "policies.rules.ratio",
    "policies.rules.alarm",
    "policies.rules.measured",
    "policies.rules.claim",
    "policies.rules.empirical_epsilon",
    "policies.rules.controls",
    "policies.rules.arena",
    "policies.judge",
)

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
EXCHANGE = {"any": "all", "all": "any", "MET": "BROKEN", "BROKEN": "MET", "UNPROVEN": "MET", "INVALID": "MET"}
"""Names (functions and members of Ruling) and what each is exchanged for."""


def mutants(tree: ast.Module) -> Iterator[tuple[int, str, ast.Module]]:
    """(line, what, mutated tree), one change each."""
    nodes = list(ast.walk(tree))
    for index, node in enumerate(nodes):
        for what, change in _changes(node):
            mutated = copy.deepcopy(tree)
            twin = list(ast.walk(mutated))[index]
            change(twin)
            yield getattr(node, "lineno", 0), what, ast.fix_missing_locations(mutated)


def _changes(node: ast.AST):
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            for other in COMPARISONS[type(operator)]:

                def compare(twin, place=place, other=other):
                    twin.ops[place] = other()

                yield f"{type(operator).__name__} -> {other.__name__}", compare
    elif isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield f"{type(node.op).__name__} -> {other.__name__}", lambda twin: setattr(twin, "op", other())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        # `not x` becomes `not not x`: the truth value turned round.
        yield (
            "Not -> (nothing)",
            lambda twin: setattr(twin, "operand", ast.UnaryOp(op=ast.Not(), operand=twin.operand)),
        )
    elif isinstance(node, ast.IfExp):
        yield (
            "if-else turned round",
            lambda twin: setattr(twin, "test", ast.UnaryOp(op=ast.Not(), operand=twin.test)),
        )
    elif isinstance(node, ast.If):
        yield (
            "if turned round",
            lambda twin: setattr(twin, "test", ast.UnaryOp(op=ast.Not(), operand=twin.test)),
        )
    elif isinstance(node, ast.Attribute) and node.attr in EXCHANGE:
        yield f"{node.attr} -> {EXCHANGE[node.attr]}", lambda twin: setattr(twin, "attr", EXCHANGE[twin.attr])
    elif isinstance(node, ast.Attribute) and node.attr in {"low", "high"}:
        yield (
            f"{node.attr} -> other end",
            lambda twin: setattr(twin, "attr", "high" if twin.attr == "low" else "low"),
        )
    elif isinstance(node, ast.Name) and node.id in {"any", "all"}:
        yield f"{node.id} -> {EXCHANGE[node.id]}", lambda twin: setattr(twin, "id", EXCHANGE[twin.id])


def _load(mutated: dict[str, ast.Module]) -> types.ModuleType:
    """A fresh set of the policies' modules, with the mutated ones in place of the real ones."""
    names = [name for name in sys.modules if name == "policies" or name.startswith("policies.")]
    for name in names:
        del sys.modules[name]
    finder = _Finder(mutated)
    sys.meta_path.insert(0, finder)
    try:
        return importlib.import_module("policies.judge")
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    """Serves mutated modules from their syntax trees."""

    def __init__(self, trees: dict[str, ast.Module]) -> None:
        self.trees = trees

    def find_spec(self, name, path=None, target=None):
        if name not in self.trees:
            return None
        return importlib.util.spec_from_loader(name, self, origin="<mutant>")

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(compile(self.trees[module.__name__], "<mutant>", "exec"), module.__dict__)


@pytest.fixture
def real_modules():
    saved = {n: m for n, m in sys.modules.items() if n == "policies" or n.startswith("policies.")}
    yield
    for name in [n for n in sys.modules if n == "policies" or n.startswith("policies.")]:
        del sys.modules[name]
    sys.modules.update(saved)


def _survives(judge_) -> bool:
    try:
        for case in CORE.values():
            check(case, judge_)
    except Exception:  # noqa: BLE001 - an error of any kind is a death
        return False
    return True


@pytest.mark.parametrize("name", MODULES)
def test_no_mutant_survives(name: str, real_modules):
    source = Path(*name.split(".")).with_suffix(".py")
    tree = ast.parse((Path(__file__).parents[2] / source).read_text(encoding="utf-8"))
    # The table must pass with the module loaded the same way and unchanged, or every mutant "dies" for nothing.
    assert _survives(_load({name: tree}).PureJudge().judge)
    survivors, count = [], 0
    for line, what, mutated in mutants(tree):
        count += 1
        try:
            judge_ = _load({name: mutated}).PureJudge().judge
        except Exception:  # noqa: BLE001 - a module that no longer loads is a dead mutant
            continue
        if _survives(judge_):
            survivors.append(f"{source}:{line} {what}")
    assert not survivors, "\n".join(survivors)
    if name != "policies.rules.measured":
        assert count > 0
