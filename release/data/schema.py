"""What a table means: columns, roles, public domains, the privacy unit, constraints.

Rules: strict and frozen; unknown keys are refused; a schema that exists is consistent in itself (every name refers to
a column, every bound is in order). Whether a *plan* may use it (no `observed` domain) is asked by `require_plannable`.
This module knows nothing of files: `release.data.schema_file` reads and writes YAML.
"""

from __future__ import annotations

import datetime as dt
import math
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from release.canonical import Sha256, digest
from release.errors import PlanError
from release.records import Kind as ProvenanceKind

OUTSIDE_LEVEL = "(outside domain)"
"""The explicit level that a categorical value outside the declared domain goes to; counted when read."""


class ColumnKind(StrEnum):
    """What a column's values are."""

    CATEGORICAL = "categorical"
    ORDINAL = "ordinal"
    INTEGER = "integer"
    REAL = "real"
    DATE = "date"
    DATETIME = "datetime"
    BOOLEAN = "boolean"
    CODE = "code"
    IDENTIFIER = "identifier"
    TEXT = "text"

    @property
    def coded(self) -> bool:
        """Stored as codes into a list of levels (see `release.data.table.Column`)."""
        return self in {ColumnKind.CATEGORICAL, ColumnKind.ORDINAL, ColumnKind.BOOLEAN, ColumnKind.CODE}

    @property
    def numeric(self) -> bool:
        """Stored as numbers (dates as days, datetimes as seconds since 1970-01-01 UTC)."""
        return self in {ColumnKind.INTEGER, ColumnKind.REAL, ColumnKind.DATE, ColumnKind.DATETIME}


class Role(StrEnum):
    """What a column could be used for, by an attacker or an analyst."""

    DIRECT_IDENTIFIER = "direct-identifier"
    QUASI_IDENTIFIER = "quasi-identifier"
    SENSITIVE = "sensitive"
    TARGET = "target"


class DomainSource(StrEnum):
    """Where a domain comes from; only what is public or learnt under the budget may enter a plan."""

    CODEBOOK = "codebook"
    """Public knowledge: a code book, a form, the definition."""
    LEARNED = "learned"
    """Not declared: to be learnt inside the privacy budget."""
    OBSERVED = "observed"
    """Read off the data by `sluice schema draft`: confirm it from a public source, or change to `learned`."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", validate_default=True)


class Categories(_Strict):
    """A public list of the values as they stand in the file, in order where the kind is ordinal."""

    values: Annotated[tuple[str, ...], Field(min_length=1, max_length=100_000)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.values)) != len(self.values):
            raise ValueError("the domain lists a value twice; remove the second")
        if OUTSIDE_LEVEL in self.values:
            raise ValueError(
                f'"{OUTSIDE_LEVEL}" is reserved for values outside the domain; rename that category'
            )
        return self


class Range(_Strict):
    """Public bounds, both inclusive. Values outside are moved to the nearer bound and counted.

    Attributes:
        min: lower bound: a number, or an ISO date / datetime for those kinds.
        max: upper bound.
        decimals: for `real`: how many decimals the values have (public); None keeps full precision.
        step: values are `min + k·step` (public), such as 25 for amounts in multiples of 25.
        spikes: public single values that deserve a level of their own (0, 99999).
    """

    min: float | str
    max: float | str
    decimals: Annotated[int, Field(ge=0, le=12)] | None = None
    step: Annotated[float, Field(gt=0)] | None = None
    spikes: tuple[float, ...] = ()


class MissingCode(_Strict):
    """One kind of missing: how it is written in the file, and what it means. The empty cell is code ""."""

    code: str
    meaning: str = "missing"


class ColumnSpec(_Strict):
    """One column.

    Attributes:
        name: as in the file's header, to the letter.
        kind: see `ColumnKind`.
        roles: see `Role`.
        description: for people; goes into the partner's data dictionary, so it must be public.
        domain: `Categories` for coded kinds, `Range` for numeric ones, None where it is to be learnt.
        domain_source: see `DomainSource`.
        missing: kinds of missing, in order; a table stores them as 1, 2, …
        format: strptime format of a date or datetime that is not ISO 8601.
        hierarchy: name of a declared or built-in code tree ("icd9-chapters").
        surrogate: for identifiers: True replaces the column by surrogate keys in the release; False drops it.
    """

    name: Annotated[str, Field(min_length=1, max_length=512)]
    kind: ColumnKind
    roles: tuple[Role, ...] = ()
    description: str = ""
    domain: Categories | Range | None = None
    domain_source: DomainSource = DomainSource.LEARNED
    missing: tuple[MissingCode, ...] = ()
    format: str | None = None
    hierarchy: str | None = None
    surrogate: bool = False

    @property
    def levels(self) -> tuple[str, ...] | None:
        """The declared categories of a coded column; None where they are to be learnt."""
        return self.domain.values if isinstance(self.domain, Categories) else None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Declared bounds of a numeric column as stored (days, seconds); None where they are to be learnt."""
        if not isinstance(self.domain, Range):
            return None
        return (self.to_number(self.domain.min), self.to_number(self.domain.max))

    def to_number(self, value: float | str) -> float:
        """A domain or condition value as it is stored. Raises ValueError where it does not fit the kind."""
        if self.kind is ColumnKind.DATE:
            return float((dt.date.fromisoformat(str(value)) - dt.date(1970, 1, 1)).days)
        if self.kind is ColumnKind.DATETIME:
            moment = dt.datetime.fromisoformat(str(value))
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=dt.UTC)
            return moment.timestamp()
        if isinstance(value, str):
            raise ValueError(f"{value!r} is not a number")  # noqa: TRY004 - pydantic wants ValueError
        return float(value)

    @model_validator(mode="after")
    def _check(self) -> Self:
        where = f'column "{self.name}"'
        if self.name != self.name.strip():
            raise ValueError(
                f"{where}: the name begins or ends with white space; rename it in file and schema"
            )
        if len(set(self.roles)) != len(self.roles):
            raise ValueError(f"{where}: a role stands twice")
        codes = [code.code for code in self.missing]
        if len(set(codes)) != len(codes):
            raise ValueError(f"{where}: a missing code stands twice")
        if self.domain is None:
            if self.domain_source is not DomainSource.LEARNED:
                raise ValueError(
                    f"{where}: domain_source {self.domain_source} without a domain; add it or write learned"
                )
        elif self.domain_source is DomainSource.LEARNED:
            raise ValueError(
                f"{where}: a learned domain is not written down; remove `domain`, or say where it comes from"
            )
        if self.kind.coded and isinstance(self.domain, Range):
            raise ValueError(f"{where}: {self.kind} takes a list of values as its domain, not min and max")
        if self.kind.numeric and isinstance(self.domain, Categories):
            raise ValueError(f"{where}: {self.kind} takes min and max as its domain, not a list of values")
        if self.kind in {ColumnKind.IDENTIFIER, ColumnKind.TEXT} and self.domain is not None:
            raise ValueError(f"{where}: {self.kind} has no domain")
        if self.levels is not None and (both := set(self.levels) & set(codes)):
            raise ValueError(f"{where}: {sorted(both)} stand both as values and as missing codes")
        if self.kind is ColumnKind.BOOLEAN and self.levels is not None and len(self.levels) != 2:
            raise ValueError(f"{where}: a boolean has two values, the false one first")
        if isinstance(self.domain, Range):
            low, high = self.to_number(self.domain.min), self.to_number(self.domain.max)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise ValueError(
                    f"{where}: min {self.domain.min} and max {self.domain.max} are not in order and finite"
                )
            if self.kind is ColumnKind.INTEGER and not (low.is_integer() and high.is_integer()):
                raise ValueError(f"{where}: bounds of an integer column are whole numbers")
            if any(not low <= spike <= high for spike in self.domain.spikes):
                raise ValueError(f"{where}: a spike lies outside min and max")
        return self


# ---------------------------------------------------------------------------------------------- constraints


class Impossible(_Strict):
    """Rows in which every named column has one of the named values (or lies in the interval) do not exist."""

    type: Literal["impossible"]
    where: Annotated[dict[str, tuple[str, ...] | Range], Field(min_length=1)]


class Determines(_Strict):
    """`from` determines `to` (a functional dependency). With `table`, how; without, the data's own map is learnt.

    `table` rows hold the values of `determinants` and then the value of `dependent`. For a numeric determinant
    `cuts` may say it instead: value < cuts[0] → values[0], …, else values[-1].
    """

    type: Literal["determines"]
    determinants: Annotated[tuple[str, ...], Field(min_length=1)]
    dependent: str
    table: tuple[tuple[str, ...], ...] = ()
    cuts: tuple[float, ...] = ()
    values: tuple[str, ...] = ()


class LessEqual(_Strict):
    """left ≤ right (or <, where `strict`) in every row where neither is missing."""

    type: Literal["less-equal"]
    left: str
    right: str
    strictly: bool = False


class Increment(_Strict):
    """The column's values are start + k·step."""

    type: Literal["increment"]
    column: str
    step: Annotated[float, Field(gt=0)]
    start: float = 0.0


class Allowed(_Strict):
    """Only these combinations of values exist (public table)."""

    type: Literal["allowed"]
    columns: Annotated[tuple[str, ...], Field(min_length=2)]
    rows: Annotated[tuple[tuple[str, ...], ...], Field(min_length=1)]


Constraint = Annotated[Impossible | Determines | LessEqual | Increment | Allowed, Field(discriminator="type")]


# ---------------------------------------------------------------------------------------------- the whole


class Unit(_Strict):
    """The privacy unit.

    Attributes:
        name: what it is, for people: "patient".
        column: the column that names it; None where each row is one unit.
        max_rows: the most rows a unit may contribute; more are cut off when read (and counted).
    """

    name: str = "row"
    column: str | None = None
    max_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.column is None and self.max_rows != 1:
            raise ValueError("unit: without a column each row is one unit, so max_rows is 1")
        return self


class Provenance(_Strict):
    """Where the rows come from.

    Attributes:
        kind: collected, simulated, generated or augmented.
        source: name and year, for people; public.
        licence: under which it may be used.
        depth: how many synthetic generations lie between these rows and collected ones (0: collected).
        real_anchor: for generated or augmented rows: the dataset of real rows that anchors them.
    """

    kind: ProvenanceKind
    source: str
    licence: str
    depth: Annotated[int, Field(ge=0)] = 0
    real_anchor: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind is not ProvenanceKind.COLLECTED and self.kind is not ProvenanceKind.SIMULATED:
            if self.real_anchor is None:
                raise ValueError(
                    f"provenance: {self.kind} rows need their real_anchor (the dataset of real rows)"
                )
            if self.depth < 1:
                raise ValueError(f"provenance: {self.kind} rows have depth 1 or more")
        return self


class Slice(_Strict):
    """A named subgroup that gets rows of its own in every report."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    where: Annotated[dict[str, tuple[str, ...] | Range], Field(min_length=1)]


class Schema(_Strict):
    """A table's public description.

    Attributes:
        format: the format's version.
        name: short name: letters, digits, "-" and "_".
        title: for people.
        population: whose lifetime privacy the ledger guards; several datasets may share one.
        population_size: declared, public size of that population; bounds δ. The exact row count is private.
        unit: see `Unit`.
        provenance: see `Provenance`.
        columns: in file order.
        constraints: what always holds.
        slices: declared subgroups.
    """

    format: Literal["sluicegate/schema@1"] = "sluicegate/schema@1"
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    title: str = ""
    population: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    population_size: Annotated[int, Field(ge=1)]
    unit: Unit = Unit()
    provenance: Provenance
    columns: Annotated[tuple[ColumnSpec, ...], Field(min_length=1, max_length=2_000)]
    constraints: tuple[Constraint, ...] = ()
    slices: tuple[Slice, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in file order."""
        return tuple(column.name for column in self.columns)

    @property
    def released(self) -> tuple[ColumnSpec, ...]:
        """The columns a generator models: all but identifiers, the unit's own column and direct identifiers."""
        return tuple(
            column
            for column in self.columns
            if column.kind is not ColumnKind.IDENTIFIER
            and column.name != self.unit.column
            and Role.DIRECT_IDENTIFIER not in column.roles
        )

    def column(self, name: str) -> ColumnSpec:
        """The column of that name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def with_role(self, role: Role) -> tuple[ColumnSpec, ...]:
        """Released columns that have the role."""
        return tuple(column for column in self.released if role in column.roles)

    @property
    def digest(self) -> Sha256:
        """SHA-256 of the canonical JSON of the schema, less what is as by default (as for records: `release.canonical`)."""
        return digest(self)

    @property
    def largest_delta(self) -> float:
        """δ may not be larger: min(1e-6, 1 / (100 · population_size))."""
        return min(1e-6, 1.0 / (100.0 * self.population_size))

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = self.names
        known = set(names)
        if len(known) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"columns: {twice} stand twice")
        if self.unit.column is not None and self.unit.column not in known:
            raise ValueError(f'unit: there is no column "{self.unit.column}"')
        if not self.released:
            raise ValueError("columns: nothing is left to release besides identifiers")
        for index, constraint in enumerate(self.constraints):
            missing = [name for name in columns_of(constraint) if name not in known]
            if missing:
                raise ValueError(f"constraints[{index}]: there is no column {missing}")
        for part in self.slices:
            missing = [name for name in part.where if name not in known]
            if missing:
                raise ValueError(f'slice "{part.name}": there is no column {missing}')
        if len({part.name for part in self.slices}) != len(self.slices):
            raise ValueError("slices: a name stands twice")
        return self


def columns_of(constraint: Impossible | Determines | LessEqual | Increment | Allowed) -> tuple[str, ...]:
    """The names of the columns that a constraint speaks of."""
    match constraint:
        case Impossible():
            return tuple(constraint.where)
        case Determines():
            return (*constraint.determinants, constraint.dependent)
        case LessEqual():
            return (constraint.left, constraint.right)
        case Increment():
            return (constraint.column,)
        case Allowed():
            return constraint.columns


def require_plannable(schema: Schema, delta: float) -> None:
    """Raise `PlanError` where a private plan may not use this schema at this δ. Called by every private generator."""
    observed = [column.name for column in schema.released if column.domain_source is DomainSource.OBSERVED]
    if observed:
        raise PlanError(
            f"the domain of {observed} was read off the data (domain_source: observed), which is not private",
            mend="confirm it from a public source (codebook), or remove it and write domain_source: learned",
        )
    text = [column.name for column in schema.released if column.kind is ColumnKind.TEXT]
    if text:
        raise PlanError(
            f"{text} hold free text, which no generator here can release", mend="drop these columns"
        )
    if not 0.0 < delta <= schema.largest_delta:
        raise PlanError(
            f"δ = {delta:g} is not in (0, {schema.largest_delta:g}] = min(1e-6, 1/(100 × population_size))",
            mend="ask for a smaller δ",
        )
