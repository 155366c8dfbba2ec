"""The grid of `bench_attacks`: what is planted in which release, and what the suite and a tier's attack rules made of it.

Each trial is one (table, case, seed) and one line of .bench/attacks/TABLE.jsonl, written as soon as it is known: a run that
was stopped goes on where it was. A trial's randomness comes from its own table, case and seed, so that the order does
not matter (but for the noise of private releases, which has no seed).
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import attacks
import generators
from attacks.attack import MembershipAttack
from attacks.bench import Bench
from release.canonical import Sha256
from release.data.table import Table
from release.privacy.noise import SystemNoise
from release.protocols import Arena, no_progress
from release.records import Budget, EvidenceSet
from tests.attacks import leaks, tiers
from tests.shared_schemas import load_shared

CANDIDATE = Sha256("0" * 64)
STANDARD = [
    replace(probe, explain=None) if isinstance(probe, MembershipAttack) else probe
    for probe in attacks.PROBES
    if probe.name in attacks.STANDARD
]
TIERS = {"internal-dev": (500, 10.0), "partner-healthcare": (2_000, 3.0), "public": (6_000, 1.0)}
"""Smallest number of members, and of controls; the largest ε."""
REFERENCE = 500
LARGEST_RELEASE = 6_000
"""Rows of a candidate: as many as the training rows, at most so many."""

Trial = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """One table, split by one seed, and its releases, made when asked for."""

    table: str
    seed: int
    tier: str

    def rng(self, use: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(f"{self.table} {use}".encode())])

    @cached_property
    def scene(self) -> leaks.Scene:
        units = TIERS[self.tier][0]
        made = leaks.scene(leaks.distinct(load_shared(self.table)), self.rng("split"), units, REFERENCE)
        return leaks.Scene(replace(made.arena, synthetic=self._sized(made.arena.synthetic)))

    @cached_property
    def releases(self) -> dict[str, leaks.Scene]:
        return {}

    def release(self, name: str) -> leaks.Scene:
        """The scene with a private release of its training units, at the tier's own ε, as the carrier."""
        if name not in self.releases:
            training = self.scene.arena.training
            budget = Budget(epsilon=TIERS[self.tier][1], delta=training.schema.largest_delta)
            plan = generators.get(name).plan(training.schema, budget)
            model = plan.run(training, SystemNoise())
            rows = min(len(training), LARGEST_RELEASE)
            self.releases[name] = leaks.Scene(
                replace(
                    self.scene.arena,
                    synthetic=model.sample(rows, self.rng(name)),
                    claim=plan.cost,
                    published=model.published,
                )
            )
        return self.releases[name]

    def _sized(self, table: Table) -> Table:
        if len(table) <= LARGEST_RELEASE:
            return table
        rows = self.rng("size").choice(len(table), LARGEST_RELEASE, replace=False)
        return table.take(np.sort(rows))

    def with_controls(self, arena: Arena) -> Trial:
        """What is not met of a candidate judged as in a release, and which controls failed."""
        evidence = attacks.run_suite(arena, CANDIDATE, "standard", np.random.default_rng(self.seed))
        rulings = tiers.findings(evidence, self.tier, controls=True, claim=arena.claim)
        failed = [[c.probe, c.name, c.p_value, c.share] for c in evidence.controls if not c.passed]
        return {"unmet": tiers.unmet(rulings), "failed_controls": failed}

    def without_controls(self, arena: Arena) -> tuple[dict, Bench]:
        """Rulings by the same probes, and the bench with all scores."""
        bench = Bench.of(arena, np.random.default_rng(self.seed))
        evidence = EvidenceSet(
            candidate=CANDIDATE,
            suite="standard",
            probes=tuple(probe.name for probe in STANDARD),
            evidence=tuple(item for probe in STANDARD for item in probe.run(bench, no_progress).evidence),
            controls=(),
            exhibits=(),
        )
        return tiers.findings(evidence, self.tier, claim=arena.claim), bench


Case = Callable[[Setting, np.random.Generator], Trial]


def private(make: Callable[[Setting], leaks.Scene]) -> Case:
    """A release that leaks nobody: what is not met, controls included."""

    def case(setting: Setting, rng: np.random.Generator) -> Trial:
        del rng
        return setting.with_controls(make(setting).arena)

    return case


def leaking(make: leaks.Maker) -> Case:
    """A leak in an MST release: which rules are broken, and how many of the leaked units are among the top risks."""

    def case(setting: Setting, rng: np.random.Generator) -> Trial:
        carrier = setting.release("mst")
        candidate, leaked = make(carrier, rng)
        rulings, bench = setting.without_controls(carrier.with_candidate(candidate))
        broken = sorted({rule for rule, _ in tiers.broken(rulings)})
        return {"broken": broken, "recall": recall(bench, leaked)}

    return case


def smallest(make: Callable[[float], leaks.Maker]) -> Case:
    """The smallest of `SHARES` that is broken, by halving (a larger share of the same leak is caught where a smaller one is)."""

    def case(setting: Setting, rng: np.random.Generator) -> Trial:
        carrier, seed = setting.release("mst"), int(rng.integers(2**31))

        def is_broken(share: float) -> bool:
            candidate, _ = make(share)(carrier, np.random.default_rng(seed))
            return bool(tiers.broken(setting.without_controls(carrier.with_candidate(candidate))[0]))

        caught, missed = (
            -1,
            len(SHARES),
        )  # places in SHARES: the last known to be caught, the first known not to be
        while missed - caught > 1:
            middle = (caught + missed) // 2
            caught, missed = (middle, missed) if is_broken(SHARES[middle]) else (caught, middle)
        return {"caught": list(SHARES[: caught + 1])}

    return case


def tiny(setting: Setting, rng: np.random.Generator) -> Trial:
    """1 % copies of 300 rows: what is not met (nothing would be a pass)."""
    scene = leaks.scene(leaks.distinct(load_shared(setting.table)), rng, 300, 300)
    candidate, _ = leaks.verbatim(0.01)(scene, rng)
    return {"unmet": tiers.unmet(setting.without_controls(scene.with_candidate(candidate))[0])}


def recall(bench: Bench, leaked: np.ndarray) -> float:
    """Share of the leaked members among as many highest scores of the strongest blind attack."""
    targets = bench.targets
    known = np.isin(targets.number, leaked) & targets.is_member
    best = 0.0
    for attack in attacks.MEMBERSHIP:
        scores = attack.scores(bench) if attack.blind else None
        if scores is not None:
            top = np.argsort(-scores, kind="stable")[: int(known.sum())]
            best = max(best, float(known[top].mean()))
    return best


def overtrained_ctgan(into: leaks.Scene, rng: np.random.Generator) -> tuple[Table, np.ndarray]:
    """SDV's CTGAN without any privacy, trained far too long on 300 members, its critic looking at one row at a time."""
    units = into.share(300 / into.members.n_units, rng)
    rows = into.members.take_units(units)
    budget = Budget(epsilon=1.0, delta=1e-9)  # asked for by the interface; a baseline spends none of it
    plan = generators.get("sdv-ctgan").plan(
        rows.schema, budget, options={"epochs": 1_500, "batch_size": 100, "pac": 1}
    )
    return plan.run(rows, SystemNoise()).sample(min(len(into.carrier), 3_000), rng), units


SHARES = (1.0, 0.5, 0.35, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
PRIVATE: dict[str, Case] = {
    "strangers": private(lambda setting: setting.scene),
    "mst": private(lambda setting: setting.release("mst")),
    "aim": private(lambda setting: setting.release("aim")),
}
LEAKS: dict[str, Case] = {
    "verbatim 100 %": leaking(leaks.verbatim(1.0)),
    "verbatim 5 %": leaking(leaks.verbatim(0.05)),
    "near copy 0.1 sd": leaking(leaks.near_copy(1.0)),
    "isolated top 3 %": leaking(leaks.isolated(0.03)),
    "60 % of columns": leaking(leaks.columns_copied(1.0)),
    "subgroup secret": leaking(leaks.subgroup_secret(0.1)),
    "60 % of columns, 20 % of units": leaking(leaks.columns_copied(0.2)),
    "near copy 0.1 sd, 10 % of units": leaking(leaks.near_copy(0.1)),
    "near copy, 12-fold, 5 % of units": leaking(leaks.repeated(12, 0.05)),
    "near copy, 40-fold, 5 % of units": leaking(leaks.repeated(40, 0.05)),
    "SMOTE 5-NN": leaking(leaks.smote),
    "smoothed bootstrap": leaking(leaks.smoothed_bootstrap),
    "unnoised tree on 300 rows": leaking(leaks.unnoised_tree),
    "over-trained CTGAN": leaking(overtrained_ctgan),
}
SMALLEST: dict[str, Case] = {
    "share: verbatim": smallest(leaks.verbatim),
    "share: near copy 0.1 sd": smallest(leaks.near_copy),
    "share: isolated": smallest(leaks.isolated),
    "share: 60 % of columns": smallest(leaks.columns_copied),
    "share: subgroup secret": smallest(leaks.subgroup_secret),
}
TINY: dict[str, Case] = {"1 % of 300 rows": tiny}
CASES = {**PRIVATE, **LEAKS, **SMALLEST, **TINY}
REQUIRED = {"verbatim 5 %", "near copy 0.1 sd", "isolated top 3 %", "60 % of columns", "subgroup secret"}
"""What must be caught in at least 95 % of seeds at the tier's smallest sizes."""


def trials(folder: Path, table: str) -> list[Trial]:
    """What is known of a table so far."""
    place = folder / f"{table}.jsonl"
    return [json.loads(line) for line in place.read_text("utf-8").splitlines()] if place.exists() else []


def fill(folder: Path, tables: list[str], cases: list[str], seeds: int, tier: str) -> Iterator[Trial]:
    """Run what is missing, seed by seed over all tables, and append each trial."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {(t["table"], t["case"], t["tier"], t["seed"]) for table in tables for t in trials(folder, table)}
    for seed in range(seeds):
        for table in tables:
            setting = Setting(table, seed, tier)
            for case in cases:
                if (table, case, tier, seed) in known:
                    continue
                started = time.perf_counter()
                found = CASES[case](setting, setting.rng(case))
                trial = {
                    "table": table,
                    "case": case,
                    "tier": tier,
                    "seed": seed,
                    "seconds": round(time.perf_counter() - started, 1),
                    **found,
                }
                with (folder / f"{table}.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(trial) + "\n")
                yield trial
