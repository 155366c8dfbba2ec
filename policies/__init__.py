"""The policies: their format, the built-in tiers, and the pure judge.

from policies import PureJudge, builtin
PureJudge().terms(builtin()["partner-healthcare"]).max_epsilon
"""

from __future__ import annotations

from importlib import resources

from policies.judge import PureJudge

TIERS = ("internal-dev", "partner-healthcare", "partner-finance", "public")
"""The built-in tiers, from least to most guarded recipient."""


def builtin() -> dict[str, str]:
    """The built-in policy documents (YAML texts) by name."""
    folder = resources.files("policies") / "tiers"
    return {name: (folder / f"{name}.yaml").read_text(encoding="utf-8") for name in TIERS}


__all__ = ["TIERS", "PureJudge", "builtin"]
