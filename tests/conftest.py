"""Databases for tests: SQLite files and a PostgreSQL server of our own, fresh and migrated for each test."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine

from broker.store.open import Role, Stores, migrate_all, open_engine, store_urls

_PR_SET_PDEATHSIG = 1
# What the tests lean on: a transaction is synced before it counts, as in a hospital. `synchronous_commit` is
# `on` (waits for a standby, and there is none) only in the databases of tests that ask for it.
_SERVER_SETTINGS = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_standby_names": "nobody",
    "synchronous_commit": "local",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "log_min_messages": "fatal",
    "timezone": "UTC",
}


class PostgresServer:
    """One PostgreSQL server, of Debian's binaries or those on the PATH, stopped when the tests end."""

    def __init__(self) -> None:
        self._user = "postgres" if os.geteuid() == 0 else None
        self._binaries = _binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="handoff-pg-", dir=_roomy_memory()))
        if self._user:
            shutil.chown(self.folder, self._user)
        self._run(
            "initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C",
            "-D", str(self.folder / "db"),
        )  # fmt: skip
        self.port = _free_port()
        settings = {
            **_SERVER_SETTINGS,
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
        }
        self._server = subprocess.Popen(
            [
                self._binaries / "postgres",
                "-D",
                self.folder / "db",
                *(f"--{k}={v}" for k, v in settings.items()),
            ],
            user=self._user,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,
        )
        self._numbers = count(1)
        self._wait_until_ready()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str) -> None:
        """Runs one statement as the superuser, outside a transaction."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def make_database(self, template: str = "template1") -> str:
        """A new database's name: a copy of `template`."""
        name = f"t{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / name, *arguments],
            user=self._user,
            cwd=self.folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    assert on_path, "the tests need PostgreSQL's binaries: make test installs them"
    return Path(on_path).resolve().parent


def _roomy_memory() -> Path | None:
    """Where files live in memory, if there is room: a database for each test syncs hundreds of them."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > 4 << 30 else None


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server of this test process's own."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The name of a migrated, empty database that each test gets a copy of."""
    name = postgres_server.make_database()
    url = postgres_server.url(name)
    migrate_all(Stores(url, url))
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both databases, migrated and empty."""
    folder = tmp_path_factory.mktemp("template")
    migrate_all(store_urls(folder))
    return folder


@pytest.fixture
def sqlite_stores(sqlite_template: Path, tmp_path: Path) -> Stores:
    """Both databases in a data folder of this test's own, newest schema, empty."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    for name in ("journal.db", "care.db"):
        shutil.copy(sqlite_template / name, folder / name)
    return store_urls(folder)


@pytest.fixture
def postgres_stores(postgres_server: PostgresServer, postgres_template: str) -> Iterator[Stores]:
    """Both schemas in a PostgreSQL database of this test's own, newest schema, empty."""
    name = postgres_server.make_database(postgres_template)
    yield Stores(postgres_server.url(name), postgres_server.url(name))
    postgres_server.drop_database(name)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def stores(request: pytest.FixtureRequest) -> Stores:
    """The test runs on both stores."""
    return request.getfixturevalue(f"{request.param}_stores")


@pytest.fixture
def engine_of(stores: Stores) -> Iterator[Callable[..., Engine]]:
    """`engine_of("care", read_only=False)` on this test's stores, closed when the test ends."""
    opened: list[Engine] = []

    def open_it(role: Role, read_only: bool = False) -> Engine:
        url = stores.journal_url if role == "journal" else stores.care_url
        opened.append(open_engine(url, role=role, read_only=read_only))
        return opened[-1]

    yield open_it
    for engine in opened:
        engine.dispose()
