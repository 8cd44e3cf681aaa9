"""Builds the processes of a broker and runs them. Floor 9: the only place that builds.

`run_all` is `broker run`: it migrates both databases, stores the project as a bundle, and keeps the others
alive as children. Each of the others can be run alone, on a node of its own.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import structlog
from prometheus_client import REGISTRY
from twisted.internet.task import LoopingCall

from broker.channel import Mllp
from broker.errors import BrokerError, StoreError
from broker.home import Home, home_of
from broker.logs import setup_logs
from broker.metrics import StandingCollector, serve_metrics
from broker.presence import PARENT, Presence, die_with_parent
from broker.project import Project, load_project
from broker.running import bound, monotonic_reactor, run_service, stop_on_signals
from broker.store.bundles import Bundles
from broker.store.care import CareStore
from broker.store.journal import Reader
from broker.store.open import migrate_all, open_engine, require_newest
from broker.supervisor import Supervisor

__all__ = ["children", "prepare", "run_all", "run_deliver", "run_intake", "run_web", "run_work"]

log = structlog.get_logger()

BESIDE = "HANDOFF_BESIDE"  # in the web process's environment: the processes that must live for /readyz
ALL_SLOTS = range(-2, 64)


def prepare(home: Home) -> tuple[Project, str]:
    """What stands before anything listens: data folder, schemas, bundle, and one look at the cursors.

    Returns the project and its bundle's digest. Raises what is wrong, and then nothing was started.
    """
    project = load_project(home.project)
    home.make_data_folder()
    migrate_all(home.stores)
    engine = open_engine(home.stores.care_url, role="care")
    try:
        bundles = Bundles(engine)
        digest = bundles.put(project.files())
        with closing(reader_of(home)) as reader:
            check_cursors(CareStore(engine), reader)
        bundles.activate(digest)
    finally:
        engine.dispose()
    return project, digest


def reader_of(home: Home) -> Reader:
    """The journal, to be read only."""
    return Reader(open_engine(home.stores.journal_url, role="journal", read_only=True))


def check_cursors(care: CareStore, reader: Reader) -> None:
    """Refuses a care store that has worked what the journal does not hold: they are not of one time."""
    greatest = reader.greatest()
    for (_, stream), seq in care.cursors(ALL_SLOTS).items():
        if seq > greatest.get(stream, 0):
            raise StoreError(
                f"message {stream}.{seq} is worked, and the journal ends at {greatest.get(stream, 0)}: "
                "it is older than the care store. Restore both from one backup",
                code="cursor_beyond_journal",
            )


# The supervisor


def children(home: Home) -> dict[str, str]:
    """The processes that `run` keeps alive: their names, and the command of each."""
    settings = home.settings
    workers = settings.workers if settings.store else 1
    named = {"intake": "intake", "web": "web"}
    named |= {f"deliver-{number + 1}": "deliver" for number in range(settings.deliverers)}
    return named | {f"work-{number + 1}": "work" for number in range(workers)}


def run_all(home: Home) -> int:
    """Migrates, checks, and keeps the processes alive until it is told to stop. Returns an exit code."""
    reactor = monotonic_reactor()
    settings = home.settings
    setup_logs("run", settings.log, settings.log_level)
    die_with_parent()
    project, digest = prepare(home)
    check_ports(home, project)
    port = serve_metrics(settings.metrics_port)
    presence = Presence(home.notes, "run", port)
    supervisor = Supervisor(reactor, home.notes, settings.drain_secs + 2, settings.batch_secs)
    named = children(home)
    for number, (name, command) in enumerate(named.items(), 1):
        environment = home.environment()
        if settings.metrics_port:
            environment["HANDOFF_METRICS_PORT"] = str(settings.metrics_port + number)
        if name == "web":
            environment[BESIDE] = " ".join(other for other in named if other != "web")
        # This module, not the command line: a child need not load every command before it starts.
        arguments = [sys.executable, "-m", "broker.run", command, name, str(home.project)]
        supervisor.add(name, arguments, environment)
    presence.ready()
    log.info("broker.starts", bundle=digest[:12], data=str(home.data), web=settings.web)
    return run_service(reactor, supervisor, presence, hard_stop_secs=settings.drain_secs + 10)


def check_ports(home: Home, project: Project) -> None:
    """Says at once which port is taken, rather than have a child fail over and over."""
    wanted = [("web", *home.settings.web_at())]
    wanted += [
        (channel.name, channel.receive.host, channel.receive.port)
        for channel in project.channels.values()
        if isinstance(channel.receive, Mllp)
    ]
    with ExitStack() as held:  # all at once, so that two who want the same port are found
        for name, host, port in wanted:
            held.enter_context(bound(name, host, port))


# The processes. Each imports what it alone runs, so that none carries the others' weight.


def run_intake(home: Home, name: str) -> int:
    """Listens for every channel's messages, keeps and answers them. Writes the journal only."""
    from broker.flow.build import build_intake

    reactor = monotonic_reactor()
    with one_process(home, name) as presence:
        project, digest = in_force(home)
        drain_secs = home.settings.drain_secs * 0.75  # the rest is for the writer, and to close
        service = build_intake(
            project, digest, home.stores, reactor, folder=home.project, drain_secs=drain_secs
        )

        def look() -> None:
            if len(service.ports) == len(service.listeners):
                presence.ready()
                looking.stop()

        looking = LoopingCall(look)
        reactor.callWhenRunning(looking.start, 0.05, now=False)
        return run_service(reactor, service, presence, home.settings.drain_secs)


def run_deliver(home: Home, name: str) -> int:
    """Brings what is to be told to its destinations."""
    from broker.flow.sender import build_sender

    reactor = monotonic_reactor()
    with one_process(home, name) as presence:
        project, digest = in_force(home)
        service = build_sender(project, digest, home, reactor)
        reactor.callWhenRunning(presence.ready)
        return run_service(reactor, service, presence, home.settings.drain_secs)


def run_work(home: Home, name: str) -> int:
    """Works the journal: a plain blocking loop, and a nice one."""
    from broker.flow.worker import Pace, Worker

    stop = stop_on_signals(home.settings.drain_secs)
    os.nice(home.settings.work_nice)
    with one_process(home, name) as presence:
        project, digest = in_force(home)
        care = CareStore(open_engine(home.stores.care_url, role="care"))
        reader = reader_of(home)
        check_cursors(care, reader)
        presence.ready()
        pace = Pace(batch_size=home.settings.batch_size)
        Worker(project, digest, reader, care, pace, beat=presence.beat).run(stop)
    return 0


def run_web(home: Home, name: str) -> int:
    """Answers pages and probes."""
    import uvicorn

    from broker.watch import Watch
    from broker.web import make_app

    with one_process(home, name) as presence:
        host, port = home.settings.web_at()
        listening = bound(name, host, port)
        listening.set_inheritable(True)
        expected = os.environ.get(BESIDE, "").split()
        watch = Watch(home, expected)
        REGISTRY.register(StandingCollector(watch.status))
        config = uvicorn.Config(
            make_app(watch.status, watch.readiness),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=math.ceil(home.settings.drain_secs),
        )
        presence.ready()
        log.info("web.listens", host=host, port=listening.getsockname()[1])
        uvicorn.Server(config).run(sockets=[listening])
    return 0


@contextmanager
def one_process(home: Home, name: str) -> Iterator[Presence]:
    """What every process does first: logs, metrics, its note."""
    settings = home.settings
    setup_logs(name, settings.log, settings.log_level)
    die_with_parent()
    home.make_data_folder()
    presence = Presence(home.notes, name, serve_metrics(settings.metrics_port))
    log.info("process.starts")
    yield presence
    log.info("process.stops")
    presence.close()


def in_force(home: Home) -> tuple[Project, str]:
    """The configuration that is in force, and its bundle's digest."""
    engine = open_engine(home.stores.care_url, role="care")
    try:
        if PARENT not in os.environ:  # else the supervisor has just brought it there
            require_newest(engine, "care")
        digest, files = Bundles(engine).active()
    finally:
        engine.dispose()
    return Project.from_files(files, settings=home.settings, folder=home.project), digest


PROCESSES = {"intake": run_intake, "work": run_work, "deliver": run_deliver, "web": run_web}


def main(command: str, name: str, project: str) -> int:
    """A child of the supervisor, which gave it every setting by its environment."""
    try:
        return PROCESSES[command](home_of(Path(project)), name)
    except BrokerError as error:
        log.error("process.refused", exc_info=error)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
