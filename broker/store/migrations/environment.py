"""What both alembic environments do: migrate on the connection that `open.migrate` hands over."""

from __future__ import annotations

from alembic import context

__all__ = ["run"]


def run() -> None:
    """Runs the migrations in the caller's transaction, so that a schema is old or new and never between."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, transaction_per_migration=False, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
