import json
import socket
import threading
from itertools import islice

import pytest

from broker.bench.load import load
from broker.bench.measure import Figures, measure_reading
from broker.bench.run import save
from broker.bench.traffic import traffic
from broker.hl7 import Message


@pytest.fixture
def answering():
    """A port on which each connection's messages are answered by `answer(control_id)`."""
    servers = []

    def start(answer):
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve(line):
            with line:
                while received := line.recv(65536):
                    line.sendall(answer(received.split(b"|")[9]))

        def accept():
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(line,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return server.getsockname()[1]

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def accepted(control_id):
    return b"\x0bMSH|^~\\&|||||||ACK|1|P|2.5.1\rMSA|AA|" + control_id + b"\r\x1c\r"


def test_every_answer_is_counted_and_timed(answering):
    loaded = load("127.0.0.1", answering(accepted), 4, 0.2, traffic())
    assert loaded.accepted == len(loaded.latencies) >= 4
    assert loaded.rate > 0
    assert 0 < loaded.latency(0.5) <= loaded.latency(0.99) <= max(loaded.latencies)


def test_what_is_refused_is_not_counted_as_accepted(answering):
    port = answering(lambda control_id: accepted(control_id).replace(b"AA", b"AR"))
    loaded = load("127.0.0.1", port, 1, 0.05, traffic())
    assert loaded.accepted == 0 and loaded.codes["AR"] > 0


@pytest.mark.parametrize("answer", [lambda control_id: accepted(b"other"), lambda control_id: b"hello"])
def test_an_answer_that_is_not_the_one_waited_for_ends_the_load(answering, answer):
    with pytest.raises(ValueError, match="answer"):
        load("127.0.0.1", answering(answer), 1, 0.05, traffic())


def test_the_traffic_is_readable_and_no_control_id_comes_twice():
    made = list(islice(traffic(), 3000))
    assert len({control_id for control_id, _ in made}) == 3000
    for control_id, frame in made[:: 3000 // 12]:
        message = Message(frame[1:-2])
        assert message.get("MSH-10").encode() == control_id
        assert message.get("PID-3.1") and message.get("PV1-19.1")
    assert {Message(frame[1:-2]).get("MSH-9.2") for _, frame in made} == {"A01", "A02", "A03", "A08"}


def test_runs_on_one_store_are_kept_apart():
    first = {control_id for control_id, _ in islice(traffic(), 1024)}
    second = {control_id for control_id, _ in islice(traffic(start=1), 1024)}
    assert not first & second


def test_figures_are_kept_by_time_and_store(tmp_path):
    figures = Figures()
    measure_reading(figures)
    kept = json.loads(save(figures, tmp_path / "results").read_text())
    assert kept["us_per_header"] > 0 and kept["us_per_15_paths"] > kept["us_per_header"]
