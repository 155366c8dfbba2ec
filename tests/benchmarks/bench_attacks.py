"""Planted leaks and private releases through the attack suites: how often caught, how often left alone, how fast.

    make bench-attacks ARGS="--tables meps adult --seeds 20"

For every table and seed an MST release at the tier's own ε is made of the training units, leaks are planted in it at known
units, and the attack rules of the tier judge. Printed per leak: the rate of `broken` (an `unproven` is not caught), and the
recall of the leaked units among as many top risks. Private releases: the rate of all-`met`. Then the smallest share of
verbatim copies that is caught in 95 % of seeds, and the timings. Everything goes to .bench/attacks.json with its goals.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import attacks  # noqa: E402
import generators  # noqa: E402
from attacks.bench import Bench  # noqa: E402
from attacks.runner import SuitePlan, run  # noqa: E402
from release.canonical import Sha256  # noqa: E402
from release.privacy.noise import SystemNoise  # noqa: E402
from release.records import Budget  # noqa: E402
from tests.attacks import leaks, tiers  # noqa: E402
from tests.benchmarks.goals import goal, reached, write  # noqa: E402
from tests.shared_schemas import load_shared  # noqa: E402

CANDIDATE = Sha256("0" * 64)
WITHOUT_CONTROLS = run(
    attacks.PROBES,
    (SuitePlan(name="standard", summary="no controls", probes=attacks.STANDARD, controls=False),),
)
LEAKS = {
    "verbatim 100 %": leaks.verbatim(1.0),
    "verbatim 5 %": leaks.verbatim(0.05),
    "near copy 0.1 sd": leaks.near_copy(1.0),
    "isolated top 3 %": leaks.isolated(0.03),
    "60 % of columns": leaks.columns_copied(1.0),
    "60 % of columns, 20 % of units": leaks.columns_copied(0.2),
    "subgroup secret": leaks.subgroup_secret(0.1),
    "SMOTE 5-NN": leaks.smote,
    "smoothed bootstrap": leaks.smoothed_bootstrap,
    "unnoised tree on 300 rows": leaks.unnoised_tree,
}
REQUIRED = {"verbatim 5 %", "near copy 0.1 sd", "isolated top 3 %", "60 % of columns", "subgroup secret"}
"""What must be caught in at least 95 % of seeds at the tier's smallest sizes."""
TIER, EPSILON, UNITS = "partner-healthcare", 3.0, 2_000
SHARES = (0.005, 0.01, 0.02, 0.05, 0.1)


def release(scene: leaks.Scene, name: str, epsilon: float, rng: np.random.Generator) -> leaks.Scene:
    """The scene with a private release of its training units as the carrier."""
    training = scene.arena.training
    plan = generators.get(name).plan(
        training.schema, Budget(epsilon=epsilon, delta=training.schema.largest_delta)
    )
    model = plan.run(training, SystemNoise())
    return leaks.Scene(
        replace(
            scene.arena,
            synthetic=model.sample(len(training), rng),
            claim=plan.cost,
            published=model.published,
        )
    )


def judged(arena, seed: int) -> dict:
    return tiers.findings(WITHOUT_CONTROLS(arena, CANDIDATE, "standard", np.random.default_rng(seed)), TIER)


def judged_with_controls(arena, seed: int) -> dict:
    """As in a release: planted leaks and nulls held too."""
    evidence = attacks.run_suite(arena, CANDIDATE, "standard", np.random.default_rng(seed))
    return tiers.findings(evidence, TIER, controls=True)


def recall(arena, leaked: np.ndarray, seed: int) -> float:
    """Share of the leaked members among as many highest scores of the strongest blind attack."""
    bench = Bench.of(arena, np.random.default_rng(seed))
    targets = bench.targets
    known = np.isin(targets.number, leaked) & targets.is_member
    best = 0.0
    for attack in attacks.MEMBERSHIP:
        scores = attack.scores(bench) if attack.blind else None
        if scores is not None:
            top = np.argsort(-scores, kind="stable")[: int(known.sum())]
            best = max(best, float(known[top].mean()))
    return best


def grid(table: str, seeds: int, generator: str, out: dict) -> None:
    data = leaks.distinct(load_shared(table))
    caught, rules, found = Counter(), {}, {}
    met, why = Counter(), Counter()
    for seed in range(seeds):
        rng = np.random.default_rng(1_000 + seed)
        scene = leaks.scene(data, rng, UNITS, 500)
        private = release(scene, generator, EPSILON, rng)
        for kind, arena in (("strangers", scene.arena), (f"{generator} ε={EPSILON:g}", private.arena)):
            unmet = tiers.unmet(judged_with_controls(arena, seed))
            met[kind] += not unmet
            why.update(f"{kind}: {rule} {subject} {ruling}" for rule, subject, ruling in unmet)
        for name, make in LEAKS.items():
            candidate, leaked = make(private, rng)
            arena = private.with_candidate(candidate)
            broken = tiers.broken(judged(arena, seed))
            caught[name] += bool(broken)
            rules.setdefault(name, Counter()).update({rule for rule, _ in broken})
            found.setdefault(name, []).append(recall(arena, leaked, seed))
        print(f"  {table}: seed {seed + 1} of {seeds}", flush=True)
    print(f"\n{table}, {UNITS:,} members and controls, {seeds} seeds, {TIER}")
    for kind, count in met.items():
        print(f"  all met   {kind:<32} {count / seeds:5.0%}")
        out["goals"].append(goal(f"{table}: {kind} all met", count / seeds, 0.90, "higher"))
    for line, count in why.most_common():
        print(f"            {count} x {line}")
    for name in LEAKS:
        rate = caught[name] / seeds
        print(
            f"  broken    {name:<32} {rate:5.0%}  recall {np.mean(found[name]):5.0%}  by {', '.join(sorted(rules[name]))}"
        )
        out["tables"].setdefault(table, {})[name] = {"caught": rate, "recall": float(np.mean(found[name]))}
        if name in REQUIRED:
            out["goals"].append(goal(f"{table}: {name} broken", rate, 0.95, "higher"))


def smallest_share(table: str, seeds: int, generator: str, out: dict) -> None:
    """The smallest share of verbatim members that is caught in 95 % of seeds."""
    data = leaks.distinct(load_shared(table))
    caught = Counter()
    for seed in range(seeds):
        rng = np.random.default_rng(2_000 + seed)
        private = release(leaks.scene(data, rng, UNITS, 500), generator, EPSILON, rng)
        for share in SHARES:
            candidate, _ = leaks.verbatim(share)(private, rng)
            caught[share] += bool(tiers.broken(judged(private.with_candidate(candidate), seed)))
    enough = [share for share in SHARES if caught[share] >= 0.95 * seeds]
    smallest = min(enough) if enough else None
    print(f"  smallest verbatim share caught in 95 % of {seeds} seeds, {table}: {smallest}")
    out["smallest_share"][table] = {
        "smallest": smallest,
        "caught": {str(s): caught[s] / seeds for s in SHARES},
    }


def tiny(out: dict, seeds: int) -> None:
    """1 % of 300 copied must be called unproven, not met."""
    data, passed = load_shared("meps"), 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        scene = leaks.scene(data, rng, 300, 300)
        candidate, _ = leaks.verbatim(0.01)(scene, rng)
        passed += not tiers.unmet(judged(scene.with_candidate(candidate), seed))
    print(f"  1 % copies of 300 rows: called met in {passed} of {seeds}")
    out["goals"].append(goal("1 % copies of 300 rows not passed", 1 - passed / seeds, 1.0, "higher"))


def timings(out: dict) -> None:
    """Suites on Adult, against anonymeter's trio, and against a million rows."""
    from tests.benchmarks import attack_timings

    for what, value, limit in attack_timings.measure():
        print(f"  {what:<70} {value:8.2f}  (goal {limit:g})")
        higher = "times" in what
        out["goals"].append(goal(what, value, limit, "higher" if higher else "lower"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="*", default=["meps", "adult", "credit-default", "diabetes130"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--generator", default="mst")
    parser.add_argument("--only", nargs="*", default=["grid", "share", "tiny", "timings"])
    parser.add_argument("--out", type=Path, default=ROOT / ".bench" / "attacks.json")
    asked = parser.parse_args()
    started = time.perf_counter()
    out: dict = {"goals": [], "tables": {}, "smallest_share": {}, "seeds": asked.seeds, "tier": TIER}
    for table in asked.tables:
        if "grid" in asked.only:
            grid(table, asked.seeds, asked.generator, out)
        if "share" in asked.only:
            smallest_share(table, max(asked.seeds // 2, 2), asked.generator, out)
    if "tiny" in asked.only:
        tiny(out, asked.seeds)
    if "timings" in asked.only:
        timings(out)
    out["seconds"] = time.perf_counter() - started
    write("attacks", out, asked.out)
    return 0 if all(map(reached, out["goals"])) else 1


if __name__ == "__main__":
    sys.exit(main())
