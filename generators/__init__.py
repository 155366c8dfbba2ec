"""Generators: the marginal family on one inference core (`core`, `encoding`), deep models, non-private baselines.

Adding one is one file and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping

from generators.aim import AimFitter
from generators.auto import plan_auto
from generators.baselines import BASELINES
from generators.dp_autoregressive import Autoregressive
from generators.dp_ctgan import Ctgan
from generators.family import MarginalGenerator
from generators.independent import IndependentFitter
from generators.mst import MstFitter
from generators.wide import WideFitter
from release.errors import PlanError
from release.protocols import Generator

_ALL: tuple[Generator, ...] = (
    MarginalGenerator(
        name="auto",
        summary="the default: a tree of pairs refined where it fits worst; seconds; at or near the best at every budget measured",
        planner=plan_auto,
    ),
    MarginalGenerator(
        name="aim",
        summary="the worst-fitting marginals, round by round: good at ε ≥ 1 on up to 50 columns",
        planner=AimFitter.plan,
        own_options=frozenset({"rounds"}),
    ),
    MarginalGenerator(
        name="wide",
        summary="pairs chosen once and measured once: for tables of many columns",
        planner=WideFitter.plan,
    ),
    MarginalGenerator(
        name="independent",
        summary="one-way marginals only: the floor; columns independent of each other",
        planner=IndependentFitter.plan,
    ),
    MarginalGenerator(
        name="mst",
        summary="a privately chosen tree of pairs: seconds, robust at small ε, pairs only",
        planner=MstFitter.plan,
    ),
    Autoregressive(),
    Ctgan(),
    *BASELINES,
)


def _table(generators: tuple[Generator, ...]) -> Mapping[str, Generator]:
    table = {generator.name: generator for generator in generators}
    if len(table) != len(generators):
        raise ValueError("two generators have one name")
    return table


GENERATORS: Mapping[str, Generator] = _table(_ALL)
"""By name, in the order of listings."""


def get(name: str) -> Generator:
    """The generator of that name. Raises PlanError, which lists the names."""
    if name not in GENERATORS:
        raise PlanError(f'there is no generator "{name}"', mend=f"choose one of {', '.join(GENERATORS)}")
    return GENERATORS[name]
