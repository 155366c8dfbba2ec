"""Quality and time of the deep generators beside mst, auto, the non-private baselines and smartnoise's DPCTGAN: prints the table, writes .bench/deep.json.

    python tests/benchmarks/bench_deep.py                         Adult and credit-default at ε = 1, 3, 10: everything once
    … --generators dp_autoregressive mst --peers                  some of ours, no peer
    … --tables diabetes130 --epsilons 10 --resume                 only what the file of results lacks
    … --stored                                                    nothing measured: the table of all that the file holds
    … --parts                                                     noise, clipping beside Opacus' and accounting by themselves
    … --audit                                                     trainings and releases audited with the product's own noise: `deep_audits`

The same codes with a public domain, δ = 1e-9 and one scoring (`coded_tables`) for all; ours through their public plans, a row a unit, the
task declared. Each fit is a process of its own with one thread; its seconds are processor time, imports and sampling included. Every fit is
appended to .bench/deep-fits.jsonl as it ends. The baselines know no ε and run once a table.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from itertools import product
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

from coded_tables import FILES, load  # noqa: E402
from goals import FOLDER, goal, write  # noqa: E402
from measured_fits import Key, Results, fit_and_score  # noqa: E402
from peer_environments import PINS, NoPeer, python_of  # noqa: E402

from generators import GENERATORS  # noqa: E402

DELTA = 1e-9
DEEP = tuple(name for name in ("dp_autoregressive", "dp_ctgan") if name in GENERATORS)
BASELINES = tuple(name for name, generator in GENERATORS.items() if not generator.private)
OURS = (*DEEP, "mst", "auto", *BASELINES)
PEERS = {"smartnoise dpctgan": "dpctgan"} | {
    f"smartnoise dpctgan, {n} epochs": f"dpctgan-{n}" for n in (20, 5, 3)
}
"""And what `run_smartnoise.py` calls them. 20 epochs where the defaults take hours; fewer on diabetes130, where one takes seven minutes."""
WIDE = ("credit-default", "diabetes130")
RESULTS = Results(FOLDER / "deep-fits.jsonl")


def version(generator: str) -> str:
    """The peer's pin, or a digest of the sources that make one of ours."""
    if generator in PEERS:
        return PINS["smartnoise"][0]
    digest = hashlib.sha256()
    for path in sorted([*(ROOT / "generators").glob("*.py"), *(ROOT / "generators" / "deep").glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def command(generator: str, epsilon: float) -> list[str]:
    """The process, with {source} and {target} left open. Raises NoPeer."""
    files = ["{source}", "{target}"]
    if generator in PEERS:
        script = str(HERE / "run_smartnoise.py")
        return [str(python_of("smartnoise")), script, *files, PEERS[generator], repr(epsilon), repr(DELTA)]
    return [sys.executable, str(HERE / "run_deep.py"), *files, generator, repr(epsilon), repr(DELTA), "1"]


def measure(arguments: argparse.Namespace) -> None:
    """Every fit asked for, appended to the file of results."""
    peers = [name for name in PEERS if {name, "smartnoise"} & set(arguments.peers)]
    for name, epsilon in product(arguments.tables, arguments.epsilons):
        table = load(name)
        for generator, run in product([*arguments.generators, *peers], range(arguments.runs)):
            if generator in BASELINES and epsilon != arguments.epsilons[0]:
                continue
            key = Key(
                table=name,
                epsilon=float("inf") if generator in BASELINES else epsilon,
                generator=generator,
                version=version(generator),
                run=run,
            )
            known = newest(RESULTS.rows(), key.table, key.epsilon, generator)
            if arguments.resume and known and "failed" not in known and known["runs"] > run:
                continue
            load_before = os.getloadavg()[0]
            try:
                fit = command(generator, epsilon)
            except NoPeer as reason:
                print(f"  {reason}", flush=True)
                break
            row = RESULTS.add(key, fit_and_score(table, fit, limit=arguments.limit), load=load_before)
            print(line(row), flush=True)


def newest(rows: list[dict], table: str, epsilon: float, generator: str) -> dict | None:
    """The mean over the runs of the newest version that was measured; a failure where there is nothing else."""
    mine = [r for r in rows if (r["table"], r["epsilon"], r["generator"]) == (table, epsilon, generator)]
    if not mine:
        return None
    last = [r for r in mine if r["version"] == mine[-1]["version"]]
    good = list({r["run"]: r for r in last if "failed" not in r}.values())
    if not good:
        return last[-1]
    figures = ("one", "two", "three", "auc", "seconds", "cpu_seconds", "peak_mib")
    return good[-1] | {f: sum(r[f] for r in good) / len(good) for f in figures} | {"runs": len(good)}


def line(row: dict) -> str:
    """One row of the table, as the docs have it."""
    head = f"| {row['table']} | {row['epsilon']:g} | {row['generator']} |"
    if "failed" in row:
        return f"{head} {row['failed']} |"
    return (
        f"{head} {row['one']:.4f} | {row['two']:.4f} | {row['three']:.4f} | {row['auc']:.3f} |"
        f" {row['cpu_seconds']:.0f} | {row['peak_mib']:.0f} | {row.get('runs', 1)} |"
    )


def table_of(rows: list[dict]) -> list[dict]:
    """All cells that were measured, in order."""
    keys = sorted({(r["table"], r["epsilon"], r["generator"]) for r in rows}, key=lambda k: (k[0], k[1]))
    order = {name: k for k, name in enumerate((*OURS, *PEERS))}
    keys.sort(key=lambda k: (k[0], k[1], order.get(k[2], len(order))))
    return [found for key in keys if (found := newest(rows, *key))]


def goals(cells: list[dict]) -> list[dict]:
    """Each deep generator against smartnoise's DPCTGAN; dp_autoregressive against mst on wide tables at ε = 10."""
    by = {(c["table"], c["epsilon"], c["generator"]): c for c in cells if "failed" not in c}
    found = []
    for (table, epsilon, generator), cell in by.items():
        theirs = [by[(table, epsilon, peer)] for peer in PEERS if (table, epsilon, peer) in by]
        if generator in DEEP and theirs:
            for figure, better, best in (("two", "lower", min), ("auc", "higher", max)):
                name = f"{generator}, {table}, ε = {epsilon:g}, {figure}, beside smartnoise"
                bound = best(peer[figure] for peer in theirs)
                found.append(goal(name, cell[figure], bound, better, bound))
        tree = by.get((table, epsilon, "mst"))
        if generator == "dp_autoregressive" and epsilon == 10.0 and table in WIDE and tree:
            name = f"{generator}, {table}, ε = 10, auc, beside mst"
            found.append(goal(name, cell["auc"], tree["auc"], "higher"))
    return found


def parts() -> dict[str, float]:
    """The core's parts in processor seconds: Gaussians a second, clipping beside Opacus' ghost clipping, RDP's ε over PLD's."""
    import time

    import torch
    from opacus.grad_sample import GradSampleModuleFastGradientClipping

    from generators.deep.clipping import ClippedSum
    from generators.deep.randomness import SystemRandomness
    from release.privacy import accounting
    from release.records import Accountant, DpEvent, Mechanism

    torch.set_num_threads(1)

    def seconds(work) -> float:
        work()
        begin = time.process_time()
        for _ in range(5):
            work()
        return (time.process_time() - begin) / 5

    found = {"Gaussians a second": 1_000_000 / seconds(lambda: SystemRandomness().gaussian(1_000_000))}
    for tokens, hidden in ((1, 128), (4, 128), (4, 64)):
        net = torch.nn.Sequential(
            *(torch.nn.Linear(300, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, hidden)),
            *(torch.nn.ReLU(), torch.nn.Linear(hidden, 300)),
        )
        x = (torch.rand(1200, tokens, 300) < 0.1).float()
        clipped = ClippedSum(net, 1.0)

        def ours(net=net, x=x, clipped=clipped) -> None:
            clipped.clear()
            clipped.add(lambda: net(x).log_softmax(dim=-1)[..., 0].mean(dim=1))

        once = seconds(ours)
        wrapped = GradSampleModuleFastGradientClipping(net, max_grad_norm=1.0, loss_reduction="sum")

        def theirs(net=net, x=x, wrapped=wrapped) -> None:
            losses = wrapped(x).log_softmax(dim=-1)[..., 0].mean(dim=1)
            losses.sum().backward(retain_graph=True)
            net.zero_grad()
            factors = wrapped.get_clipping_coef()
            wrapped.disable_hooks()
            (factors * losses).sum().backward()
            wrapped.enable_hooks()

        found[f"clipping over Opacus', {tokens} tokens, {hidden} hidden"] = once / seconds(theirs)
    for multiplier in (1.5, 4.0, 10.0):
        event = DpEvent(
            label="train",
            mechanism=Mechanism.POISSON_GAUSSIAN,
            parameter=multiplier,
            count=250,
            sampling_rate=0.1,
        )
        epsilons = [
            accounting.cost([event], DELTA, unit="row", max_rows=1, accountant=accountant).epsilon
            for accountant in (Accountant.RDP, Accountant.PLD)
        ]
        found[f"ε by RDP over ε by PLD, multiplier {multiplier:g}"] = epsilons[0] / epsilons[1]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="*", default=["adult", "credit-default"], choices=FILES)
    parser.add_argument("--epsilons", nargs="+", type=float, default=[1.0, 3.0, 10.0])
    parser.add_argument("--generators", nargs="*", default=list(OURS), choices=OURS)
    parser.add_argument(
        "--peers",
        nargs="*",
        default=["smartnoise"],
        choices=["smartnoise", *PEERS],
        help="the library, or methods",
    )
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--limit", type=float, default=1200.0, help="processor seconds of a fit")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--stored", action="store_true")
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--audit", nargs="*", choices=("distances", "trainings", "releases"))
    arguments = parser.parse_args()
    if arguments.parts:
        print("\n".join(f"  {name}: {figure:.4g}" for name, figure in parts().items()))
        return
    if arguments.audit is not None:
        import deep_audits

        deep_audits.run(arguments.audit)
        return
    if not arguments.stored:
        measure(arguments)
    cells = table_of(RESULTS.rows())
    print(
        "\n| table | ε | generator | 1-way | 2-way | 3-way | AUC | s | MiB | fits |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    print("\n".join(map(line, cells)))
    write("deep", {"goals": goals(cells), "cells": cells})


if __name__ == "__main__":
    main()
