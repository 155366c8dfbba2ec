"""A fitted baseline: draws rows, throws away what a condition excludes, keeps rows instead of weights.

Rules: everything that imports SDV is in `generators.baselines`. SDV saves models by pickle alone, so a saved baseline is `KEPT_ROWS` rows
that it drew, and a loaded one deals them in random order, none twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from generators.baseline_rows import FrameForm, meets
from release.canonical import canonical_bytes
from release.data.atomic import write_atomically
from release.data.schema import Schema
from release.data.table import Table, concatenate
from release.errors import FaultError, IntegrityError, PlanError
from release.records import Where

FORMAT = "sluicegate/baseline@1"

KEPT_ROWS = 100_000
"""Rows that a saved baseline keeps."""

MOST_DRAWN = 200
"""Under a condition at most this many rows are drawn for each one asked for, and `_LEAST_TRIES` at least."""

_LEAST_TRIES = 20_000
_BATCH = 50_000
"""Rows drawn at once: bounds the memory of the one-hot matrices."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BaselineModel:
    """A fitted baseline.

    Attributes:
        generator: registered name.
        form: of its frames.
        draw: `rows, rng` → a frame.
        keep: seed of the rows that a save keeps.
    """

    generator: str
    form: FrameForm
    draw: Callable[[int, np.random.Generator], Any]
    keep: int

    @property
    def published(self) -> tuple[tuple[str, ...], ...]:
        """Nothing: a baseline learns from the rows, not from marginals."""
        return ()

    def sample(self, n: int, rng: np.random.Generator, where: Where | None = None) -> Table:
        return _sampled(self._rows, self.form.schema, n, rng, where)

    def _rows(self, n: int, rng: np.random.Generator) -> Table:
        parts = [
            self.form.table(self.draw(min(_BATCH, n - start), rng)) for start in range(0, max(n, 1), _BATCH)
        ]
        return concatenate(parts) if len(parts) > 1 else parts[0]

    def save(self, directory: Path) -> None:
        _save(self.generator, self._rows(KEPT_ROWS, np.random.default_rng(self.keep)), directory)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptBaseline:
    """A loaded baseline: the rows it drew when it was saved."""

    generator: str
    rows: Table

    @property
    def published(self) -> tuple[tuple[str, ...], ...]:
        """Nothing, as `BaselineModel`."""
        return ()

    def sample(self, n: int, rng: np.random.Generator, where: Where | None = None) -> Table:
        rows = self.rows.take(np.flatnonzero(meets(self.rows, where))) if where else self.rows
        if not 0 <= n <= len(rows):
            raise PlanError(
                f"{n:,} rows were asked for; the saved {self.generator} kept {len(rows):,} "
                f"{'that meet the condition' if where else 'rows'}",
                mend="ask for fewer, or fit it again",
            )
        chosen = rows.take(rng.permutation(len(rows))[:n])
        return Table(chosen.schema, chosen.columns, np.arange(n, dtype=np.int64))

    def save(self, directory: Path) -> None:
        _save(self.generator, self.rows, directory)


def load_baseline(name: str, directory: Path) -> KeptBaseline:
    """What a baseline's `save` wrote. Raises IntegrityError."""
    from release.data.table_file import read_table_file

    try:
        document = json.loads((directory / "model.json").read_text(encoding="utf-8"))
        if document["format"] != FORMAT or document["generator"] != name:
            raise IntegrityError(f"{directory.name} is no saved {name}", mend="load it with what saved it")
        schema = Schema.model_validate_json(json.dumps(document["schema"]), strict=True)
        return KeptBaseline(generator=name, rows=read_table_file(directory / "rows.parquet", schema))
    except (OSError, KeyError, TypeError, ValueError, ValidationError, FaultError) as error:
        raise IntegrityError(
            f"the baseline in {directory.name} cannot be read ({type(error).__name__})",
            mend="restore it from its backup",
        ) from error


# ---------------------------------------------------------------------------------------------- inside


def _sampled(
    rows_of: Callable[[int, np.random.Generator], Table],
    schema: Schema,
    n: int,
    rng: np.random.Generator,
    where: Where | None,
) -> Table:
    """`n` rows, those that do not meet the condition thrown away."""
    if n < 0:
        raise PlanError(f"cannot sample {n} rows", mend="ask for 0 or more")
    if not where or n == 0:
        none = rows_of(max(n, 1), rng)
        meets(none, where or {})
        return none.take(np.arange(n))
    found: list[Table] = []
    drawn, kept, most = 0, 0, max(_LEAST_TRIES, MOST_DRAWN * n)
    while kept < n and drawn < most:
        share = max(kept, 1) / drawn if drawn else 1.0
        batch = rows_of(int(min(_BATCH, most - drawn, max(1_000, 1.2 * (n - kept) / share))), rng)
        part = batch.take(np.flatnonzero(meets(batch, where)))
        drawn, kept = drawn + len(batch), kept + len(part)
        found.append(part)
    if kept < n:
        raise PlanError(
            f"{kept:,} of {drawn:,} rows drawn meet the condition on {sorted(where)}, {n:,} were asked for",
            mend="widen it; a baseline can only throw rows away",
        )
    rows = concatenate(found).take(np.arange(n))
    return Table(schema, rows.columns, np.arange(n, dtype=np.int64))


def _save(generator: str, rows: Table, directory: Path) -> None:
    from release.data.table_file import write_table

    document = {"format": FORMAT, "generator": generator, "schema": rows.schema.model_dump(mode="json")}
    directory.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(directory, directory=True) as partial:
        (partial / "model.json").write_bytes(canonical_bytes(document))
        write_table(rows, partial / "rows.parquet")
