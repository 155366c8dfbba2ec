"""Real tables: registering one, and reading it back as it was registered.

Rules: the file is read, typed and checked before anything is stored, so a bad file leaves nothing behind; what is stored is
our own exact Parquet form under a keyed digest; the source's path is not kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from release.canonical import KeyedDigest, keyed_file_digest, to_json
from release.errors import InputError, SchemaError
from release.protocols import Progress, no_progress
from release.records import DatasetId, Person

if TYPE_CHECKING:
    from app.workspace import Workspace
    from release.data.sources import LoadReport
    from release.data.table import Table
    from release.workflow.offices import Dataset


def add_dataset(
    workspace: Workspace, file: Path, schema_file: Path, *, by: Person, progress: Progress = no_progress
) -> tuple[Dataset, LoadReport]:
    """Read a file by its schema, store it, register it.

    Raises SchemaError, SourceError, InputError, and GateError for a synthetic source without its real anchor.
    """
    from release.data.contradictions import require_consistent
    from release.data.draft import placeholders
    from release.data.schema_file import load_schema
    from release.data.sources import read_table
    from release.data.table_file import write_table
    from release.quality.provenance import require_source
    from release.workflow.offices import schema_of

    schema = load_schema(schema_file)
    if unfilled := placeholders(schema):
        raise SchemaError(
            f"{', '.join(unfilled)} still as the draft left it",
            mend="fill it in from what is public",
            file=schema_file.name,
        )
    require_consistent(schema)
    if schema.name in {dataset.id for dataset in workspace.registry.datasets.all()}:
        raise InputError(f'there is already a dataset "{schema.name}"', mend="give the schema another name")
    known = {str(dataset.id): schema_of(dataset).provenance for dataset in workspace.registry.datasets.all()}
    require_source(schema.provenance, known)
    progress(0.1, "reading the file")
    loaded = read_table(file, schema)
    progress(0.8, "storing the table")
    name = workspace.objects.put(lambda path: write_table(loaded.table, path), keyed=True)
    dataset = workspace.registry.datasets.add(
        schema,
        table=KeyedDigest(name),
        report=to_json(loaded.report),
        by=by,
        file=keyed_file_digest(file, workspace.keys.digest_key),
    )
    return dataset, loaded.report


def table_of(workspace: Workspace, dataset: Dataset) -> Table:
    """The real table as it was registered, its digest checked. Raises IntegrityError."""
    from release.data.table_file import read_table_file
    from release.workflow.offices import schema_of

    return read_table_file(workspace.objects.path(dataset.table, keyed=True), schema_of(dataset))


def dataset_of(workspace: Workspace, name: str) -> Dataset:
    """The dataset of that name. Raises InputError."""
    return workspace.registry.datasets.get(DatasetId(name))
