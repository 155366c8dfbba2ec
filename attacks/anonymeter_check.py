"""Anonymeter itself, as a cross-check: the same three risks from its own query generators and searches.

Success counts come from anonymeter 1.1.0; rates, R and intervals are ours, over the guesses really made. What is not taken
from it: its naive baseline (misaligned), its group risks (wrong denominator), its clipped risks, its correction for unequal
tables (both arms have equal numbers here), the order of its univariate predicates (it differs from run to run, whatever the
seed). Its linkability and inference take no seed: the targets are drawn here, and all of
them are attacked, so that its own sampling only changes their order. One row per unit.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from attacks.attack import Adversary, Attack
from attacks.bench import Bench
from attacks.inference import secrets
from attacks.linkability import halves
from attacks.risks import excess_risk
from release.data.table import Table
from release.errors import ReleaseError
from release.protocols import Progress
from release.records import Evidence, Measured, NotMeasured, ProbeReport

if TYPE_CHECKING:
    import pandas as pd

NAME = "anonymeter"
TARGETS = 500
QUERIES = 500
ALL_QUERIES = 1_000_000
ATTEMPTS = 20_000
NEIGHBOURS = 5
FEWEST = 20


def _run(bench: Bench, progress: Progress) -> ProbeReport:
    arena = bench.arena
    names = bench.encoding.names
    size = min(bench.targets.n_members, bench.targets.n_controls, TARGETS)
    if size < FEWEST or not bench.synthetic.n_rows or len(names) < 2:
        few = NotMeasured(
            reason=f"{size} units an arm, {bench.synthetic.n_rows:,} synthetic rows, {len(names)} columns: too few for a cross-check",
            needed=FEWEST,
        )
        return ProbeReport(evidence=(_evidence("linkability", few),))
    rng = bench.stream(NAME)
    members, controls = (_frame(_sample(table, size, rng)) for table in (arena.members, arena.controls))
    synthetic = _frame(arena.synthetic)
    first, second = ([names[column] for column in half] for half in halves(bench))
    asked = secrets(arena.members.schema)
    steps = 3 + len(asked)
    found: list[Evidence] = []
    progress(0.0, "linkability")
    found.append(
        _evidence(
            "linkability", _measured(lambda: _linkability(members, controls, synthetic, (first, second)))
        )
    )
    for done, mode in enumerate(("univariate", "multivariate"), start=1):
        progress(done / steps, f"{mode} singling out")
        seed = int(rng.integers(2**31))
        outcome = _measured(lambda m=mode, s=seed: _singling_out(members, controls, synthetic, m, s))
        found.append(_evidence(f"singling_out:{mode}", outcome))
    for done, secret in enumerate(asked, start=3):
        progress(done / steps, f"inference of {secret}")
        outcome = _measured(lambda s=secret: _inference(members, controls, synthetic, s))
        found.append(_evidence(f"inference:{secret}", outcome))
    return ProbeReport(evidence=tuple(found))


def _linkability(
    members: pd.DataFrame,
    controls: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: tuple[list[str], list[str]],
) -> Measured | NotMeasured:
    from anonymeter.evaluators import LinkabilityEvaluator

    result = (
        LinkabilityEvaluator(
            ori=members,
            syn=synthetic,
            control=controls,
            aux_cols=columns,
            n_attacks=len(members),
            n_neighbors=min(NEIGHBOURS, len(synthetic)),
        )
        .evaluate(n_jobs=-1)
        .results()
    )
    return excess_risk(int(result.n_success), len(members), int(result.n_control), len(controls))


def _singling_out(
    members: pd.DataFrame, controls: pd.DataFrame, synthetic: pd.DataFrame, mode: str, seed: int
) -> Measured | NotMeasured:
    import polars as pl
    from anonymeter.evaluators import singling_out_evaluator as theirs

    tables = [pl.DataFrame(theirs._safe_column_names(frame)) for frame in (members, controls, synthetic)]
    rng = np.random.default_rng(seed)
    searched = tables[2].unique(maintain_order=True)
    if mode == "univariate":
        # All of them, in an order of ours: theirs is that of a hash table and differs from run to run, whatever the seed.
        every = theirs.univariate_singling_out_queries(df=searched, n_queries=ALL_QUERIES, rng=rng)
        ordered = sorted(every, key=str)
        queries = [ordered[place] for place in sorted(rng.permutation(len(ordered))[:QUERIES])]
    else:
        queries = theirs._generate_singling_out_queries(
            df=searched,
            mode=mode,
            n_attacks=QUERIES,
            n_cols=min(3, len(members.columns)),
            max_attempts=ATTEMPTS,
            rng=rng,
        )
    if not queries:
        return NotMeasured(reason="anonymeter made no predicate that singles out in the release")
    hits = [
        len(theirs._evaluate_queries_and_return_successful(df=table, queries=queries)) for table in tables[:2]
    ]
    return excess_risk(hits[0], len(queries), hits[1], len(queries))


def _inference(
    members: pd.DataFrame, controls: pd.DataFrame, synthetic: pd.DataFrame, secret: str
) -> Measured | NotMeasured:
    import pandas as pd
    from anonymeter.evaluators import InferenceEvaluator

    evaluator = InferenceEvaluator(
        ori=members,
        syn=synthetic,
        control=controls,
        aux_cols=[name for name in members.columns if name != secret],
        secret=secret,
        regression=bool(pd.api.types.is_numeric_dtype(members[secret])),
        n_attacks=len(members),
    ).evaluate(n_jobs=-1)
    result = evaluator.results()
    return excess_risk(int(result.n_success), len(members), int(result.n_control), len(controls))


def _measured(attack: Any) -> Measured | NotMeasured:
    """Its figure; what it raises becomes a reason (it has no errors of its own to catch)."""
    quiet = logging.getLogger("anonymeter")
    level = quiet.level
    try:
        quiet.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome: Measured | NotMeasured = attack()
    except ReleaseError:
        raise
    except Exception as error:  # noqa: BLE001 - a foreign package's failure must not hide the other probes
        return NotMeasured(reason=f"anonymeter failed with {type(error).__name__} on this table")
    else:
        return outcome
    finally:
        quiet.setLevel(level)


def _sample(table: Table, size: int, rng: np.random.Generator) -> Table:
    """The first row of so many units."""
    units, first = np.unique(table.units, return_index=True)
    return table.take(np.sort(first[rng.choice(len(units), size, replace=False)]))


def _frame(table: Table) -> pd.DataFrame:
    """Strings and floats, as anonymeter tells its two kinds of columns apart."""
    import pandas as pd

    frame = table.to_frame()
    columns = {
        spec.name: (
            pd.Series(
                frame[spec.name].astype(object).where(frame[spec.name].notna(), "(missing)").astype(str),
                dtype=object,
            )
            if spec.kind.coded
            else pd.Series(
                np.where(
                    table.columns[spec.name].present, table.columns[spec.name].values.astype(float), np.nan
                )
            )
        )
        for spec in table.schema.released
    }
    return pd.DataFrame(columns)


def _evidence(subject: str, outcome: Measured | NotMeasured) -> Evidence:
    return Evidence(
        probe=NAME,
        metric="excess_risk",
        subject=subject,
        outcome=outcome,
        note="Cross-check: anonymeter's own attack, our rates and interval.",
    )


ATTACK = Attack(
    name=NAME,
    summary=(
        "Runs the public tool anonymeter on a sample of both arms, as a second opinion on linkability, singling out and inference. "
        "Its figures should agree with ours within their intervals; where they do not, one of the two is wrong."
    ),
    adversary=Adversary(
        goal="link, single out or infer, as in WP216",
        knowledge="none of the generator",
        data="the release, and the columns each attack is given",
    ),
    paper="anonymeter 2211.10459, version 1.1.0",
    run=_run,
)
