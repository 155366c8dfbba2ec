"""The demo: the main job on a packaged real table, every step a command line that is shown and then run.

One release goes all the way: proposed, run, approved by two people, exported, verified as its partner would. Two must
not leave: a plan whose ε is above the tier, refused before anything is charged, and a "synthetic" table that is a copy of real
rows, which the attacks find out. Nothing is arranged: noise and split are drawn anew each time, so now and then a candidate misses a
limit; then a further turn is made, and charged, as anybody would have to.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from app.main import run

HERE = Path(__file__).parent / "demo_data"
ROOT = Path(".demo")
MOST_TURNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tale:
    """One packaged table and what is asked of it.

    Attributes:
        dataset: name in its schema.
        file: the packaged file.
        population: whose ledger.
        policy: the tier.
        partner: for whom.
        target: what the partner will predict.
        epsilon: ε of one run: the tier's own limit.
        too_much: an ε above it.
        cap: lifetime ε.
    """

    dataset: str
    file: str
    population: str
    policy: str
    partner: str
    target: str
    epsilon: str
    too_much: str
    cap: str = "12"


TALES: dict[str, Tale] = {
    "meps": Tale(
        dataset="meps",
        file="meps-drug-expense.csv.gz",
        population="meps-2003",
        policy="partner-healthcare",
        partner="clinic-b",
        target="insurance",
        epsilon="3",
        too_much="8",
    ),
    "lending-club": Tale(
        dataset="lending-club",
        file="lending-club.csv.gz",
        population="lending-club-2016q1",
        policy="partner-finance",
        partner="bank-b",
        target="int_rate",  # 5 % bad loans leave about 100 held out: too few to show a loss of AUC below .10
        epsilon="4",
        too_much="9",
    ),
}

ATTACK_OF_RULE = {
    "exact-copies": "copies",
    "partial-copies": "copies",
    "membership": "membership",
    "membership-vulnerable": "membership",
    "singling-out": "singling_out",
    "singling-out-alarm": "singling_out",
    "singling-out-reach": "singling_out",
    "linkability": "linkability",
    "inference": "inference",
    "inference-alarm": "inference",
    "qi-linkage": "qi_linkage",
    "subgroup-alarm": "qi_linkage",
}
"""Which attack stands behind which rule of the built-in tiers."""


class DemoFailedError(Exception):
    """A step did not end as it should; its own message was printed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns 0 where all went as told."""
    parser = argparse.ArgumentParser(prog="python -m app.demo", description=__doc__)
    parser.add_argument("--data", choices=sorted(TALES), default="meps", help="health or finance")
    chosen = parser.parse_args(arguments)
    return play(TALES[chosen.data], ROOT)


def play(tale: Tale, root: Path) -> int:
    """Tell one tale in `root`, afresh. Returns an exit code."""
    started = time.monotonic()
    try:
        _afresh(root)
        bundle = _honest(tale, root)
        _too_much(tale, root)
        found = _copy(tale, root)
    except DemoFailedError as error:
        _say(f"the demo stopped: {error}")
        return 1
    seconds = time.monotonic() - started
    _say(
        f"Done in {seconds / 60:.1f} minutes.",
        f"bundle     {bundle}",
        f"verified   accepted with {root / 'trust.json'}",
        f"refused    ε = {tale.too_much} above {tale.policy}, uncharged; a copy of real rows, broken by {', '.join(found)}",
        "look       make app      (the review app on what this left)",
    )
    return 0


def _honest(tale: Tale, root: Path) -> Path:
    """The release that may leave: from the file to the verified bundle."""
    data = HERE / tale.dataset
    _say(
        "1  A workspace with six people in it, a real table, and a lifetime budget for the people in the table."
    )
    _step(f"sluice init {root / 'workspace'} --demo --issuer 'Demo Hospital'", root)
    _step(f"sluice dataset add {data / tale.file} --schema {data / 'schema.yaml'} --as ana", root)
    _step(f"sluice budget set {tale.population} --epsilon {tale.cap} --as finn", root)
    _say("2  Ana asks for a release. The plan and its cost are known before any row is read.")
    release = f"{tale.dataset}-1"
    _step(
        f"sluice release propose {tale.dataset} --epsilon {tale.epsilon} --policy {tale.policy} --partner {tale.partner}"
        f" --target {tale.target} --rows 10000 --answers {data / 'answers.yaml'} --as ana",
        root,
    )
    _say("3  Run it: charge, split, generate, attack, measure, judge. A minute or two.")
    _until_met(release, root)
    _say("4  Two other people approve; a third exports.")
    _step(f"sluice release approve {release} --as ben", root)
    _step(f"sluice release approve {release} --as cleo", root)
    _step(f"sluice release export {release} --to {root / 'bundle'} --as emil", root)
    _say("5  The partner checks it, offline, with the trust file got beforehand.")
    _step(f"sluice release trust {tale.partner} --to {root / 'trust.json'}", root)
    bundle = root / "bundle" / release
    _step(f"sluice verify {bundle} --trust {root / 'trust.json'}", root)
    return bundle


def _until_met(release: str, root: Path) -> None:
    for turn in range(1, MOST_TURNS + 1):
        code = _step(
            f"sluice release run {release}{' --new-turn' if turn > 1 else ''} --as ana", root, (0, 1, 3)
        )
        if code == 0:
            return
        _say(
            f"Turn {turn} missed a limit; that can happen, as every turn draws new noise. What it cost stays charged."
        )
    raise DemoFailedError(f"{MOST_TURNS} turns missed a limit; sluice release show {release} says which")


def _too_much(tale: Tale, root: Path) -> None:
    _say(f"6  One that must not: ε = {tale.too_much} is above the tier. Refused, and nothing is charged.")
    _step(
        f"sluice release propose {tale.dataset} --epsilon {tale.too_much} --policy {tale.policy} --partner {tale.partner}"
        f" --target {tale.target} --as ana",
        root,
        (1,),
    )
    _step("sluice budget", root)


def _copy(tale: Tale, root: Path) -> list[str]:
    """A "synthetic" table from elsewhere that is really a copy: what the attacks make of it."""
    _say(
        '7  Another that must not: somebody\'s "synthetic" table that is a copy of real rows. No ε is claimed, and the',
        "   attacks do not need one: they compare it with rows that its maker had and rows that it had not.",
    )
    folder = root / "copy"
    _write_copy(HERE / tale.dataset / tale.file, folder)
    _step(
        f"sluice evaluate --members {folder / 'members.csv'} --controls {folder / 'controls.csv'}"
        f" --synthetic {folder / 'vendor.csv'} --schema {HERE / tale.dataset / 'schema.yaml'}"
        f" --policy {tale.policy} --target {tale.target} --out {folder / 'evidence.json'}",
        root,
        (1,),
    )
    verdict = json.loads((folder / "evidence.json").read_text(encoding="utf-8"))["verdict"]
    broken = [finding["rule"] for finding in verdict["findings"] if finding["ruling"] == "broken"]
    attacks = sorted({ATTACK_OF_RULE[rule] for rule in broken if rule in ATTACK_OF_RULE})
    if len(attacks) < 2:
        raise DemoFailedError(f"only {attacks} found the copy out")
    _say(f"   The copy is broken by {', '.join(attacks)}.")
    return attacks


def _write_copy(source: Path, folder: Path) -> None:
    """Every other real row is a member, the rest controls; the vendor's table is the members in another order."""
    header, *rows = gzip.decompress(source.read_bytes()).decode("utf-8").splitlines()
    members, controls = rows[0::2], rows[1::2]
    folder.mkdir(parents=True)
    for name, lines in (("members", members), ("controls", controls), ("vendor", sorted(members))):
        (folder / f"{name}.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def _afresh(root: Path) -> None:
    """Clear what an earlier demo left, and nothing that is not a demo's."""
    if root.exists():
        strangers = {path.name for path in root.iterdir()} - {"workspace", "bundle", "trust.json", "copy"}
        settings = root / "workspace" / "workspace.yaml"
        if strangers or (settings.is_file() and "demo: true" not in settings.read_text(encoding="utf-8")):
            _stop(f"{root} holds something else than an earlier demo; move it away")
        shutil.rmtree(root)
    root.mkdir(mode=0o700)


def _step(line: str, root: Path, codes: Sequence[int] = (0,)) -> int:
    """Show a command line and run it in this process, on the demo's workspace."""
    print(f"\n$ {line}", flush=True)
    words = shlex.split(line)[1:]
    if words[0] not in {"init", "verify", "evaluate"}:
        words += ["--workspace", str(root / "workspace")]
    code = run(words)
    if code == 130:
        raise KeyboardInterrupt
    if code not in codes:
        raise DemoFailedError(f"exit code {code} from: {line}")
    return code


def _say(*lines: str) -> None:
    print("\n" + "\n".join(lines), flush=True)


def _stop(message: str) -> NoReturn:
    raise DemoFailedError(message)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
