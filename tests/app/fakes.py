"""Fast stand-ins for wiring: a real, tiny DP generator and suites whose figures a test chooses.

The generator is honest (noisy one-way counts of declared columns); only its quality is poor. The judge, the ledger,
the registry, the exporter and the verifier are the real ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np

from policies import builtin
from policies.format import parse
from release.data.table import OUTSIDE_LEVEL, Column, Table
from release.errors import PlanError
from release.privacy.accounting import cost
from release.records import (
    Control,
    ControlKind,
    DpEvent,
    Evidence,
    EvidenceSet,
    Exhibit,
    Measured,
    Mechanism,
    ProbeReport,
)

SCHEMA = """\
format: sluicegate/schema@1
name: toy
population: toytown
population_size: 5000
unit: {name: person}
provenance: {kind: collected, source: made up for a test, licence: none}
columns:
  - {name: colour, kind: categorical, roles: [quasi-identifier], domain: {values: [red, green, blue]}, domain_source: codebook}
  - {name: ill, kind: boolean, roles: [sensitive, target], domain: {values: ["no", "yes"]}, domain_source: codebook}
"""


def toy_csv(n: int = 200) -> str:
    rng = np.random.default_rng(5)
    colours = rng.choice(["red", "green", "blue"], n)
    ills = rng.choice(["no", "yes"], n)
    return "colour,ill\n" + "".join(f"{c},{i}\n" for c, i in zip(colours, ills, strict=True))


@dataclass
class FakeModel:
    schema: object
    shares: dict

    @property
    def published(self):
        return tuple((name,) for name in self.shares)

    def sample(self, n, rng, where=None):
        columns = {}
        for spec in self.schema.released:
            share = np.asarray(self.shares[spec.name])
            codes = rng.choice(len(share), n, p=share).astype(np.int32)
            columns[spec.name] = Column(codes, np.zeros(n, np.uint8), (*spec.levels, OUTSIDE_LEVEL))
        return Table(self.schema, columns, np.arange(n))

    def save(self, directory):
        directory.mkdir()
        (directory / "shares.json").write_text(json.dumps(self.shares))


@dataclass
class FakePlan:
    schema: object
    cost: object
    runs: list
    on_run: list

    def describe(self):
        return {"generator": "quick", "shares": {"colour": 0.5, "ill": 0.5}}

    def run(self, table, noise, progress=None):
        self.runs.append(len(table))
        if self.on_run:
            raise self.on_run[0]
        shares = {}
        for spec in self.schema.released:
            counts = np.bincount(table[spec.name].values, minlength=len(spec.levels)).astype(np.int64)
            noisy = noise.discrete_gaussian(counts, self.cost.events[0].parameter if self.cost else 1.0).clip(
                1
            )
            shares[spec.name] = (noisy / noisy.sum()).tolist()
        return FakeModel(self.schema, shares)


@dataclass
class FakeGenerator:
    """`runs` counts how often the mechanism read data; an exception in `on_run` is raised instead of fitting."""

    name: str = "quick"
    private: bool = True
    summary: str = "Noisy one-way counts, for tests."
    runs: list = field(default_factory=list)
    on_run: list = field(default_factory=list)

    def plan(self, schema, budget, task=None, options=None):
        if options:
            raise PlanError(f"unknown options {sorted(options)}", mend="give none")
        if not self.private:
            return FakePlan(schema, None, self.runs, self.on_run)
        sigma = 2.0
        while True:
            events = [
                DpEvent(label=c.name, mechanism=Mechanism.DISCRETE_GAUSSIAN, parameter=sigma)
                for c in schema.released
            ]
            claimed = cost(events, budget.delta, unit=schema.unit.name, max_rows=schema.unit.max_rows)
            if claimed.epsilon <= budget.epsilon:
                return FakePlan(schema, claimed, self.runs, self.on_run)
            sigma *= 1.25

    def load(self, directory):
        raise NotImplementedError


QUALITY = ("marginals", "tstr", "bias", "tails", "missingness", "rules")
COUNTS = {("arena", "members"): 6000.0, ("arena", "controls"): 6000.0, ("marginals", "declared_slices"): 0.0}


def asked():
    """What the built-in tiers ask for: figures with a value that meets them all, and (probe, name) of planted leaks."""
    figures, probes, named = {}, set(), set()
    for document in builtin().values():
        for rule in parse(document).rules:
            if rule.kind == "controls":
                probes.update(rule.probes)
            if rule.kind == "empirical-epsilon" and rule.needs_controls:
                probes.add(rule.probe)
            figure = getattr(rule, "figure", None)
            if figure is None:
                continue
            for pattern in figure.subjects:
                if not pattern.startswith("slice:"):
                    value = 1.0 if rule.kind == "ratio" else 0.0
                    figures[figure.probe, figure.metric, "ill" if pattern == "*" else pattern] = sure(value)
            probes.update((figure.probe, *rule.vouched_by) if rule.needs_controls else ())
            named.update((figure.probe, name) for name in rule.planted)
    figures["one_run_epsilon", "epsilon_lower_bound", ""] = sure(0.0)
    for (probe, metric), value in COUNTS.items():
        figures[probe, metric, ""] = sure(value)
    named.update((probe, ControlKind.PLANTED_LEAK.value) for probe in probes)
    return figures, tuple(sorted(named))


def sure(value, trials=10_000):
    return Measured(estimate=value, low=value, high=value, trials=trials, detectable=0.0)


@dataclass
class FakeSuite:
    """Evidence that every built-in tier finds met, except where `figures` says otherwise (key -> outcome or None)."""

    figures: dict = field(default_factory=dict)
    missed: tuple = ()
    ran: list = field(default_factory=list)
    raises: list = field(default_factory=list)

    def __call__(self, arena, candidate, suite, rng, progress=None):
        self.ran.append((candidate, rng.integers(1 << 30)))
        if self.raises:
            raise self.raises[0]
        figures, plants = asked()
        probes = {probe for probe, _ in plants}
        evidence = self._evidence({key: value for key, value in figures.items() if key[0] not in QUALITY})
        cases = [(probe, name, ControlKind.PLANTED_LEAK) for probe, name in plants]
        cases += [(probe, ControlKind.NULL.value, ControlKind.NULL) for probe in sorted(probes)]
        controls = tuple(
            Control(
                probe=probe,
                name=name,
                kind=kind,
                passed=probe not in self.missed,
                p_value=0.001 if kind is ControlKind.PLANTED_LEAK else 0.5,
                share=0.1 if kind is ControlKind.PLANTED_LEAK else 0.0,
            )
            for probe, name, kind in cases
        )
        exhibit = Exhibit(
            probe="membership", title="ROC", kind="roc", takeaway="Near the diagonal.", data={"x": [0.0, 1.0]}
        )
        return EvidenceSet(
            candidate=candidate,
            suite=suite,
            probes=tuple(sorted({item.probe for item in evidence} | probes)),
            evidence=evidence,
            controls=controls,
            exhibits=(exhibit,),
        )

    def measure(self, arena, rng, progress=None, names=None):
        figures, _ = asked()
        return (
            ProbeReport(
                evidence=self._evidence({key: value for key, value in figures.items() if key[0] in QUALITY})
            ),
        )

    def _evidence(self, good):
        wanted = {key: self.figures.get(key, outcome) for key, outcome in good.items()}
        return tuple(
            Evidence(probe=key[0], metric=key[1], subject=key[2], outcome=outcome)
            for key, outcome in wanted.items()
            if outcome is not None
        )


__all__ = ["QUALITY", "SCHEMA", "FakeGenerator", "FakeSuite", "sure", "toy_csv"]
