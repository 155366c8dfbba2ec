"""The audit holds for every registered private generator and refutes each broken one.

Test: 150 pairs of fits, seeded noise. The standardised distance μ̂ has a standard error of √(2/n + μ²/4n) with n = 120 judged
fits: .16 at μ = 2. A broken fixture is off by a factor of √2 or more (.83 at μ = 2: 5 standard errors); `.85 μ` lies 1.9
standard errors under an honest μ.
"""

from dataclasses import replace

import numpy as np
import pytest

import generators
from attacks.white_box import AuditRuling, audit, detectable_ratio, fits_needed, gaussian_mu
from release.data.table import Table
from release.records import Budget, Mechanism
from tests.attacks.broken_generators import BROKEN, ClippedPlan, HonestPlan
from tests.builders import make_schema, make_table
from tests.seeded_noise import SeededNoise

ROWS = 4
FITS = 150
SAME_UNITS = 40


def schema():
    return make_schema(
        unit="who", max_rows=ROWS, population_size=1_000, **{f"c{k}": ["a", "b"] for k in range(3)}
    )


def neighbours(rows_of_the_other: int) -> tuple[Table, Table]:
    """Units that are all "a", and the same with one unit of so many rows that are all "b"."""
    s = schema()
    names = [f"c{k}" for k in range(3)]
    tables = []
    for extra in (0, rows_of_the_other):
        rows = SAME_UNITS + extra
        units = [f"u{k}" for k in range(SAME_UNITS)] + ["x"] * extra
        cells = ["a"] * SAME_UNITS + ["b"] * extra
        table = make_table(
            make_schema(unit="who", max_rows=100, population_size=1_000, **{n: ["a", "b"] for n in names}),
            {"who": units, **dict.fromkeys(names, cells)},
        )
        assert len(table) == rows
        tables.append(Table(s, table.columns, table.units))
    return tables[0], tables[1]


def audited(plan, rows=ROWS, fits=FITS):
    seeds = iter(range(10_000))
    result = audit(plan, *neighbours(rows), lambda: SeededNoise(next(seeds)), fits)
    print(
        f"{type(plan).__name__}: claimed μ {result.claimed:.3f}, measured {result.estimate:.3f}, low {result.low:.3f}"
    )
    return result


@pytest.mark.parametrize("plan", [HonestPlan, ClippedPlan])
def test_an_honest_plan_holds(plan):
    result = audited(plan(schema=schema(), multiplier=0.8), rows=ROWS if plan is HonestPlan else 3 * ROWS)
    assert result.ruling is AuditRuling.HOLDS, result.reason
    assert result.claimed == pytest.approx(np.sqrt(3) / 0.8)


@pytest.mark.parametrize("name", BROKEN)
def test_every_broken_plan_is_refuted(name):
    plan = BROKEN[name](schema=schema(), multiplier=0.8)
    result = audited(plan, rows=3 * ROWS if name == "no clipping" else ROWS)
    assert result.ruling is AuditRuling.REFUTED, result.reason


def test_too_much_noise_is_no_power_not_a_pass():
    """A plan that claims more than it spends is private, but then the audit has seen nothing of what was claimed."""

    class NoisierPlan(HonestPlan):
        @property
        def sigma(self):
            return 3 * self.multiplier * self.rows

    assert audited(NoisierPlan(schema=schema(), multiplier=0.8)).ruling is AuditRuling.NO_POWER


def test_a_plan_without_a_claim_is_refused():
    class NoClaim(HonestPlan):
        cost = None

    with pytest.raises(ValueError, match="nothing to audit"):
        audit(NoClaim(schema=schema(), multiplier=1.0), *neighbours(ROWS), lambda: SeededNoise(0), 2)


@pytest.mark.parametrize(("epsilon_mu", "fits"), [(0.58, 1_000), (2.0, 200)])
def test_power_is_as_stated(epsilon_mu, fits):
    """4,000 simulated audits each: the stated factor is refuted in 80 % of them, an honest generator in at most 5 %."""
    rng = np.random.default_rng(0)
    judged = fits - round(0.2 * fits)
    factor = detectable_ratio(epsilon_mu, fits)

    def refuted(mu):
        samples = rng.normal(0, 1, (4_000, judged)), rng.normal(mu, 1, (4_000, judged))
        gap = samples[1].mean(axis=1) - samples[0].mean(axis=1)
        spread = np.sqrt((samples[0].var(axis=1, ddof=1) + samples[1].var(axis=1, ddof=1)) / 2)
        distance = gap / spread
        error = np.sqrt(2 / judged + distance**2 / (4 * judged))
        return float((distance - 1.6449 * error > epsilon_mu).mean())

    assert refuted(factor * epsilon_mu) == pytest.approx(0.80, abs=0.03)
    assert refuted(epsilon_mu) <= 0.062


def test_small_claims_take_many_fits():
    """ε = 3 at δ = 1e-6 is about μ = .58: 1,000 fits refute a quarter too little noise, 200 hardly a half."""
    assert 700 < fits_needed(0.58) <= 1_000
    assert detectable_ratio(0.58, 1_000) < 1.25
    assert detectable_ratio(0.58, 200) > 1.4
    assert fits_needed(0.2) > 5_000


PRIVATE = [name for name, generator in generators.GENERATORS.items() if generator.private]


@pytest.mark.parametrize("name", PRIVATE)
def test_every_registered_private_generator_holds(name):
    plan = generators.get(name).plan(schema(), Budget(epsilon=10.0, delta=1e-6))
    if any(event.mechanism is Mechanism.POISSON_GAUSSIAN for event in plan.cost.events):
        pytest.skip("draws its noise inside its training loop, not at the source: audited by its own tests")
    assert gaussian_mu(plan.cost) > 0
    result = audited(plan)
    assert result.ruling is AuditRuling.HOLDS, result.reason


def test_the_deep_suites_probe_audits_the_plan_it_is_given():
    from attacks import PROBES
    from release.protocols import Arena, Refit
    from release.records import Measured, NotMeasured

    probe = next(probe for probe in PROBES if probe.name == "white_box")
    table = neighbours(ROWS)[1]

    def outcome(plan):
        refit = None if plan is None else Refit(plan=plan, noise=SeededNoise(0))
        arena = Arena(
            members=table,
            controls=table,
            reference=None,
            training=None,
            synthetic=table,
            claim=None,
            refit=refit,
        )
        return probe.measure(arena, np.random.default_rng(0)).evidence[0].outcome

    assert isinstance(outcome(None), NotMeasured)
    honest = outcome(HonestPlan(schema=schema(), multiplier=0.8))
    assert isinstance(honest, Measured)
    assert honest.low <= 1 <= honest.high
    assert 1 < honest.detectable < 2
    assert outcome(BROKEN["unit ignored"](schema=schema(), multiplier=0.8)).low > 1


def test_the_probe_does_not_refit_what_trains_by_dp_sgd():
    """Its noise is drawn inside; the probe says so instead of spending hours on what it cannot see."""
    from attacks import PROBES
    from release.protocols import Arena, Refit
    from release.records import DpEvent, NotMeasured

    class TrainedPlan(HonestPlan):
        @property
        def cost(self):
            event = DpEvent(
                label="train",
                mechanism=Mechanism.POISSON_GAUSSIAN,
                parameter=1.0,
                sampling_rate=0.1,
            )
            return replace(super().cost, events=(*super().cost.events, event))

        def run(self, table, noise, progress=None):
            raise AssertionError("refitted")

    probe = next(probe for probe in PROBES if probe.name == "white_box")
    table = neighbours(ROWS)[1]
    plan = TrainedPlan(schema=schema(), multiplier=0.8)
    arena = Arena(
        members=table,
        controls=table,
        reference=None,
        training=None,
        synthetic=table,
        claim=None,
        refit=Refit(plan=plan, noise=SeededNoise(0)),
    )
    outcome = probe.measure(arena, np.random.default_rng(0)).evidence[0].outcome
    assert isinstance(outcome, NotMeasured)
    assert "DP-SGD" in outcome.reason
