import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from broker.errors import StoreError
from broker.status import ChannelStatus, ProcessStatus, Readiness, Status, readiness
from broker.web import make_app

NORTH = ChannelStatus(
    name="north_adt",
    title="North <Hospital>",
    state="live",
    listens="127.0.0.1:2575",
    paused=False,
    became={"worked": 1234, "repeated": 2},
    refused=3,
    waiting=0,
    last_at=datetime(2026, 3, 5, 14, 10, tzinfo=UTC),
)
STATUS = Status(
    at=datetime(2026, 3, 5, 15, 0, tzinfo=UTC),
    bundle="f" * 64,
    worked=1236,
    backlog=7,
    channels=[NORTH],
    deliveries={"westside/ehr": {"delivered": 5, "given_up": 1}},
    tasks_open=11,
    tasks_overdue=1,
    codes=2,
    processes=[ProcessStatus("intake", 4711, 9471, 0.1)],
)


READY = Readiness(("journal", "care"))


def got(path, status=lambda: STATUS, ready=READY):
    """The answer to a GET, of the real application."""

    async def get():
        transport = httpx.ASGITransport(make_app(status, lambda: ready))
        async with httpx.AsyncClient(transport=transport, base_url="http://broker") as client:
            return await client.get(path)

    return asyncio.run(get())


def test_the_page_shows_channels_deliveries_and_processes_in_numbers():
    page = got("/").text
    for shown in ("north_adt", "1,234", "westside/ehr", "127.0.0.1:9471", "2026-03-05 14:10:00 UTC"):
        assert shown in page
    assert "North &lt;Hospital&gt;" in page


def test_a_paused_channel_is_marked():
    paused = replace(STATUS, channels=[replace(NORTH, paused=True)])
    assert "paused</span>" in got("/", lambda: paused).text


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/static/style.css", "/nothing"])
def test_every_answer_forbids_scripts_frames_and_guessing(path):
    headers = got(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_nothing_stands_inline_and_nothing_comes_from_elsewhere():
    page = got("/").text
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", page)
    assert not re.search(r"(src|href)=\"(?!/)", page)


def test_health_says_only_that_the_process_lives():
    answer = got("/healthz", ready=Readiness((), {"care": "store_failed"}))
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_readiness_tells_what_is_amiss():
    answer = got("/readyz", ready=Readiness(("journal",), {"care": "store_failed"}))
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "well": ["journal"], "amiss": {"care": "store_failed"}}
    assert got("/readyz").status_code == 200


def test_a_database_that_is_gone_is_said_so_without_a_traceback():
    def gone():
        raise StoreError("connection to server at 10.1.2.3 failed")

    answer = got("/", gone)
    assert answer.status_code == 503
    assert "store_failed" in answer.text and "10.1.2.3" not in answer.text


def test_there_is_no_page_of_documentation_that_needs_scripts():
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert got(path).status_code == 404


def failing():
    raise StoreError("gone")


@pytest.mark.parametrize(
    ("processes", "amiss"),
    [
        ([("intake", 0), ("work-1", 0)], {"care": "store_failed"}),
        ([("intake", 0)], {"care": "store_failed", "work-1": "not_running"}),
        ([("intake", 90), ("work-1", 61)], {"care": "store_failed", "work-1": "no_progress"}),
    ],
)
def test_a_broker_is_ready_when_its_stores_answer_and_its_processes_live(processes, amiss):
    alive = [ProcessStatus(name, 1, 0, secs) for name, secs in processes]
    found = readiness({"journal": lambda: 1, "care": failing}, ["intake", "work-1"], alive, batch_secs=60)
    assert found.amiss == amiss
    assert "journal" in found.well
