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


def _turned(figure: Measured) -> Measured:
    return Measured(estimate=-figure.estimate, low=-figure.high, high=-figure.low, trials=figure.trials)


def interval(figure: Measured) -> str:
    """An estimate with its 95 % ends, for people."""
    return f"{figure.estimate:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _get(figures: Figures, probe: str, metric: str, subject: str = "") -> Measured | None:
    item = figures.get((probe, metric, subject))
    return item.outcome if item is not None and isinstance(item.outcome, Measured) else None


def _worst_column(figures: Figures, item: Evidence) -> str:
    """The column that a worst figure's note names: the longest known one that the note begins with."""
    said = item.note.removeprefix("worst column: ")
    known = [key[2] for key in figures if key[0] == item.probe and key[2] and said.startswith(key[2])]
    return max(known, key=len, default=said.partition(";")[0])


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
                f" With perfect columns and no relations at all it would be {independent.estimate:.3f}: from there to chance, the release "
                f"goes about {min(share, 1.0):.0%} of the way."
            )
        else:
            text += f" That is worse than columns without any relations ({independent.estimate:.3f})."
    return Sentence(heading="Relations", text=text)


def _columns(figures: Figures) -> Sentence | None:
    item = figures.get(("marginals", "tvd_1way_worst", ""))
    if item is None or not isinstance(item.outcome, Measured):
        return None
    name = _worst_column(figures, item)
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
            word = f"loses {interval(item.outcome)}"
        elif item.outcome.high < 0:
            word = f"gains {interval(_turned(item.outcome))}"
        else:
            word = f"loses nothing that this holdout could show, {interval(item.outcome)},"
        return Sentence(
            heading="Prediction",
            text=(
                f"On real people whom no generator saw, a model of {subject} that was trained on the release {word} in {name}: "
                f"it reaches {made.estimate:.3f}, one trained on real rows {real.estimate:.3f}."
            ),
        )
    return None


def _tails(figures: Figures) -> Sentence | None:
    item = figures.get(("tails", "outlier_rate_ratio", ""))
    if item is None or not isinstance(item.outcome, Measured):
        return None
    figure = item.outcome
    column = _worst_column(figures, item)
    if figure.low > 1:
        word = "has more outliers than the real table"
    elif figure.high < 1:
        word = "has lost outliers"
    else:
        word = "has about as many outliers as the real table"
    text = f"{column}, the column that is farthest off, {word}: {figure.estimate:.2f} times as many ({figure.low:.2f} to {figure.high:.2f})."
    far = figures.get(("tails", "extreme_rate_ratio", ""))
    if far is not None and isinstance(far.outcome, Measured) and not far.outcome.low <= 1 <= far.outcome.high:
        text += (
            f" Values beyond the real 1 % and 99 % points are off most in {_worst_column(figures, far)}: {far.outcome.estimate:.2f} times as "
            f"frequent ({far.outcome.low:.2f} to {far.outcome.high:.2f})."
        )
    return Sentence(heading="Tails", text=text)


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
    column = _worst_column(figures, item)
    compared = sum(key[:2] == ("bias", "outcome_gap_amplification") and bool(key[2]) for key in figures)
    word = (
        "widens a subgroup's gap in the outcome most"
        if figure.low > 0
        else "widens no subgroup's gap in the outcome for certain; the most is"
    )
    caution = (
        f" It is the largest of {compared} columns and slices, so part of it is chance."
        if figure.low > 0 < compared - 1
        else ""
    )
    return Sentence(heading="Bias", text=f"The release {word} in {column}: by {interval(figure)}.{caution}")


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
    column = _worst_column(figures, item)
    return Sentence(
        heading="Missing values",
        text=f"The share of missing values is off most in {column}: by {interval(item.outcome)}.",
    )


def _clean(figures: Figures) -> Sentence | None:
    item = figures.get(("cleanliness", "dirt_ratio", ""))
    if item is None or not isinstance(item.outcome, Measured):
        return None
    figure = item.outcome
    kind = item.note.partition(";")[0].removeprefix("cleanest: ")
    ends = f"{figure.estimate:.2f} times as many ({figure.low:.2f} to {figure.high:.2f})"
    if figure.high < 1:
        text = f"The release is cleaner than the real table: {kind} occur {ends}. Models will look better on it than they are."
    else:
        text = f"The release is not cleaner than the real table as far as can be told: of {kind} there are {ends}."
    return Sentence(heading="Too clean?", text=text)


def _reach(figures: Figures) -> Sentence | None:
    items = [figures.get(("coverage", metric, "")) for metric in ("alpha_precision", "beta_recall")]
    found = [item.outcome for item in items if item is not None and isinstance(item.outcome, Measured)]
    if len(found) < 2 or items[1] is None:
        return None
    text = (
        f"Of 1, the release scores {interval(found[0])} for staying where typical real rows are and {interval(found[1])} for reaching all of "
        f"them; for the second, {items[1].note}."
    )
    return Sentence(heading="Coverage", text=text)


def _effects(figures: Figures) -> Sentence | None:
    found = _get(figures, "coefficients", "interval_overlap_mean", _target(figures))
    agree = _get(figures, "coefficients", "sign_agreement", _target(figures))
    item = figures.get(("coefficients", "interval_overlap_mean", _target(figures)))
    if found is None or item is None:
        return None
    signs = f" {agree.estimate:.0%} of the clear effects keep their sign." if agree is not None else ""
    other = item.note.rpartition("; ")[2]
    return Sentence(
        heading="Regression",
        text=(
            f"The 95 % intervals of a regression's coefficients overlap by {interval(found)} on average (1: the same, 0: they just touch); "
            f"{other}.{signs}"
        ),
    )


def _target(figures: Figures) -> str:
    """The subject of the whole table's regression: the one that is no slice."""
    subjects = [key[2] for key in figures if key[:2] == ("coefficients", "interval_overlap_mean")]
    return next((subject for subject in subjects if not subject.startswith("slice:")), "")


def _mix(figures: Figures) -> Sentence | None:
    parts = []
    for (probe, metric, subject), item in figures.items():
        if (probe, metric) != ("rebalance", "share_asked") or not isinstance(item.outcome, Measured):
            continue
        before, after = (
            _get(figures, "rebalance", name, subject) for name in ("share_before", "share_after")
        )
        change = _get(figures, "rebalance", "score_change", subject)
        if before is None or after is None:
            continue
        text = f"{subject.removeprefix('slice:')} has {after.estimate:.1%} of the rows instead of {before.estimate:.1%}"
        if change is not None:
            text += f", and a model's score on real people of it changes by {_signed(change)}"
        parts.append(text)
    if not parts:
        return None
    whole = _get(figures, "rebalance", "score_change")
    end = f" On everybody the score changes by {_signed(whole)}." if whole is not None else ""
    return Sentence(heading="Mix", text=f"As asked for, {'; '.join(parts)}.{end}")


def _signed(figure: Measured) -> str:
    return f"{figure.estimate:+.3f} ({figure.low:+.3f} to {figure.high:+.3f})"


def _sweep(figures: Figures) -> Sentence | None:
    item = figures.get(("sweep", "peak_ratio", ""))
    return Sentence(heading="Training mix", text=item.note) if item is not None and item.note else None


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
    _sweep,
    _mix,
    _effects,
    _tails,
    _clean,
    _reach,
    _slices,
    _bias,
    _gaps,
    _rules,
    _told_apart,
)
