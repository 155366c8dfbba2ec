"""The registry: every step of a release, from request to export, and what has happened.

    registry = Registry(database)            # Database(url, key=…, clock=…), after database.upgrade()
    registry.people      add, get, all                                                      offices.py
    registry.policies    install, propose, confirm, current, waiting, all, by_digest        offices.py
    registry.datasets    add, get, all, set_cap                                             offices.py
    registry.ledger      balance, quote, populations, verify                                privacy/ledger.py

    propose → submit (withdraw)                                                             asking.py
        → begin_generation → record_candidate → record_evidence → record_verdict (fail, record_sweep)    making.py
        → vote (or send_back), current_approval                                             reviewing.py
        → begin_export → record_export (fail_export, expire_due, revoke, supersede)         releasing.py
    show, all, audit_log, verify_audit                                                      here

Rules: each method is one transaction that checks who, from which state and on which records, writes, and leaves an
audit line; anything that fails leaves nothing. `by` is who acts; roles are in `release.workflow.transitions`. The steps stand in
one file for each time of a release's life, as classes that `Registry` is put together from; none calls another's.
"""

from __future__ import annotations

from release.database import Database
from release.privacy.ledger import Ledger
from release.records import ReleaseId
from release.workflow import audit
from release.workflow.asking import Asking
from release.workflow.audit import AuditLine, AuditReport
from release.workflow.dossier import ReleaseView, dossier
from release.workflow.making import Making
from release.workflow.offices import Datasets, People, Policies
from release.workflow.releasing import Releasing
from release.workflow.reviewing import Reviewing
from release.workflow.store import Store


class Registry(Asking, Making, Reviewing, Releasing):
    """One workspace's registry. See the module's docstring for the order of calls."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._store = Store(database)
        self.people = People(self._store)
        self.policies = Policies(self._store)
        self.datasets = Datasets(self._store)
        self.ledger = Ledger(database)

    def show(self, release: ReleaseId) -> ReleaseView:
        """All there is to see about one release. InputError where there is none of that id."""
        with self._store.look() as reader:
            return dossier(reader, release).view(reader.now)

    def all(self) -> tuple[ReleaseView, ...]:
        """Every release, in order of id."""
        with self._store.look() as reader:
            return tuple(dossier(reader, place.release).view(reader.now) for place in reader.places())

    def audit_log(self, release: ReleaseId | None = None) -> tuple[AuditLine, ...]:
        """What happened, oldest first (to one release). IntegrityError where the log does not hold."""
        with self._store.look() as reader:
            return audit.lines(reader, release)

    def verify_audit(self) -> AuditReport:
        """Check everything stored against the log. IntegrityError names the first thing that does not hold."""
        with self._store.look() as reader:
            return audit.verify(reader)
