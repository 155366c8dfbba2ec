"""`card.html`: the data card, one page that a person can read without a network, a script or any other file.

Rules: from `Public` alone; every value is escaped by the template engine; the page loads nothing (its own content security
policy forbids it) and is legible in light, dark and print.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import TYPE_CHECKING

from release.bundle.public import gate_words, guarantee_words, mix_words, recommendation_words, small_number
from release.data.schema import Categories, ColumnSpec, DomainSource, Range

if TYPE_CHECKING:
    from jinja2 import Template

    from release.bundle.public import Public

MOST_VALUES = 30
"""Categories shown of one column; schema.yaml lists them all."""


def card(public: Public, data_path: str) -> str:
    """The page."""
    return _template().render(
        public=public,
        data_path=data_path,
        guarantee=guarantee_words(public.claim),
        delta=small_number(public.claim.delta),
        gate=gate_words(public),
        mix=mix_words(public),
        recommendation=recommendation_words(public),
        columns=[(spec, domain_words(spec), missing_words(spec)) for spec in public.schema.columns],
    )


def domain_words(spec: ColumnSpec) -> str:
    """A column's declared domain, for people."""
    match spec.domain:
        case Categories():
            shown = ", ".join(spec.domain.values[:MOST_VALUES])
            more = len(spec.domain.values) - MOST_VALUES
            return f"{shown}, and {more} more" if more > 0 else shown
        case Range():
            return f"{_plain(spec.domain.min)} to {_plain(spec.domain.max)}"
        case _:
            if spec.surrogate:
                return "surrogate key, of no meaning"
            return "learnt under the privacy budget" if spec.domain_source is DomainSource.LEARNED else ""


def missing_words(spec: ColumnSpec) -> str:
    """A column's missing codes, for people."""
    return "; ".join(f"{code.code or '(empty)'} = {code.meaning}" for code in spec.missing)


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,.12g}"


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = (resources.files("release.bundle") / "card.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text)
