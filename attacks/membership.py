"""From scores to evidence: ROC figures per attack, and the largest over all attacks that ran.

Per attack: AUC and TPR at 0.1 %, 1 % and 10 % FPR over all target units, over the 300 most isolated of each arm, and
over each declared subgroup. The maximum's upper end is the largest marginal upper end; its lower end holds jointly over
the attacks, at a level calibrated by permuting the membership labels of all attacks together; the same permutations give
its p-value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attacks.attack import MembershipAttack
from attacks.bench import F64, Bench, Bool
from attacks.statistics import FPRS, Thresholds, auc, joint_null, roc_points, tpr_at_fpr
from attacks.subgroups import members_of
from attacks.vulnerable import vulnerable
from release.protocols import Arena, Progress, no_progress
from release.records import Evidence, Exhibit, Measured, NotMeasured, PrivacyCost, ProbeReport

NAME = "membership"
TOP_UNITS = 20
FEWEST = 10
"""Units of each arm below which nothing is said of a subgroup."""


def report(attack: MembershipAttack, bench: Bench, progress: Progress) -> ProbeReport:
    """Evidence and pictures of one attack."""
    scores = attack.scores(bench, progress)
    evidence: list[Evidence] = []
    exhibits: list[Exhibit] = []
    needs = attack.needs if bench.synthetic.n_rows else "the release has no rows"
    for subject, chosen in subjects(bench):
        evidence.extend(_figures(attack.name, subject, scores, chosen, bench.targets.is_member, needs))
    if scores is not None and bench.targets.n_members and bench.targets.n_controls:
        exhibits = [_roc(attack.name, scores, bench), _top(attack.name, scores, bench)]
        if attack.explain is not None and _found(evidence):
            progress(1.0, "explaining what was found")
            exhibits.extend(attack.explain(bench))
    return ProbeReport(evidence=tuple(evidence), exhibits=tuple(exhibits))


def _found(evidence: Sequence[Evidence]) -> bool:
    """Whether the lower end of the rate at 1 % false alarms lies above what guessing gives."""
    return any(
        one.subject == ""
        and one.metric == "tpr_at_fpr_1pct"
        and isinstance(one.outcome, Measured)
        and one.outcome.low > FPRS["1pct"]
        for one in evidence
    )


def maximum(attacks: Sequence[MembershipAttack], bench: Bench, progress: Progress) -> ProbeReport:
    """The largest TPR over the attacks, at 1 % FPR for all units and subgroups, at 10 % FPR for the vulnerable 300."""
    named = [(attack.name, attack.scores(bench, progress)) for attack in attacks]
    evidence = []
    for subject, chosen in subjects(bench):
        metric = "10pct" if subject == "vulnerable-300" else "1pct"
        available = [(name, scores) for name, scores in named if scores is not None]
        evidence.append(_largest(bench, available, subject, chosen, metric))
    return ProbeReport(evidence=tuple(evidence))


@dataclass(frozen=True, slots=True, kw_only=True)
class Maximum:
    """The probe `membership`: the strongest of these attacks."""

    over: tuple[MembershipAttack, ...]
    name: str = NAME
    summary: str = (
        "Takes the strongest of all membership attacks, for everybody, for the 300 people who stand most alone, and for each subgroup. "
        "Its upper end is what a policy limits: how many of those whose data were used can be named at a small rate of error."
    )

    def among(self, names: Sequence[str]) -> Maximum:
        """The same over those of these names."""
        return Maximum(over=tuple(attack for attack in self.over if attack.name in names))

    def measure(
        self, arena: Arena, rng: np.random.Generator, progress: Progress = no_progress
    ) -> ProbeReport:
        """Measure by itself, on a bench of its own."""
        return self.run(Bench.of(arena, rng), progress)

    def run(self, bench: Bench, progress: Progress) -> ProbeReport:
        """Measure on a shared bench."""
        return maximum(self.over, bench, progress)


def subjects(bench: Bench) -> list[tuple[str, Bool]]:
    """What is reported apart: everybody, the vulnerable 300, each declared subgroup; with (U,) masks."""
    everybody = np.ones(len(bench.targets.is_member), bool)
    slices = [(f"slice:{part.name}", members_of(bench, part)) for part in bench.arena.members.schema.slices]
    return [("", everybody), ("vulnerable-300", vulnerable(bench)), *slices]


def _figures(
    probe: str, subject: str, scores: F64 | None, chosen: Bool, is_member: Bool, needs: str
) -> list[Evidence]:
    outcomes: dict[str, Measured | NotMeasured] = {}
    names = ["auc", *(f"tpr_at_fpr_{name}" for name in FPRS)]
    members, controls = int((chosen & is_member).sum()), int((chosen & ~is_member).sum())
    if scores is None:
        outcomes = dict.fromkeys(names, NotMeasured(reason=needs or "the attack cannot run on this arena"))
    elif min(members, controls) < FEWEST:
        few = NotMeasured(
            reason=f"{members:,} members and {controls:,} controls are too few to attack", needed=FEWEST
        )
        outcomes = dict.fromkeys(names, few)
    else:
        mine, others = scores[chosen & is_member], scores[chosen & ~is_member]
        outcomes["auc"] = auc(mine, others)
        for name, alpha in FPRS.items():
            outcomes[f"tpr_at_fpr_{name}"] = tpr_at_fpr(mine, others, alpha)
    return [
        Evidence(probe=probe, metric=metric, subject=subject, outcome=outcome)
        for metric, outcome in outcomes.items()
    ]


def _largest(
    bench: Bench, named: Sequence[tuple[str, F64]], subject: str, chosen: Bool, metric: str
) -> Evidence:
    is_member = bench.targets.is_member[chosen]
    members, controls = int(is_member.sum()), int((~is_member).sum())
    alpha = FPRS[metric]
    needed = math.ceil(1 / alpha)
    outcome: Measured | NotMeasured
    note = ""
    if not named:
        outcome = NotMeasured(reason="no membership attack gave scores")
    elif members < FEWEST or controls < needed:
        outcome = NotMeasured(
            reason=f"a false positive rate of {alpha:g} needs {needed:,} controls and {FEWEST} members; "
            f"there are {controls:,} and {members:,}",
            needed=needed,
        )
    else:
        scores = np.stack([score[chosen] for _, score in named])
        single = [tpr_at_fpr(score[is_member], score[~is_member], alpha) for score in scores]
        measured = [figure for figure in single if isinstance(figure, Measured)]
        joint = joint_null(scores, is_member, alpha, bench.stream(f"{NAME}:{subject}"))
        lows = [
            Thresholds.of(score[is_member], score[~is_member], alpha).low(joint.level) for score in scores
        ]
        best = max(range(len(measured)), key=lambda place: measured[place].estimate)
        estimate = measured[best].estimate
        outcome = Measured(
            estimate=estimate,
            low=min(max(lows), estimate),
            high=max(figure.high for figure in measured),
            trials=members,
            detectable=measured[best].detectable,
        )
        note = (
            f"Strongest of {len(named)} attacks: {named[best][0]}. Permuting memberships jointly over all attacks gives "
            f"p = {joint.p_value:.3f}; lower end at the jointly adjusted level {joint.level:.4f}."
        )
    return Evidence(
        probe=NAME, metric=f"max_tpr_at_fpr_{metric}", subject=subject, outcome=outcome, note=note
    )


def _roc(probe: str, scores: F64, bench: Bench) -> Exhibit:
    is_member = bench.targets.is_member
    fpr, tpr = roc_points(scores[is_member], scores[~is_member])
    ceiling = dp_ceiling(bench.arena.claim, fpr)
    above = ceiling is not None and any(t > c for t, c in zip(tpr, ceiling, strict=True))
    named = Thresholds.of(scores[is_member], scores[~is_member], FPRS["1pct"]).counted / int(is_member.sum())
    told = f"It names {named:.1%} of members at the price of 1 % of strangers wrongly accused; guessing gives 1 %. "
    return Exhibit(
        probe=probe,
        title=f"Who was in? ROC of {probe}, both axes logarithmic",
        kind="roc",
        takeaway=(
            told
            + (
                "Part of the curve lies above the ceiling that the claimed ε allows; see the interval before concluding."
                if above
                else "On the diagonal the attack only guesses; the further above it on the left, the worse for a few people."
            )
        ),
        data={"fpr": fpr, "tpr": tpr, "ceiling": ceiling, "log": True},
    )


def dp_ceiling(claim: PrivacyCost | None, fpr: Sequence[float]) -> list[float] | None:
    """min(1, e^ε·FPR + δ, 1 − e^−ε·(1 − δ − FPR)): what (ε, δ)-DP allows any attack; None without a claim."""
    if claim is None or not math.isfinite(claim.epsilon):
        return None
    grow = math.exp(min(claim.epsilon, 700.0))
    return [min(1.0, grow * f + claim.delta, 1.0 - max(0.0, 1.0 - claim.delta - f) / grow) for f in fpr]


def _top(probe: str, scores: F64, bench: Bench) -> Exhibit:
    order = np.argsort(-scores, kind="stable")[:TOP_UNITS]
    n_members = int(bench.targets.is_member[order].sum())
    return Exhibit(
        probe=probe,
        title="The units that look most like members",
        kind="table",
        takeaway=f"{n_members} of the {len(order)} highest scores belong to members; chance would give about half.",
        data={
            "top_units": [bench.targets.surrogate[place] for place in order.tolist()],
            "columns": ["unit", "score", "member"],
            "rows": [
                [bench.targets.surrogate[place], float(scores[place]), bool(bench.targets.is_member[place])]
                for place in order.tolist()
            ],
        },
    )
