"""One release: what was found, what could go wrong first, and the vote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from app import desk, plots
from app.pipeline import synthetic_of
from app.rendering import MODE_WORDS, figure
from release.canonical import digest
from release.errors import ReleaseError
from release.records import Decision, Exhibit, Finding, ReleaseId, Ruling, Verdict
from release.workflow.dossier import ReleaseView
from release.workflow.transitions import State
from release.workflow.votes import Binding, may_vote

_WORST_FIRST = (Ruling.BROKEN, Ruling.INVALID, Ruling.UNPROVEN, Ruling.MET)

_HEADLINE = {
    Ruling.MET: ("success", "Every rule is met. What is left is your judgement."),
    Ruling.BROKEN: ("error", "At least one rule is broken. This table must not leave."),
    Ruling.UNPROVEN: (
        "warning",
        "Not everything could be shown to be inside its limit. Until it is, this table stays.",
    ),
    Ruling.INVALID: (
        "error",
        "A control failed, so these measurements say nothing. Until they do, this table stays.",
    ),
}

_PREVIEW = 50


def page() -> None:
    """Choose a release, then show it."""
    names: list[str] = [view.release for view in desk.workspace().registry.all()]
    if not names:
        st.title("No release yet")
        st.info("Ask for one with `sluice release propose`.", icon=":material/inbox:")
        return
    names.reverse()
    wanted = str(st.session_state.get("release") or st.query_params.get("id"))
    name: str = st.selectbox("Release", names, index=names.index(wanted) if wanted in names else 0)
    st.session_state["release"] = name
    st.query_params["id"] = name
    view = desk.workspace().registry.show(ReleaseId(name))
    _head(view)
    if view.state in desk.RUNNING:
        _watch(view.release, view.state)
        return
    verdict, evidence, table, history = st.tabs(["Verdict and vote", "Evidence", "Synthetic rows", "History"])
    with verdict:
        _verdict(view)
    with evidence:
        _evidence(view)
    with table:
        _rows(view)
    with history:
        _history(view)


def _head(view: ReleaseView) -> None:
    request = view.request
    st.title(desk.plain(view.release))
    st.markdown(
        f"**{desk.plain(desk.STATE_WORDS[view.state])}** · turn {view.turn} · asked for by "
        f"{desk.plain(request.requested_by)} for {desk.plain(request.partner)} ({request.purpose.value})"
    )
    one, two, three, four = st.columns(4)
    claim = view.candidate.claim if view.candidate else (view.opened.cost if view.opened else None)
    made = view.candidate is not None
    one.metric(
        "Claimed ε",
        f"{claim.epsilon:.3g}" if claim else ("none" if made else f"{request.budget.epsilon:g} asked"),
    )
    two.metric("Policy", f"{view.terms.name}", help=f"version {view.terms.version}, {view.terms.digest[:12]}")
    three.metric("Rows", f"{request.rows:,}")
    four.metric("Generator", request.generator)
    if claim is not None:
        st.caption(
            f"ε = {claim.epsilon:.4g} at δ = {claim.delta:.2g} for one {desk.plain(claim.unit)} "
            f"(at most {claim.max_rows_per_unit} rows), {claim.adjacency.value}, accounted by {claim.accountant.value}."
        )
    elif made:
        st.caption("No privacy guarantee is claimed (ε = ∞). Such a table can never be exported.")


@st.fragment(run_every="5s")
def _watch(release: ReleaseId, seen: State) -> None:
    """While a run is under way: look every five seconds, and draw the page anew when it has moved on."""
    now = desk.workspace().registry.show(release).state
    if now is not seen:
        st.rerun()
    st.info(f"This release is {desk.STATE_WORDS[now]}. The page follows by itself.", icon=":material/sync:")


# ---------------------------------------------------------------------------------------------- verdict


def _verdict(view: ReleaseView) -> None:
    verdict = view.verdict
    if verdict is None:
        st.info("Not judged yet. Its requester runs it with `sluice release run`.", icon=":material/pending:")
        return
    kind, words = _HEADLINE[verdict.ruling]
    getattr(st, kind)(f"**{desk.RULING_WORDS[verdict.ruling]}.** {words}")
    counts = {ruling: sum(f.ruling is ruling for f in verdict.findings) for ruling in _WORST_FIRST}
    st.caption(
        " · ".join(f"{count} {desk.RULING_WORDS[ruling]}" for ruling, count in counts.items() if count)
        + f" · gate mode {verdict.mode.value}: {MODE_WORDS[verdict.mode]}."
    )
    worrying = [f for ruling in _WORST_FIRST[:3] for f in verdict.findings if f.ruling is ruling]
    if worrying:
        st.subheader("What stands in the way")
        for finding in worrying[:40]:
            _card(finding)
        if len(worrying) > 40:
            st.caption(f"and {len(worrying) - 40} more, in the table below")
    _closest(verdict)
    st.subheader("Every rule")
    st.dataframe(_findings_frame(verdict.findings), hide_index=True)
    _vote(view, verdict)


def _card(finding: Finding) -> None:
    with st.container(border=True):
        subject = f" · {desk.plain(finding.subject)}" if finding.subject else ""
        st.markdown(
            f":{desk.RULING_COLOUR[finding.ruling]}-badge[{desk.RULING_WORDS[finding.ruling]}] **{desk.plain(finding.rule)}**{subject}"
        )
        st.markdown(desk.plain(finding.reason))
        st.caption(f"{desk.plain(finding.limit)} · measured: {desk.plain(figure(finding.value))}")


def _closest(verdict: Verdict) -> None:
    """Intervals of everything that was measured with uncertainty, the worst rulings first."""
    ordered = sorted(verdict.findings, key=lambda finding: _WORST_FIRST.index(finding.ruling))
    shown = [f for f in ordered if f.value is not None and f.value.low < f.value.high][:40]
    chart = plots.interval_chart(shown)
    if chart is not None:
        with st.expander("Figures with their intervals", expanded=False):
            st.altair_chart(chart)
            st.caption("The pessimistic end of each line must be inside the rule's limit (hover to see it).")


def _findings_frame(findings: Sequence[Finding]) -> pd.DataFrame:
    ordered = sorted(findings, key=lambda finding: _WORST_FIRST.index(finding.ruling))
    return pd.DataFrame(
        [
            {
                "ruling": desk.RULING_WORDS[finding.ruling],
                "rule": finding.rule,
                "subject": finding.subject or "release",
                "figure (95 % ends)": "" if finding.value is None else figure(finding.value),
                "limit": finding.limit,
                "reason": finding.reason,
            }
            for finding in ordered
        ]
    )


# ---------------------------------------------------------------------------------------------- vote


def _vote(view: ReleaseView, verdict: Verdict) -> None:
    st.subheader("Review")
    standing = view.standing
    if view.votes:
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        "person": vote.person,
                        "decision": vote.decision.value,
                        "comment": vote.comment,
                        "at (UTC)": vote.cast_at.strftime("%Y-%m-%d %H:%M"),
                    }
                    for vote in view.votes
                ]
            ),
            hide_index=True,
        )
    if view.approval is not None:
        st.success(
            f"Approved by {desk.plain(', '.join(view.approval.approvers))} until "
            f"{view.approval.expires_at:%Y-%m-%d %H:%M} UTC. A releaser exports it with `sluice release export`.",
            icon=":material/verified:",
        )
    if view.state not in desk.UNDER_REVIEW or view.candidate is None:
        if view.approval is None:
            st.info(
                f"There is nothing to vote on: this release is {desk.STATE_WORDS[view.state]}.",
                icon=":material/how_to_vote:",
            )
        return
    if standing is not None:
        owner = " One of them must be the policy owner's." if standing.owner_missing else ""
        st.markdown(
            f"{standing.missing} more approval{'s are' if standing.missing != 1 else ' is'} needed, "
            f"by people other than {desk.plain(view.request.requested_by)}.{owner}"
        )
    me = desk.me()
    member = desk.workspace().registry.people.get(me)
    if not may_vote(member, me, view.request.requested_by):
        reason = (
            "nobody reviews what they asked for themselves"
            if me == view.request.requested_by
            else "your roles do not include reviewing"
        )
        st.warning(f"You may not vote here: {reason}.", icon=":material/block:")
        return
    binding = Binding(
        release=view.release,
        turn=view.turn,
        candidate=digest(view.candidate),
        evidence=verdict.evidence,
        policy=view.terms.digest,
    )
    st.caption(
        f"Your vote binds to candidate {binding.candidate[:12]}, evidence {binding.evidence[:12]} and policy "
        f"{binding.policy[:12]}. If any of them changes, it is void."
    )
    comment = st.text_area("Comment (stays inside)", key=f"comment {view.release}", max_chars=2_000)
    approve, back, reject = st.columns(3)
    if approve.button("✓ Approve", type="primary", key="approve", width="stretch"):
        _cast(view, Decision.APPROVE, comment, binding)
    if back.button("↩ Send back", key="return", width="stretch", help="The requester may run it again."):
        _send_back(view, comment)
    if reject.button("✗ Reject", key="reject", width="stretch", help="For good."):
        _cast(view, Decision.REJECT, comment, binding)


def _cast(view: ReleaseView, decision: Decision, comment: str, binding: Binding) -> None:
    registry = desk.workspace().registry
    with desk.errors_in_words():
        registry.expire_due()
        registry.vote(view.release, decision, comment=comment, by=desk.me(), seen=binding)
        st.rerun()


def _send_back(view: ReleaseView, comment: str) -> None:
    with desk.errors_in_words():
        desk.workspace().registry.send_back(view.release, comment=comment, by=desk.me())
        st.rerun()


# ---------------------------------------------------------------------------------------------- evidence


def _evidence(view: ReleaseView) -> None:
    evidence = view.evidence
    if evidence is None:
        st.info("Nothing has been measured yet.", icon=":material/pending:")
        return
    st.caption("Inside only: nothing on this page leaves with the bundle, except what the data card repeats.")
    probes = [probe for probe in evidence.probes if any(e.probe == probe for e in evidence.exhibits)]
    if probes:
        probe = st.selectbox("Pictures of", probes, format_func=lambda name: name.replace("_", " "))
        for exhibit in evidence.exhibits:
            if exhibit.probe == probe:
                _exhibit(exhibit)
    st.subheader("Controls")
    st.caption(
        "Known leaks were planted into copies of this very table: a suite that misses one says nothing."
    )
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "result": "✓ as it should be" if control.passed else "✗ missed",
                    "probe": control.probe,
                    "control": control.name,
                    "kind": control.kind.value,
                    "p": control.p_value,
                    "share planted": control.share,
                }
                for control in sorted(evidence.controls, key=lambda control: control.passed)
            ]
        ),
        hide_index=True,
    )
    st.subheader("Every figure")
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "probe": item.probe,
                    "metric": item.metric,
                    "subject": item.subject or "release",
                    "figure (95 % ends)": figure(item.outcome),
                    "note": item.note,
                }
                for item in evidence.evidence
            ]
        ),
        hide_index=True,
    )


def _exhibit(exhibit: Exhibit) -> None:
    with st.container(border=True):
        st.markdown(f"**{desk.plain(exhibit.title)}**")
        st.markdown(desk.plain(exhibit.takeaway))
        chart = plots.chart_of(exhibit)
        frame = plots.table_of(exhibit)
        if chart is None:
            st.dataframe(frame, hide_index=True)
            return
        st.altair_chart(chart)
        with st.expander("As a table"):
            st.dataframe(frame, hide_index=True)


# ---------------------------------------------------------------------------------------------- rows and history


def _rows(view: ReleaseView) -> None:
    if view.candidate is None:
        st.info("There is no candidate yet.", icon=":material/pending:")
        return
    try:
        table = synthetic_of(desk.workspace(), view)
    except ReleaseError as error:
        st.error(f"The candidate cannot be shown: {desk.plain(error)}")
        return
    st.caption(
        f"The first {min(_PREVIEW, len(table)):,} of {len(table):,} synthetic rows. None is a real person's record."
    )
    st.dataframe(table.take(np.arange(min(_PREVIEW, len(table)))).to_frame(), hide_index=True)


def _history(view: ReleaseView) -> None:
    lines = desk.workspace().registry.audit_log(view.release)
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "at (UTC)": line.at.strftime("%Y-%m-%d %H:%M:%S"),
                    "by": line.by,
                    "action": line.action,
                    "moved": ", ".join(f"{source or 'new'} → {target}" for _, source, target in line.moves),
                    "charged": ", ".join(line.charges),
                }
                for line in lines
            ]
        ),
        hide_index=True,
    )


page()
