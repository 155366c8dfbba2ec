"""Is there anything to be found? What an oracle sees of leaks that the attacks of the grid miss.

    python tests/benchmarks/attack_oracle.py columns --table adult
    python tests/benchmarks/attack_oracle.py network --table meps --generator sdv-ctgan --people 300 --epochs 1500

`columns`: 60 % of the columns of a fifth of the members are copied. The oracle knows which columns, and measures distances in them
alone. `network`: a network without any privacy is trained for long on a few members. The oracle knows whom to suspect: each attack's
scores are compared between those few and the controls, without the other members. What the oracle cannot tell apart did not leak.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import attacks  # noqa: E402
import generators  # noqa: E402
from attacks.dcr import SMALLEST  # noqa: E402
from attacks.distances import nearest  # noqa: E402
from attacks.statistics import auc, tpr_at_fpr  # noqa: E402
from release.privacy.noise import SystemNoise  # noqa: E402
from release.records import Budget  # noqa: E402
from tests.attacks import leaks, tiers  # noqa: E402
from tests.benchmarks import attack_grid as grid  # noqa: E402

TIER = "partner-healthcare"


def told(what: str, scores: np.ndarray, leaked: np.ndarray, controls: np.ndarray) -> None:
    """Print how well scores tell the leaked units from the controls."""
    area, rate = auc(scores[leaked], scores[controls]), tpr_at_fpr(scores[leaked], scores[controls], 0.01)
    print(
        f"  {what:<16} AUC {area.estimate:.3f} [{area.low:.3f}, {area.high:.3f}]  "
        f"TPR at 1 % FPR {rate.estimate:.3f} [{rate.low:.3f}, {rate.high:.3f}]",
        flush=True,
    )


def columns(table: str, seed: int, share: float) -> None:
    """Distances in the copied columns alone."""
    setting = grid.Setting(table, seed, TIER)
    carrier = setting.release("mst")
    case = next(name for name in grid.LEAKS if name.startswith("60 % of columns,"))
    candidate, units = leaks.columns_copied(share)(carrier, setting.rng(case))
    # The same draws again: the units first, then the columns.
    rng = setting.rng(case)
    carrier.share(share, rng)
    names = [spec.name for spec in carrier.members.schema.released]
    kept = rng.permutation(names)[: max(1, round(0.6 * len(names)))].tolist()
    rulings, bench = setting.without_controls(carrier.with_candidate(candidate))
    print(
        f"{table}: {share:.0%} of units, copied columns {', '.join(sorted(kept))}; broken: {tiers.broken(rulings)}"
    )
    member = bench.targets.is_member
    leaked = np.isin(bench.targets.number, units) & member
    own = np.array([bench.encoding.names.index(name) for name in kept])
    near = nearest(bench.targets.rows, bench.synthetic, 1, own).distance[:, 0].astype(float)
    strangers = nearest(bench.targets.rows, bench.reference, 1, own).distance[:, 0].astype(float)
    scores = bench.targets.per_unit(np.log(strangers + SMALLEST) - np.log(near + SMALLEST))
    told("copied columns", scores, leaked, ~member)


def network(table: str, seed: int, generator: str, people: int, options: dict) -> None:
    """Every attack's scores of the few who were trained on."""
    setting = grid.Setting(table, seed, TIER)
    into, rng = setting.scene, setting.rng("oracle")
    units = into.share(people / into.members.n_units, rng)
    rows = into.members.take_units(units)
    budget = Budget(epsilon=1.0, delta=1e-9)  # asked for by the interface; a baseline spends none of it
    plan = generators.get(generator).plan(rows.schema, budget, options=options)
    candidate = plan.run(rows, SystemNoise()).sample(min(len(into.carrier), 3_000), rng)
    rulings, bench = setting.without_controls(into.with_candidate(candidate))
    print(f"{table}: {generator} {options} on {people} members; broken: {tiers.broken(rulings)}")
    print(f"  recall among as many top risks {grid.recall(bench, units):.0%}")
    member = bench.targets.is_member
    leaked = np.isin(bench.targets.number, units) & member
    for attack in attacks.MEMBERSHIP:
        scores = attack.scores(bench)
        if scores is not None:
            told(attack.name, scores, leaked, ~member)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["columns", "network"])
    parser.add_argument("--table", default="adult")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--generator", default="sdv-ctgan")
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=1_500)
    parser.add_argument("--pac", type=int, help="CTGAN: rows that its critic sees together; 1 memorises most")
    asked = parser.parse_args()
    if asked.what == "columns":
        columns(asked.table, asked.seed, asked.share)
        return
    options = {"epochs": asked.epochs, "batch_size": 100} | ({"pac": asked.pac} if asked.pac else {})
    network(asked.table, asked.seed, asked.generator, asked.people, options)


if __name__ == "__main__":
    main()
