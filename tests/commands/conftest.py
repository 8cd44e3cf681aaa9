"""A command as a person runs it, and a hospital's peer that answers."""

import shutil
import socketserver
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker.cli import whole
from broker.demo.story import story
from broker.errors import Hl7Error
from broker.flow.worker import Pace, Worker
from broker.hl7 import Answer, Deframer, Message, acknowledge, frame, header
from broker.home import home_of
from broker.run import prepare
from broker.site import patient_key
from broker.slots import slot_of
from broker.store.care import CareStore
from broker.store.journal import Entry, Reader, Writer
from broker.store.open import open_engine

SHIPPED = Path(__file__).parents[2]
# An A03 that does not say when: it is refused.
TIMELESS = (
    b"MSH|^~\\&|NORTHADT|NORTH|||20260305||ADT^A03|TIMELESS|P|2.5.1\r"
    b"PID|1||4411009^^^NORTH^MR||Nobody\rPV1|1|I\r"
)


@pytest.fixture
def broker():
    """Runs `broker WORDS...` and returns its result: exit_code, stdout, stderr."""

    def run(*words, given=None):
        return CliRunner().invoke(whole(), [str(word) for word in words], input=given, catch_exceptions=False)

    return run


class Answering(socketserver.BaseRequestHandler):
    def handle(self):
        deframer = Deframer()
        while received := self.request.recv(65536):
            for message in deframer.feed(received):
                self.server.taken.append(message)
                answer = self.server.answer(message)
                if answer is None:
                    return
                self.request.sendall(answer)


@pytest.fixture
def listener():
    """Listens on a free port; `answer(message)` makes what it sends back, `taken` is what it was sent."""

    def accept(message):
        return frame(acknowledge(header(message), Answer("AA"), control_id="1", now=datetime.now(UTC)))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as server:
        server.daemon_threads, server.taken, server.answer = True, [], accept
        server.at = f"127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="session")
def after_the_day(tmp_path_factory):
    """The data folder of a broker that has worked the demo's day, and one message that it refused."""
    home = home_of(SHIPPED, {"data": tmp_path_factory.mktemp("day") / "data"}, {})
    project, bundle = prepare(home)
    messages = [(step.hospital, step.message) for step in story(datetime.now(UTC))]
    kept = [threading.Event() for _ in [*messages, TIMELESS]]
    writer = Writer(home.stores.journal_url, post=lambda call: call(), on_death=lambda error: None)
    for (channel, raw), done in zip([*messages, ("north", TIMELESS)], kept, strict=True):
        writer.accept(entry(project, channel, raw), lambda receipt, done=done: done.set())
    assert all(done.wait(20) for done in kept)
    writer.stop(5)
    engine = open_engine(home.stores.care_url, role="care")
    care, reader = CareStore(engine), Reader(home.stores.journal_url)
    worker = Worker(project, bundle, reader, care, Pace(timers_secs=0, directory_secs=0))
    while worker.work_once():
        pass
    worker.end()
    care.close()
    reader.close()
    engine.dispose()
    return home.data


def entry(project, channel, raw):
    """A journal's entry, as intake makes it."""
    try:
        head = header(raw)
    except Hl7Error:
        return Entry(raw, -1, channel, cause="not_hl7", answer="AE")
    said = project.channels[channel]
    message = Message(raw, default_charset=said.default_charset)
    key = patient_key(message, project.site_of(said, message))
    sender = f"{head.sending_application}|{head.sending_facility}"
    slot = slot_of(*(key or ("channel", channel)))
    return Entry(
        raw, slot, channel, "test", head.message_type, head.event, head.control_id, sender, answer="AA"
    )


@pytest.fixture
def data(after_the_day, tmp_path):
    """A copy of it, to be changed."""
    return shutil.copytree(after_the_day, tmp_path / "data")
