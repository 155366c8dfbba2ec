"""Ours against anonymeter 1.1.0 on the same data and the same queries; and the defects of others that we must not have."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

from attacks import MEMBERSHIP, PROBES
from attacks.bench import Bench
from attacks.distances import nearest, row_hashes
from attacks.encoding import Scaling, encode
from attacks.inference import equal_enough, right_guesses
from attacks.linkability import linked_rows
from attacks.predicates import Queries, SortedTable, multivariate, univariate
from policies import builtin
from policies.format import parse
from release.data.schema import Role
from release.protocols import Arena
from release.records import Measured
from tests.attacks.arenas import mixed_table, split_arena
from tests.builders import make_schema, make_table

ANONYMETER = next(probe for probe in PROBES if probe.name == "anonymeter")


@pytest.fixture(scope="module", autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def schema():
    return make_schema(
        sex=["f", "m"],
        job=[f"j{k}" for k in range(15)],
        age={"kind": "real", "domain": {"min": 0.0, "max": 100.0, "decimals": 6}},
        income={"kind": "real", "domain": {"min": 0.0, "max": 1e6, "decimals": 6}},
        weight={"kind": "real", "domain": {"min": 0.0, "max": 300.0, "decimals": 6}},
    )


def rows(n, rng):
    """Continuous numbers, so that no two distances tie (anonymeter breaks ties by an unstable sort)."""
    return {
        "sex": list(rng.choice(["f", "m"], n)),
        "job": list(rng.choice([f"j{k}" for k in range(15)], n)),
        "age": rng.uniform(1, 99, n).tolist(),
        "income": np.exp(rng.normal(9, 0.7, n)).tolist(),
        "weight": rng.normal(80, 12, n).tolist(),
    }


@pytest.fixture(scope="module")
def pair(schema):
    rng = np.random.default_rng(0)
    members, synthetic = rows(250, rng), rows(700, rng)
    for name in members:  # every fifth member is in the release, its numbers a little off
        for k in range(0, 250, 5):
            value = members[name][k]
            synthetic[name][k] = value if isinstance(value, str) else value * (1 + 1e-4 * rng.normal())
    for data in (members, synthetic):
        for name in ("age", "income", "weight"):
            data[name] = np.round(data[name], 6).tolist()
    frames = pd.DataFrame(members), pd.DataFrame(synthetic)
    tables = make_table(schema, members), make_table(schema, synthetic)
    return frames, tables


def test_linkability_links_the_same_records(pair):
    from anonymeter.evaluators import LinkabilityEvaluator

    (members, synthetic), tables = pair
    theirs = LinkabilityEvaluator(
        ori=members,
        syn=synthetic,
        aux_cols=(["sex", "age", "weight"], ["job", "income"]),
        n_attacks=250,
        n_neighbors=3,
    ).evaluate(n_jobs=1)
    coded = encode({"m": tables[0], "s": tables[1]}, ["m"], Scaling.RANGE).tables
    found = [nearest(coded["m"], coded["s"], 3, np.array(half)) for half in ([0, 2, 4], [1, 3])]
    assert linked_rows(*found).sum() == theirs.results().n_success
    assert theirs.results().n_success > 50


@pytest.mark.parametrize("secret", ["job", "sex", "income"])
def test_inference_guesses_right_as_often(pair, schema, secret):
    from anonymeter.evaluators import InferenceEvaluator

    (members, synthetic), tables = pair
    theirs = InferenceEvaluator(
        ori=members,
        syn=synthetic,
        aux_cols=[c for c in members if c != secret],
        secret=secret,
        regression=secret == "income",
        n_attacks=250,
    ).evaluate(n_jobs=1)
    sensitive = schema.model_copy(
        update={
            "columns": tuple(
                c.model_copy(update={"roles": (Role.SENSITIVE,) if c.name == secret else ()})
                for c in schema.columns
            )
        }
    )
    own = [type(t)(sensitive, t.columns, t.units) for t in tables]
    arena = Arena(
        members=own[0], controls=own[0], reference=None, training=None, synthetic=own[1], claim=None
    )
    bench = Bench.of(arena, np.random.default_rng(0), Scaling.RANGE)
    assert right_guesses(bench)[0, :250].sum() == theirs.results().n_success


def test_univariate_predicates_are_the_same_and_single_out_the_same(pair):
    from anonymeter.evaluators import singling_out_evaluator as theirs

    (members, synthetic), tables = pair
    asked = theirs.univariate_singling_out_queries(pl.DataFrame(synthetic), 10_000, np.random.default_rng(0))
    hits = theirs._evaluate_queries_and_return_successful(pl.DataFrame(members), asked)
    encoding = encode({"m": tables[0], "s": tables[1]}, ["m"], Scaling.RANGE)
    ours = univariate(SortedTable.of(encoding.tables["s"]), encoding.missing_from, encoding.numeric)
    assert len(ours) == len(asked)
    assert ours.singled_out(SortedTable.of(encoding.tables["m"])).sum() == len(hits)


def test_multivariate_predicates_of_the_same_records_are_the_same(pair):
    from anonymeter.evaluators import singling_out_evaluator as theirs

    (members, synthetic), tables = pair
    frame = pl.DataFrame(synthetic)
    encoding = encode({"m": tables[0], "s": tables[1]}, ["m"], Scaling.RANGE)
    made = multivariate(
        SortedTable.of(encoding.tables["s"]),
        encoding.missing_from,
        encoding.numeric,
        300,
        np.random.default_rng(1),
    )
    assert len(made) == 300
    medians = frame.median().to_dicts()[0]
    dtypes = {column: frame[column].dtype for column in frame.columns}
    names = list(synthetic)
    asked = []
    for columns, lows, highs in zip(made.columns, made.lows, made.highs):
        record = dict.fromkeys(names)
        for column, low, high in zip(columns, lows, highs):
            if column < 0:
                continue
            name = names[column]
            if encoding.numeric[column]:
                code = low if low > 0 else high
                values = synthetic[name].to_numpy()  # the very float, not grid times cell
                record[name] = float(values[np.abs(values - encoding.numbers[column][code]).argmin()])
            else:
                record[name] = tables[1].columns[name].levels[low]
        chosen = [names[column] for column in columns if column >= 0]
        asked.append(theirs._query_from_record(record, dtypes, chosen, medians, np.random.default_rng(0)))
    counts = np.array(theirs._evaluate_queries(pl.DataFrame(members), asked))
    ours = made.singled_out(SortedTable.of(encoding.tables["m"]))
    assert ((counts == 1) == ours).all()
    assert ours.mean() > 0.03


def test_the_cross_check_agrees_with_our_own(pair):
    table = mixed_table(2_000, np.random.default_rng(3))
    arena = split_arena(table, np.random.default_rng(1), units=400, whole_copy=True)
    report = ANONYMETER.measure(arena, np.random.default_rng(0))
    figures = {e.subject: e.outcome for e in report.evidence}
    assert figures["linkability"].estimate > 0.8
    assert figures["singling_out:multivariate"].estimate > 0.5
    assert all(isinstance(outcome, Measured) for outcome in figures.values()), figures


# ---------------------------------------------------------------- defects of others


def test_independent_guesses_are_right_as_often_as_two_draws_agree():
    """anonymeter's naive baseline is misaligned by index: .02 for a true .82."""
    rng = np.random.default_rng(0)
    schema = make_schema(a=[f"a{k}" for k in range(9)], b={"kind": "categorical", "roles": ["sensitive"]})

    def draw(n):
        data = {
            "a": list(rng.choice([f"a{k}" for k in range(9)], n)),
            "b": list(rng.choice(["x", "y"], n, p=[0.9, 0.1])),
        }
        return make_table(schema, data)

    arena = Arena(
        members=draw(3000),
        controls=draw(3000),
        reference=None,
        training=None,
        synthetic=draw(3000),
        claim=None,
    )
    right = right_guesses(Bench.of(arena, np.random.default_rng(0)))
    # The nearest row is the first of the many that tie; over nine values of a that is nine draws of b.
    assert right.mean() == pytest.approx(0.82, abs=0.15)
    assert right[0, :3000].mean() == pytest.approx(right[0, 3000:].mean(), abs=0.03)


def test_a_wrong_negative_guess_is_wrong():
    """anonymeter divides by the guess, not its size: any negative guess is "within 5 %"."""
    schema = make_schema(a=["x", "y"], b=(-1e6, 1e6))
    table = make_table(schema, {"a": ["x", "y"] * 50, "b": np.linspace(-900, 900, 100).tolist()})
    arena = Arena(members=table, controls=table, reference=None, training=None, synthetic=table, claim=None)
    bench = Bench.of(arena, np.random.default_rng(0))
    rows_ = bench.synthetic
    truth = rows_.codes[1][:1], rows_.values[1][:1].astype(float)  # -900
    near = rows_.codes[1][1:2], rows_.values[1][1:2].astype(float)  # -882: within 5 %
    far = rows_.codes[1][30:31], rows_.values[1][30:31].astype(float)  # about -355
    assert equal_enough(bench, 1, truth, near).all()
    assert not equal_enough(bench, 1, truth, far).any()
    assert not equal_enough(bench, 1, far, truth).any()


def test_a_categorical_verbatim_copy_is_singled_out_whatever_number_was_wished_for():
    """anonymeter divides by the 500 predicates asked for though only 115 exist: a copy scored .16."""
    rng = np.random.default_rng(0)
    schema = make_schema(**{f"c{k}": {"kind": "categorical"} for k in range(6)})

    def draw(n):
        return make_table(
            schema, {f"c{k}": [f"v{v}" for v in rng.zipf(1.7, n).clip(0, 400)] for k in range(6)}
        )

    members = draw(600)
    arena = Arena(
        members=members, controls=draw(600), reference=None, training=None, synthetic=members, claim=None
    )
    probe = next(probe for probe in PROBES if probe.name == "singling_out")
    report = probe.measure(arena, np.random.default_rng(0))
    figures = {e.subject: e.outcome for e in report.evidence if e.metric == "excess_risk"}
    assert figures["univariate"].estimate > 0.9
    assert 0 < figures["univariate"].trials < 2_000
    assert figures["multivariate"].estimate > 0.9


def test_unequal_arms_give_no_singling_out_risk_on_strangers():
    """Unequal member and control tables gave R = .21 on a null release."""
    table = mixed_table(6_000, np.random.default_rng(5))
    units = np.random.default_rng(1).permutation(6_000)
    arena = Arena(
        members=table.take_units(units[:3000]),
        controls=table.take_units(units[3000:3600]),
        reference=None,
        training=None,
        synthetic=table.take_units(units[3600:]),
        claim=None,
    )
    probe = next(probe for probe in PROBES if probe.name == "singling_out")
    for evidence in probe.measure(arena, np.random.default_rng(0)).evidence:
        assert evidence.outcome.low <= 0.02, evidence
        assert evidence.outcome.high < 0.15, evidence


def test_the_searched_side_is_never_sampled():
    """sdmetrics' DCROverfittingProtection with subsampling scores a verbatim copy at .86-.96 of 1."""
    table = mixed_table(2_500, np.random.default_rng(6))
    arena = split_arena(table, np.random.default_rng(1), units=1_000, whole_copy=True)
    dcr = next(probe for probe in PROBES if probe.name == "dcr")
    figures = {
        e.metric: e.outcome for e in dcr.measure(arena, np.random.default_rng(0)).evidence if not e.subject
    }
    assert figures["auc"].estimate > 0.999
    assert figures["tpr_at_fpr_1pct"].estimate > 0.99


def test_queries_are_deduplicated():
    q = Queries(np.array([[0], [0]]), np.array([[1], [1]], np.int32), np.array([[2], [2]], np.int32))
    assert len(q.joined(q)) == 1


def test_the_cross_check_repeats_though_anonymeter_takes_no_seed():
    """anonymeter's linkability and inference draw their targets without a seed; here all drawn targets are attacked."""
    table = mixed_table(1_200, np.random.default_rng(3))
    arena = split_arena(table, np.random.default_rng(1), units=120)
    twice = [ANONYMETER.measure(arena, np.random.default_rng(7)).evidence for _ in range(2)]
    assert twice[0] == twice[1]


def test_no_tier_rests_on_a_share_of_distances():
    """DCR shares and nearest-neighbour ratios pass copies (2505.01524): tiers rest on the maximum over all attacks at a low FPR."""
    for name in builtin():
        rules = [rule for rule in parse(builtin()[name]).rules if getattr(rule, "figure", None) is not None]
        asked = {(rule.figure.probe, rule.figure.metric) for rule in rules}
        single = {attack.name for attack in MEMBERSHIP}
        assert not [figure for figure in asked if figure[0] in single]
        assert ("membership", "max_tpr_at_fpr_1pct") in asked
        assert not [metric for _, metric in asked if metric == "auc"]


def test_the_order_of_columns_hides_no_copy():
    """Recasing, float jitter and reordered columns defeat a comparison of rows as text (2606.16952)."""
    schema = make_schema(sex=["f", "m"], job=[f"j{k}" for k in range(15)], age=(0, 99))
    rng = np.random.default_rng(0)
    data = {
        "sex": list(rng.choice(["f", "m"], 300)),
        "job": [f"j{k}" for k in rng.integers(0, 15, 300)],
        "age": rng.integers(0, 99, 300).tolist(),
    }
    table = make_table(schema, data)
    turned = make_table(schema, dict(reversed(data.items())))
    coded = encode({"a": table, "b": turned}, ["a"]).tables
    assert (row_hashes(coded["a"].codes) == row_hashes(coded["b"].codes)).all()
