"""The kinds of rule, in one literal table. Adding one: a file here, and a line in `RULES`.

Each is a pydantic model whose fields are the keys of the policy file and whose `judge` is pure: same evidence, same
findings, in an order that does not depend on the evidence's.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from policies.rules.alarm import Alarm
from policies.rules.arena import ArenaSize
from policies.rules.at_least import AtLeast
from policies.rules.at_most import AtMost
from policies.rules.between import Between
from policies.rules.claim import Claim
from policies.rules.controls import ControlsHeld
from policies.rules.empirical_epsilon import EmpiricalEpsilon
from policies.rules.measured import MustBeMeasured
from policies.rules.ratio import Ratio
from policies.rules.shared import Layer

AnyRule = Annotated[
    AtMost
    | AtLeast
    | Between
    | Ratio
    | Alarm
    | MustBeMeasured
    | Claim
    | EmpiricalEpsilon
    | ControlsHeld
    | ArenaSize,
    Field(discriminator="kind"),
]

RULES: Final = {
    "alarm": Alarm,
    "arena": ArenaSize,
    "at-least": AtLeast,
    "at-most": AtMost,
    "between": Between,
    "claim": Claim,
    "controls": ControlsHeld,
    "empirical-epsilon": EmpiricalEpsilon,
    "measured": MustBeMeasured,
    "ratio": Ratio,
}

REQUIRED: Final = ("claim", "empirical-epsilon", "controls", "arena")
"""Kinds without which a policy asks too little to let anything through: the judge denies."""

__all__ = [
    "REQUIRED",
    "RULES",
    "Alarm",
    "AnyRule",
    "ArenaSize",
    "AtLeast",
    "AtMost",
    "Between",
    "Claim",
    "ControlsHeld",
    "EmpiricalEpsilon",
    "Layer",
    "MustBeMeasured",
    "Ratio",
]
