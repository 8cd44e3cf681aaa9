"""A broker to be killed, on a slow disk; and how often, in `make crash CYCLES=100`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.proof.onslaught import Onslaught, catching

SHIM = Path(__file__).parent / "fsyncshim.c"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "crash: minutes of kills, run by make crash alone")


@pytest.fixture(scope="session")
def cycles() -> int:
    """How many kills `make crash` makes of each kind."""
    return int(os.environ.get("CYCLES", "36"))


@pytest.fixture(scope="session")
def shim_folder() -> Iterator[Path]:
    """Holds the shim; a database server that runs as another user can read it."""
    folder = Path(tempfile.mkdtemp(prefix="handoff-shim-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def shim(shim_folder: Path) -> Path:
    """The library, built of the project's own source."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the disk cannot be made slow")
    library = shim_folder / "fsyncshim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SHIM, "-ldl"], check=True)
    return library


@pytest.fixture(scope="session")
def slow_postgres(postgres_server: object, shim: Path, shim_folder: Path) -> Iterator[object]:
    """A PostgreSQL server whose disk is slow, as `shim_folder/postgres` tells."""
    told = {"LD_PRELOAD": str(shim), "FSYNC_SHIM": str(shim_folder / "postgres")}
    kept = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        server = type(postgres_server)()
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    yield server
    server.stop()  # type: ignore[attr-defined]


@pytest.fixture
def onslaught(tmp_path: Path, shim: Path, shim_folder: Path) -> Iterator[Callable[..., Onslaught]]:
    """`onslaught(store=None, **environment)`: a broker that is not started yet, on SQLite or on `store`."""
    made: list[Onslaught] = []
    with catching() as catcher:

        def make(store: str | None = None, folder: Path = tmp_path, **environment: str) -> Onslaught:
            control = shim_folder / ("postgres" if store else "sqlite")
            made.append(Onslaught(folder, catcher, control, shim, store, **environment))
            return made[-1]

        yield make
        for one in made:
            one.slow(0)
            for sender in one.senders:
                sender.finish()
            one.trial.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def attacked(request: pytest.FixtureRequest, onslaught: Callable[..., Onslaught]) -> Iterator[Onslaught]:
    """As `onslaught()`, on both stores."""
    if request.param == "sqlite":
        yield onslaught()
        return
    server = request.getfixturevalue("slow_postgres")
    name = server.make_database()
    yield onslaught(server.url(name))
