"""The first tables: two hash-chained logs, the records, and where each release stands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from release.database import plant_head

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("audit", "ledger", "records")


def upgrade() -> None:
    """See the module's docstring."""
    op.create_table(
        "heads",
        sa.Column("log", sa.String(32), primary_key=True),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("seal", sa.String(64), nullable=False),
    )
    for log in ("audit", "ledger"):
        op.create_table(
            log,
            sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("body", sa.Text, nullable=False),
            sa.Column("previous", sa.String(64), nullable=False),
            sa.Column("digest", sa.String(64), nullable=False, unique=True),
        )
        plant_head(op.get_bind(), log)
    op.create_table(
        "records",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("release", sa.String(128), nullable=False),
        sa.Column("audit", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.create_index("records_by_release", "records", ["release", "kind"])
    op.create_table(
        "releases",
        sa.Column("release", sa.String(128), primary_key=True),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("review", sa.Integer, nullable=False),
    )
    _guard()


def _guard() -> None:
    """Make the database itself refuse to change what is only appended. It stops accidents; the digests find the rest."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'rows of % are only appended', TG_TABLE_NAME; END $$"
        )
        for table in APPEND_ONLY:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            )
        return
    for table in APPEND_ONLY:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are only appended'); END"
            )
