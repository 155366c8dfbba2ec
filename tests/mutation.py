"""Mutants of a module, one change each, for tests that show that every one of them is noticed.

Comparisons, boolean operators, negations, conditions, `any`/`all`, rulings and the ends of intervals are exchanged in the
syntax tree. `load` gives the package afresh with some modules mutated.
"""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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
    elif isinstance(node, ast.If) and not (
        isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ):
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


def tree_of(name: str) -> ast.Module:
    """The syntax tree of a module of this repository."""
    path = (Path(__file__).parents[1] / Path(*name.split("."))).with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def survivors(name: str, load: Callable[[ast.Module], object], passes: Callable[[object], bool]) -> list[str]:
    """Which mutants of the module still pass, as "line what". Raises AssertionError where the unchanged module does not.

    Args:
        name: the module.
        load: gives what `passes` wants, with the module's tree in place of the real one.
        passes: whether the tests are content with it.
    """
    tree = tree_of(name)
    # The tests must pass with the module loaded the same way and unchanged, or every mutant "dies" for nothing.
    assert passes(load(tree)), f"{name}: the unchanged module does not pass"
    found = []
    for line, what, mutated in mutants(tree):
        try:
            subject = load(mutated)
        except Exception:  # noqa: BLE001 - a module that no longer loads is a dead mutant
            continue
        if passes(subject):
            found.append(f"{name}:{line} {what}")
    return found


def load_as(name: str, tree: ast.Module) -> types.ModuleType:
    """The module made from this tree, beside the real one (which stays what others import)."""
    module = types.ModuleType(name)
    module.__file__ = f"<mutant of {name}>"
    sys_name = f"{name}__mutant"
    module.__name__ = sys_name
    sys.modules[sys_name] = module
    exec(compile(tree, module.__file__, "exec"), module.__dict__)
    return module


@contextmanager
def served(package: str, trees: dict[str, ast.Module]) -> Iterator[None]:
    """Inside, `import` gives a fresh copy of the package in which these modules come from these trees."""
    for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
        del sys.modules[name]
    finder = _Finder(trees)
    sys.meta_path.insert(0, finder)
    try:
        yield
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
