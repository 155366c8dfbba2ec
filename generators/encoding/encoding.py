"""The encoding of a whole table: attributes for the inference core, and rows back from its codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.encoding.coded import CodedCode
from generators.encoding.column import ColumnCode
from generators.encoding.numeric import NumericCode
from release.data.schema import Schema
from release.data.table import Column, Table
from release.errors import IntegrityError

CodeArray = npt.NDArray[np.unsignedinteger[Any]]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

CODES: Mapping[str, type[CodedCode | NumericCode]] = {"coded": CodedCode, "numeric": NumericCode}
"""How a stored column code is read, by its `type`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """A fitted encoding: post-processing only.

    Attributes:
        schema: the table's schema.
        codes: by column name, in the order of `schema.released`.
    """

    schema: Schema
    codes: Mapping[str, ColumnCode]

    @property
    def attributes(self) -> tuple[str, ...]:
        """The modelled discrete variables, in order."""
        return tuple(self.codes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of levels of each attribute."""
        return tuple(code.size for code in self.codes.values())

    @property
    def zeros(self) -> tuple[tuple[tuple[str, ...], BoolArray], ...]:
        """Structural zeros: (attributes, allowed), `allowed` of the shape of their sizes.

        The inference core must keep each of these tuples inside one clique.
        """
        return ()

    def columns_of(self, attribute: str) -> tuple[str, ...]:
        """The columns that an attribute stands for."""
        return (attribute,)

    def labels(self, attribute: str) -> tuple[str, ...]:
        """What each level of an attribute holds, for people."""
        return self.codes[attribute].labels()

    def encode(self, table: Table) -> tuple[CodeArray, ...]:
        """One array per attribute, shape (n,), of the smallest unsigned type that holds its levels."""
        return tuple(_smallest(code.encode(table[name]), code.size) for name, code in self.codes.items())

    def decode(self, codes: Sequence[npt.NDArray[np.generic]], rng: np.random.Generator) -> Table:
        """Rows for the codes of every attribute, each row a unit of its own."""
        columns: dict[str, Column] = {}
        for (name, code), levels in zip(self.codes.items(), codes, strict=True):
            columns[name] = code.decode(levels.astype(np.int64), rng)
        return Table(self.schema, columns, np.arange(len(codes[0]), dtype=np.int64))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, the schema included; the arrays stand in `arrays`."""
        return {
            "format": "sluicegate/encoding@1",
            "schema": self.schema.model_dump(mode="json"),
            "columns": {name: code.to_json() for name, code in self.codes.items()},
        }

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Arrays for an NPZ file, by "encoding/<column number>/<name>"."""
        return {
            f"encoding/{number}/{name}": array
            for number, code in enumerate(self.codes.values())
            for name, array in code.arrays().items()
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Encoding:
        """What `to_json` and `arrays` wrote. Raises `IntegrityError` where they do not fit."""
        import json

        try:
            schema = Schema.model_validate_json(json.dumps(data["schema"]))
            codes: dict[str, ColumnCode] = {}
            for number, (name, part) in enumerate(data["columns"].items()):
                prefix = f"encoding/{number}/"
                mine = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
                codes[name] = CODES[part["type"]].read(schema.column(name), part, mine)
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"a stored encoding cannot be read: {error}", mend="restore the model from its backup"
            ) from error
        return cls(schema=schema, codes=codes)


def _smallest(codes: IntArray, size: int) -> CodeArray:
    for kind in (np.uint8, np.uint16):
        if size <= np.iinfo(kind).max + 1:
            return codes.astype(kind)
    return codes.astype(np.uint32)
