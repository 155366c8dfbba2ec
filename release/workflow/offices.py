"""What stands behind releases: people, policies, datasets, lifetime caps.

Rules: a policy takes effect when a second policy owner confirms it (the built-in tiers when the workspace is made),
and its taking effect sends every release under review back; a dataset is added once; a lifetime cap is the budget owner's.
What it does not do: read files, or judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from release.canonical import KeyedDigest, Sha256, canonical_bytes
from release.data.schema import Schema
from release.errors import InputError, NotAuthorisedError, RefusedError
from release.privacy.ledger import Cap, set_cap_in
from release.protocols import Judge
from release.records import DatasetId, Kind, Person, PolicyTerms, Population, Purpose, Request
from release.workflow.people import SYSTEM, Member, Role, require_role
from release.workflow.store import Reader, Step, Store
from release.workflow.transitions import Action, State, may_move

INSTALLED = Person("built-in")
"""Stands as confirming person on the tiers that come with the product."""


_FROM_MEMORY = KeyedDigest("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A registered table.

    Attributes:
        id: the schema's name.
        title: for people.
        schema: the whole schema, plain JSON values (`Schema.model_validate`).
        schema_digest: SHA-256 of it.
        population: whose lifetime privacy it draws on.
        unit: name of the privacy unit.
        max_rows: the most rows a unit may have.
        kind: what the rows are.
        depth: how many synthetic generations they are away from collected rows.
        real_anchor: the dataset of collected rows behind generated ones.
        table: keyed digest of the stored Parquet file.
        report: what reading it found, plain JSON values (counts only).
        added_by: who.
        added_at: when.
        file: keyed digest of the file that was read; "" where rows came from memory.
    """

    id: DatasetId
    title: str
    schema: dict[str, Any]
    schema_digest: Sha256
    population: Population
    unit: str
    max_rows: int
    kind: Kind
    depth: int
    real_anchor: str | None
    table: KeyedDigest
    report: dict[str, Any]
    added_by: Person
    added_at: datetime
    file: KeyedDigest = _FROM_MEMORY


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPolicy:
    """One version of one policy.

    Attributes:
        terms: what the workflow needs of it.
        document: the YAML text, to the letter.
        proposed_by: the first policy owner.
        confirmed_by: the second, or `INSTALLED`; "" while it waits.
        at: when this record was written.
    """

    terms: PolicyTerms
    document: str
    proposed_by: Person
    confirmed_by: Person
    at: datetime


class People:
    """Who may do what."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, person: Person, roles: tuple[Role, ...], *, by: Person) -> Member:
        """Give a person these roles (instead of earlier ones). The very first person may give them to themselves.

        Raises InputError for an impossible name, NotAuthorisedError where `by` is no policy owner or would gain a role
        by it, RefusedError where nobody would be policy owner any more.
        """
        if (
            not person
            or person in (SYSTEM, INSTALLED)
            or "/" in person
            or person != person.strip()
            or len(person) > 128
        ):
            raise InputError(
                f"{person!r} cannot be a person's name",
                mend='use up to 128 characters without "/" and outer spaces',
            )
        with self._store.step("add_person", by) as step:
            known = members_of(step)
            if known:
                require_role(known.get(by), by, Role.POLICY_OWNER, "give roles")
                if by == person and set(roles) - set(known[by].roles):
                    raise NotAuthorisedError(
                        f"{by} cannot give a role to themselves", mend="another policy owner has to"
                    )
            member = Member(person=person, roles=tuple(dict.fromkeys(roles)), added_by=by, added_at=step.now)
            if not any(Role.POLICY_OWNER in other.roles for other in {**known, person: member}.values()):
                raise RefusedError("nobody would be policy owner", mend="give that role to somebody first")
            step.put_next("member", person, member)
            step.note(person=person, roles=list(member.roles))
        return member

    def get(self, person: Person) -> Member | None:
        """The person as they are now, or None."""
        with self._store.look() as reader:
            return reader.member(person)

    def all(self) -> tuple[Member, ...]:
        """Everybody as they are now, in order of first mention."""
        with self._store.look() as reader:
            return tuple(members_of(reader).values())


class Policies:
    """Published policies."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def install(self, document: str, judge: Judge, *, by: Person) -> PolicyTerms:
        """Put a built-in tier into force in a new workspace (no releases yet, no policy of that name)."""
        terms = judge.terms(document)
        with self._store.step("install_policy", by) as step:
            require_role(step.member(by), by, Role.POLICY_OWNER, "install a policy")
            if step.places() or step.count("policy", terms.name):
                raise RefusedError(
                    f'"{terms.name}" can be installed only once, in a workspace without releases',
                    mend="publish a new version instead: it takes two policy owners",
                )
            self._put(step, terms, document, proposed_by=by, confirmed_by=INSTALLED)
        return terms

    def propose(self, document: str, judge: Judge, *, by: Person) -> PolicyTerms:
        """Propose a new policy or version. It takes effect when another policy owner confirms it."""
        terms = judge.terms(document)
        with self._store.step("propose_policy", by) as step:
            require_role(step.member(by), by, Role.POLICY_OWNER, "publish a policy")
            current = policy_in(step, terms.name)
            if current is not None and current.terms.digest == terms.digest:
                raise RefusedError(f'"{terms.name}" is already in force in just this wording')
            self._put(step, terms, document, proposed_by=by, confirmed_by=Person(""))
        return terms

    def confirm(self, name: str, digest: Sha256, *, by: Person) -> PolicyTerms:
        """Put a proposed policy into force. Releases under review under that name go back (re_review_required)."""
        with self._store.step("confirm_policy", by) as step:
            require_role(step.member(by), by, Role.POLICY_OWNER, "publish a policy")
            waiting = self._waiting(step, name)
            if waiting is None or waiting.terms.digest != digest:
                raise InputError(f'no policy "{name}" with digest {digest[:12]}… waits for confirmation')
            if by == waiting.proposed_by:
                raise NotAuthorisedError(
                    f"{by} proposed this policy", mend="another policy owner has to confirm it"
                )
            self._put(step, waiting.terms, waiting.document, proposed_by=waiting.proposed_by, confirmed_by=by)
            sent_back = send_back(step, name)
            step.note(sent_back=list(sent_back))
        return waiting.terms

    def current(self, name: str) -> PublishedPolicy:
        """The version in force. InputError where there is none."""
        with self._store.look() as reader:
            return require_policy(reader, name)

    def waiting(self) -> tuple[PublishedPolicy, ...]:
        """Versions that wait for a second policy owner."""
        with self._store.look() as reader:
            names = dict.fromkeys(found.record.terms.name for found in reader.all(PublishedPolicy, "policy"))
            found = [self._waiting(reader, name) for name in names]
        return tuple(policy for policy in found if policy is not None)

    def all(self) -> tuple[PublishedPolicy, ...]:
        """Every policy in force, by name."""
        with self._store.look() as reader:
            names = sorted({found.record.terms.name for found in reader.all(PublishedPolicy, "policy")})
            found = [policy_in(reader, name) for name in names]
        return tuple(policy for policy in found if policy is not None)

    def by_digest(self, digest: Sha256) -> PublishedPolicy:
        """The policy document of that digest, in force or not. InputError where there is none."""
        with self._store.look() as reader:
            for found in reader.all(PublishedPolicy, "policy"):
                if found.record.terms.digest == digest:
                    return found.record
        raise InputError(f"no policy has the digest {digest}")

    def _put(
        self, step: Step, terms: PolicyTerms, document: str, *, proposed_by: Person, confirmed_by: Person
    ) -> None:
        step.put_next(
            "policy",
            terms.name,
            PublishedPolicy(
                terms=terms,
                document=document,
                proposed_by=proposed_by,
                confirmed_by=confirmed_by,
                at=step.now,
            ),
        )
        step.note(policy=terms.name, version=terms.version, digest=terms.digest)

    def _waiting(self, reader: Reader, name: str) -> PublishedPolicy | None:
        last = reader.last(PublishedPolicy, "policy", name)
        return None if last is None or last.record.confirmed_by else last.record


class Datasets:
    """Registered tables and their populations' caps."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self,
        schema: Schema,
        *,
        table: KeyedDigest,
        report: dict[str, Any],
        by: Person,
        file: KeyedDigest = _FROM_MEMORY,
    ) -> Dataset:
        """Register a table that was read and stored.

        Args:
            schema: as it was read with.
            table: keyed digest of the stored Parquet file.
            report: what reading it found, counts only.
            by: a requester or budget owner.
            file: keyed digest of the file that was read. The same file again must name the same population: the
                people in it have one lifetime budget. (A file with one byte changed is not recognised.)

        Raises:
            InputError: the name is taken; the same file stands under another population; generated rows without a registered dataset of collected rows behind them; or the
                population counts per another unit.
        """
        source = schema.provenance
        with self._store.step("add_dataset", by) as step:
            member = step.member(by)
            if member is None or Role.BUDGET_OWNER not in member.roles:
                require_role(member, by, Role.REQUESTER, "add a dataset")
            known = {found.record.id: found.record for found in step.all(Dataset, "dataset")}
            if schema.name in known:
                raise InputError(
                    f'there is already a dataset "{schema.name}"', mend="give the schema another name"
                )
            if source.kind is Kind.GENERATED or source.kind is Kind.AUGMENTED:
                anchor = known.get(DatasetId(source.real_anchor or ""))
                if anchor is None or anchor.kind is not Kind.COLLECTED:
                    raise InputError(
                        f'{source.kind} rows need a registered dataset of collected rows as real_anchor, not "{source.real_anchor}"',
                        mend="add the dataset of real rows first and name it in provenance.real_anchor",
                    )
            for other in known.values():
                if file and other.file == file and other.population != schema.population:
                    raise InputError(
                        f'this file is registered as "{other.id}" under the population "{other.population}"',
                        mend=f"the same people have one budget: write population: {other.population}",
                    )
                if other.population == schema.population and other.unit != schema.unit.name:
                    raise InputError(
                        f'population "{schema.population}" counts per {other.unit} in "{other.id}", '
                        f"but per {schema.unit.name} here",
                        mend="name the same privacy unit, or another population if these are other people",
                    )
            dataset = Dataset(
                id=DatasetId(schema.name),
                title=schema.title,
                schema=schema.model_dump(mode="json"),
                schema_digest=schema.digest,
                population=Population(schema.population),
                unit=schema.unit.name,
                max_rows=schema.unit.max_rows,
                kind=source.kind,
                depth=source.depth,
                real_anchor=source.real_anchor,
                table=table,
                report=report,
                added_by=by,
                added_at=step.now,
                file=file,
            )
            step.put("dataset", dataset.id, dataset)
            step.note(dataset=dataset.id, population=dataset.population)
        return dataset

    def get(self, dataset: DatasetId) -> Dataset:
        """The dataset of that id. InputError where there is none."""
        with self._store.look() as reader:
            return require_dataset(reader, dataset)[0]

    def all(self) -> tuple[Dataset, ...]:
        """Every dataset, oldest first."""
        with self._store.look() as reader:
            return tuple(found.record for found in reader.all(Dataset, "dataset"))

    def set_cap(
        self,
        population: Population,
        *,
        epsilon: float,
        delta: float,
        by: Person,
        threshold_delta: float | None = None,
    ) -> Cap:
        """Set or change the lifetime cap of a registered population; see `release.privacy.ledger.set_cap_in`."""
        with self._store.step("set_cap", by) as step:
            require_role(step.member(by), by, Role.BUDGET_OWNER, "set a lifetime cap")
            units = [
                found.record.unit
                for found in step.all(Dataset, "dataset")
                if found.record.population == population
            ]
            if not units:
                raise InputError(
                    f'no dataset belongs to the population "{population}"', mend="add the dataset first"
                )
            cap, entry = set_cap_in(
                step.transaction,
                population,
                unit=units[0],
                epsilon=epsilon,
                delta=delta,
                by=by,
                threshold_delta=threshold_delta,
            )
            step.charged(entry)
            step.note(population=population, epsilon=epsilon, delta=delta)
        return cap


# ---------------------------------------------------------------------------------------------- shared with the registry


def members_of(reader: Reader) -> dict[Person, Member]:
    """Everybody as they are now."""
    return {found.record.person: found.record for found in reader.all(Member, "member")}


def policy_in(reader: Reader, name: str) -> PublishedPolicy | None:
    """The version in force, or None."""
    confirmed = [
        found.record
        for found in reader.all(PublishedPolicy, "policy")
        if found.record.terms.name == name and found.record.confirmed_by
    ]
    return confirmed[-1] if confirmed else None


def require_policy(reader: Reader, name: str) -> PublishedPolicy:
    """The version in force. InputError where there is none."""
    found = policy_in(reader, name)
    if found is None:
        raise InputError(f'no policy "{name}" is in force', mend="`sluice policy list` shows those that are")
    return found


def require_dataset(reader: Reader, dataset: DatasetId) -> tuple[Dataset, KeyedDigest]:
    """The dataset and its record's keyed digest. InputError where there is none."""
    found = reader.get(Dataset, "dataset", dataset)
    if found is None:
        raise InputError(f'there is no dataset "{dataset}"', mend="`sluice dataset show` lists them")
    return found.record, found.digest


def schema_of(dataset: Dataset) -> Schema:
    """The dataset's schema, as it was registered."""
    return Schema.model_validate_json(canonical_bytes(dataset.schema))


def send_back(step: Step, policy: str) -> tuple[str, ...]:
    """Send the releases under review under a policy's name back; those that were."""
    moved = []
    for place in step.places():
        request = step.get(Request, "request", place.release)
        target = State.RE_REVIEW_REQUIRED
        if (
            request
            and request.record.policy == policy
            and may_move(place.state, Action.REQUIRE_RE_REVIEW, target)
        ):
            step.move(place, target, review=0)
            moved.append(place.release)
    return tuple(moved)


def requires_sweep(terms: PolicyTerms, purpose: Purpose) -> bool:
    """Whether the policy wants a ratio sweep on file for this purpose."""
    return purpose in terms.requires_sweep
