"""What a benchmark aimed at and what it measured: one form for all of them, printed and written to .bench/NAME.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".bench"


def goal(
    name: str, ours: float, aim: float, better: Literal["lower", "higher"], peer: float | None = None
) -> dict[str, Any]:
    """One row: our figure, what was aimed at, which way is better, and the best peer's figure in the same run."""
    return {"name": name, "ours": float(ours), "goal": float(aim), "better": better, "peer": peer}


def reached(row: dict[str, Any]) -> bool:
    """Whether our figure is at least as good as what was aimed at."""
    ours, aim = row["ours"], row["goal"]
    return bool(ours <= aim if row["better"] == "lower" else ours >= aim)


def write(name: str, document: dict[str, Any], target: Path | None = None) -> None:
    """Write the document, whose "goals" are rows of `goal`, and print how each went."""
    place = target or FOLDER / f"{name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(document, indent=1), encoding="utf-8")
    shown = (
        place.relative_to(ROOT) if place.is_relative_to(ROOT) else place
    )  # output ends up in docs: no machine's paths
    for row in document["goals"]:
        peer = "" if row["peer"] is None else f", best peer {row['peer']:.4g}"
        print(
            f"  {'reached' if reached(row) else 'MISSED '}  {row['name']}: {row['ours']:.4g}"
            f" (goal: {row['goal']:.4g} or {row['better']}{peer})"
        )
    print(f"{sum(map(reached, document['goals']))} of {len(document['goals'])} goals reached; {shown}")
