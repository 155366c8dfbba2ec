"""Alembic migrations of the workspace's database; run by `release.database.Database.upgrade`."""
