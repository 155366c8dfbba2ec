"""Studies of a release's candidate for steward and training team: ratio sweep, collapse, the HTML reports.

Rules: nothing here changes a release's state or leaves the workspace; pages and results go to the workspace's `reports` folder. The randomness
is a function of the candidate and of what is asked, so a study can be repeated to the digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import wiring
from app.evaluation import aligned, rng_of
from app.pipeline import arena_of, model_of, sampler_of
from app.proposing import plan_of
from release.canonical import digest, from_json, keyed_digest, to_json
from release.errors import GateError, InputError, RefusedError, TransitionError, UnprovenError
from release.protocols import Progress, no_progress
from release.records import (
    Candidate,
    EvidenceSet,
    NotMeasured,
    Person,
    ProbeReport,
    ReleaseId,
    Task,
)

if TYPE_CHECKING:
    from app.workspace import Workspace
    from release.quality.report import Heading
    from release.quality.sweep import Mix, Sweep, SweepPlan
    from release.workflow.dossier import ReleaseView

REPORTS = "reports"
MOST_DRAWS = 200
_PRICE = (
    "Compares the release with a non-private generator's table of the same training rows. Above 0 the release is worse; where the price is small, "
    "more ε would buy little, and where both are far from the reference, the generator is the limit and not the privacy."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepWish:
    """What the command line asks of a sweep; None and () take the plan's defaults."""

    target: str | None = None
    ratios: tuple[float, ...] = ()
    additions: tuple[float, ...] = ()
    anchor: int | None = None
    seeds: int | None = None
    weights: Mapping[str, float] | None = None


def sweep(
    workspace: Workspace, release: ReleaseId, wish: SweepWish, *, by: Person, progress: Progress = no_progress
) -> Sweep:
    """Run a ratio sweep of the present candidate and put it on file.

    Raises:
        InputError: the sweep makes no sense.
        UnprovenError: the task cannot be measured on these tables.
    """
    from release.quality.sweep_run import run_sweep

    view = workspace.registry.show(release)
    candidate = _candidate(view)
    plan = _plan(view, wish)
    mix = _mix(workspace, candidate, plan)
    arena = arena_of(workspace, view)
    if arena.training is None:
        raise InputError("the arena has no training rows", mend="run the release first")
    key = workspace.keys.digest_key
    found = run_sweep(
        mix,
        arena.training,
        sampler_of(view, model_of(workspace, view)),
        arena.controls,
        rng_of(digest(candidate), key, f"sweep {mix.digest}"),
        progress,
    )
    if isinstance(found, NotMeasured):
        raise UnprovenError(f"the sweep could not be measured: {found.reason}", mend="name another --target")
    workspace.registry.record_sweep(release, mix=mix.digest, result=to_json(found), by=by)
    return found


def revalidate(workspace: Workspace, release: ReleaseId) -> Sweep:
    """The sweep on file, if what it mixed is still what the release is. Raises GateError."""
    from release.quality.sweep import Sweep, require_unchanged

    view = workspace.registry.show(release)
    candidate = _candidate(view)
    if not view.sweeps:
        raise GateError(
            f"no sweep of the present candidate of {release} is on file",
            mend=f"run sluice release sweep {release}",
        )
    stored = from_json(Sweep, view.sweeps[-1].result)
    require_unchanged(stored, _mix(workspace, candidate, stored.mix.plan))
    return stored


def collapse(
    workspace: Workspace, release: ReleaseId, generations: int, *, progress: Progress = no_progress
) -> ProbeReport:
    """The generator on its own output, generation after generation, beginning with the candidate."""
    from release.quality.collapse import run_collapse
    from release.workflow.offices import schema_of

    view = workspace.registry.show(release)
    candidate = _candidate(view)
    arena = arena_of(workspace, view)
    if arena.training is None:
        raise InputError("the arena has no training rows", mend="run the release first")
    plan = plan_of(view.request, schema_of(view.dataset))
    return run_collapse(
        arena.training,
        arena.synthetic,
        lambda table, rng: plan.run(table, wiring.noise()).sample(len(table), rng),
        generations,
        rng_of(digest(candidate), workspace.keys.digest_key, f"collapse {generations}"),
        progress,
    )


def rebalance(
    workspace: Workspace,
    release: ReleaseId,
    weights: Mapping[str, float],
    *,
    rows: int | None = None,
    progress: Progress = no_progress,
) -> ProbeReport:
    """What a mix with more rows of the named slices would do to scores: measured, charged nothing, nothing stored.

    Raises InputError for weights that are no shares, PlanError where the model cannot sample under a slice's condition.
    """
    from release.quality.rebalance import measure_rebalance, rebalanced

    view = workspace.registry.show(release)
    candidate = _candidate(view)
    arena = arena_of(workspace, view)
    rng = rng_of(digest(candidate), workspace.keys.digest_key, f"rebalance {sorted(weights.items())} {rows}")
    wanted = rows if rows is not None else len(arena.synthetic)
    mixed = rebalanced(arena.synthetic.schema, wanted, weights, model_of(workspace, view).sample, rng)
    return measure_rebalance(arena, arena.synthetic, mixed, weights, rng, progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A comparison and the internal page it stands on."""

    report: ProbeReport
    page: Path


def compare(
    workspace: Workspace,
    release: ReleaseId,
    generator: str,
    *,
    options: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
) -> Compared:
    """The price of privacy: the release beside a non-private baseline fitted on the same training rows, as figures and as a page.

    Raises RefusedError for a private generator: its look at the rows would have to be charged, as a release of its own.
    """
    from release.quality.price import price_of_privacy
    from release.quality.report import internal_report
    from release.workflow.offices import schema_of

    view = workspace.registry.show(release)
    candidate = _candidate(view)
    baseline = wiring.generator(generator)
    if baseline.private:
        raise RefusedError(
            f"{generator} is a private generator, and fitting it would be charged",
            mend="propose it as a release of its own, or name a non-private baseline",
        )
    arena = arena_of(workspace, view)
    if arena.training is None:
        raise InputError("the arena has no training rows", mend="run the release first")
    rng = rng_of(digest(candidate), workspace.keys.digest_key, f"compare {generator}")
    plan = baseline.plan(schema_of(view.dataset), view.request.budget, view.request.task, options)
    model = plan.run(arena.training, wiring.noise(), lambda done, what: progress(done / 2, what))
    made = model.sample(len(arena.synthetic), rng)
    *_, made = aligned([arena.training, made])
    report = price_of_privacy(arena, made, generator, rng, lambda done, what: progress(0.5 + done / 2, what))
    page = internal_report(_heading(view), [report], summaries={"price": _PRICE})
    return Compared(
        report=report, page=_write(workspace, f"{release}-{view.turn}-compare-{generator}.html", page)
    )


def draws(
    workspace: Workspace, release: ReleaseId, count: int, *, progress: Progress = no_progress
) -> ProbeReport:
    """How often naive intervals from one synthetic draw cover the real coefficients, over `count` draws of the model."""
    from release.quality.coefficients import coverage_over_draws

    view = workspace.registry.show(release)
    candidate = _candidate(view)
    if view.request.task is None:
        raise InputError(
            f"{release} declares no task, so there is no regression", mend="propose it with --target"
        )
    if not 2 <= count <= MOST_DRAWS:
        raise InputError(f"{count} draws are not in 2 … {MOST_DRAWS}", mend="ask for --draws 10")
    arena = arena_of(workspace, view)
    if arena.training is None:
        raise InputError("the arena has no training rows", mend="run the release first")
    rng = rng_of(digest(candidate), workspace.keys.digest_key, f"draws {count}")
    sample = sampler_of(view, model_of(workspace, view))
    tables = []
    for number in range(count):
        progress(number / (count + 1), f"draw {number + 1} of {count}")
        tables.append(sample(len(arena.synthetic), rng))
    return coverage_over_draws(view.request.task, arena.training, tables, rng)


def write_reports(workspace: Workspace, release: ReleaseId) -> tuple[Path, ...]:
    """Write the internal page and, where there is a claim, the partner's page into the workspace. Their paths."""
    from release.quality.report import PublicRuling, internal_report, partner_report

    view = workspace.registry.show(release)
    _candidate(view)
    if view.evidence is None:
        raise TransitionError(f"{release} has not been measured", mend=f"run sluice release run {release}")
    findings = view.verdict.findings if view.verdict else ()
    summaries = {name: probe.summary for name, probe in wiring.qualities().items()}
    reports = [*quality_reports(view.evidence, tuple(summaries)), *_sweeps(view)]
    heading = _heading(view)
    pages = {"internal": internal_report(heading, reports, findings, summaries)}
    if heading.claim is not None:
        rulings = [PublicRuling.of(finding) for finding in findings]
        pages["partner"] = partner_report(heading, arena_of(workspace, view).synthetic, rulings)
    return tuple(
        _write(workspace, f"{release}-{view.turn}-{name}.html", page) for name, page in pages.items()
    )


def quality_reports(evidence: EvidenceSet, names: Sequence[str]) -> list[ProbeReport]:
    """The quality probes' parts of an evidence set, one report each, in the order of `names`."""
    return [
        ProbeReport(
            evidence=tuple(item for item in evidence.evidence if item.probe == name),
            exhibits=tuple(exhibit for exhibit in evidence.exhibits if exhibit.probe == name),
        )
        for name in names
    ]


# ---------------------------------------------------------------------------------------------- inside


def _write(workspace: Workspace, name: str, page: str) -> Path:
    """Write a page into the workspace's `reports` folder, over an earlier one. Its path."""
    from release.data.atomic import write_bytes

    folder = workspace.root / REPORTS
    folder.mkdir(exist_ok=True, mode=0o700)
    path = folder / name
    path.unlink(missing_ok=True)
    write_bytes(path, page.encode("utf-8"))
    return path


def _candidate(view: ReleaseView) -> Candidate:
    if view.candidate is None:
        raise TransitionError(
            f"{view.release} has no candidate", mend=f"run sluice release run {view.release}"
        )
    return view.candidate


def _plan(view: ReleaseView, wish: SweepWish) -> SweepPlan:
    from release.quality.sweep import SweepPlan

    task = Task(target=wish.target) if wish.target is not None else view.request.task
    if task is None:
        raise InputError(f"{view.release} declares no task", mend="name the column with --target")
    given: dict[str, Any] = {
        name: value
        for name, value in (
            ("ratios", tuple(sorted(wish.ratios))),
            ("additions", tuple(sorted(wish.additions))),
            ("anchor", wish.anchor),
            ("seeds", wish.seeds),
            ("weights", dict(wish.weights or {})),
        )
        if value
    }
    return SweepPlan(task=task, **given)


def _mix(workspace: Workspace, candidate: Candidate, plan: SweepPlan) -> Mix:
    from release.quality.sweep import Mix

    key = workspace.keys.digest_key

    def part(name: str) -> Any:
        return keyed_digest({"dataset": candidate.dataset, "split": candidate.split, "part": name}, key)

    return Mix(
        training=part("training"),
        holdout=part("controls"),
        candidate=digest(candidate),
        model=candidate.model,
        plan=plan,
    )


def _sweeps(view: ReleaseView) -> list[ProbeReport]:
    from release.quality.sweep import Sweep

    return [from_json(Sweep, view.sweeps[-1].result).report()] if view.sweeps else []


def _heading(view: ReleaseView) -> Heading:
    from release.data.mix import shares_in_words
    from release.quality.report import Heading
    from release.workflow.offices import schema_of

    candidate = _candidate(view)
    schema = schema_of(view.dataset)
    return Heading(
        release=view.release,
        title=schema.title or schema.name,
        partner=view.request.partner,
        generator=view.request.generator,
        policy=view.request.policy,
        claim=candidate.claim,
        made_at=candidate.made_at,
        mix=shares_in_words(view.request.weights),
    )
