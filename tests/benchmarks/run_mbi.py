"""mbi's estimator under the MST and AIM recipes, in mbi's own environment; a subprocess of the benchmark and the oracle.

usage: run_mbi.py IN.npz OUT.npz (estimate ITERATIONS | mst RHO SEED | mst-lean RHO SEED | aim RHO SEED ROUNDS)

IN for `estimate`: names, sizes, and for each marginal k: clique_k, counts_k, sigma_k. For the recipes: names, sizes, codes.
The recipes are written here from the papers (2108.04978, 2201.12677); everything that estimates and samples is mbi's. `mst` does what the
library's own script of that name does: levels below 3 σ merged, 2,500 and 10,000 iterations, mbi's projection of every pair. `mst-lean` spares
mbi all that it can: 1,000 and 5,000 iterations, pairs as products of one-way marginals. `aim` has that library's defaults but for the rounds: pairs of
at most 10,000 cells, a tree of at most 80 MiB (with triples too, mbi compiles so many programs that mappings of memory run out).
"""

import itertools
import sys
import time

started = time.time()
import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_compilation_cache", False)
import mbi  # noqa: E402
import numpy as np  # noqa: E402


def measured(stored, names, k):
    clique = tuple(names[a] for a in stored[f"clique_{k}"])
    return mbi.LinearMeasurement(
        stored[f"counts_{k}"].reshape(-1).astype(float), clique, float(stored[f"sigma_{k}"])
    )


def estimate(stored, iterations):
    names = [str(n) for n in stored["names"]]
    domain = mbi.Domain(names, [int(s) for s in stored["sizes"]])
    several = [measured(stored, names, k) for k in range(sum(key.startswith("clique_") for key in stored))]
    model = mbi.estimation.MirrorDescent().estimate(domain, several, iters=iterations)
    return {
        f"marginal_{k}": np.asarray(model.project(m.clique).datavector()) for k, m in enumerate(several)
    } | {"total": float(model.total)}


class Recipe:
    def __init__(self, stored, rho, seed):
        self.names = [str(n) for n in stored["names"]]
        self.sizes = [int(s) for s in stored["sizes"]]
        self.codes = stored["codes"]
        self.domain = mbi.Domain(self.names, self.sizes)
        self.rng = np.random.default_rng(seed)
        self.rho = rho
        self.several = []
        self.rare = {}
        self.model = None

    def exact(self, clique):
        shape = [self.sizes[a] for a in clique]
        index = np.ravel_multi_index([self.codes[:, a] for a in clique], shape)
        return np.bincount(index, minlength=int(np.prod(shape))).astype(float)

    def measure(self, clique, sigma):
        noisy = self.exact(clique) + np.rint(
            self.rng.normal(0, sigma, int(np.prod([self.sizes[a] for a in clique])))
        )
        self.several.append(mbi.LinearMeasurement(noisy, tuple(self.names[a] for a in clique), sigma))

    def fit(self, iterations):
        self.model = mbi.estimation.MirrorDescent().estimate(
            self.domain, self.several, iters=iterations, warm_start=self.model
        )

    def choose(self, scores, epsilon, sensitivity=1.0):
        return int(
            np.argmax(epsilon * np.asarray(scores) / (2 * sensitivity) + self.rng.gumbel(size=len(scores)))
        )

    def expected(self, clique):
        return np.asarray(self.model.project(tuple(self.names[a] for a in clique)).datavector())

    def mst(self, *, lean):
        d = len(self.names)
        for a in range(d):
            self.measure((a,), np.sqrt(d / (2 * self.rho / 3)))
        self.merge_rare()
        self.fit(1000 if lean else 2500)
        pairs = list(itertools.combinations(range(d), 2))
        if lean:
            ones = [self.expected((a,)) for a in range(d)]
            total = float(self.model.total)
            guesses = [np.outer(ones[a], ones[b]).reshape(-1) / total for a, b in pairs]
        else:
            guesses = [self.expected(p) for p in pairs]
        errors = [np.abs(self.exact(p) - guess).sum() for p, guess in zip(pairs, guesses, strict=True)]
        component = list(range(d))
        epsilon = np.sqrt(8 * self.rho / 3 / (d - 1))
        for _ in range(d - 1):
            open_pairs = [k for k, (a, b) in enumerate(pairs) if component[a] != component[b]]
            k = open_pairs[self.choose([errors[k] for k in open_pairs], epsilon)]
            a, b = pairs[k]
            component = [component[a] if c == component[b] else c for c in component]
            self.measure((a, b), np.sqrt((d - 1) / (2 * self.rho / 3)))
        self.fit(5000 if lean else 10000)

    def merge_rare(self):
        """Levels whose noisy count is below 3 σ become one level, the last; what was measured of them, one sum of their noise."""
        for a, m in enumerate(self.several):
            noisy = np.asarray(m.noisy_measurement)
            common = noisy >= 3 * m.stddev
            if common.all():
                continue
            kept, rare = np.flatnonzero(common), np.flatnonzero(~common)
            code = np.full(len(noisy), len(kept))
            code[kept] = np.arange(len(kept))
            self.codes[:, a] = code[self.codes[:, a]]
            self.sizes[a] = len(kept) + 1
            self.rare[a] = kept, rare
            scale = np.append(np.ones(len(kept)), len(rare) ** -0.5)
            merged = np.append(noisy[kept], noisy[rare].sum()) * scale
            self.several[a] = mbi.LinearMeasurement(
                merged, m.clique, m.stddev, query=lambda mu, scale=scale: mu.datavector() * scale
            )
        self.domain = mbi.Domain(self.names, self.sizes)

    def aim(self, rounds):
        d = len(self.names)
        sigma = np.sqrt(rounds / (2 * 0.9 * self.rho))
        epsilon = np.sqrt(8 * 0.1 * self.rho / rounds)
        for a in range(d):
            self.measure((a,), sigma)
        spent = d / (2 * sigma**2)
        self.fit(1000)
        candidates = [c for k in (1, 2) for c in itertools.combinations(range(d), k)]
        cells = {c: int(np.prod([self.sizes[a] for a in c])) for c in candidates}
        exact = {c: self.exact(c) for c in candidates if cells[c] <= 10_000}
        while spent < self.rho * (1 - 1e-9):
            jax.clear_caches()  # each round compiles anew; what it keeps runs out of memory mappings before 30 of them
            left = self.rho - spent
            if left < 2 * (1 / (2 * sigma**2) + epsilon**2 / 8):
                sigma, epsilon = np.sqrt(1 / (2 * 0.9 * left)), np.sqrt(8 * 0.1 * left)
            spent += 1 / (2 * sigma**2) + epsilon**2 / 8
            model = [tuple(m.clique) for m in self.several]
            fits = [
                c
                for c in exact
                if mbi.junction_tree.hypothetical_model_size(
                    self.domain, [*model, tuple(self.names[a] for a in c)]
                )
                <= 80 * spent / self.rho
                or tuple(self.names[a] for a in c) in model
            ]
            noise = np.sqrt(2 / np.pi) * sigma
            scores = [len(c) * (np.abs(exact[c] - self.expected(c)).sum() - noise * cells[c]) for c in fits]
            chosen = fits[self.choose(scores, epsilon, 2.0)]
            before = self.expected(chosen)
            self.measure(chosen, sigma)
            self.fit(1000)
            if np.abs(self.expected(chosen) - before).sum() <= noise * cells[chosen]:
                sigma, epsilon = sigma / 2, epsilon * 2

    def rows(self):
        data = self.model.synthetic_data(len(self.codes)).to_dict()
        rows = np.stack([np.asarray(data[n]) for n in self.names], 1).astype(np.int32)
        for a, (kept, rare) in self.rare.items():
            merged = rows[:, a] == len(kept)
            back = np.append(kept, 0)[rows[:, a]]
            rows[:, a] = np.where(merged, self.rng.choice(rare, len(rows)), back)
        return rows


def main():
    source, target, what, *rest = sys.argv[1:]
    with np.load(source, allow_pickle=False) as file:
        stored = dict(file)
    if what == "estimate":
        result = estimate(stored, int(rest[0]))
    else:
        recipe = Recipe(stored, float(rest[0]), int(rest[1]))
        if what == "aim":
            recipe.aim(int(rest[2]))
        else:
            recipe.mst(lean={"mst": False, "mst-lean": True}[what])
        result = {"codes": recipe.rows()}
    np.savez(target, seconds=time.time() - started, **result)


main()
