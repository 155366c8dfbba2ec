"""Singling out where most guesses hit nobody: what one column gives away must not drown among made-up values."""

import numpy as np
import pytest

from attacks import PROBES
from attacks.bench import Bench
from attacks.predicates import Queries
from attacks.singled import FEWEST, WorstFamily, families
from attacks.singling_out import queries
from release.protocols import Arena
from release.records import Ruling
from tests.attacks.tiers import findings
from tests.builders import make_schema, make_table
from tests.policies.cases import evidence as evidence_of

PROBE = next(probe for probe in PROBES if probe.name == "singling_out")
N = 1_500


def amount():
    return {"kind": "real", "domain": {"min": 0.0, "max": 1e7, "decimals": 2}}


SCHEMA = make_schema(
    region=[f"r{k}" for k in range(12)],
    age=(18, 95),
    income=amount(),
    account=amount(),
    job=[f"j{k}" for k in range(9)],
)


def draw(n, rng):
    return {
        "region": [f"r{k}" for k in rng.integers(0, 12, n)],
        "age": rng.integers(18, 96, n).tolist(),
        "income": np.round(rng.lognormal(9, 1, n), 2).clip(0, 1e7).tolist(),
        "account": np.round(rng.random(n) * 1e7, 2).tolist(),
        "job": [f"j{k}" for k in rng.integers(0, 9, n)],
    }


def judged(leaked, n_synthetic, seed=0, *, incomes_of_others=True):
    """Rulings and figures of a release that has some members' incomes, each in a row of made-up cells."""
    rng = np.random.default_rng(seed)
    members, controls, synthetic = draw(N, rng), draw(N, rng), draw(n_synthetic, rng)
    if not incomes_of_others:  # few incomes that hit nobody: made-up ones are round
        synthetic["income"] = (np.round(rng.lognormal(9, 1, n_synthetic), -3) + 0.5).clip(0, 1e7).tolist()
    synthetic["income"][:leaked] = members["income"][:leaked]
    tables = [make_table(SCHEMA, one) for one in (members, controls, synthetic)]
    arena = Arena(
        members=tables[0], controls=tables[1], reference=None, training=None, synthetic=tables[2], claim=None
    )
    report = PROBE.measure(arena, np.random.default_rng(seed))
    rulings = findings(evidence_of(*report.evidence, controls=()))
    return {key: ruling for key, ruling in rulings.items() if key[0].startswith("singling")}, {
        e.key[1:]: e.outcome for e in report.evidence
    }


def test_a_leaking_column_beside_a_column_of_unique_numbers_is_an_alarm():
    """60 members' incomes among 6,000 account numbers that nobody has: R of all guesses is .01, of the incomes near 1."""
    rulings, figures = judged(60, 6_000, incomes_of_others=False)
    assert figures["excess_risk", "univariate"].high < 0.09
    assert rulings["singling-out", "univariate"] is Ruling.MET
    assert figures["worst_family_excess_risk", "univariate"].low > 0.3
    assert rulings["singling-out-alarm", "univariate"] is Ruling.BROKEN


def test_leaked_values_among_made_up_ones_of_the_same_column_reach_people():
    """300 of 1,500 members' incomes among 8,000 made-up ones: no family of guesses is often right, yet a fifth of the members is singled out."""
    rulings, figures = judged(300, 8_300)
    assert figures["excess_risk", "univariate"].high < 0.09
    assert figures["worst_family_excess_risk", "univariate"].low < 0.09
    assert figures["excess_reached_share", "univariate"].low > 0.09
    assert rulings["singling-out-reach", "univariate"] is Ruling.BROKEN


@pytest.mark.parametrize("seed", range(6))
def test_a_calm_release_is_met_in_all_three(seed):
    rulings, figures = judged(0, 4_000, seed)
    assert set(rulings.values()) == {Ruling.MET}
    assert len(rulings) == 6
    assert figures["worst_family_excess_risk", "univariate"].low <= 0


def test_a_crowded_column_does_not_crowd_the_others_out(monkeypatch):
    import attacks.singling_out as probe

    rng = np.random.default_rng(0)
    tables = [make_table(SCHEMA, draw(n, rng)) for n in (200, 200, 3_000)]
    arena = Arena(
        members=tables[0], controls=tables[1], reference=None, training=None, synthetic=tables[2], claim=None
    )
    whole = queries(Bench.of(arena, np.random.default_rng(0)), "univariate")
    monkeypatch.setattr(probe, "MOST", {"univariate": 1_000, "multivariate": 100})
    asked = queries(Bench.of(arena, np.random.default_rng(0)), "univariate")
    assert len(asked) == 1_000 < len(whole)
    per_column = {c: int((asked.columns[:, 0] == c).sum()) for c in np.unique(whole.columns[:, 0]).tolist()}
    for column, count in per_column.items():
        assert (
            count == min(int((whole.columns[:, 0] == column).sum()), max(per_column.values())) or count >= 490
        )


def test_families_are_columns_widths_and_what_does_without_a_column():
    one = Queries(
        *(
            np.repeat(np.array([[0], [2]]), [80, FEWEST - 1], axis=0).astype(t)
            for t in (np.int64, np.int32, np.int32)
        )
    )
    assert [f.name for f in families(one, ["a", "b", "c"])] == ['on "a"']
    many = Queries(
        np.array([[0, 1, -1]] * 60 + [[0, 1, 2]] * 60),
        np.zeros((120, 3), np.int32),
        np.ones((120, 3), np.int32),
    )
    assert [f.name for f in families(many, ["a", "b", "c"])] == ["2 columns", "3 columns", 'without "c"']
    few = Queries(np.zeros((3, 1), np.int64), np.zeros((3, 1), np.int32), np.ones((3, 1), np.int32))
    nobody = np.full(3, -1)
    worst = WorstFamily.of(few, ["a"], nobody, nobody)
    assert worst.tried == 1
    assert worst.level == 0.99
    assert worst.risk.trials == 3
