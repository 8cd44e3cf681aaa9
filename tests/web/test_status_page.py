import asyncio
import re
from dataclasses import replace

import httpx
import pytest

from broker.errors import StoreError
from broker.status import ProcessStatus, Readiness, readiness
from broker.web import make_app

READY = Readiness(("journal", "care"))


@pytest.fixture
def got(status):
    """`got(path)`: the answer of the real application to a GET."""

    def get(path, shown=lambda: status, ready=READY):
        async def ask():
            transport = httpx.ASGITransport(make_app(shown, lambda: ready))
            async with httpx.AsyncClient(transport=transport, base_url="http://broker") as client:
                return await client.get(path)

        return asyncio.run(ask())

    return get


def test_the_page_shows_channels_deliveries_and_processes_in_numbers(got):
    page = got("/").text
    for shown in ("north_adt", "1,234", "westside/ehr", "127.0.0.1:9471", "2026-03-05 14:10:00 UTC"):
        assert shown in page
    assert "North &lt;Hospital&gt;" in page


def test_a_paused_channel_is_marked(got, status, north):
    paused = replace(status, channels=[replace(north, paused=True)])
    assert "paused</span>" in got("/", lambda: paused).text


def test_a_broker_without_anything_says_so(got, status):
    bare = replace(status, channels=[], deliveries={}, processes=[], bundle="")
    assert "The project has no channel." in got("/", lambda: bare).text


def test_programs_get_the_same_numbers(got):
    found = got("/status.json").json()
    assert (found["worked"], found["backlog"], found["channels"][0]["became"]["worked"]) == (1236, 7, 1234)


@pytest.mark.parametrize(
    "path", ["/", "/status.json", "/healthz", "/readyz", "/metrics", "/static/style.css", "/nothing"]
)
def test_every_answer_forbids_scripts_frames_and_guessing(got, path):
    headers = got(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_nothing_stands_inline_and_nothing_comes_from_elsewhere(got):
    page = got("/").text
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", page)
    assert not re.search(r"(src|href)=\"(?!/)", page)


def test_health_says_only_that_the_process_lives(got):
    answer = got("/healthz", ready=Readiness((), {"care": "store_failed"}))
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_readiness_tells_what_is_amiss(got):
    answer = got("/readyz", ready=Readiness(("journal",), {"care": "store_failed"}))
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "well": ["journal"], "amiss": {"care": "store_failed"}}
    assert got("/readyz").status_code == 200


def test_a_database_that_is_gone_is_said_so_without_a_traceback(got):
    def gone():
        raise StoreError("connection to server at 10.1.2.3 failed")

    answer = got("/", gone)
    assert answer.status_code == 503
    assert "store_failed" in answer.text and "10.1.2.3" not in answer.text


def test_there_is_no_page_of_documentation_that_needs_scripts(got):
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert got(path).status_code == 404


def failing():
    raise StoreError("gone")


@pytest.mark.parametrize(
    ("processes", "amiss"),
    [
        ([("intake", 0), ("work-1", 0)], {"care": "store_failed"}),
        ([("intake", 0)], {"care": "store_failed", "work-1": "not_running"}),
        ([("intake", None), ("work-1", 0)], {"care": "store_failed", "intake": "starting"}),
        ([("intake", 90), ("work-1", 61)], {"care": "store_failed", "work-1": "no_progress"}),
    ],
)
def test_a_broker_is_ready_when_its_stores_answer_and_its_processes_live(processes, amiss):
    alive = [ProcessStatus(name, 1, 0, secs or 0, secs is not None) for name, secs in processes]
    found = readiness({"journal": lambda: 1, "care": failing}, ["intake", "work-1"], alive, batch_secs=60)
    assert found.amiss == amiss
    assert "journal" in found.well


def test_a_link_of_a_mail_shows_nothing_and_does_not_tell_which_notifications_there_are(got):
    one, other = got("/n/4fe1cce6998f8f8daab2"), got("/n/nothing")
    assert one.status_code == other.status_code == 403
    assert "signed in" in one.text and one.text == other.text
