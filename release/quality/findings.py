"""What a statistician would say of the evidence: sentences for the top of the internal report.

Rules: a pure function of the evidence; each sentence names the figure, its interval and its reference; what was not measured is said, first of
all. Grades are relative to references, not to a policy: whether it is good enough is the policy's word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from release.quality.references import INDEPENDENT
from release.records import Evidence, Measured, NotMeasured

Figures = Mapping[tuple[str, str, str], Evidence]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One finding: a heading of two or three words, and the sentence."""

    heading: str
    text: str


def sentences(evidence: Sequence[Evidence]) -> tuple[Sentence, ...]:
    """The findings that the evidence allows, most general first."""
    figures = {item.key: item for item in evidence}
    found = [make(figures) for make in _MAKERS]
    return tuple(sentence for sentence in found if sentence is not None)


def interval(figure: Measured) -> str:
    """An estimate with its 95 % ends, for people."""
    return f"{figure.estimate:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _get(figures: Figures, probe: str, metric: str, subject: str = "") -> Measured | None:
    item = figures.get((probe, metric, subject))
    return item.outcome if item is not None and isinstance(item.outcome, Measured) else None


def _pairs(figures: Figures) -> Sentence | None:
    found, floor = _get(figures, "marginals", "tvd_2way_mean"), _get(figures, "marginals", "noise_floor_2way")
    if found is None or floor is None:
        return None
    text = (
        f"Pairs of columns differ from the real table by {interval(found)} on average; two real samples of these sizes would "
        f"differ by {floor.estimate:.3f}."
    )
    independent = _get(figures, "references", "tvd_2way_mean", INDEPENDENT)
    if independent is not None and independent.estimate > floor.estimate:
        share = (independent.estimate - found.estimate) / (independent.estimate - floor.estimate)
        if share >= 0:
            text += (
                f" With no relations at all it would be {independent.estimate:.3f}: the release has kept about "
                f"{min(share, 1.0):.0%} of the pairwise relations."
            )
        else:
            text += f" That is worse than columns without any relations ({independent.estimate:.3f})."
    return Sentence(heading="Relations", text=text)


def _columns(figures: Figures) -> Sentence | None:
    item = figures.get(("marginals", "tvd_1way_worst", ""))
    if item is None or not isinstance(item.outcome, Measured):
        return None
    name = item.note.removeprefix("worst column: ")
    own, floor = (
        _get(figures, "marginals", "tvd_1way", name),
        _get(figures, "marginals", "noise_floor_1way", name),
    )
    if own is None or floor is None:
        return None
    word = (
        "no farther from the real table than chance allows"
        if own.low <= floor.estimate
        else "farther from the real table than chance"
    )
    return Sentence(
        heading="Single columns",
        text=f"The worst column, {name}, is {word}: distance {interval(own)}, where two real samples would show {floor.estimate:.3f}.",
    )


def _utility(figures: Figures) -> Sentence | None:
    for (probe, metric, subject), item in figures.items():
        if probe != "tstr" or metric != "loss" or subject.startswith("slice:"):
            continue
        if isinstance(item.outcome, NotMeasured):
            return Sentence(heading="Prediction", text=f"Not measured: {item.outcome.reason}.")
        real, made = (
            _get(figures, "tstr", "trtr_score", subject),
            _get(figures, "tstr", "tstr_score", subject),
        )
        if real is None or made is None:
            return None
        name = item.note.partition(";")[0]
        if item.outcome.low > 0:
            word = "loses"
        elif item.outcome.high < 0:
            word = "even gains"
        else:
            word = "loses nothing that this holdout could show:"
        return Sentence(
            heading="Prediction",
            text=(
                f"Predicting {subject}, a model trained on the release {word} {interval(item.outcome)} {name}: "
                f"{made.estimate:.3f} against {real.estimate:.3f} for a model trained on real rows."
            ),
        )
    return None


def _tails(figures: Figures) -> Sentence | None:
    item = figures.get(("tails", "outlier_rate_ratio", ""))
    if item is None or not isinstance(item.outcome, Measured):
        return None
    figure = item.outcome
    column = item.note.partition(";")[0].replace("worst column: ", "")
    if figure.low > 1:
        word = "has more outliers than the real table"
    elif figure.high < 1:
        word = "has lost outliers"
    else:
        word = "has about as many outliers as the real table"
    return Sentence(
        heading="Tails",
        text=f"{column}, the column that is farthest off, {word}: {figure.estimate:.2f} times as many ({figure.low:.2f} to {figure.high:.2f}).",
    )


def _slices(figures: Figures) -> Sentence | None:
    known = {
        subject: item.outcome
        for (probe, metric, subject), item in figures.items()
        if (probe, metric) == ("marginals", "tvd_2way_mean")
        and subject.startswith("slice:")
        and isinstance(item.outcome, Measured)
    }
    if not known:
        return None
    floors = {subject: _get(figures, "marginals", "noise_floor_2way", subject) for subject in known}
    ratio = {
        s: known[s].estimate / max(floor.estimate, 1e-9) for s, floor in floors.items() if floor is not None
    }
    if not ratio:
        return None
    name = max(ratio, key=lambda key: ratio[key])
    floor = floors[name]
    level = floor.estimate if floor is not None else 0.0
    return Sentence(
        heading="Slices",
        text=(
            f'The slice "{name.removeprefix("slice:")}" fares worst against its own noise floor: pairs differ by {interval(known[name])}, '
            f"chance alone {level:.3f}."
        ),
    )


def _bias(figures: Figures) -> Sentence | None:
    item = figures.get(("bias", "outcome_gap_amplification", ""))
    if item is None or not isinstance(item.outcome, Measured):
        return None
    figure = item.outcome
    column = item.note.replace("worst column: ", "")
    word = (
        "makes a subgroup's outcome gap larger"
        if figure.low > 0
        else "shows no clear widening of any subgroup's outcome gap"
    )
    return Sentence(heading="Bias", text=f"The release {word}; the most is in {column}: {interval(figure)}.")


def _told_apart(figures: Figures) -> Sentence | None:
    item = figures.get(("two_sample", "two_sample_auc", ""))
    if item is None or not isinstance(item.outcome, Measured):
        return None
    figure = item.outcome
    if figure.low <= 0.5:
        text = f"A model cannot tell synthetic from real rows: AUC {interval(figure)}."
    else:
        column = item.note.rpartition(": ")[2]
        text = f"A model tells synthetic from real rows with AUC {interval(figure)} (0.5 is guessing), most of all by {column}."
    return Sentence(heading="Telling apart", text=text)


def _rules(figures: Figures) -> Sentence | None:
    found = _get(figures, "rules", "violations")
    if found is None:
        return None
    text = (
        "No row breaks a declared rule or range."
        if found.estimate == 0
        else f"{found.estimate:.0f} breaches of declared rules or ranges."
    )
    return Sentence(heading="Rules", text=text)


def _gaps(figures: Figures) -> Sentence | None:
    item = figures.get(("missingness", "missing_rate_difference", ""))
    if item is None or not isinstance(item.outcome, Measured):
        return None
    if item.outcome.high == 0:
        return Sentence(
            heading="Missing values",
            text="Neither table has a missing value, or every column is missing alike.",
        )
    column = item.note.removeprefix("worst column: ")
    return Sentence(
        heading="Missing values",
        text=f"The share of missing values is off most in {column}: by {interval(item.outcome)}.",
    )


def _unmeasured(figures: Figures) -> Sentence | None:
    missing = [item for item in figures.values() if isinstance(item.outcome, NotMeasured)]
    if not missing:
        return None
    return Sentence(
        heading="Not measured",
        text=f"{len(missing)} of {len(figures)} figures could not be measured; the reasons stand at the end. A rule that asks for one of them blocks.",
    )


_MAKERS: tuple[Callable[[Figures], Sentence | None], ...] = (
    _unmeasured,
    _columns,
    _pairs,
    _utility,
    _tails,
    _slices,
    _bias,
    _gaps,
    _rules,
    _told_apart,
)
