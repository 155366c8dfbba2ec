"""dpmm's generators on codes, in dpmm's own environment; a subprocess of the benchmark.

usage: run_dpmm.py IN.npz OUT.npz (mst | aim | priv-bayes | priv-bayes-3) EPSILON DELTA

Its own defaults (priv-bayes: a parent a column; priv-bayes-3: two), one process; the domain is public, so its binning is not used. OUT: codes.
"""

import sys

import numpy as np
import pandas as pd
from dpmm.models.aim import AIMGM
from dpmm.models.mst import MSTGM
from dpmm.models.priv_bayes import PrivBayesGM

MODELS = {
    "mst": (MSTGM, {}),
    "aim": (AIMGM, {}),
    "priv-bayes": (PrivBayesGM, {}),
    "priv-bayes-3": (PrivBayesGM, {"degree": 3}),
}


def main():
    source, target, method, epsilon, delta = sys.argv[1:]
    with np.load(source, allow_pickle=False) as file:
        names, sizes, codes = [str(n) for n in file["names"]], file["sizes"], file["codes"]
    frame = pd.DataFrame(codes, columns=names).astype(int)
    domain = dict(zip(names, map(int, sizes), strict=True))
    kind, options = MODELS[method]
    model = kind(epsilon=float(epsilon), delta=float(delta), domain=domain, n_jobs=1, **options)
    model.set_domain(domain)
    model.set_random_state(np.random.RandomState())
    model.check_fit(frame)
    model.fit(frame)
    rows = model.generate(n_records=len(frame))
    np.savez(target, codes=rows[names].to_numpy().astype(np.int32))


main()
