"""SDV's GaussianCopula, CTGAN and TVAE as non-private baselines: the price of privacy, and positive controls of attacks.

Rules: ε = ∞. `private` is False and `Plan.cost` is None, which the registry takes under `purpose: baseline` only and the exporter never.
SDV is under the Business Source Licence 1.1 and is imported here, when a baseline runs, and nowhere else in `generators`.

What SDV cannot do: constraints other than `increment` are not kept (the plan lists them, the quality probe `rules` counts the
violations); `where` is rejection, bounded; rows of one unit are learnt as if they were independent; models are kept as rows
(`generators.baseline_model`).
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from generators.baseline_model import BaselineModel, KeptBaseline, load_baseline
from generators.baseline_rows import FrameForm
from release.data.constraints import describe
from release.data.schema import ColumnKind, Increment, Schema
from release.data.table import Table, require_read_under
from release.errors import InputError, PlanError
from release.protocols import NoiseSource, Progress, no_progress
from release.records import Budget, Task

_MOST_CELLS = 4 * 10**8
"""Rows × one-hot columns that a network may be trained on: 3 GiB of float64."""

_LEAST_ROWS = 2

_TABLE = "rows"
"""SDV speaks of named tables."""

_MODES = 10
"""A number takes at most this many one-hot columns and one more (CTGAN's mode-specific normalisation)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A number that may be set: its default is SDV's. `many`: a list of whole numbers (widths of layers)."""

    default: Any
    low: float = 1
    high: float = 100_000
    whole: bool = True
    many: bool = False

    def parse(self, name: str, value: Any) -> Any:
        """The value as SDV takes it. Raises PlanError."""
        numbers = value if self.many and isinstance(value, list | tuple) else [value]
        fits = bool(numbers) and self.many == isinstance(value, list | tuple)
        for number in numbers:
            fits &= isinstance(number, int if self.whole else int | float) and not isinstance(number, bool)
            fits = fits and math.isfinite(number) and self.low <= number <= self.high
        if not fits:
            kind = ("whole " if self.whole else "") + ("numbers" if self.many else "number")
            raise PlanError(
                f"option {name} is {value!r}, not {'a list of ' if self.many else 'a '}{kind} "
                f"from {self.low:g} to {self.high:g}",
                mend="change it",
            )
        return tuple(numbers) if self.many else value


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselinePlan:
    """A configured baseline. No data has been read.

    Attributes:
        baseline: which.
        schema: of the tables it will be given.
        options: as SDV takes them; all of them, defaults included.
    """

    baseline: NonPrivateBaseline
    schema: Schema
    options: Mapping[str, Any]

    @property
    def cost(self) -> None:
        """ε = ∞: there is no cost to state, and nothing that could be charged."""
        return

    def describe(self) -> dict[str, Any]:
        kept = [describe(c) for c in self.schema.constraints if isinstance(c, Increment)]
        return {
            "generator": self.baseline.name,
            "version": metadata.version("sluicegate"),
            "sdv": metadata.version("sdv"),
            "epsilon": "infinite",
            "options": {key: list(v) if isinstance(v, tuple) else v for key, v in self.options.items()},
            "constraints_kept": kept,
            "constraints_not_kept": [d for d in map(describe, self.schema.constraints) if d not in kept],
        }

    def run(self, table: Table, noise: NoiseSource, progress: Progress = no_progress) -> BaselineModel:
        """Fit. Raises InputError for a table of another schema, fewer than two rows, too wide for a network, or that SDV refuses."""
        require_read_under(self.schema, table)
        if len(table) < _LEAST_ROWS:
            raise InputError(
                f"{self.baseline.name} cannot learn from {len(table)} rows, at least {_LEAST_ROWS} are needed",
                mend="give it more",
            )
        rng = noise.generator()
        form = FrameForm.of(table)
        frame = form.frame(table, rng)
        if self.baseline.network:
            width = sum(frame[name].nunique() if name in form.texts else _MODES + 1 for name in frame)
            if width * len(frame) > _MOST_CELLS:
                raise InputError(
                    f"{self.baseline.name} would need {width:,} one-hot columns for {len(frame):,} rows; "
                    f"{_MOST_CELLS // len(frame):,} fit into memory",
                    mend="use sdv-gaussian-copula",
                )
        epochs = self.options.get("epochs")
        progress(0.0, f"fitting {self.baseline.name}" + (f", {epochs:,} epochs" if epochs else ""))
        synthesizer = _synthesizer(self.baseline, form, frame, self.options)
        try:
            with _states(rng), _epochs(self.baseline.name, epochs, progress):
                synthesizer.fit({_TABLE: frame})
        except Exception as error:  # SDV, copulas, rdt and ctgan raise what they like
            raise InputError(
                f"SDV could not fit {self.baseline.name} to this table ({type(error).__name__})",
                mend="choose another baseline",
            ) from error
        progress(1.0, f"{self.baseline.name} fitted")

        def draw(rows: int, rng: np.random.Generator) -> Any:
            synthesizer.reset_sampling()
            synthesizer._set_random_state(int(rng.integers(2**31)))
            with _states(rng):
                return synthesizer.sample(rows)[_TABLE]

        return BaselineModel(
            generator=self.baseline.name, form=form, draw=draw, keep=int(rng.integers(2**63))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NonPrivateBaseline:
    """One of SDV's synthesizers, as it stands in the registry: never exportable.

    Attributes:
        name: as on the command line.
        summary: one line.
        synthesizer: the class's name in `sdv.single_table`.
        network: whether it trains a network (and says how far it is).
        options: what may be set.
    """

    name: str
    summary: str
    synthesizer: str
    network: bool
    options: Mapping[str, Option]

    @property
    def private(self) -> bool:
        return False

    def plan(
        self,
        schema: Schema,
        budget: Budget,  # noqa: ARG002 - ε = ∞, whatever is asked
        task: Task | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> BaselinePlan:
        given = dict(options or {})
        if unknown := sorted(set(given) - set(self.options)):
            raise PlanError(
                f"{self.name} has no option {unknown}; it has {sorted(self.options)}", mend="remove it"
            )
        text = [spec.name for spec in schema.released if spec.kind is ColumnKind.TEXT]
        if text:
            raise PlanError(
                f"{text} hold free text, which no generator here can make", mend="drop these columns"
            )
        released = [spec.name for spec in schema.released]
        if task is not None and task.target not in released:
            raise PlanError(
                f'the task\'s target "{task.target}" is not a released column of {released}',
                mend="name another",
            )
        parsed = {
            name: option.parse(name, given[name]) if name in given else option.default
            for name, option in self.options.items()
        }
        pack = parsed.get("pac", 1)
        if "batch_size" in parsed and (parsed["batch_size"] % 2 or parsed["batch_size"] % pack):
            raise PlanError(
                f"batch_size {parsed['batch_size']} is not an even multiple of pac {pack}", mend="change it"
            )
        return BaselinePlan(baseline=self, schema=schema, options=parsed)

    def load(self, directory: Path) -> KeptBaseline:
        return load_baseline(self.name, directory)


_NETWORK = {
    "epochs": Option(default=300),
    "batch_size": Option(default=500, low=2),
    "embedding_dim": Option(default=128, high=4096),
}

BASELINES: tuple[NonPrivateBaseline, ...] = (
    NonPrivateBaseline(
        name="sdv-gaussian-copula",
        summary="price of privacy, in seconds: SDV's GaussianCopula (Business Source Licence); pairwise relations; keeps no rules",
        synthesizer="GaussianCopulaSynthesizer",
        network=False,
        options={},
    ),
    NonPrivateBaseline(
        name="sdv-ctgan",
        summary="price of privacy, a network's: SDV's CTGAN (Business Source Licence); minutes to an hour; keeps no rules",
        synthesizer="CTGANSynthesizer",
        network=True,
        options={
            **_NETWORK,
            "generator_dim": Option(default=(256, 256), high=4096, many=True),
            "discriminator_dim": Option(default=(256, 256), high=4096, many=True),
            "generator_lr": Option(default=2e-4, low=1e-6, high=0.1, whole=False),
            "discriminator_lr": Option(default=2e-4, low=1e-6, high=0.1, whole=False),
            "discriminator_steps": Option(default=1, high=100),
            "pac": Option(default=10, high=100),
        },
    ),
    NonPrivateBaseline(
        name="sdv-tvae",
        summary="positive control, memorises small tables: SDV's TVAE (Business Source Licence); minutes; keeps no rules",
        synthesizer="TVAESynthesizer",
        network=True,
        options={
            **_NETWORK,
            "compress_dims": Option(default=(128, 128), high=4096, many=True),
            "decompress_dims": Option(default=(128, 128), high=4096, many=True),
            "l2scale": Option(default=1e-5, low=0.0, high=1.0, whole=False),
        },
    ),
)


# ---------------------------------------------------------------------------------------------- inside


def _synthesizer(
    baseline: NonPrivateBaseline, form: FrameForm, frame: Any, options: Mapping[str, Any]
) -> Any:
    """SDV's synthesizer for these frames. Its metadata are the schema's, less what a table's frame does not hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SDV announces that nothing was saved to a file yet
        import sdv.single_table
        from sdv.metadata import Metadata

        from release.data.sdv_metadata import sdv_dict

        described = sdv_dict(form.schema)["tables"][form.schema.name]["columns"]
        columns: dict[str, dict[str, Any]] = {}
        for column in frame:
            if column not in form.texts:
                columns[column] = {"sdtype": "numerical"}
            elif described.get(column, {}).get("sdtype") == "ordinal":
                # The order of the levels is the schema's; of missing kinds, after them.
                words = sorted(frame[column].unique(), key=lambda word: (word[0] != "v", int(word[1:])))
                columns[column] = {"sdtype": "ordinal", "range_values": words}
            else:
                columns[column] = {"sdtype": "categorical"}
        made = Metadata.load_from_dict({"tables": {_TABLE: {"columns": columns}}, "relationships": []})
        device = {"enable_gpu": False} if baseline.network else {}
        synthesizer = getattr(sdv.single_table, baseline.synthesizer)(made, **options, **device)
    synthesizer._print_warning = lambda _data: None  # it would print; too wide a table was refused already
    return synthesizer


@contextmanager
def _states(rng: np.random.Generator) -> Iterator[None]:
    """SDV draws from the global states of NumPy and torch: they follow `rng` inside, and are put back.

    Also inside: no warnings and no logging of SDV's (its log would hold the number of rows), at most two threads.
    """
    import torch
    from sdv.logging import disable_single_table_logger

    numbers = np.random.get_state()  # noqa: NPY002 - the state that SDV draws from
    tensors, threads = torch.get_rng_state(), torch.get_num_threads()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(np.errstate(all="ignore"))
        stack.enter_context(disable_single_table_logger())
        try:
            np.random.set_state(np.random.RandomState(int(rng.integers(2**32))).get_state())  # noqa: NPY002
            torch.set_rng_state(torch.Generator().manual_seed(int(rng.integers(2**63))).get_state())
            torch.set_num_threads(min(2, threads, os.cpu_count() or 1))
            yield
        finally:
            np.random.set_state(numbers)  # noqa: NPY002
            torch.set_rng_state(tensors)
            torch.set_num_threads(threads)


@contextmanager
def _epochs(name: str, epochs: int | None, progress: Progress) -> Iterator[None]:
    """Reports each epoch. ctgan offers no callback but its progress bar, in whose place this iterator stands."""
    if epochs is None:
        yield
        return
    import ctgan.synthesizers.ctgan
    import ctgan.synthesizers.tvae

    def counted(numbers: range, **_bar: Any) -> Iterator[int]:
        for number in numbers:
            progress(number / len(numbers), f"{name}: epoch {number + 1:,} of {len(numbers):,}")
            yield number

    modules = (ctgan.synthesizers.ctgan, ctgan.synthesizers.tvae)
    before = [module.tqdm for module in modules]
    for module in modules:
        module.tqdm = counted
    try:
        yield
    finally:
        for module, bar in zip(modules, before, strict=True):
            module.tqdm = bar
