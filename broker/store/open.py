"""Where the two databases are, how they are opened and brought to the newest schema. Floor 4.

On PostgreSQL `journal` and `care` are two schemas of one database, on SQLite two files of the data folder.
Tables are named without their schema everywhere: the connection's `search_path` says which one is meant.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from broker.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = [
    "FolderLock",
    "Role",
    "Stores",
    "migrate",
    "migrate_all",
    "open_engine",
    "pragmas",
    "reading",
    "require_newest",
    "sqlite_path",
    "store_urls",
]

Role = Literal["journal", "care"]

BUSY_MS = 10_000
# A PostgreSQL server that is gone without a word is noticed within about 20 s.
DEAD_PEER: dict[str, int] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# An id of pg_advisory_xact_lock: who migrates holds it, others wait.
MIGRATION_LOCK = 0x48414E44

# Intake checkpoints by itself and often: its log stays at 4 MB, which costs no throughput. The care store
# writes far more pages a transaction and reads them again: a large cache and rare checkpoints paid.
_PRAGMAS: dict[Role, tuple[str, ...]] = {
    "journal": ("wal_autocheckpoint=250", "journal_size_limit=67108864", "cache_size=-16384"),
    "care": ("wal_autocheckpoint=16000", "journal_size_limit=134217728", "cache_size=-65536"),
}


@dataclass(frozen=True, slots=True)
class Stores:
    """The URLs of both databases; the same one twice on PostgreSQL."""

    journal_url: str
    care_url: str


def store_urls(data_folder: Path, store_url: str | None = None) -> Stores:
    """Where the databases are: those of `store_url` (postgresql://...), or two files in the data folder."""
    if store_url:
        url = make_url(store_url)
        if url.get_backend_name() != "postgresql":
            raise StoreError(
                "a store is postgresql://..., or none for SQLite in the data folder", code="store_url"
            )
        return Stores(store_url, store_url)
    folder = data_folder.resolve()
    urls = (URL.create("sqlite", database=str(folder / f"{role}.db")) for role in ("journal", "care"))
    return Stores(*(url.render_as_string() for url in urls))


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite URL; None for PostgreSQL."""
    parsed = make_url(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def open_engine(url: str, *, role: Role, read_only: bool = False) -> Engine:
    """An engine whose every connection is set as its role needs.

    A transaction on SQLite begins with BEGIN IMMEDIATE, but on read-only engines and on `reading(engine)`.
    Read-only transactions see one snapshot on both stores.
    """
    path = sqlite_path(url)
    if path is None:
        return _open_postgres(make_url(url), role, read_only)
    return _open_sqlite(path, role, read_only)


def reading(engine: Engine) -> Engine:
    """The same engine and pool for transactions that only read: no write lock, one snapshot."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(only_reads=True)
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def pragmas(role: Role) -> tuple[str, ...]:
    """What every writing SQLite connection is told, in this order.

    `auto_vacuum` comes before `journal_mode=WAL`, or it silently stays 0.
    """
    return (
        f"busy_timeout={BUSY_MS}",
        "auto_vacuum=INCREMENTAL",
        "journal_mode=WAL",
        "synchronous=FULL",
        "temp_store=MEMORY",
        *_PRAGMAS[role],
    )


def make_private(path: Path) -> None:
    """The database's folder gets mode 0700 and its file 0600; made where they are not there.

    A file that is there is not opened: closing it would take away every lock that this process has on it
    (fcntl), and another process could then remove the log that this one still reads and writes.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    path.chmod(0o600)


def _open_sqlite(path: Path, role: Role, read_only: bool) -> Engine:
    if read_only:
        query = {"mode": "ro", "uri": "true"}
        target = URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)
        told: tuple[str, ...] = (f"busy_timeout={BUSY_MS}", "query_only=ON", *_PRAGMAS[role][2:])
    else:
        make_private(path)
        target = URL.create("sqlite", database=str(path))
        told = pragmas(role)
    engine = create_engine(
        target, connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        # The driver's own transactions are off: it would begin them late, and never before a SELECT or DDL.
        connection.isolation_level = None
        for pragma in told:
            connection.execute(f"PRAGMA {pragma}").fetchall()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        only_reads = read_only or connection.get_execution_options().get("only_reads")
        connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")

    return engine


def postgres_options(role: Role, *, read_only: bool = False) -> str:
    """The `options` of a libpq connection: the role's schema, UTC, and which plans are out of question.

    Everything that is asked of the journal is a range of a key. The planner may have seen the tables when
    they were nearly empty, and must not take another way because of that (seen: 25 ms a read, not 1).
    """
    told = f"-c search_path={role} -c TimeZone=UTC"
    if role == "journal":
        told += " -c enable_seqscan=off -c enable_bitmapscan=off"
    else:
        # Everything is looked up by keys, one by one. Whole tables are read only where they are short, and
        # must not look so dear for it that the query is compiled.
        told += " -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
    return f"{told} -c default_transaction_read_only=on" if read_only else told


def _open_postgres(url: URL, role: Role, read_only: bool) -> Engine:
    options = " ".join(
        filter(None, [str(url.query.get("options", "")), postgres_options(role, read_only=read_only)])
    )
    engine = create_engine(
        url, connect_args={"options": options, **DEAD_PEER}, pool_pre_ping=read_only, hide_parameters=True
    )
    if read_only:
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine


class FolderLock:
    """One process at a time: holds `<folder>/<name>.lock` until it is closed or the process ends.

    Raises `StoreError` ("in_use") where another process holds it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(folder / f"{name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise StoreError(
                f"another {name} process uses the data folder {folder}", code="in_use"
            ) from error

    def close(self) -> None:
        os.close(self._file)


def migrate(url: str, role: Role) -> None:
    """Brings a database to the newest schema, making it where it is not there: all or nothing.

    Safe to call from several processes at once. Raises `StoreError` ("newer_schema") where a newer broker has
    been at work, ("store_failed") where the database fails.
    """
    from alembic import command

    engine = open_engine(url, role=role)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
                connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {role}"))
            config = _alembic(role)
            _refuse_newer(connection, config, role)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise StoreError(f"the {role} database could not be brought to the newest schema") from error
    finally:
        engine.dispose()


def migrate_all(stores: Stores) -> None:
    """Both databases, as `migrate`."""
    migrate(stores.journal_url, "journal")
    migrate(stores.care_url, "care")


def require_newest(engine: Engine, role: Role) -> None:
    """Raises `StoreError` where the schema is not exactly ours ("newer_schema", "older_schema")."""
    from alembic.script import ScriptDirectory

    config = _alembic(role)
    with reading(engine).connect() as connection:
        _refuse_newer(connection, config, role)
        if set(_heads(connection)) != set(ScriptDirectory.from_config(config).get_heads()):
            raise StoreError(
                f"the {role} database has an older schema: broker run brings it up", code="older_schema"
            )


def _alembic(role: Role) -> Config:
    # Here and below: alembic takes 150 ms to load, and of all processes only who migrates or checks needs it.
    from alembic.config import Config

    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent / "migrations" / role).replace("%", "%%")
    )
    return config


def _heads(connection: Connection) -> tuple[str, ...]:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_heads()


def _refuse_newer(connection: Connection, config: Config, role: Role) -> None:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    scripts = ScriptDirectory.from_config(config)
    for head in _heads(connection):
        try:
            scripts.get_revision(head)
        except CommandError as error:
            raise StoreError(
                f"the {role} database was written by a newer broker", code="newer_schema"
            ) from error
