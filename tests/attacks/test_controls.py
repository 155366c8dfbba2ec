"""Controls prove something of an attack, and nothing about the candidate: a leaky candidate must not make them fail."""

import dataclasses

import numpy as np
import pytest

import attacks
from attacks import one_run
from attacks.bench import Bench
from attacks.controls import SHARED_BY, instruments, nulls, run_controls
from attacks.one_run import guesses, largest_bound, lower_bound
from release.protocols import Arena
from release.records import Accountant, Adjacency, ControlKind, PrivacyCost
from tests.attacks.arenas import mixed_table, split_arena
from tests.builders import make_schema, make_table

BLIND = {
    attack.name: attack
    for attack in attacks.MEMBERSHIP
    if attack.name in {"dcr", "near_subset", "near_match"}
}


def claim(epsilon):
    return PrivacyCost(
        epsilon=epsilon,
        delta=1e-6,
        unit="row",
        max_rows_per_unit=1,
        adjacency=Adjacency.ADD_REMOVE_UNIT,
        accountant=Accountant.ZCDP,
        events=(),
    )


def unique_rows(n, rng):
    """Numbers that nobody else has, as in a table of loans: shuffling columns does not hide whose they are."""
    return {
        "sex": list(rng.choice(["f", "m"], n)),
        "job": list(rng.choice([f"j{k}" for k in range(15)], n)),
        **{
            name: np.round(rng.lognormal(8, 1, n), 4).tolist() for name in ("loan", "income", "debt", "limit")
        },
    }


@pytest.fixture(scope="module")
def copy_of_unique_rows():
    schema = make_schema(
        sex=["f", "m"],
        job=[f"j{k}" for k in range(15)],
        **{
            name: {"kind": "real", "domain": {"min": 0.0, "max": 1e7, "decimals": 4}}
            for name in ("loan", "income", "debt", "limit")
        },
    )
    rng = np.random.default_rng(4)
    table = make_table(schema, unique_rows(3_300, rng))
    return split_arena(table, np.random.default_rng(1), units=1_500, whole_copy=True)


def results(arena, seed=0):
    bench = Bench.of(arena, np.random.default_rng(seed))
    return run_controls(bench, instruments(bench, BLIND))


def test_a_raw_copy_of_unique_values_fails_no_control(copy_of_unique_rows):
    """Its shuffled columns still held the members' values and none of the controls': near_subset was `invalid`, not `broken`."""
    found = results(copy_of_unique_rows)
    assert not [control for control in found if not control.passed]
    assert {c.probe for c in found if c.name == "columns-shuffled"} >= {
        "copies",
        "near_subset",
        "singling_out",
    }


def test_values_of_few_are_in_the_shuffled_null_for_both_arms_alike(copy_of_unique_rows):
    bench = Bench.of(copy_of_unique_rows, np.random.default_rng(0))
    null = dict(nulls(bench))["columns-shuffled"]
    loan = bench.encoding.names.index("loan")
    held = np.isin(bench.targets.rows.codes[loan], null.synthetic.codes[loan])
    member = bench.targets.is_member[bench.targets.unit]
    raw = np.isin(bench.targets.rows.codes[loan], bench.synthetic.codes[loan])
    assert raw[member].all()
    assert raw[~member].mean() < 0.05
    assert held[member].mean() == pytest.approx(held[~member].mean(), abs=0.06)
    # What many have stays as the candidate had it.
    job = bench.encoding.names.index("job")
    assert (np.sort(null.synthetic.codes[job]) == np.sort(bench.synthetic.codes[job])).all()
    assert SHARED_BY <= 11


def test_arms_that_differ_are_still_a_ghost():
    """Members of one hospital against controls of another: every attack sees that, leak or not, and no ruling may rest on it."""
    rng = np.random.default_rng(0)
    schema = make_schema(site=["a", "b"], ward=[f"w{k}" for k in range(20)], age=(0, 99))

    def draw(n, site, low):
        return make_table(
            schema,
            {
                "site": [site] * n,
                "ward": [f"w{k}" for k in rng.integers(low, low + 10, n)],
                "age": rng.integers(0, 99, n).tolist(),
            },
        )

    arena = Arena(
        members=draw(800, "a", 0),
        controls=draw(800, "b", 10),
        reference=None,
        training=None,
        synthetic=draw(3_000, "a", 0),
        claim=None,
    )
    flagged = {c.probe for c in results(arena) if c.kind is ControlKind.NULL and not c.passed}
    assert flagged


# ---------------------------------------------------------------- the ε audit


@pytest.fixture(scope="module")
def calm():
    return split_arena(mixed_table(6_000, np.random.default_rng(11)), np.random.default_rng(1), units=2_000)


@pytest.mark.parametrize("epsilon", [1.0, 3.0, 4.0, 10.0])
def test_planted_members_refute_the_claim_or_what_is_in_reach(calm, epsilon):
    arena = dataclasses.replace(calm, claim=claim(epsilon))
    found = {(c.kind, c.name): c for c in results(arena) if c.probe == one_run.NAME}
    plant = found[ControlKind.PLANTED_LEAK, "verbatim"]
    assert plant.passed
    assert plant.p_value <= 0.01
    assert all(c.passed for kind_name, c in found.items() if kind_name[0] is ControlKind.NULL)
    assert len(found) >= 3


def test_an_audit_that_cannot_see_misses_its_plant(calm, monkeypatch):
    """Scores that are noise: the audit would say "ε ≥ 0" of anything, and its control says so."""
    blind = dataclasses.replace(
        one_run.DCR, score=lambda bench, progress: bench.stream("noise").random(len(bench.targets.is_member))
    )
    monkeypatch.setattr(one_run, "DCR", blind)
    bench = Bench.of(dataclasses.replace(calm, claim=claim(3.0)), np.random.default_rng(0))
    plants = [
        c
        for c in run_controls(bench, instruments(bench, {}))
        if c.probe == one_run.NAME and c.kind is ControlKind.PLANTED_LEAK
    ]
    assert len(plants) == 1
    assert not plants[0].passed


def test_tables_brought_by_hand_have_no_coins_to_control(calm):
    by_hand = dataclasses.replace(calm, randomised_split=False)
    bench = Bench.of(by_hand, np.random.default_rng(0))
    assert one_run.NAME not in {instrument.probe for instrument in instruments(bench, {})}


def test_what_the_audit_can_reach_grows_with_the_coins():
    """All guesses right: the tiers' smallest sizes refute ε = 3 and 4, hardly 10."""
    reach = [largest_bound(m, 1e-6) for m in (1_000, 4_000, 12_000)]
    assert reach == sorted(reach)
    assert reach[1] > 4.0
    assert reach[2] < 10.0
    few, many = (r for r, _ in guesses(4_000))
    assert lower_bound(4_000, [few, many // 2], 1e-6) > 3.0  # 80 copied people are enough for ε = 3
    assert lower_bound(4_000, [few // 2, many // 2], 1e-6) == 0.0
    assert sum(part for _, part in guesses(4_000)) == pytest.approx(one_run.SIGNIFICANCE)
