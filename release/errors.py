"""The one tree of errors. Every message says: the fact, the value, the limit, and what to do.

    ReleaseError                 exit code
    ├── InputError               2   a file, table or argument is not usable as it is
    │   ├── SchemaError          2   schema.yaml is wrong or contradicts itself
    │   ├── SourceError          2   a data file is wrong (file, row, column)
    │   └── PolicyFormatError    2   a policy file is wrong
    ├── PlanError                2   this generator cannot do this schema at this budget; nothing was charged
    ├── RefusedError             1   a rule says no
    │   ├── BudgetExceededError  1   the population's lifetime cap would be passed
    │   ├── TransitionError      1   the release's state does not allow this step
    │   ├── NotAuthorisedError   1   this person may not do this
    │   ├── GateError            1   not everything that export needs is met
    │   └── VerificationError    1   a bundle is not what was approved
    ├── UnprovenError            3   too little evidence to say yes
    ├── IntegrityError           4   a stored record does not match its digest
    └── FaultError               4   disk, database, clock: not the user's doing

Foreign exceptions do not cross a package's edge: catch them there and raise one of these `from` them.
No message holds a cell value of a real table, except a value that the schema itself declares.
"""

from __future__ import annotations

from typing import ClassVar


class ReleaseError(Exception):
    """Root of every error of ours.

    Args:
        fact: what is so, with the value and the limit; one clause, no full stop.
        mend: what the reader can do about it; one clause, no full stop.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, fact: str, *, mend: str = "") -> None:
        super().__init__(f"{fact}; {mend}" if mend else fact)
        self.fact = fact
        self.mend = mend


class InputError(ReleaseError):
    """A file, table or argument cannot be used as it is.

    Args:
        fact: see `ReleaseError`.
        mend: see `ReleaseError`.
        file: the file's name (never a full path of the machine).
        row: 1-based line or row number as an editor would show it.
        column: the column's name.
    """

    exit_code = 2

    def __init__(
        self, fact: str, *, mend: str = "", file: str = "", row: int | None = None, column: str = ""
    ) -> None:
        place = ", ".join(
            part
            for part in (
                f"{file} row {row}".strip() if row is not None else file,
                f'column "{column}"' if column else "",
            )
            if part
        )
        super().__init__(f"{place}: {fact}" if place else fact, mend=mend)
        self.file = file
        self.row = row
        self.column = column


class SchemaError(InputError):
    """schema.yaml is wrong, or contradicts itself."""


class SourceError(InputError):
    """A data file is wrong."""


class PolicyFormatError(InputError):
    """A policy file is wrong."""


class PlanError(ReleaseError):
    """This generator cannot do this schema at this budget. Raised before anything is charged."""

    exit_code = 2


class RefusedError(ReleaseError):
    """A rule says no."""

    exit_code = 1


class BudgetExceededError(RefusedError):
    """The charge would pass the population's lifetime cap. Nothing was charged."""


class TransitionError(RefusedError):
    """The release's state does not allow this step."""


class NotAuthorisedError(RefusedError):
    """This person may not do this."""


class GateError(RefusedError):
    """Export needs something that is not so: a verdict, an approval, an unchanged digest."""


class VerificationError(RefusedError):
    """A bundle is not what was approved and signed."""


class UnprovenError(ReleaseError):
    """Too little evidence to say yes."""

    exit_code = 3


class IntegrityError(ReleaseError):
    """A stored record or object does not match its digest."""


class FaultError(ReleaseError):
    """Disk, database or clock: not the user's doing."""
