"""What /metrics says of intake: counts by channel, code and cause, and nothing of the messages."""

from __future__ import annotations

import pytest
import pytest_twisted
from prometheus_client import generate_latest
from structlog.testing import capture_logs
from twisted.internet.threads import deferToThread

from broker.flow.counts import Counts
from broker.hl7 import frame

MARKED = b"MSH|^~\\&|EHR|NORTH|||2026||ADT^A01|C1|P|2.5.1\rPID|1||MARKED1^^^NMC||MARKED2^ANN\r"


@pytest.fixture
def stores(sqlite_stores):
    return sqlite_stores


@pytest_twisted.ensureDeferred
async def test_what_came_is_counted_by_channel_code_and_cause(receive):
    hub = await receive()
    broken = MARKED.replace(b"MSH|", b"MARKED3|")
    await deferToThread(hub.ask, b"noise" + frame(MARKED) * 3 + frame(broken), 4)
    with capture_logs() as logged:
        hub.service.intakes["north"].counts.flush()
    said = generate_latest(hub.service.registry).decode()
    for line in (
        'handoff_intake_received_total{channel="north"} 4.0',
        'handoff_intake_answers_total{channel="north",code="AA"} 3.0',
        'handoff_intake_answers_total{channel="north",code="AE"} 1.0',
        'handoff_intake_negative_total{cause="not_hl7",channel="north"} 1.0',
        'handoff_mllp_noise_bytes_total{channel="north"} 5.0',
        'handoff_mllp_opened_total{channel="north"} 1.0',
        'handoff_intake_answer_seconds_count{channel="north"} 4.0',
        "handoff_intake_waiting_bytes 0.0",
    ):
        assert line in said.splitlines()
    assert "MARKED" not in said + repr(logged)


def test_a_flood_of_one_trouble_is_one_line_of_the_log_with_its_count():
    counts = Counts("north")
    for number in range(1000):
        counts.negative("not_hl7", f"1.{number}")
    with capture_logs() as logged:
        counts.flush()
        counts.flush()
    assert [(line["cause"], line["count"], line["last"]) for line in logged] == [("not_hl7", 1000, "1.999")]
