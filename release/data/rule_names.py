"""What constraints are called in reports and messages: public words of the schema, nothing else."""

from __future__ import annotations

from release.data.schema import Allowed, Constraint, Determines, Impossible, Increment, LessEqual, Range


def describe(constraint: Constraint) -> str:
    """A constraint's name in reports: "open_il_12m ≤ open_il_24m"."""
    match constraint:
        case Impossible():
            return "impossible: " + " and ".join(
                f"{name} {_words(what)}" for name, what in constraint.where.items()
            )
        case Determines():
            return f"{', '.join(constraint.determinants)} determines {constraint.dependent}"
        case LessEqual():
            return f"{constraint.left} {'<' if constraint.strictly else '≤'} {constraint.right}"
        case Increment():
            return f"{constraint.column} = {constraint.start:g} + k·{constraint.step:g}"
        case Allowed():
            return f"allowed combinations of {', '.join(constraint.columns)}"


def _words(what: tuple[str, ...] | Range) -> str:
    if isinstance(what, Range):
        return f"in {what.min} … {what.max}"
    shown = ", ".join(what[:3]) + (", …" if len(what) > 3 else "")
    return f"= {shown}" if len(what) == 1 else f"in {{{shown}}}"
