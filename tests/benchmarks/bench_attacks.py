"""Planted leaks and private releases through the attack suites: how often caught, how often left alone, how fast.

    make bench-attacks ARGS="--tables meps adult --seeds 20"

For every table and seed an MST release at the tier's own ε is made of the training units, leaks are planted in it at known
units, and the attack rules of the tier judge. Printed per leak: the rate of `broken` (an `unproven` is not caught), the
recall of the leaked units among as many top risks, and the smallest share that is caught in 95 % of seeds. Private releases:
the rate of all-`met`, controls included. Then the timings. Trials are kept in .bench/attacks/ and a run goes on where the last one stopped
(`--fresh` forgets them: do so after a change of the attacks); everything goes to .bench/attacks.json with its goals.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks import attack_grid as grid  # noqa: E402
from tests.benchmarks.goals import FOLDER, goal, reached, write  # noqa: E402

TABLES = ["meps", "adult", "credit-default", "diabetes130"]
PARTS = {"private": grid.PRIVATE, "leaks": grid.LEAKS, "share": grid.SMALLEST, "tiny": grid.TINY}


def table_of(table: str, tier: str, known: list[grid.Trial], out: dict) -> None:
    """Print and keep what is known of one table."""
    by_case = {
        case: [t for t in known if t["case"] == case and t["tier"] == tier and t["table"] == table]
        for case in grid.CASES
    }
    if not any(by_case.values()):
        return
    units, epsilon = grid.TIERS[tier]
    print(f"\n{table}: {units:,} members and controls, {tier}, MST and AIM at ε = {epsilon:g}")
    kept = out["tables"].setdefault(table, {})
    for case in grid.PRIVATE:
        if found := by_case[case]:
            rate = float(np.mean([not trial["unmet"] for trial in found]))
            kept[case] = {"seeds": len(found), "all_met": rate}
            print(f"  all met   {case:<32} {rate:5.0%} of {len(found)}")
            out["goals"].append(goal(f"{table}: {case} all met", rate, 0.90, "higher"))
            why = Counter(" ".join(unmet) for trial in found for unmet in trial["unmet"])
            for line, count in why.most_common():
                print(f"            {count} x {line}")
    for case in grid.LEAKS:
        if found := by_case[case]:
            rate = float(np.mean([bool(trial["broken"]) for trial in found]))
            recall = float(np.mean([trial["recall"] for trial in found]))
            rules = Counter(rule for trial in found for rule in trial["broken"])
            kept[case] = {"seeds": len(found), "caught": rate, "recall": recall, "rules": dict(rules)}
            by = ", ".join(f"{rule} {count}" for rule, count in rules.most_common())
            print(f"  broken    {case:<32} {rate:5.0%} of {len(found)}  recall {recall:4.0%}  by {by}")
            if case in grid.REQUIRED:
                out["goals"].append(goal(f"{table}: {case} broken", rate, 0.95, "higher"))
    for case in grid.SMALLEST:
        if found := by_case[case]:
            caught = {share: np.mean([share in trial["caught"] for trial in found]) for share in grid.SHARES}
            least = min((share for share, rate in caught.items() if rate >= 0.95), default=None)
            kept[case] = {"seeds": len(found), "smallest": least}
            what = "none" if least is None else f"{least:.1%}"
            print(f"  smallest  {case:<32} {what} caught in 95 % of {len(found)}")
    for case in grid.TINY:
        if found := by_case[case]:
            rate = float(np.mean([any("unproven" in unmet for unmet in trial["unmet"]) for trial in found]))
            kept[case] = {"seeds": len(found), "unproven": rate}
            print(f"  unproven  {case:<32} {rate:5.0%} of {len(found)}")
            out["goals"].append(goal(f"{table}: {case} unproven", rate, 1.0, "higher"))


def timings(out: dict) -> None:
    """Suites on Adult, against anonymeter's trio, and against a million rows."""
    from tests.benchmarks import attack_timings

    for what, value, limit in attack_timings.measure():
        print(f"  {what:<70} {value:8.2f}  (goal {limit:g})")
        higher = "times" in what
        out["goals"].append(goal(what, value, limit, "higher" if higher else "lower"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="*", default=TABLES)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tier", choices=list(grid.TIERS), default="partner-healthcare")
    parser.add_argument("--only", nargs="*", choices=[*PARTS, "timings"], default=[*PARTS, "timings"])
    parser.add_argument("--cases", nargs="*", choices=list(grid.CASES), help="instead of whole parts")
    parser.add_argument("--fresh", action="store_true", help="forget the trials of these tables")
    parser.add_argument("--trials", type=Path, default=FOLDER / "attacks")
    parser.add_argument("--out", type=Path, default=FOLDER / "attacks.json")
    asked = parser.parse_args()
    started = time.perf_counter()
    if asked.fresh:
        for table in asked.tables:
            (asked.trials / f"{table}.jsonl").unlink(missing_ok=True)
    cases = asked.cases or [case for part in PARTS if part in asked.only for case in PARTS[part]]
    for trial in grid.fill(asked.trials, asked.tables, cases, asked.seeds, asked.tier):
        said = trial.get("unmet", trial.get("broken", trial.get("caught")))
        print(f"{trial['table']} {trial['seed']} {trial['case']}: {said}, {trial['seconds']} s", flush=True)
    out: dict = {"goals": [], "tables": {}, "tier": asked.tier}
    for table in asked.tables:
        table_of(table, asked.tier, grid.trials(asked.trials, table), out)
    if "timings" in asked.only and not asked.cases:
        timings(out)
    out["seconds"] = time.perf_counter() - started
    write("attacks", out, asked.out)
    return 0 if all(map(reached, out["goals"])) else 1


if __name__ == "__main__":
    sys.exit(main())
