"""docs/policies.md names every kind of rule and every ruling, and its example is a policy."""

from __future__ import annotations

import re
from pathlib import Path

from policies import TIERS
from policies.format import parse
from policies.judge import OWN_RULES
from policies.rules import RULES
from release.records import Ruling

TEXT = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")


def test_every_kind_ruling_and_tier_is_there():
    table = {line.split("`")[1] for line in TEXT.splitlines() if line.startswith("| `")}
    assert table == set(RULES)
    for word in (*Ruling, *OWN_RULES, *TIERS):
        assert f"`{word}`" in TEXT, word


def test_the_example_is_a_policy():
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert parse(example).terms.max_epsilon == 3.0
