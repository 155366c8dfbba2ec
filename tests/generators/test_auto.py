"""What `auto` chooses in one go: every choice charged by itself, scored once, on attributes that are not the others'."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from generators.auto import AutoFitter, Shares
from generators.core.counting import Rows
from generators.core.domain import Domain
from generators.core.measurer import Measurer, RhoFilter
from generators.fitter import Assignment
from release.records import Mechanism
from tests.seeded_noise import SeededNoise

RHO = 2.0
ROUNDS = 12


def run(
    turns: int, rows_per_unit: int = 1, *, rho: float = RHO, cells: float = 6e5
) -> tuple[Measurer, list[int], SeededNoise]:
    """A fit on nine dependent columns; the measurer, how many candidates each contest had, and the noise source."""
    rng = np.random.default_rng(0)
    hidden = rng.integers(0, 4, (3, 4_000))
    columns = [np.where(rng.random(4_000) < 0.6, hidden[k % 3], rng.integers(0, 4, 4_000)) for k in range(9)]
    domain = Domain(names=tuple("abcdefghi"), sizes=(4,) * 9)
    assignment = Assignment(attributes=9, rho=rho, max_rows=rows_per_unit, targets=(0,), most_cells=1e6)
    contests: list[int] = []

    class Watched(Measurer):
        def contest(self, candidates, *others, **named):
            contests.append(len(candidates))
            return super().contest(candidates, *others, **named)

        def recoded(self, compression, views):
            made = super().recoded(compression, views)
            made.__class__ = Watched
            return made

    noise = SeededNoise(1)
    measurer = Watched(Rows.of(domain, columns), noise, budget=RhoFilter(rho), max_rows=rows_per_unit)
    fitter = AutoFitter(
        assignment=assignment, shares=replace(Shares(), rounds=ROUNDS, turns=turns, cells=cells)
    )
    outcome = fitter.fit(measurer, (), lambda _done, _what: None)
    measurer.outcome = outcome
    return measurer, contests, noise


@pytest.mark.parametrize("rows_per_unit", [1, 3])
@pytest.mark.parametrize("turns", [3, 12])
def test_every_choice_of_a_batch_is_charged(turns, rows_per_unit):
    """By hand: exploring has 25 % of ρ, a twelfth of it a choice and its measurement; a fifth of that chooses."""
    measurer, contests, _ = run(turns, rows_per_unit)
    chosen = [e for e in measurer.events if e.label == "explore: choose"]
    found = [e for e in measurer.events if e.label == "explore: measure"]
    assert len(chosen) == len(found) == ROUNDS
    assert len(contests) == 1 + turns
    price = 0.25 * RHO / ROUNDS
    for event in chosen:
        assert event.mechanism is Mechanism.EXPONENTIAL
        assert event.parameter == pytest.approx(math.sqrt(8 * 0.2 * price))
    for event in found:
        assert event.parameter == pytest.approx(1 / math.sqrt(2 * 0.8 * price))
    spent = sum(
        e.parameter**2 / 8 if e.mechanism is Mechanism.EXPONENTIAL else 1 / (2 * e.parameter**2)
        for e in measurer.events
    )
    assert spent == pytest.approx(RHO, rel=1e-9)
    assert measurer.filter.spent == pytest.approx(RHO, rel=1e-9)


def test_winners_of_one_batch_share_at_most_one_attribute():
    measurer, _, _ = run(3)
    outcome = measurer.outcome
    explored = [m.clique for m in outcome.measurements[9 + 8 : 9 + 8 + ROUNDS]]
    for first in range(0, ROUNDS, 4):
        batch = explored[first : first + 4]
        assert all(len(set(a) & set(b)) < 2 for k, a in enumerate(batch) for b in batch[:k]), batch


@pytest.mark.parametrize(
    ("rho", "cells", "scorings"),
    [
        pytest.param(1e4, 150, 3, id="quiet, full tree"),
        pytest.param(1.1, 150, 6, id="a little to spare, full tree"),
        pytest.param(1e4, 1e6, 12, id="quiet, room in the tree"),
        pytest.param(0.2, 150, 12, id="the budget limits"),
    ],
)
def test_only_with_budget_to_spare_and_a_full_tree_are_more_chosen_of_the_same_scores(rho, cells, scorings):
    """The tree of eight pairs has 128 cells; budget for more than four times 60 rounds makes four choices of a scoring, for twice as many two."""
    measurer, contests, _ = run(ROUNDS, rho=rho, cells=cells)
    assert len(contests) == 1 + scorings
    chosen = [e.parameter for e in measurer.events if e.label == "explore: choose"]
    assert chosen == pytest.approx([math.sqrt(8 * 0.2 * 0.25 * rho / ROUNDS)] * ROUNDS)
    assert measurer.filter.spent == pytest.approx(rho, rel=1e-9)
