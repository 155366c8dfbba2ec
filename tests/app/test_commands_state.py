"""Property: no sequence of commands exports without an all-met verdict and valid approvals by enough other people."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app import wiring
from app.main import run
from app.people import DEMO_PEOPLE
from app.workspace import Workspace, user
from release.records import Measured, Person, ReleaseId
from release.workflow.transitions import State
from tests.app import fakes

RELEASE = "toy-1"
PEOPLE = st.sampled_from([*DEMO_PEOPLE, "stranger"])
LEFT = {State.RELEASED, State.EXPIRED, State.REVOKED, State.SUPERSEDED}
BAD = ("membership", "max_tpr_at_fpr_1pct", "")


class Commands(RuleBasedStateMachine):
    """One release under the two-approval tier; anybody may try anything at any time."""

    @initialize(policy=st.sampled_from(["internal-dev", "partner-healthcare", "public"]))
    def begin(self, policy):
        self.root = Path(tempfile.mkdtemp())
        self.patch = pytest.MonkeyPatch()
        self.generator, self.suite = fakes.FakeGenerator(), fakes.FakeSuite()
        self.patch.setattr(wiring, "generators", lambda: {"quick": self.generator})
        self.patch.setattr(wiring, "attack_suite", lambda: self.suite)
        self.patch.setattr(wiring, "quality_suite", lambda: self.suite.measure)
        self.patch.setattr(wiring, "qualities", lambda: dict.fromkeys(fakes.QUALITY))
        self.patch.setenv("SLUICE_WORKSPACE", str(self.root / "workspace"))
        self.patch.chdir(self.root)
        Path("schema.yaml").write_text(fakes.SCHEMA)
        Path("toy.csv").write_text(fakes.toy_csv())
        assert self.do("init", "workspace", "--demo") == 0
        assert self.do("dataset", "add", "toy.csv", "--schema", "schema.yaml", "--as", "ana") == 0
        assert self.do("budget", "set", "toytown", "--epsilon", "50", "--as", "finn") == 0
        words = ("--generator", "quick", "--epsilon", "1", "--partner", "lab", "--rows", "30", "--as", "ana")
        assert self.do("release", "propose", "toy", "--policy", policy, *words) == 0
        self.exports = 0

    def do(self, *words):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = run(words)
        assert code in {0, 1, 2, 3}, (words, code)
        return code

    @property
    def place(self):
        return Workspace.open(self.root / "workspace")

    @rule(good=st.booleans())
    def evidence_will_be(self, good):
        bad = Measured(estimate=0.9, low=0.8, high=0.95, trials=500)
        self.suite.figures = {} if good else {BAD: bad}

    @rule(who=st.sampled_from(["ana", "ana", "ben"]), again=st.booleans())
    def run_it(self, who, again):
        self.do("release", "run", RELEASE, *(["--new-turn"] if again else []), "--as", who)

    @rule(who=PEOPLE)
    def approve(self, who):
        self.do("release", "approve", RELEASE, "--as", who)

    @rule(who=PEOPLE, verb=st.sampled_from(["reject", "return", "withdraw"]), really=st.integers(0, 3))
    def set_back(self, who, verb, really):
        if really == 0:
            self.do("release", verb, RELEASE, "--as", who)

    @rule(who=st.sampled_from([*DEMO_PEOPLE]), take=st.booleans())
    def change_roles(self, who, take):
        roles = () if take else DEMO_PEOPLE[who]
        words = [word for role in roles for word in ("--role", role)]
        self.do("person", "add", who, *words, "--as", user())

    @rule()
    def new_policy_version(self):
        place = self.place
        view = place.registry.show(ReleaseId(RELEASE))
        document = place.registry.policies.current(view.terms.name).document
        number = int(view.terms.version)
        changed = document.replace(f'version: "{number}"', f'version: "{number + 1}"')
        dora = place.registry.people.get(Person("dora"))
        if dora is not None and dora.roles:
            terms = place.registry.policies.propose(changed, wiring.judge(), by=Person("dora"))
            place.registry.policies.confirm(terms.name, terms.digest, by=user())

    @rule(who=PEOPLE)
    def export(self, who):
        before = self.place.registry.show(ReleaseId(RELEASE))
        self.exports += 1
        out = f"out-{self.exports}"
        code = self.do("release", "export", RELEASE, "--to", out, "--as", who)
        if code:
            assert not Path(out).exists()
            return
        assert before.state is State.APPROVED
        assert before.verdict.releasable
        assert before.verdict.policy == before.terms.digest
        approvers = {
            vote.person
            for vote in before.votes
            if vote.decision == "approve" and vote.policy == before.terms.digest
        }
        assert set(before.approval.approvers) <= approvers - {"ana"}
        assert len(before.approval.approvers) >= before.terms.approvals
        assert who == "emil"
        assert (Path(out) / RELEASE / "manifest.json").is_file()

    @invariant()
    def only_an_export_leaves_something(self):
        if not hasattr(self, "root"):
            return
        view = self.place.registry.show(ReleaseId(RELEASE))
        bundles = list(self.root.glob(f"out-*/{RELEASE}"))
        assert len(bundles) == (view.state in LEFT)
        assert len(self.place.registry.ledger.balance("toytown").charges) == len(self.generator.runs)

    def teardown(self):
        if hasattr(self, "root"):
            try:
                assert self.place.registry.verify_audit().lines > 0
            finally:
                self.patch.undo()
                shutil.rmtree(self.root)


Commands.TestCase.settings = settings(
    max_examples=6,
    stateful_step_count=16,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestCommands = Commands.TestCase


def test_the_machine_can_reach_an_export():
    """The property above is not empty: the straight way does export."""
    assert os.environ.get("SLUICE_WORKSPACE") is None
    machine = Commands()
    machine.begin("partner-healthcare")
    machine.run_it("ana", again=False)
    machine.approve("ben")
    machine.export("emil")
    machine.approve("cleo")
    machine.export("ana")
    machine.export("emil")
    machine.only_an_export_leaves_something()
    assert [path.name for path in machine.root.glob("out-*")] == ["out-3"]
    machine.teardown()
