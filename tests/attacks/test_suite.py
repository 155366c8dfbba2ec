"""The suites on extremes: a copy is caught, strangers are left alone, odd tables never crash, runs repeat."""

import numpy as np
import pytest

from attacks import PROBES, SUITES, run_suite
from attacks.one_run import epsilon_lower_bound, p_value
from release.canonical import Sha256, canonical_bytes, to_json
from release.errors import InputError
from release.protocols import Arena, Probe
from release.records import ControlKind, Measured, NotMeasured
from tests.attacks.arenas import mixed_table, split_arena
from tests.builders import make_schema, make_table

CANDIDATE = Sha256("0" * 64)


def evaluated(arena, suite="standard", seed=0):
    result = run_suite(arena, CANDIDATE, suite, np.random.default_rng(seed))
    return result, {e.key: e.outcome for e in result.evidence}


@pytest.fixture(scope="module")
def table():
    return mixed_table(6500, np.random.default_rng(11))


@pytest.fixture(scope="module")
def calm(table):
    return split_arena(table, np.random.default_rng(1), units=2000)


@pytest.fixture(scope="module")
def copied(table):
    return split_arena(table, np.random.default_rng(1), units=2000, whole_copy=True)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_every_probe_is_a_probe_and_says_what_it_does(probe):
    assert isinstance(probe.name, str)
    assert probe.summary.count(".") >= 2
    assert callable(probe.measure)
    _: Probe = probe


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_every_probe_measures_by_itself(probe, table):
    arena = split_arena(table, np.random.default_rng(1), units=200)
    report = probe.measure(arena, np.random.default_rng(0))
    assert report.evidence
    assert {e.probe for e in report.evidence} == {probe.name}


def test_suites_name_registered_probes():
    names = {probe.name for probe in PROBES}
    assert len(names) == len(PROBES)
    assert all(set(plan.probes) <= names for plan in SUITES)
    assert {plan.name for plan in SUITES} == {"quick", "standard", "deep"}


def test_unknown_suite_is_refused(calm):
    with pytest.raises(InputError, match="there is no suite"):
        run_suite(calm, CANDIDATE, "fast", np.random.default_rng(0))


def test_raw_copy_is_caught_by_several_attacks(copied):
    _, figures = evaluated(copied)
    assert figures["copies", "excess_exact_share", ""].low > 0.002
    assert figures["copies", "excess_partial_share", ""].low > 0.002
    assert figures["membership", "max_tpr_at_fpr_1pct", ""].low > 0.03
    assert figures["membership", "max_tpr_at_fpr_10pct", "vulnerable-300"].low > 0.25
    assert figures["linkability", "excess_risk", ""].low > 0.09
    assert figures["one_run_epsilon", "epsilon_lower_bound", ""].low > 3


def test_strangers_are_left_alone_and_controls_work(calm):
    result, figures = evaluated(calm)
    assert figures["copies", "excess_exact_share", ""].high <= 0.002
    assert figures["copies", "excess_partial_share", ""].high <= 0.002
    assert figures["membership", "max_tpr_at_fpr_1pct", ""].high <= 0.03
    assert figures["membership", "max_tpr_at_fpr_10pct", "vulnerable-300"].high <= 0.25
    assert figures["linkability", "excess_risk", ""].high <= 0.09
    assert figures["arena", "members", ""].estimate == 2000
    assert {c.kind for c in result.controls} == set(ControlKind)
    missed = [(c.probe, c.name, c.p_value) for c in result.controls if not c.passed]
    assert not missed


def test_five_percent_of_verbatim_copies_are_caught(table):
    arena = split_arena(table, np.random.default_rng(2), units=2000, copied=0.05)
    _, figures = evaluated(arena, "quick")
    assert figures["copies", "excess_exact_share", ""].low > 0.002
    assert figures["membership", "max_tpr_at_fpr_1pct", ""].low > 0.03


def test_one_percent_of_300_is_not_passed(table):
    arena = split_arena(table, np.random.default_rng(2), units=300, copied=0.01)
    _, figures = evaluated(arena, "quick")
    assert figures["copies", "excess_exact_share", ""].high > 0.002
    assert figures["membership", "max_tpr_at_fpr_1pct", ""].high > 0.03
    assert figures["membership", "max_tpr_at_fpr_1pct", ""].low <= 0.03


def test_same_release_same_evidence_byte_for_byte(calm):
    first, _ = evaluated(calm, "quick", seed=5)
    second, _ = evaluated(calm, "quick", seed=5)
    assert canonical_bytes(to_json(first)) == canonical_bytes(to_json(second))


def test_tables_brought_by_hand_get_no_epsilon_bound(calm):
    by_hand = Arena(
        members=calm.members,
        controls=calm.controls,
        reference=None,
        training=None,
        synthetic=calm.synthetic,
        claim=None,
    )
    _, figures = evaluated(by_hand, "quick")
    bound = figures["one_run_epsilon", "epsilon_lower_bound", ""]
    assert isinstance(bound, NotMeasured)
    assert "coins" in bound.reason
    assert isinstance(figures["dcr", "auc", ""], Measured)


def test_progress_rises_and_interrupts_pass(calm):
    seen = []
    run_suite(calm, CANDIDATE, "quick", np.random.default_rng(0), lambda done, what: seen.append(done))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

    def stop(done, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_suite(calm, CANDIDATE, "quick", np.random.default_rng(0), stop)


def test_one_run_bound_is_monotone_and_exact_at_its_own_bound():
    bounds = [epsilon_lower_bound(4000, 80, v, 1e-6) for v in (40, 50, 60, 70, 80)]
    assert bounds[0] == 0.0
    assert bounds == sorted(bounds)
    assert p_value(4000, 80, 70, bounds[3], 1e-6) == pytest.approx(0.05, abs=1e-6)
    assert epsilon_lower_bound(4000, 80, 70, 0.01) < bounds[3]


def test_one_run_bound_holds_for_randomised_response():
    """Coins flipped by ε-DP randomised response: the 95 % bound passes the true ε in at most 5 % of runs."""
    rng = np.random.default_rng(0)
    epsilon = 1.0
    right = rng.binomial(400, np.exp(epsilon) / (1 + np.exp(epsilon)), 1000)
    bounds = {v: epsilon_lower_bound(4000, 400, v, 1e-6) for v in set(right.tolist())}
    found = np.array([bounds[v] for v in right.tolist()])
    assert (found > epsilon).mean() <= 0.065
    assert np.median(found) > 0.7


ODD = {
    "one column": ({"a": ["x", "y"]}, lambda rng, n: {"a": list(rng.choice(["x", "y"], n))}),
    "constant": (
        {"a": ["x"], "b": (0, 9)},
        lambda rng, n: {"a": ["x"] * n, "b": [4] * n},
    ),
    "all missing": (
        {
            "a": {"kind": "categorical", "domain": {"values": ["x", "y"]}, "missing": [{"code": ""}]},
            "b": {"kind": "real", "domain": {"min": 0.0, "max": 1.0}, "missing": [{"code": ""}]},
            "c": (0, 5),
        },
        lambda rng, n: {"a": [None] * n, "b": [None] * n, "c": rng.integers(0, 6, n).tolist()},
    ),
    "numbers only": (
        {"a": (0.0, 1.0), "b": (0.0, 1.0)},
        lambda rng, n: {"a": rng.random(n).tolist(), "b": rng.random(n).tolist()},
    ),
    "categories only": (
        {"a": ["x", "y"], "b": ["x", "y", "z"]},
        lambda rng, n: {"a": list(rng.choice(["x", "y"], n)), "b": list(rng.choice(["x", "y", "z"], n))},
    ),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("n", [1, 12, 150])
def test_odd_tables_never_crash(case, n):
    columns, rows = ODD[case]
    schema = make_schema(**columns)
    rng = np.random.default_rng(0)
    tables = [make_table(schema, rows(rng, k)) for k in (n, n, max(n // 4, 1), n)]
    arena = Arena(
        members=tables[0],
        controls=tables[1],
        reference=tables[2],
        training=None,
        synthetic=tables[3],
        claim=None,
        randomised_split=True,
    )
    result, figures = evaluated(arena)
    assert all(e.metric != "failed" for e in result.evidence), [e.outcome for e in result.evidence]
    assert isinstance(figures["arena", "members", ""], Measured)
    if n == 12:
        few = figures["membership", "max_tpr_at_fpr_1pct", ""]
        assert isinstance(few, NotMeasured)
        assert few.needed == 100


def test_an_empty_release_is_no_crash(calm):
    arena = Arena(
        members=calm.members,
        controls=calm.controls,
        reference=calm.reference,
        training=None,
        synthetic=calm.synthetic.take(np.arange(0)),
        claim=None,
        randomised_split=True,
    )
    result, _ = evaluated(arena)
    assert all(e.metric != "failed" for e in result.evidence), [
        e for e in result.evidence if e.metric == "failed"
    ]


def test_what_was_found_is_explained(copied, calm):
    found, _ = evaluated(copied, "quick")
    by = {(e.probe, e.title): e for e in found.exhibits}
    counterfactual = by["dcr", "What would be left without a column"]
    assert counterfactual.data["rows"][0][0] == "(nothing)"
    assert counterfactual.data["rows"][0][1] > 0.9
    gap = by["nearest_gap", "What would be left without a column"]
    assert gap.data["rows"][0][1] > 0.9
    assert len(gap.data["rows"]) == 1 + len(copied.members.columns)
    assert by["linkability", "What would be left without a column: linking"].data["rows"]
    multivariate = by[
        "singling_out", "What would be left without a column: singling out by multivariate predicates"
    ]
    assert multivariate.data["rows"][0][1] > 0.5
    assert by["near_subset", "Columns in which the telling matches agree"].data["bars"]
    roc = next(e for e in found.exhibits if e.kind == "roc")
    assert len(roc.data["fpr"]) == len(roc.data["tpr"])
    assert roc.data["ceiling"] is None
    assert roc.takeaway.startswith("It names 100.0% of members")
    calmly, _ = evaluated(calm, "quick")
    assert not [e.title for e in calmly.exhibits if e.title.startswith("What would be left")]


def test_exhibits_hold_no_cells(copied):
    """Top units are shown by surrogate ids: the arm's letter and a number."""
    found, _ = evaluated(copied, "quick")
    for exhibit in found.exhibits:
        for unit in exhibit.data.get("top_units", []):
            assert unit[0] in "mc"
            assert unit[1:].isdigit()
    top = next(e for e in found.exhibits if e.title == "The units that look most like members")
    assert all(row[0][0] in "mc" for row in top.data["rows"])


def test_the_dp_ceiling_stands_beside_the_roc(calm):
    from dataclasses import replace

    from release.records import Accountant, Adjacency, PrivacyCost

    claim = PrivacyCost(
        epsilon=1.0,
        delta=1e-6,
        unit="row",
        max_rows_per_unit=1,
        adjacency=Adjacency.ADD_REMOVE_UNIT,
        accountant=Accountant.ZCDP,
        events=(),
    )
    result, figures = evaluated(replace(calm, claim=claim), "quick")
    roc = next(e for e in result.exhibits if e.kind == "roc")
    assert roc.data["ceiling"][0] == pytest.approx(min(1, np.e * roc.data["fpr"][0] + 1e-6))
    assert all(c <= 1 for c in roc.data["ceiling"])
    assert figures["one_run_epsilon", "epsilon_lower_bound", ""].low <= 1.0
