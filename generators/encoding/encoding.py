"""The encoding of a whole table: attributes for the inference core, and rows back from its codes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.encoding.coded import CodedCode
from generators.encoding.derive import derive, determinants_of
from generators.encoding.hierarchy import built_in
from generators.encoding.numeric import NumericCode
from generators.encoding.orders import Orders
from generators.encoding.rules import Code, Rules, compile_rules
from generators.encoding.wanted import Asked, Wanted, parse, require_known
from release.data.schema import OUTSIDE_LEVEL, Determines, Schema
from release.data.table import Column, Table
from release.errors import IntegrityError, PlanError
from release.records import Where, Within

CodeArray = npt.NDArray[np.unsignedinteger[Any]]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

CODES: Mapping[str, type[CodedCode | NumericCode]] = {"coded": CodedCode, "numeric": NumericCode}
"""How a stored column code is read, by its `type`."""

Factor = tuple[tuple[str, ...], FloatArray]
"""Attributes, and a likelihood in [0, 1] for each combination of their levels."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Condition:
    """A condition on rows, ready for the inference core and for `Encoding.decode`.

    Attributes:
        factors: to be multiplied into the model: each level's probability of meeting the condition. Fractions stand
            for bins that the condition cuts; the draw inside such a bin is conditioned too (`codes`).
        codes: the column codes that draw only what meets the condition.
    """

    factors: tuple[Factor, ...]
    codes: Mapping[str, Code]

    @property
    def masks(self) -> dict[str, BoolArray]:
        """Attribute → which of its levels can meet the condition, for attributes that it speaks of by themselves."""
        return {names[0]: share > 0 for names, share in self.factors if len(names) == 1}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoding:
    """A fitted encoding: post-processing only.

    Attributes:
        schema: the table's schema.
        codes: by attribute, in the order of `schema.released`, without derived columns.
        rules: the schema's constraints, made ready.
        learnt: functional dependencies whose map was measured.
    """

    schema: Schema
    codes: Mapping[str, Code]
    rules: Rules
    learnt: tuple[Determines, ...]

    @classmethod
    def of(cls, schema: Schema, codes: Mapping[str, Code], learnt: Sequence[Determines] = ()) -> Encoding:
        """Put it together; a derived column's code is dropped."""
        rules = compile_rules(schema, learnt)
        kept = {name: code for name, code in codes.items() if name not in rules.derivations}
        return cls(schema=schema, codes=kept, rules=rules, learnt=tuple(learnt))

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
        """Structural zeros: (attributes in the encoding's order, allowed), `allowed` of the shape of their sizes.

        The inference core must keep each of these tuples inside one clique. An array that allows everything names a
        clique that conditions will need.
        """
        found = [
            _sorted(self.attributes, zero.columns, zero.allowed(self.codes)) for zero in self.rules.zeros
        ]
        found += [(pair, allowed > 0) for pair, allowed in self._order_factors(self.codes)]
        for derivation in self.rules.derivations.values():
            if len(derivation.determinants) > 1:
                shape = tuple(self.codes[name].size for name in derivation.determinants)
                found.append(
                    _sorted(self.attributes, derivation.determinants, np.ones(shape, dtype=np.bool_))
                )
        return tuple(found)

    def columns_of(self, attribute: str) -> tuple[str, ...]:
        """The columns that an attribute stands for."""
        return (attribute,)

    def labels(self, attribute: str) -> tuple[str, ...]:
        """What each level of an attribute holds, for people."""
        return self.codes[attribute].labels()

    def encode(self, table: Table) -> tuple[CodeArray, ...]:
        """One array per attribute, shape (n,), of the smallest unsigned type that holds its levels."""
        return tuple(_smallest(code.encode(table[name]), code.size) for name, code in self.codes.items())

    def condition(self, where: Where) -> Condition:
        """Make a condition ready.

        Raises:
            PlanError: a column is unknown or not released, a value is not of its domain, or nothing can satisfy it.
        """
        rules = self.rules
        codes = dict(self.codes)
        shares: dict[str, FloatArray] = {}
        joint: list[Factor] = []
        for name, asked in where.items():
            if name not in {spec.name for spec in self.schema.released}:
                raise PlanError(
                    f'the condition names "{name}", which is no released column',
                    mend=f"use one of {[spec.name for spec in self.schema.released]}",
                )
            wanted = self._wanted(name, asked)
            if name in rules.derivations:
                asks = determinants_of(rules.derivations[name], wanted, codes)
                if isinstance(asks, Wanted):
                    name, wanted = rules.derivations[name].determinants[0], asks  # noqa: PLW2901
                else:
                    for names, allowed in asks.items():
                        attributes, factor = _sorted(self.attributes, names, allowed)
                        joint.append((attributes, factor.astype(np.float64)))
                    continue
            codes[name], share = codes[name].narrow(wanted)
            if (
                name in shares
            ):  # asked for by itself and through what it determines: kinds of missing must meet both
                share = np.where(shares[name] > 0, share, 0.0)
            shares[name] = share
            if not shares[name].any():
                raise PlanError(
                    f'no row can have "{name}" as the condition asks',
                    mend="widen it, or use values of the column's domain",
                )
        factors = [((name,), share) for name, share in shares.items()]
        joint += [factor for factor in self._order_factors(codes) if set(factor[0]) & set(shares)]
        for attributes, share in joint:
            if not share.any():
                raise PlanError(
                    f"no row can have {', '.join(attributes)} as the condition asks, by the schema's constraints",
                    mend="widen it",
                )
        return Condition(factors=(*factors, *joint), codes=codes)

    def _wanted(self, name: str, asked: Asked) -> Wanted:
        """What is asked of a column. The name of a chapter of its code tree asks for the chapter and for its codes, however kept.

        Values that the schema's slices name are no typing errors, even where they were not kept among those that were learnt.
        """
        spec, code, derivation = (
            self.schema.column(name),
            self.codes.get(name),
            self.rules.derivations.get(name),
        )
        if spec.kind.numeric:
            wanted = parse(spec, asked)
            if isinstance(code, NumericCode) and spec.bounds is not None and not isinstance(asked, Within):
                points = np.array([low for low, _ in wanted.ranges])
                held = code.grid.at_least(points) <= code.grid.at_most(points)
                require_known(spec, points[~held].tolist(), (), "on its grid, inside its bounds")
            return wanted
        if isinstance(code, CodedCode):
            tree, values, what = code.hierarchy, code.values, "among its categories"
        else:
            tree = None if spec.hierarchy is None else built_in(spec.hierarchy)
            results = () if derivation is None else derivation.results
            values, what = (*results, OUTSIDE_LEVEL), "among what its map gives"
        nodes = () if tree is None else tree.names
        wanted = parse(spec, asked, nodes)
        named = [part.where[name] for part in self.schema.slices if name in part.where]
        declared = {*(spec.levels or ()), *(v for what_ in named if isinstance(what_, tuple) for v in what_)}
        require_known(spec, sorted(wanted.values), declared.union(values, nodes), what)
        chapters = wanted.values & set(nodes)
        if tree is None or not chapters:
            return wanted
        return replace(wanted, values=wanted.values | {v for v in values if tree.node_of(v) in chapters})

    def masks(self, where: Where) -> dict[str, BoolArray]:
        """Attribute → which of its levels can meet the condition; see `condition` for the whole of it."""
        return self.condition(where).masks

    def decode(
        self,
        codes: Sequence[npt.NDArray[np.generic]],
        rng: np.random.Generator,
        condition: Condition | None = None,
    ) -> Table:
        """Rows for the codes of every attribute (shape (n,) each), each row a unit of its own.

        `condition` must be the one under which the codes were sampled.
        """
        rules = self.rules
        given = self.codes if condition is None else condition.codes
        levels = {name: array.astype(np.int64) for name, array in zip(self.codes, codes, strict=True)}
        columns: dict[str, Column] = {}
        if rules.orders:
            orders = Orders.of(rules.orders)
            columns |= orders.draw(_numeric(given, orders.columns), levels, rng)
        for name in self.codes:
            if name not in columns:
                columns[name] = given[name].decode(levels[name], rng)
        for name, derivation in rules.derivations.items():
            columns[name] = derive(derivation, columns)
        ordered = {spec.name: columns[spec.name] for spec in self.schema.released}
        return Table(self.schema, ordered, np.arange(len(codes[0]), dtype=np.int64))

    def _order_factors(self, codes: Mapping[str, Code]) -> list[Factor]:
        if not self.rules.orders:
            return []
        orders = Orders.of(self.rules.orders)
        mine = _numeric(codes, orders.columns)
        found = []
        for left, right in orders.closure():
            allowed = orders.allowed(left, right, mine)
            names, array = _sorted(self.attributes, (left, right), allowed)
            found.append((names, array.astype(np.float64)))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, the schema included; the arrays stand in `arrays`."""
        return {
            "format": "sluicegate/encoding@1",
            "schema": self.schema.model_dump(mode="json"),
            "learnt": [rule.model_dump(mode="json") for rule in self.learnt],
            "columns": [{"column": name, **code.to_json()} for name, code in self.codes.items()],
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
        try:
            schema = Schema.model_validate_json(json.dumps(data["schema"]))
            learnt = tuple(Determines.model_validate_json(json.dumps(rule)) for rule in data["learnt"])
            codes: dict[str, Code] = {}
            for number, part in enumerate(data["columns"]):
                prefix, name = f"encoding/{number}/", part["column"]
                mine = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
                codes[name] = CODES[part["type"]].read(schema.column(name), part, mine)
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"a stored encoding cannot be read: {error}", mend="restore the model from its backup"
            ) from error
        return cls.of(schema, codes, learnt)


def _smallest(codes: IntArray, size: int) -> CodeArray:
    for kind in (np.uint8, np.uint16):
        if size <= np.iinfo(kind).max + 1:
            return codes.astype(kind)
    return codes.astype(np.uint32)


def _sorted(
    attributes: tuple[str, ...], names: tuple[str, ...], array: BoolArray
) -> tuple[tuple[str, ...], BoolArray]:
    """The factor with its axes in the order of the attributes."""
    order = sorted(range(len(names)), key=lambda axis: attributes.index(names[axis]))
    return tuple(names[axis] for axis in order), np.transpose(array, order)


def _numeric(codes: Mapping[str, Code], names: Sequence[str]) -> dict[str, NumericCode]:
    found = {name: codes[name] for name in names}
    return {name: code for name, code in found.items() if isinstance(code, NumericCode)}
