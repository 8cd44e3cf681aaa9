import json
import subprocess
import sys

SCRIPT = """
import logging, structlog
from twisted.internet.defer import fail
from twisted.logger import Logger
from broker.errors import Hl7Error
from broker.logs import setup_logs

setup_logs("intake", {form!r})
log = structlog.get_logger()
log.info("message.stored", id="3.17", channel="north")
for error in (ValueError("SMITH^JOHN"), Hl7Error("no MSH", where="MSH-1", value="SMITH^JOHN")):
    try:
        raise error
    except Exception:
        log.error("message.fault", exc_info=True)
        Logger(namespace="tw").failure("it {{what}}", what="SMITH^JOHN")
        logging.getLogger("lib").exception("row %s", "SMITH^JOHN")
"""


def logged(form):
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(form=form)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert run.stdout == ""
    return run.stderr


def test_every_line_is_one_json_object_that_names_time_level_and_process():
    lines = [json.loads(line) for line in logged("json").splitlines()]
    assert len(lines) == 7
    assert lines[0]["event"] == "message.stored"
    assert all(line["process"] == "intake" and line["timestamp"] and line["level"] for line in lines)


def test_no_content_of_an_exception_is_written_but_its_type_and_place():
    for form in ("json", "console"):
        text = logged(form)
        assert "SMITH" not in text
        assert "ValueError" in text
        assert "<string>:13" in text


def test_the_text_of_our_own_errors_is_written_without_the_value_that_they_hold():
    lines = [json.loads(line) for line in logged("json").splitlines()]
    ours = [line for line in lines if line.get("error") == "Hl7Error"]
    assert {(line["code"], line["text"]) for line in ours} == {("unreadable", "MSH-1: no MSH")}


def test_a_line_that_cannot_be_written_stops_nobody():
    """A full disk, or a reader that has gone, must not end a process that could go on."""
    with open("/dev/full", "wb", buffering=0) as full:
        run = subprocess.run([sys.executable, "-c", SCRIPT.format(form="json")], stderr=full, timeout=30)
    assert run.returncode == 0
