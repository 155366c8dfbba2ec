"""Pieces of a page as HTML: badges, cards, tables, lists of facts. Everything put in is escaped, in this file alone.

Rules: text comes in as text and is shown to the letter (`Markup.format` escapes it), so a partner's name or a comment can
hold Markdown, HTML or TeX and stays what it is; a badge is a symbol and a word, never a colour alone; tables wrap, and on a
narrow screen each row becomes a block; what must stay wide scrolls inside its own frame, by keyboard too. There is no button
that saves a table: the exporter is the only way out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from markupsafe import Markup

__all__ = [
    "STYLE",
    "Cell",
    "Markup",
    "Tone",
    "badge",
    "box",
    "facts",
    "joined",
    "meter",
    "paragraph",
    "table",
    "with_code",
]


class Tone(StrEnum):
    """What a colour stands for; the word beside it says the same."""

    GOOD = "good"
    BAD = "bad"
    CARE = "care"
    ODD = "odd"
    QUIET = "quiet"


STYLE = """<style>
:root { --sg-good: #1a7f37; --sg-bad: #b42318; --sg-care: #8a5a00; --sg-odd: #6f3dc4; --sg-quiet: #57606a; }
.sg { font-size: 1rem; line-height: 1.5; overflow-wrap: anywhere; }
.sg p { margin: 0 0 .35rem 0; }
.sg-good { --tone: var(--sg-good); } .sg-bad { --tone: var(--sg-bad); } .sg-care { --tone: var(--sg-care); }
.sg-odd { --tone: var(--sg-odd); } .sg-quiet { --tone: var(--sg-quiet); }
.sg-badge { display: inline-block; background: var(--tone); color: #fff; border-radius: .4rem; padding: .05rem .5rem;
  font-weight: 600; font-size: .875rem; white-space: nowrap; margin-right: .35rem; }
.sg-box { border: 1px solid color-mix(in srgb, currentColor 20%, transparent); border-left: .4rem solid var(--tone);
  border-radius: .5rem; padding: .7rem .9rem; margin-bottom: .6rem; }
.sg-hero { background: color-mix(in srgb, var(--tone) 12%, transparent); padding: 1rem 1.1rem; }
.sg-hero .sg-lead { font-size: 1.25rem; font-weight: 600; }
.sg-minor { opacity: .82; font-size: .9rem; }
.sg.sg-facts { padding: 0 !important; display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .35rem 1.2rem; margin: .2rem 0 .6rem; }
.stMainBlockContainer h2 { font-size: 1.5rem; }
.stMainBlockContainer { padding-top: 3rem; padding-bottom: 4rem; }
.sg-facts dt { opacity: .82; font-size: .85rem; margin: 0; } .sg-facts dd { margin: 0; font-weight: 600; }
.sg-meter { display: block; position: relative; height: .55rem; border-radius: .3rem; margin: .1rem 0 .5rem;
  background: color-mix(in srgb, currentColor 15%, transparent); overflow: hidden; }
.sg-meter > span { display: block; height: 100%; background: var(--tone); }
.sg-wide { overflow-x: auto; } .sg-wide:focus-visible { outline: 2px solid currentColor; }
.sg table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: 0; }
.sg caption { text-align: left; opacity: .82; padding: 0 0 .3rem; caption-side: top; }
.sg th, .sg td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; font-variant-numeric: tabular-nums;
  border: 0; border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
.sg th { font-weight: 600; }
.sg-wide td, .sg-wide th { white-space: nowrap; max-width: 22rem; overflow: hidden; text-overflow: ellipsis; }
@media (max-width: 640px) {
  .sg-fold thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .sg-fold caption { display: block; }
  .sg-fold table, .sg-fold tbody, .sg-fold tr, .sg-fold td { display: block; width: 100%; }
  .sg-fold tr { padding: .45rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 25%, transparent); }
  .sg-fold td { border: 0; padding: .05rem 0; min-width: 0 !important; } .sg-fold td:empty { display: none; }
  .sg-fold td[data-label]::before { content: attr(data-label) ": "; opacity: .82; }
  .sg-fold td.sg-first::before { content: none; }
}
</style>"""
"""Once on each page. Text keeps the theme's own colour; badges are white on a colour of at least 4.5 : 1."""

ON_DARK = '<style>[data-testid="stBaseButton-primary"] { color: #11161d; }</style>'
"""In the dark theme the main colour is light, and white on it could not be read."""

Cell = str | int | float | Markup | None
"""What may stand in a table: text and numbers, or a piece of this file."""


def joined(parts: Iterable[Markup]) -> Markup:
    """One after the other."""
    return Markup().join(parts)


def badge(words: str, tone: Tone) -> Markup:
    """A symbol and a word on their colour."""
    return Markup('<span class="sg-badge sg-{}">{}</span>').format(tone, words)


def paragraph(text: str | Markup, *, kind: str = "") -> Markup:
    """A paragraph; `kind` is a class of `STYLE`, such as sg-minor."""
    return Markup('<p class="{}">{}</p>').format(kind, text)


def box(inside: Markup, tone: Tone, *, hero: bool = False) -> Markup:
    """A framed piece; a hero is what the page is about."""
    return Markup('<div class="sg sg-box {}sg-{}">{}</div>').format("sg-hero " if hero else "", tone, inside)


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Name and value, as many beside each other as fit."""
    inside = joined(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, value) for name, value in pairs)
    return Markup('<dl class="sg sg-facts">{}</dl>').format(inside)


def meter(share: float, tone: Tone) -> Markup:
    """A bar that is full at 1. The number itself must stand beside it."""
    return Markup(
        '<span class="sg-meter sg-{}" aria-hidden="true"><span style="width:{:.1f}%"></span></span>'
    ).format(tone, 100 * min(1.0, max(0.0, share)))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    caption: str,
    wide: bool = False,
    widths: Sequence[int] = (),
) -> Markup:
    """A table.

    Args:
        columns: their titles; they may repeat.
        rows: as long as `columns` each; shorter ones are filled with blanks, what is beyond is cut off.
        caption: what it shows, also for a screen reader.
        widths: least width of the first columns, in letters, where the screen is wide enough.
        wide: keep each row on a line and scroll sideways in the frame, instead of folding on a narrow screen.
    """
    head = joined(Markup('<th scope="col" role="columnheader">{}</th>').format(name) for name in columns)
    body = joined(_row(columns, row, widths) for row in rows)
    inside = Markup(
        '<table role="table"><caption>{}</caption><thead role="rowgroup"><tr role="row">{}</tr></thead>'
        '<tbody role="rowgroup">{}</tbody></table>'
    ).format(caption, head, body)
    if wide:
        return Markup('<div class="sg sg-wide" tabindex="0" role="region" aria-label="{}">{}</div>').format(
            caption, inside
        )
    return Markup('<div class="sg sg-fold">{}</div>').format(inside)


def _row(columns: Sequence[str], row: Sequence[Cell], widths: Sequence[int]) -> Markup:
    cells = [*row, *[None] * len(columns)][: len(columns)]
    return Markup('<tr role="row">{}</tr>').format(
        joined(
            Markup('<td role="cell" class="{}" data-label="{}" style="min-width:{}em">{}</td>').format(
                "" if place else "sg-first",
                name,
                0.55 * widths[place] if place < len(widths) else 0,
                shown(cell),
            )
            for place, (name, cell) in enumerate(zip(columns, cells, strict=True))
        )
    )


def shown(cell: object) -> str:
    """A cell as people read it: four digits of a fraction, yes and no, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:,.4g}"
    if isinstance(cell, int):
        return f"{cell:,}"
    return cell if isinstance(cell, str) else str(cell)


def with_code(text: str) -> Markup:
    """Text in which what stands between backticks is a command."""
    return joined(
        Markup("<code>{}</code>").format(part) if place % 2 else Markup("{}").format(part)
        for place, part in enumerate(text.split("`"))
    )
