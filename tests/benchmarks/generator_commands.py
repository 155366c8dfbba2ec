"""Every generator of the comparison, ours and peers': how its process is started, and the version that its figures belong to."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

from coded_tables import PATIENTS, CodedTable
from peer_environments import PINS, NoPeer, python_of

from release.privacy.accounting import epsilon_of_rho, rho_for

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DELTA = 1e-9

CODED = ("independent", "mst", "aim", "auto", "wide")
RAW = {"auto raw": "auto", "mst raw": "mst"}
"""On the raw columns, the encoding inside the same ε; diabetes130 at patient level only. The name they have in the product."""
OURS = (*CODED, *RAW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A method of a peer library; `arguments` follow the files, with {epsilon}, {delta}, {rho} and {run} filled in."""

    library: str
    arguments: tuple[str, ...]


PEERS = {
    "mbi mst": Peer(library="mbi", arguments=("mst", "{rho}", "{run}")),
    "mbi mst-lean": Peer(library="mbi", arguments=("mst-lean", "{rho}", "{run}")),
    "mbi aim": Peer(library="mbi", arguments=("aim", "{rho}", "{run}", "30")),
    "dpmm mst": Peer(library="dpmm", arguments=("mst", "{epsilon}", "{delta}")),
    "dpmm priv-bayes": Peer(library="dpmm", arguments=("priv-bayes", "{epsilon}", "{delta}")),
    "dpmm priv-bayes-3": Peer(library="dpmm", arguments=("priv-bayes-3", "{epsilon}", "{delta}")),
    "smartnoise mst": Peer(library="smartnoise", arguments=("mst", "{epsilon}", "{delta}")),
    "dpmm aim": Peer(library="dpmm", arguments=("aim", "{epsilon}", "{delta}")),
    "smartnoise aim": Peer(library="smartnoise", arguments=("aim", "{epsilon}", "{delta}")),
}
"""In the order in which they run: what finishes first."""


def version(generator: str) -> str:
    """A peer's pin, or a digest of the source that a fit runs through: of raw columns, the encoding and the plan too."""
    if generator in PEERS:
        return PINS[PEERS[generator].library][0]
    digest = hashlib.sha256()
    # `auto` is `wide` above a number of attributes that stands in `aim`.
    method = RAW.get(generator, generator)
    family = ["fitter", *(("auto", "aim", "wide") if method == "auto" else (method,))]
    if generator in RAW:
        family += ["family", "groundwork", "model"]
    for path in sorted(
        [
            *(ROOT / "generators" / f"{name}.py" for name in family),
            *(ROOT / "generators" / "core").rglob("*.py"),
            *((ROOT / "generators" / "encoding").rglob("*.py") if generator in RAW else ()),
            ROOT / "release" / "privacy" / "noise.py",
        ]
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def command(generator: str, table: CodedTable, *, epsilon: float, run: int) -> list[str]:
    """The process, with {source} and {target} left open. Raises NoPeer where the peer's environment cannot be made, or there are no raw columns.

    Peers know no units of several rows: with k of them they get ρ / k², which makes the noise of their counts k times as large.
    """
    rho = rho_for(epsilon, DELTA)
    files = ["{source}", "{target}"]
    if generator in CODED:
        fit = [str(HERE / "run_ours.py"), *files, generator, repr(rho), str(table.rows_per_unit)]
        return [sys.executable, *fit]
    if generator in RAW:
        if table.units is not None and table.rows_per_unit == 1:
            raise NoPeer(
                f"{table.name} has units of several rows: its raw columns are fitted at patient level"
            )
        stored = "diabetes130" if table.name == PATIENTS else table.name
        fit = [str(HERE / "raw_tables.py"), "--fit", *files, stored, RAW[generator], repr(epsilon)]
        return [sys.executable, *fit]
    peer = PEERS[generator]
    if table.rows_per_unit > 1:
        rho /= table.rows_per_unit**2
        epsilon = epsilon_of_rho(rho, DELTA)
    filled = [
        argument.format(epsilon=repr(epsilon), delta=repr(DELTA), rho=repr(rho), run=run)
        for argument in peer.arguments
    ]
    return [str(python_of(peer.library)), str(HERE / f"run_{peer.library}.py"), *files, *filled]
