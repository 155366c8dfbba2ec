"""Every mutant of the judge and the rules dies on the core table."""

from __future__ import annotations

import importlib
import sys

import pytest

from tests.mutation import served, survivors
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


@pytest.fixture
def real_modules():
    """Puts the real package back."""
    saved = {n: m for n, m in sys.modules.items() if n == "policies" or n.startswith("policies.")}
    yield
    for name in [n for n in sys.modules if n == "policies" or n.startswith("policies.")]:
        del sys.modules[name]
    sys.modules.update(saved)


def _passes(judge_) -> bool:
    try:
        for case in CORE.values():
            check(case, judge_)
    except Exception:  # noqa: BLE001 - an error of any kind is a death
        return False
    return True


@pytest.mark.parametrize("name", MODULES)
def test_no_mutant_survives(name: str, real_modules):
    def load(tree):
        with served("policies", {name: tree}):
            return importlib.import_module("policies.judge").PureJudge().judge

    found = survivors(name, load, _passes)
    assert not found, "\n".join(found)
