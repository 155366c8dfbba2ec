"""The table of the comparison and its goals, from the rows that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from operator import itemgetter
from typing import Any

import numpy as np
from generator_commands import OURS, PEERS
from goals import goal

Row = dict[str, Any]

QUALITY = {"two": "lower", "three": "lower", "auc": "higher"}
"""The scores that are compared, and which way is better."""
FIGURES = ("one", "two", "three", "auc", "cpu_seconds", "seconds", "peak_mib")
AIMS = {
    ("adult", 1.0, "auto"): {"two": 0.029, "three": 0.070, "auc": 0.899},
    ("adult", 10.0, "auto"): {"two": 0.017, "auc": 0.906},
    ("credit-default", 1.0, "auto"): {"two": 0.105, "auc": 0.735},
    ("adult", 1.0, "auto raw"): {"two": 0.035, "auc": 0.89},
}
ADULT_10_SECONDS = 40.0
DIABETES_SECONDS = 300.0
MEMORY_MIB = 1024.0
SAMPLING_SECONDS = 3.0
COUNTING_RATIO = 3.0
MILLION_RATIO = 1.5
RATIOS = {"mbi mst / mst": 50.0, "mbi aim / aim": 40.0, "mbi aim / auto": 40.0}
BEYOND_NOISE = 2.0
"""Standard errors of a difference that count as noise."""
ENOUGH_RUNS = 3
"""Of both, for a standard error to mean something."""


def cells(rows: Sequence[Row]) -> list[Row]:
    """One row for each table, ε and generator: means over the runs of its newest version, their deviation, how many, when, on what load.

    Ours of older code than the newest that was measured anywhere are left out: a table is of one code.
    """
    groups: dict[tuple[str, float, str], list[Row]] = {}
    newest_code = {row["generator"]: row["version"] for row in rows if row["table"] != "speeds"}
    for row in rows:
        ours = row["generator"] in OURS
        if row["table"] != "speeds" and not (ours and row["version"] != newest_code[row["generator"]]):
            groups.setdefault((row["table"], row["epsilon"], row["generator"]), []).append(row)
    found = []
    for (table, epsilon, generator), several in sorted(groups.items(), key=_place):
        newest = {r["run"]: r for r in several if r["version"] == several[-1]["version"]}.values()
        good = [r for r in newest if "failed" not in r]
        runs = sum(r.get("mean_of", 1) for r in good)
        cell = {"table": table, "epsilon": epsilon, "generator": generator, "runs": runs}
        cell |= {"version": several[-1]["version"], "measured": max(r["measured"] for r in newest)}
        cell["load"] = max(r["load"] for r in newest)
        if good:
            cell |= {key: float(np.mean([r[key] for r in good])) for key in FIGURES if key in good[0]}
            cell |= {
                f"{key}_sd": float(np.std([r[key] for r in good], ddof=1)) for key in QUALITY if len(good) > 1
            }
            if len(good) == 1 and "auc_sd" in good[0]:
                cell["auc_sd"] = good[0]["auc_sd"]
        else:
            cell["failed"] = several[-1]["failed"]
        found.append(cell)
    return found


def _place(group: tuple[tuple[str, float, str], list[Row]]) -> tuple[str, float, int]:
    (table, epsilon, generator), _ = group
    order = ["real", *OURS, *PEERS]
    return table, epsilon, order.index(generator) if generator in order else len(order)


def lines(found: Sequence[Row]) -> list[str]:
    """The table as text. `<` marks a peer's figure that is better than `auto`'s in the same place."""
    text = []
    for table in dict.fromkeys(c["table"] for c in found):
        text += ["", f"{table:<27}{'1-way':>8}{'2-way':>9}{'3-way':>9}{'AUC':>9}{'±':>7}"]
        text[-1] += f"{'cpu s':>8}{'wall s':>8}{'MiB':>7}{'runs':>6}  measured (load)"
        for cell in (c for c in found if c["table"] == table):
            where = "" if cell["generator"] == "real" else f"ε = {cell['epsilon']:g}"
            label = f"  {where:<9}{cell['generator']:<16}"
            if "failed" in cell:
                text.append(f"{label}{cell['failed']}  {cell['measured'][:16]} ({cell['load']:.1f})")
                continue
            ahead = {key for key in QUALITY if _is_ahead(found, cell, key)}
            line = f"{label}{cell['one']:>8.4f}"
            line += "".join(f"{cell[k]:>8.4f}{'<' if k in ahead else ' '}" for k in QUALITY)
            line += f"{cell['auc_sd']:>7.4f}" if "auc_sd" in cell else f"{'':>7}"
            if "cpu_seconds" in cell:
                wall = f"{cell['seconds']:>8.1f}" if "seconds" in cell else " " * 8
                line += f"{cell['cpu_seconds']:>8.1f}{wall}{cell['peak_mib']:>7.0f}"
            else:
                line += " " * 23
            text.append(f"{line}{cell['runs']:>6}  {cell['measured'][:16]} ({cell['load']:.1f})")
    return text


def markdown(found: Sequence[Row]) -> list[str]:
    """The table for a page. Bold is what is better than every other generator's in the same place."""
    text = []
    for table in dict.fromkeys(c["table"] for c in found):
        text += ["", f"| {table}, ε | | 1-way | 2-way | 3-way | AUC | ± | s | MiB | runs | day, load |"]
        text.append("|---|---|---|---|---|---|---|---|---|---|---|")
        here = [c for c in found if c["table"] == table]
        for cell in here:
            where = "" if cell["generator"] == "real" else f"{cell['epsilon']:g}"
            line = f"| {where} | {cell['generator']} |"
            when = f"{cell['measured'][5:10]}, {cell['load']:.0f} |"
            if "failed" in cell:
                text.append(f"{line} {cell['failed']} | | | | | | | | {when}")
                continue
            rivals = [c for c in here if c["epsilon"] == cell["epsilon"] and "failed" not in c]
            line += f" {cell['one']:.4f} |"
            for key, better in QUALITY.items():
                best = (min if better == "lower" else max)(c[key] for c in rivals)
                line += (
                    f" **{cell[key]:.4f}** |"
                    if cell[key] == best and len(rivals) > 1
                    else f" {cell[key]:.4f} |"
                )
            line += f" {cell['auc_sd']:.4f} |" if "auc_sd" in cell else " |"
            line += (
                f" {cell['cpu_seconds']:.1f} | {cell['peak_mib']:.0f} |" if "cpu_seconds" in cell else " | |"
            )
            text.append(f"{line} {cell['runs']} | {when}")
    return text


def _at(found: Sequence[Row], table: str, epsilon: float, generator: str) -> Row | None:
    here = (table, epsilon, generator)
    return next(
        (
            c
            for c in found
            if (c["table"], c["epsilon"], c["generator"]) == here and "failed" not in c and "two" in c
        ),
        None,
    )


def _is_ahead(found: Sequence[Row], cell: Row, key: str) -> bool:
    """Whether a peer's figure is better than that of `auto`."""
    auto = _at(found, cell["table"], cell["epsilon"], "auto")
    if auto is None or cell["generator"] not in PEERS:
        return False
    return bool(cell[key] < auto[key] if QUALITY[key] == "lower" else cell[key] > auto[key])


def _best_peer(found: Sequence[Row], table: str, epsilon: float, key: str) -> float | None:
    peers = [p for label in PEERS if (p := _at(found, table, epsilon, label))]
    best = min if QUALITY[key] == "lower" else max
    return best(p[key] for p in peers) if peers else None


def goals(found: Sequence[Row], rows: Sequence[Row]) -> list[Row]:
    """One row for each thing that was aimed at and measured."""
    return [
        *_quality(found),
        *_against_peers(found),
        *_default_is_best(found),
        *_resources(found),
        *_speeds(rows),
    ]


def _quality(found: Sequence[Row]) -> list[Row]:
    made = []
    for (table, epsilon, generator), aims in AIMS.items():
        if cell := _at(found, table, epsilon, generator):
            for key, aim in aims.items():
                peer = _best_peer(found, table, epsilon, key)
                name = f"{table} ε = {epsilon:g} {generator} {key}, mean of {cell['runs']}"
                made.append(goal(name, cell[key], aim, QUALITY[key], peer))
    return made


def _against_peers(found: Sequence[Row]) -> list[Row]:
    """`auto` against the best peer and `mst` against mbi's, score by score; and in how many of all the places `auto` is ahead."""
    made, ahead = [], []
    for table, epsilon in sorted({(c["table"], c["epsilon"]) for c in found if c["epsilon"]}):
        auto = _at(found, table, epsilon, "auto")
        mst = _at(found, table, epsilon, "mst")
        mbi = [c for name in ("mbi mst", "mbi mst-lean") if (c := _at(found, table, epsilon, name))]
        for key, better in QUALITY.items():
            peer = _best_peer(found, table, epsilon, key)
            if auto and peer is not None:
                ahead.append(auto[key] <= peer if better == "lower" else auto[key] >= peer)
            if mst and mbi:
                told = [c for c in mbi if c["runs"] >= ENOUGH_RUNS and "auc_sd" in c] if key == "auc" else []
                best = (min if better == "lower" else max)(told or mbi, key=itemgetter(key))
                made.append(_mst_against_mbi(f"{table} ε = {epsilon:g}", mst, best, key))
    if ahead:
        made.append(
            goal(
                "places (table, ε, score) where auto is ahead of every peer that finished",
                sum(ahead),
                len(ahead),
                "higher",
            )
        )
    return made


def _mst_against_mbi(place: str, mst: Row, mbi: Row, key: str) -> Row:
    """Distances by their means. AUC, whose runs differ by more than the methods do, by standard errors where both have runs enough."""
    name = f"{place} mst {key} against mbi's MST"
    if key != "auc" or min(mst["runs"], mbi["runs"]) < ENOUGH_RUNS or "auc_sd" not in mbi:
        return goal(name, mst[key], mbi[key], QUALITY[key], mbi[key])
    error = np.sqrt(sum(c[f"{key}_sd"] ** 2 / c["runs"] for c in (mst, mbi)))
    behind = (mbi[key] - mst[key]) / max(float(error), 1e-12)
    name += f" ({mst[key]:.4f} ours, {mbi[key]:.4f} theirs), standard errors behind"
    return goal(name, behind, BEYOND_NOISE, "lower")


def _default_is_best(found: Sequence[Row]) -> list[Row]:
    """How far `auto` is behind the better of `mst` and `aim`, in standard errors of the difference, where it is furthest behind."""
    worst = {}
    for (table, epsilon), (key, better) in product(
        sorted({(c["table"], c["epsilon"]) for c in found if c["epsilon"]}), QUALITY.items()
    ):
        three = [_at(found, table, epsilon, name) for name in ("auto", "mst", "aim")]
        if any(c is None or c["runs"] < 2 for c in three):
            continue
        auto, *others = three
        sign = 1.0 if better == "lower" else -1.0
        other = min(others, key=lambda c: sign * c[key])
        error = np.sqrt(sum(c[f"{key}_sd"] ** 2 / c["runs"] for c in (auto, other)))
        behind = sign * (auto[key] - other[key]) / max(error, 1e-12)
        if key not in worst or behind > worst[key][0]:
            worst[key] = behind, f"{table} ε = {epsilon:g}"
    return [
        goal(
            f"auto behind the better of mst and aim in {key}, standard errors, worst place ({place})",
            value,
            BEYOND_NOISE,
            "lower",
        )
        for key, (value, place) in worst.items()
    ]


def _resources(found: Sequence[Row]) -> list[Row]:
    made = []
    ours = [c for c in found if c["generator"] in OURS and "peak_mib" in c]
    if ours:
        most = max(ours, key=lambda c: c["peak_mib"])
        name = f"peak memory of a fit, MiB, the largest ({most['table']} ε = {most['epsilon']:g} {most['generator']})"
        peers = [c["peak_mib"] for c in found if c["generator"] in PEERS and "peak_mib" in c]
        made.append(goal(name, most["peak_mib"], MEMORY_MIB, "lower", min(peers, default=None)))
    for table, epsilon, aim, several in (
        ("adult", 10.0, ADULT_10_SECONDS, ("aim", "auto")),
        ("diabetes130", 1.0, DIABETES_SECONDS, ("aim", "auto")),
    ):
        for generator in several:
            if cell := _at(found, table, epsilon, generator):
                name = f"{table} ε = {epsilon:g} {generator}, processor seconds"
                made.append(goal(name, cell["cpu_seconds"], aim, "lower"))
    return made


def _speeds(rows: Sequence[Row]) -> list[Row]:
    newest = {r["generator"]: r for r in rows if r["table"] == "speeds" and "failed" not in r}
    made = []
    if counting := newest.get("counting"):
        for what in ("", ", processor"):
            peer = min(counting[f"{name}{what}"] for name in ("numpy", "polars", "duckdb"))
            aim = peer / COUNTING_RATIO
            made.append(goal(f"105 pairs of 10M rows, s{what}", counting[f"ours{what}"], aim, "lower", peer))
    if sampling := newest.get("sampling"):
        made.append(goal("sampling 1M x 15, s", sampling["ours"], SAMPLING_SECONDS, "lower"))
    if million := newest.get("million"):
        for label in ("mst", "auto, same noise", "auto"):
            aim = MILLION_RATIO * million[label]["few"] + million["counting"]
            name = f"{label} on 1M rows of Adult, processor seconds of the fit"
            made.append(goal(name, million[label]["many"], aim, "lower"))
    for speed in ("mst ratio", "aim ratio"):
        for pair, aim in RATIOS.items():
            if pair in newest.get(speed, {}):
                name = f"{pair} on Adult, ratio of processor seconds of whole processes"
                if pair.split(" / ")[0] in newest[speed].get("unfinished", ()):
                    name += ", at least: the peer was stopped"
                made.append(goal(name, newest[speed][pair], aim, "higher"))
    return made
