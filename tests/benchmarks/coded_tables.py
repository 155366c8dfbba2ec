"""Public tables as codes, and the common scoring of generators: the same for ours and for every peer.

Numeric columns go into 20 quantile bins of the training half, categories as they are; the domain is public. Scores:
mean total variation distance over all 1-way, all 2-way and 100 fixed 3-way marginals against the training half; TSTR: AUC
of HistGradientBoostingClassifier trained on the synthetic rows, tested on the other half.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

FILES = {
    "adult": ("adult/adult.csv.gz", ",", ("split",), "income", ">50K"),
    "credit-default": (
        "credit-default/credit-default.csv.gz",
        ",",
        ("ID",),
        "default_payment_next_month",
        "1",
    ),
    "diabetes130": (
        "diabetes130/diabetic_data.csv.gz",
        ",",
        ("encounter_id", "patient_nbr"),
        "readmitted",
        "<30",
    ),
    "bank-marketing": ("bank-marketing/bank-additional-full.csv.gz", ";", (), "y", "yes"),
}
"""File, delimiter, columns left out, target, its positive value."""

PATIENTS = "diabetes130-patients"
"""diabetes130 at patient level: generators get at most ROWS_PER_PATIENT random rows of a patient, and protect all of them; scored against all rows."""
ROWS_PER_PATIENT = 2

TABLES = (*FILES, PATIENTS)

NUMERIC_LEVELS = 20
"""A column is numeric where every value is a number and there are more different ones than this."""


@dataclass(frozen=True, slots=True, eq=False)
class CodedTable:
    """names, sizes: of the attributes. train, test: (n, d) int32 codes. target: its attribute; positive: its code. ordered: bins of numbers.

    units: whose row each of train is, where several are one person's. given: the rows that generators get, with at most `rows_per_unit` of a unit.
    """

    name: str
    names: tuple[str, ...]
    sizes: tuple[int, ...]
    train: np.ndarray
    test: np.ndarray
    target: int
    positive: int
    ordered: tuple[bool, ...] = ()
    units: np.ndarray | None = None
    given: np.ndarray | None = None
    rows_per_unit: int = 1

    @property
    def input(self) -> np.ndarray:
        """What a generator is fitted on, (n, d)."""
        return self.train if self.given is None else self.given


def load(name: str, *, split_seed: int = 0) -> CodedTable:
    if name == PATIENTS:
        whole = load("diabetes130", split_seed=split_seed)
        kept = truncated(whole.units, ROWS_PER_PATIENT, np.random.default_rng(split_seed))
        return replace(whole, name=name, given=whole.train[kept], rows_per_unit=ROWS_PER_PATIENT)
    path, delimiter, dropped, target, positive = FILES[name]
    with gzip.open(SHARED / path, "rt", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter=delimiter))
    header, cells = rows[0], np.array(rows[1:], dtype=object)
    keep = [k for k, column in enumerate(header) if column not in dropped]
    names = tuple(header[k] for k in keep)
    order = np.random.default_rng(split_seed).permutation(len(cells))
    half = len(cells) // 2
    units = None
    if "patient_nbr" in header:
        units = np.unique(cells[:, header.index("patient_nbr")].astype(np.int64), return_inverse=True)[1]
        side = np.random.default_rng(split_seed).random(units.max() + 1) < 0.5
        inside, outside = np.flatnonzero(side[units]), np.flatnonzero(~side[units])
        units = units[inside]
    else:
        inside, outside = order[:half], order[half:]
    train, test, sizes, ordered = [], [], [], []
    for k in keep:
        values = cells[:, k]
        codes, levels = _coded(values, inside, header[k] == target)
        if header[k] == target:
            positive_code = levels.index(positive)
        train.append(codes[inside])
        test.append(codes[outside])
        sizes.append(int(codes.max()) + 1)
        ordered.append(not levels)
    return CodedTable(
        name,
        names,
        tuple(sizes),
        np.stack(train, 1).astype(np.int32),
        np.stack(test, 1).astype(np.int32),
        names.index(target),
        positive_code,
        tuple(ordered),
        units,
    )


def truncated(units: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of at most `most` random rows of each unit."""
    order = rng.permutation(len(units))
    order = order[np.argsort(units[order], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(units[order]) != 0])
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return order[rank < most]


def _coded(values, inside, is_target):
    try:
        numbers = values.astype(np.float64)
    except ValueError:
        numbers = None
    if numbers is not None and not is_target and len(np.unique(numbers)) > NUMERIC_LEVELS:
        edges = np.unique(np.quantile(numbers[inside], np.linspace(0, 1, 21)[1:-1]))
        return np.searchsorted(edges, numbers, side="right"), []
    levels, codes = np.unique(values.astype(str), return_inverse=True)
    return codes, levels.tolist()


@dataclass(frozen=True, slots=True)
class Score:
    one: float
    two: float
    three: float
    auc: float

    def __str__(self) -> str:
        return f"{self.one:.4f} / {self.two:.4f} / {self.three:.4f} AUC {self.auc:.4f}"


def score(table: CodedTable, synthetic: np.ndarray, *, auc: bool = True) -> Score:
    """Score synthetic codes (m, d)."""
    from generators.core.counting import Rows, count
    from generators.core.domain import Domain

    d = len(table.sizes)
    domain = Domain(names=table.names, sizes=table.sizes)
    real = Rows.of(domain, list(table.train.T))
    fake = Rows.of(domain, list(synthetic.T))
    triples = list(combinations(range(d), 3))
    chosen = np.random.default_rng(0).choice(len(triples), min(100, len(triples)), replace=False)
    result = []
    for cliques in ([(a,) for a in range(d)], list(combinations(range(d), 2)), [triples[k] for k in chosen]):
        pairs = zip(count(real, cliques), count(fake, cliques), strict=True)
        result.append(
            float(np.mean([np.abs(r / len(table.train) - f / len(synthetic)).sum() / 2 for r, f in pairs]))
        )
    return Score(*result, auc=tstr(table, synthetic) if auc else float("nan"))


def tstr(table: CodedTable, synthetic: np.ndarray) -> float:
    """AUC on the other half of a classifier trained on the synthetic rows; 0.5 where they have one class."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    features = [a for a in range(len(table.sizes)) if a != table.target]
    label = synthetic[:, table.target] == table.positive
    if label.all() or not label.any():
        return 0.5
    model = HistGradientBoostingClassifier(random_state=0).fit(synthetic[:, features], label)
    guess = model.predict_proba(table.test[:, features])[:, 1]
    return float(roc_auc_score(table.test[:, table.target] == table.positive, guess))
