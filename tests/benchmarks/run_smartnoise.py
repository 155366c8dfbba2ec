"""smartnoise-synth's generators on codes, in smartnoise's own environment; a subprocess of the benchmarks.

usage: run_smartnoise.py IN.npz OUT.npz (dpctgan | mst | aim) EPSILON DELTA

IN: names, sizes, codes. OUT: codes, epochs (dpctgan: how many it trained before its ε was spent).
Its own defaults (dpctgan: at most 300 epochs, batch 500, σ = 5, one-hot of every column). Every column is categorical, as text; which values there
are it reads off the rows, unaccounted (`preprocessor_eps=0.0`): the domain is public here, so that is no advantage.
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

OPTIONS = {"dpctgan": {"verbose": False, "cuda": False}, "mst": {}, "aim": {}}


def main():
    source, target, method, epsilon, delta = sys.argv[1:]
    with np.load(source, allow_pickle=False) as file:
        names, codes = [str(n) for n in file["names"]], file["codes"]
    frame = pd.DataFrame(codes.astype(str), columns=names).astype(object)
    synthesizer = Synthesizer.create(method, epsilon=float(epsilon), delta=float(delta), **OPTIONS[method])
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        synthesizer.fit(frame, categorical_columns=names, preprocessor_eps=0.0)
        rows = synthesizer.sample(len(frame))
    epochs = len(getattr(synthesizer, "loss_d_list", ()))
    np.savez(target, codes=rows[names].astype(int).to_numpy().astype(np.int32), epochs=epochs)


main()
