"""smartnoise-synth's generators on codes, in smartnoise's own environment; a subprocess of the benchmarks.

usage: run_smartnoise.py IN.npz OUT.npz (dpctgan | dpctgan-EPOCHS | mst | aim) EPSILON DELTA

IN: names, sizes, codes. OUT: codes, epochs (dpctgan: how many it trained before its ε was spent).
Its own defaults (dpctgan: at most 300 epochs, batch 500, σ = 5, one-hot of every column). With them it trains 10 to 26 epochs at ε = 1, and at ε = 3 and 10
so many that a fit takes hours; `dpctgan-20` trains 20 epochs with the σ that spends ε in them by its own accountant: less noise a step. Every column
is categorical, as text; which values there are it reads off the rows, unaccounted (`preprocessor_eps=0.0`): the domain is public here, so that is no
advantage.
"""

import contextlib
import io
import sys
import warnings

import numpy as np
import pandas as pd

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from snsynth import Synthesizer

BATCH = 500
OPTIONS = {"dpctgan": {"verbose": False, "cuda": False}, "mst": {}, "aim": {}}


def sigma_for(rows, epochs, epsilon, delta):
    """The σ with which so many epochs spend ε; two counted steps a batch, orders of Rényi divergence as `DPCTGAN` has them."""
    from opacus.privacy_analysis import compute_rdp, get_privacy_spent

    orders = [1 + x / 10.0 for x in range(1, 100)] + list(range(12, 64))
    low, high = 0.3, 50.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        spent = get_privacy_spent(
            orders, compute_rdp(BATCH / rows, middle, 2 * (rows // BATCH) * epochs, orders), delta
        )[0]
        low, high = (middle, high) if spent > epsilon else (low, middle)
    return high


def main():
    source, target, method, epsilon, delta = sys.argv[1:]
    with np.load(source, allow_pickle=False) as file:
        names, codes = [str(n) for n in file["names"]], file["codes"]
    frame = pd.DataFrame(codes.astype(str), columns=names).astype(object)
    name, _, epochs = method.partition("-")
    options = dict(OPTIONS[name])
    if epochs:
        sigma = sigma_for(len(frame), int(epochs), float(epsilon), float(delta))
        options |= {"epochs": int(epochs), "sigma": sigma}
    synthesizer = Synthesizer.create(name, epsilon=float(epsilon), delta=float(delta), **options)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        synthesizer.fit(frame, categorical_columns=names, preprocessor_eps=0.0)
        rows = synthesizer.sample(len(frame))
    epochs = len(getattr(synthesizer, "loss_d_list", ()))
    np.savez(target, codes=rows[names].astype(int).to_numpy().astype(np.int32), epochs=epochs)


main()
