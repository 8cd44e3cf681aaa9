"""A command as a person runs it, and a hospital's peer that answers."""

import socketserver
import threading
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from broker.cli import app
from broker.hl7 import Answer, Deframer, acknowledge, frame, header


@pytest.fixture
def broker():
    """Runs `broker WORDS...` and returns its result: exit_code, stdout, stderr."""

    def run(*words, given=None):
        return CliRunner().invoke(app, [str(word) for word in words], input=given, catch_exceptions=False)

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
