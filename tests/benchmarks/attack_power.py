"""How many units it takes to prove what: no data, only the attacks' own statistics and simulated nulls.

python tests/benchmarks/attack_power.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import attacks  # noqa: E402
from attacks.one_run import guesses, largest_bound  # noqa: E402
from attacks.risks import detectable_difference, excess_risk, rate_difference  # noqa: E402
from attacks.statistics import detectable_tpr, tpr_at_fpr  # noqa: E402
from attacks.white_box import detectable_ratio, fits_needed  # noqa: E402

SIZES = (300, 500, 1_000, 2_000, 6_000)
"""Members, and as many controls."""
RUNS = 200


def copies(limit: float) -> int:
    """Units of each arm from which no copy at all proves a share of at most this."""
    n = 1
    while rate_difference(0, n, 0, n).high > limit:
        n += max(1, n // 100)
    return n


def calm_membership(n: int, limit: float, alpha: float, rng: np.random.Generator) -> float:
    """Share of releases without any leak whose largest upper end over all attacks (independent: the worst case) is inside."""
    met = 0
    for _ in range(RUNS):
        highest = 0.0
        for _ in attacks.MEMBERSHIP:
            highest = max(highest, tpr_at_fpr(rng.normal(size=n), rng.normal(size=n), alpha).high)
            if highest > limit:
                break
        met += highest <= limit
    return met / RUNS


def main() -> None:
    """Print the tables."""
    rng = np.random.default_rng(0)
    print(f"members and controls, each:            {''.join(f'{n:>8,}' for n in SIZES)}")
    for limit in (0.005, 0.002, 0.001):
        print(f"no copy proves a share ≤ {limit:<5g} from {copies(limit):,} units of each arm")
    rows = {
        "smallest excess share of copies that shows": lambda n: detectable_difference(0.0, n, n),
        "smallest TPR at 1 % FPR that shows": lambda n: detectable_tpr(0.01, n, n),
        "smallest difference that shows, rate .5": lambda n: detectable_difference(0.5, n, n),
        "upper end of R on a null, rate .05": lambda n: excess_risk(n // 20, n, n // 20, n).high,
        "upper end of R on a null, rate .5": lambda n: excess_risk(n // 2, n, n // 2, n).high,
        "upper end of R on a null, rate .9": lambda n: excess_risk(n * 9 // 10, n, n * 9 // 10, n).high,
        "largest ε that the one-run audit can refute": lambda n: largest_bound(2 * n, 1e-6),
    }
    for what, value in rows.items():
        print(f"{what:<44}" + "".join(f"{value(n):8.3f}" for n in SIZES))
    for limit in (0.10, 0.03, 0.02):
        found = [calm_membership(n, limit, 0.01, rng) for n in SIZES]
        print(f"calm releases with max TPR@1% ≤ {limit:<12g}" + "".join(f"{rate:8.0%}" for rate in found))
    print(f"guesses of the one-run audit: {', '.join(f'{2 * n:,} coins {guesses(2 * n)}' for n in SIZES)}")
    print(
        "white-box audit: factor of too little noise that 200 and 1,000 pairs of fits refute; pairs to see an honest one"
    )
    for epsilon, mu in ((1, 0.20), (3, 0.58), (4, 0.77), (10, 1.69)):
        ratios = "  ".join(f"{detectable_ratio(mu, fits):5.2f}" for fits in (200, 1_000))
        print(f"  ε = {epsilon:<3} (μ = {mu:.2f}): {ratios}   {fits_needed(mu):6,}")


if __name__ == "__main__":
    main()
