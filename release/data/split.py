"""The secret split of a dataset's units, drawn anew for each release (design.md, privacy contract 7).

    coin set    min(coin_units, coin_share · n) units; each is in or out of training by a fair secret coin
    reference   a disjoint share for attacks that need further real units, and for null releases
    remainder   everything else; always in training

Rules: by unit, never by row; every unit is in exactly one part; the generator sees coin-in and remainder and nothing
else. The split follows from a secret 32-byte key through SHAKE-256, so the key and the sizes are its whole record.
Permutation and coins are exactly uniform given the key's bits (equal sort keys are drawn again). Access to the record
is as tight as to the data: it says who was in.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from release.canonical import KeyedDigest, from_json, keyed_digest, to_json
from release.data.table import IntArray, Table
from release.errors import InputError, IntegrityError

FEWEST_UNITS = 20
"""With fewer units no part of a split would say anything."""

_FORMAT = "sluicegate/split@1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSizes:
    """How large the parts are; policy parameters.

    Attributes:
        coin_units: the most units in the coin set.
        coin_share: the largest share of units in the coin set.
        reference_share: share of units in the reference part.
    """

    coin_units: int = 4_400
    coin_share: float = 0.42
    reference_share: float = 0.10

    def __post_init__(self) -> None:
        shares = (self.coin_share, self.reference_share)
        if not all(math.isfinite(share) and 0.0 <= share <= 1.0 for share in shares) or sum(shares) >= 1.0:
            raise InputError(
                f"the shares of coin set ({self.coin_share}) and reference ({self.reference_share}) leave nothing",
                mend="choose shares between 0 and 1 whose sum is below 1",
            )
        if self.coin_units < 2 or self.coin_share == 0.0:
            raise InputError(
                f"a coin set of {self.coin_units} units has no two sides", mend="choose at least 2"
            )

    def coin_set(self, n_units: int) -> int:
        """Units in the coin set."""
        return min(self.coin_units, math.floor(self.coin_share * n_units))

    def reference(self, n_units: int) -> int:
        """Units in the reference part."""
        return math.floor(self.reference_share * n_units)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRecord:
    """What is stored: enough to draw the same split again. Secret.

    Attributes:
        format: the format's version.
        key: the 32 secret bytes, hexadecimal.
        n_units: number of units of the dataset. Private.
        sizes: as asked for.
    """

    format: str
    key: str
    n_units: int
    sizes: SplitSizes


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Unit numbers of each part, sorted; together 0 … n_units - 1, each once."""

    record: SplitRecord
    coin_in: IntArray
    coin_out: IntArray
    reference_units: IntArray
    remainder: IntArray

    def members(self, table: Table) -> Table:
        """Rows of coin-in units."""
        return self._rows(table, self.coin_in)

    def controls(self, table: Table) -> Table:
        """Rows of coin-out units: never seen by the generator."""
        return self._rows(table, self.coin_out)

    def reference(self, table: Table) -> Table:
        """Rows of reference units: never seen by the generator."""
        return self._rows(table, self.reference_units)

    def training(self, table: Table) -> Table:
        """Rows that the generator sees: coin-in and remainder, in file order."""
        return self._rows(table, np.concatenate([self.coin_in, self.remainder]))

    def digest(self, key: bytes) -> KeyedDigest:
        """Keyed digest of `to_json`, whole as it is stored: it names the stored file. For the candidate."""
        return keyed_digest(self.to_json(), key)

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values. Secret."""
        data: dict[str, Any] = to_json(self.record)
        return data

    def shortfall(self, least_each: int) -> str | None:
        """Why the split is too small for a policy that wants so many members and controls; None where it is not.

        A rule gives this as the reason of its `unproven`.
        """
        if min(len(self.coin_in), len(self.coin_out)) >= least_each:
            return None
        return (
            f"{len(self.coin_in):,} members and {len(self.coin_out):,} controls; at least {least_each:,} each are asked for:"
            f" a coin set of {coin_units_needed(least_each):,} units,"
            f" so a dataset of about {units_needed(least_each, self.record.sizes):,}"
        )

    def _rows(self, table: Table, units: IntArray) -> Table:
        if len(table) and int(table.units.max()) >= self.record.n_units:
            raise IntegrityError(
                f"the split is of {self.record.n_units:,} units, the table has more",
                mend="use the split and the dataset of the same release",
            )
        chosen = np.zeros(self.record.n_units, dtype=bool)
        chosen[units] = True
        return table.take(np.flatnonzero(chosen[table.units]))


def draw_split(n_units: int, sizes: SplitSizes, entropy: bytes) -> Split:
    """The split that `entropy` decides.

    Args:
        n_units: number of privacy units.
        sizes: see `SplitSizes`.
        entropy: 32 secret bytes from the operating system (`secrets.token_bytes(32)`).

    Raises:
        InputError: too few units for any split, or an entropy of another length.
    """
    if len(entropy) != 32:
        raise InputError(
            f"the split's key has {len(entropy)} bytes, not 32", mend="use secrets.token_bytes(32)"
        )
    if n_units < FEWEST_UNITS or sizes.coin_set(n_units) < 2:
        raise InputError(
            f"the dataset has {n_units} units; a split needs at least {FEWEST_UNITS}",
            mend="bring more units: with fewer nothing could be measured",
        )
    order = _permutation(n_units, entropy)
    m, r = sizes.coin_set(n_units), sizes.reference(n_units)
    heads = _coins(m, entropy)
    record = SplitRecord(format=_FORMAT, key=entropy.hex(), n_units=n_units, sizes=sizes)
    return Split(
        record,
        np.sort(order[:m][heads]),
        np.sort(order[:m][~heads]),
        np.sort(order[m : m + r]),
        np.sort(order[m + r :]),
    )


def split_from_json(data: Any) -> Split:
    """The split that `Split.to_json` recorded. Raises IntegrityError."""
    record = from_json(SplitRecord, data)
    if record.format != _FORMAT:
        raise IntegrityError(
            f"a split has the format {record.format!r}", mend="use the version that wrote it"
        )
    try:
        return draw_split(record.n_units, record.sizes, bytes.fromhex(record.key))
    except (InputError, ValueError) as error:
        raise IntegrityError("a stored split cannot be drawn again", mend="restore the backup") from error


def coin_units_needed(least_each: int) -> int:
    """Size of a coin set that has `least_each` heads and tails with probability above 0.999.

    Normal approximation of Binomial(m, ½): m/2 - 3.3·√m/2 ≥ least_each (two sides: 2·Φ(-3.3) < 0.001).
    """
    root = (3.3 + math.sqrt(3.3**2 + 8.0 * least_each)) / 2.0
    return math.ceil(root**2)


def units_needed(least_each: int, sizes: SplitSizes) -> int:
    """How many units a dataset needs for so many members and controls, at these shares (the cap widened if need be)."""
    return math.ceil(coin_units_needed(least_each) / sizes.coin_share)


def _stream(entropy: bytes, label: str, attempt: int, size: int) -> bytes:
    return hashlib.shake_256(f"{_FORMAT} {label} {attempt} ".encode() + entropy).digest(size)


def _permutation(n: int, entropy: bytes) -> IntArray:
    """Uniform: the order of n different 64-bit numbers; where two are equal (p < n²/2⁶⁵) all are drawn again."""
    attempt = 0
    while True:
        keys = np.frombuffer(_stream(entropy, "order", attempt, 8 * n), dtype="<u8")
        order = np.argsort(keys, kind="stable")
        if np.all(np.diff(keys[order]) > 0):
            return order.astype(np.int64)
        attempt += 1


def _coins(n: int, entropy: bytes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    bits = np.frombuffer(_stream(entropy, "coins", 0, (n + 7) // 8), dtype=np.uint8)
    return np.unpackbits(bits)[:n].astype(bool)
