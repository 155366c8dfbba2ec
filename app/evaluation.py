"""Attack and measure one synthetic table: the arena, the suites, one evidence set, the verdict.

Rules: the randomness of attacks is a function of the candidate alone (`seed_of`), so nobody fishes for a good seed;
figures of attacks and of quality stand in one evidence set, so that a missing one blocks.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import wiring
from release.canonical import Sha256, keyed_digest, to_json
from release.errors import InputError, PolicyFormatError
from release.protocols import Arena, Progress, no_progress
from release.records import EvidenceSet, GateMode, PrivacyCost, ProbeReport, Purpose, Task, Verdict

if TYPE_CHECKING:
    import numpy as np

    from release.data.table import Table

MAX_POLICY_BYTES = 256 * 1024


def rng_of(candidate: Sha256, key: bytes, purpose: str) -> np.random.Generator:
    """The generator for one purpose: HMAC-SHA-256 of the candidate's digest under the workspace's key.

    Without a workspace the key is empty: then anybody who has the tables can recompute it, and should be able to.
    """
    import numpy as np

    code = hmac.new(key, f"{purpose}|{candidate}".encode(), hashlib.sha256).digest()
    return np.random.default_rng(int.from_bytes(code, "big"))


def evidence_of(arena: Arena, candidate: Sha256, suite: str, key: bytes, progress: Progress) -> EvidenceSet:
    """Run the suite's attacks and its quality probes over the arena; two thirds of the progress are the attacks'."""
    asked = wiring.quality_probes(suite)
    names = tuple(name for name in wiring.qualities() if name in asked)
    attacked = wiring.attack_suite()(
        arena,
        candidate,
        suite,
        rng_of(candidate, key, "attacks"),
        lambda done, what: progress(done * 2 / 3, what),
    )
    measured = wiring.quality_suite()(
        arena,
        rng_of(candidate, key, "quality"),
        lambda done, what: progress(2 / 3 + done / 3, what),
        names,
    )
    return joined(attacked, measured, names)


def joined(attacked: EvidenceSet, measured: Sequence[ProbeReport], names: Sequence[str]) -> EvidenceSet:
    """The attacks' evidence set with the quality probes' reports added."""
    return EvidenceSet(
        candidate=attacked.candidate,
        suite=attacked.suite,
        probes=(*attacked.probes, *names),
        evidence=(*attacked.evidence, *(item for report in measured for item in report.evidence)),
        controls=(*attacked.controls, *(item for report in measured for item in report.controls)),
        exhibits=(*attacked.exhibits, *(item for report in measured for item in report.exhibits)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What `evaluate` found: the evidence and, where a policy was given, its verdict."""

    evidence: EvidenceSet
    verdict: Verdict | None

    def to_json(self) -> dict[str, Any]:
        """Each figure with interval and trials, each control, each ruling, and of each exhibit what to take from it.

        Of the pictures themselves only the units at highest risk are in it, by their surrogate ids.
        """
        evidence = to_json(self.evidence)
        return {
            "suite": evidence["suite"],
            "probes": evidence["probes"],
            "evidence": evidence["evidence"],
            "controls": evidence["controls"],
            "explanations": [
                {
                    "probe": exhibit.probe,
                    "title": exhibit.title,
                    "takeaway": exhibit.takeaway,
                    "top_units": exhibit.data.get("top_units", []),
                }
                for exhibit in self.evidence.exhibits
            ],
            "verdict": None
            if self.verdict is None
            else {
                **to_json(self.verdict),
                "ruling": self.verdict.ruling.value,
                "releasable": self.verdict.releasable,
            },
        }


def evaluate_tables(
    *,
    members: Table,
    controls: Table,
    synthetic: Table,
    reference: Table | None = None,
    claim: PrivacyCost | None = None,
    suite: str = "standard",
    policy: str | None = None,
    purpose: Purpose = Purpose.ANALYSIS,
    task: Task | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Evidence about a synthetic table, and the verdict of a policy document (YAML text) where one is given.

    The tables share one schema; members and controls have no unit in common. Raises InputError where they differ.
    """
    tables = [members, controls, synthetic, *([reference] if reference is not None else [])]
    if any(table.schema.digest != members.schema.digest for table in tables):
        raise InputError(
            "members, controls and synthetic do not share one schema",
            mend="read all of them with the same schema.yaml",
        )
    members, controls, synthetic, *further = aligned(tables)
    smallest = wiring.judge().terms(policy).smallest_cell if policy is not None else 11
    arena = Arena(
        members=members,
        controls=controls,
        reference=further[0] if further else None,
        training=None,
        synthetic=synthetic,
        claim=claim,
        task=task,
        smallest_cell=smallest,
    )
    candidate = _digest_of(synthetic)
    evidence = evidence_of(arena, candidate, suite, b"", progress)
    if policy is None:
        return Evaluation(evidence=evidence, verdict=None)
    verdict = wiring.judge().judge(
        policy, evidence, keyed_digest(evidence, b""), claim, purpose, GateMode.UNCOVERED
    )
    return Evaluation(evidence=evidence, verdict=verdict)


def evaluate_files(
    *,
    members: Path,
    controls: Path,
    synthetic: Path,
    schema_file: Path,
    reference: Path | None = None,
    suite: str = "standard",
    policy: str | None = None,
    purpose: Purpose = Purpose.ANALYSIS,
    target: str | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """`evaluate_tables` for files; `policy` is the name of a built-in tier or the path of a policy file.

    Raises SchemaError, SourceError, InputError, PolicyFormatError.
    """
    from release.data.schema_file import load_schema
    from release.data.sources import read_table

    schema = load_schema(schema_file)
    if target is not None and target not in {column.name for column in schema.released}:
        raise InputError(
            "the target is not a released column of the schema", column=target, mend="name one of its columns"
        )
    document = policy_document(policy) if policy is not None else None
    progress(0.0, "reading the tables")
    return evaluate_tables(
        members=read_table(members, schema).table,
        controls=read_table(controls, schema).table,
        synthetic=read_table(synthetic, schema, released_only=True).table,
        reference=read_table(reference, schema).table if reference is not None else None,
        suite=suite,
        policy=document,
        purpose=purpose,
        task=Task(target=target) if target is not None else None,
        progress=progress,
    )


def policy_document(name_or_path: str) -> str:
    """The text of a built-in policy, or of a policy file. Raises PolicyFormatError."""
    builtin = wiring.policies()
    if name_or_path in builtin:
        return builtin[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise PolicyFormatError(
            f"there is no policy {name_or_path!r}",
            mend=f"choose one of {', '.join(sorted(builtin))}, or give a policy file",
        )
    if path.stat().st_size > MAX_POLICY_BYTES:
        raise PolicyFormatError(
            f"{path.stat().st_size:,} bytes, at most {MAX_POLICY_BYTES:,}",
            file=path.name,
            mend="give a policy file",
        )
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyFormatError(
            "cannot be read as UTF-8 text", file=path.name, mend="check the file"
        ) from error


def aligned(tables: Sequence[Table]) -> list[Table]:
    """The tables with one list of levels for each column: learnt levels differ from file to file."""
    import numpy as np

    from release.data.table import concatenate

    whole = concatenate(tables)
    ends = np.cumsum([len(table) for table in tables])
    return [whole.take(np.arange(end - len(table), end)) for table, end in zip(tables, ends, strict=True)]


def _digest_of(table: Table) -> Sha256:
    """SHA-256 over a table's columns, as the exact internal file holds them."""
    code = hashlib.sha256()
    for name, column in table.columns.items():
        for part in (name.encode(), column.values.tobytes(), column.missing.tobytes()):
            code.update(len(part).to_bytes(8, "big"))
            code.update(part)
    return Sha256(code.hexdigest())
