"""How often predicates single out: all of them, the worst family of them, and how many people they reach.

R is a rate per guess. Guesses that hit nobody pull it down, and a release may hold any number of them: a column of made-up
account numbers gives thousands of unique values, and what another column gives away drowns among them. So R is also taken of
each family of predicates by itself: those on one column, those of one width, those that do without one column; the surest is
reported, its ends jointly over all families (Bonferroni). And people are counted: what share of the members does at least one
predicate single out, beyond the controls' share? Guesses that hit nobody do not lower that share, but for the number of predicates
asked at most: what made-up columns take of it is not asked of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from attacks.bench import Bool
from attacks.encoding import I64
from attacks.predicates import Queries
from attacks.risks import excess_p_value, paired_excess_risk, rate_difference
from attacks.statistics import LEVEL, SEARCH_LEVEL
from release.records import Measured

WORST_FAMILY = "worst_family_excess_risk"
REACHED = "excess_reached_share"
FEWEST = 50
"""Predicates of a family: R of fewer is shown by nothing but luck."""
MOST_SHOWN = 12
EVERYTHING = "(all predicates)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Predicates that single out, in numbers that stand for independent ones.

    Many predicates may single out the same unit (a row of twenty unique amounts): the unit's membership is one toss of a
    coin, not twenty. Numbers are divided by Kish's design effect Σh²/Σh, h the predicates that hit each unit.

    Attributes:
        predicates: asked. members, controls: that single out there. both: in both. design_effect: 1 or more.
    """

    predicates: int
    members: int
    controls: int
    both: int
    design_effect: float

    @classmethod
    def of(cls, members: I64, controls: I64) -> Count:
        """From whom they single out."""
        hit = np.concatenate([members[members >= 0], controls[controls >= 0]])
        times = np.unique(hit, return_counts=True)[1].astype(np.float64)
        return cls(
            predicates=len(members),
            members=int((members >= 0).sum()),
            controls=int((controls >= 0).sum()),
            both=int(((members >= 0) & (controls >= 0)).sum()),
            design_effect=float((times**2).sum() / times.sum()) if len(times) else 1.0,
        )

    def risk(self, level: float = LEVEL) -> Measured:
        """The excess risk R, its ends at this level; each predicate was tried on both arms."""
        of = self.design_effect
        found = paired_excess_risk(
            self.both / of,
            (self.members - self.both) / of,
            (self.controls - self.both) / of,
            self.predicates / of,
            level,
        )
        return replace(found, trials=self.predicates)

    def p_value(self) -> float:
        """One-sided p of "members are singled out no more often"."""
        if not self.predicates:
            return 1.0
        n = self.predicates / self.design_effect
        return excess_p_value(self.members / self.design_effect, n, self.controls / self.design_effect, n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Predicates of one kind.

    Attributes:
        name: in words, with a column's name. which: (q,) those of them.
    """

    name: str
    which: Bool


def families(asked: Queries, names: Sequence[str]) -> list[Family]:
    """The families of at least `FEWEST`: one column or width, and without each column; all predicates where there is none."""
    width = (asked.columns >= 0).sum(axis=1)
    found = [Family(name=EVERYTHING, which=np.ones(len(asked), bool))]
    if asked.columns.shape[1] > 1:
        found += [Family(name=f"{w} columns", which=width == w) for w in np.unique(width).tolist()]
        uses = [(asked.columns == column).any(axis=1) for column in range(len(names))]
        found += [
            Family(name=f'without "{name}"', which=~used) for name, used in zip(names, uses, strict=True)
        ]
    else:
        found += [
            Family(name=f'on "{name}"', which=asked.columns[:, 0] == column)
            for column, name in enumerate(names)
        ]
    return [one for one in found if FEWEST <= one.which.sum() < len(asked)] or found[:1]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstFamily:
    """The family with the surest excess risk.

    Attributes:
        risk: its R; both ends hold jointly over all families. tried: how many families. level: of each end.
        rows: [family, predicates, share that single out a member, a control, R, lower end], surest first.
    """

    risk: Measured
    name: str
    tried: int
    level: float
    rows: list[list[object]]

    @classmethod
    def of(cls, asked: Queries, names: Sequence[str], members: I64, controls: I64) -> WorstFamily:
        """From whom each predicate singles out in both arms."""
        tried = families(asked, names)
        level = 1 - (1 - SEARCH_LEVEL) / len(tried)
        counts = [Count.of(members[one.which], controls[one.which]) for one in tried]
        ranked = sorted(
            zip(tried, counts, (count.risk(level) for count in counts), strict=True),
            key=lambda found: -found[2].low,
        )
        return cls(
            risk=ranked[0][2],
            name=ranked[0][0].name,
            tried=len(tried),
            level=level,
            rows=[
                [
                    one.name,
                    count.predicates,
                    count.members / count.predicates,
                    count.controls / count.predicates,
                    risk.estimate,
                    risk.low,
                ]
                for one, count, risk in ranked[:MOST_SHOWN]
            ],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reach:
    """People whom at least one predicate singles out.

    Attributes:
        members, controls: unit numbers of each arm, as many of one as of the other. reached: unit numbers that some predicate
            singles out, of either arm (-1, that of a predicate that singles out nobody, may be among them).
    """

    members: I64
    controls: I64
    reached: I64

    def share(self) -> Measured:
        """Share of the members who are reached less the controls' share."""
        n = len(self.members), len(self.controls)
        return rate_difference(self._hit(self.members), n[0], self._hit(self.controls), n[1])

    def p_value(self, members: I64 | None = None, controls: I64 | None = None) -> float:
        """One-sided p of "members are reached no more often"; only of these members and controls, where given."""
        arms = (
            arm if asked is None else np.intersect1d(arm, asked)
            for arm, asked in ((self.members, members), (self.controls, controls))
        )
        mine, others = arms
        if not len(mine) or not len(others):
            return 1.0
        return excess_p_value(self._hit(mine), len(mine), self._hit(others), len(others))

    def _hit(self, units: I64) -> int:
        return int(np.isin(units, self.reached).sum())
