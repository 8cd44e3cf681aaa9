"""Log lines: ids and codes, never content. Floor 9.

One form for all processes, console or JSON, on standard error. What Twisted and the standard library log is
written the same way. A line that holds the text of an exception could hold a patient's; only the exception's
type and place are written, unless it is a `BrokerError`, whose text is made for people (its `value` is not
in it).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Literal, TextIO, cast

import structlog
from twisted.logger import ILogObserver, LogEvent, globalLogBeginner
from zope.interface import provider

from broker.errors import BrokerError

__all__ = ["setup_logs"]

Line = MutableMapping[str, Any]
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def setup_logs(process: str, form: Literal["console", "json"] = "console", level: str = "info") -> None:
    """Makes every log line of this process say its time (UTC), level, process and pid."""
    last: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=28, sort_keys=False)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _naming(process),
            place_not_text,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Unfailing(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Forward()]
    root.setLevel(logging.WARNING)
    sys.excepthook = _unforeseen
    threading.excepthook = lambda told: _unforeseen(told.exc_type, told.exc_value, told.exc_traceback)
    globalLogBeginner.beginLoggingTo([_from_twisted], discardBuffer=True, redirectStandardIO=False)


class _Unfailing:
    """Where lines go. One that cannot be written (a full disk, nobody who reads) is lost alone."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._file.flush()


def _unforeseen(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """What ends a process or a thread: its type and place, since its text may be a patient's."""
    structlog.get_logger().error("process.fault", exc_info=error, error=kind.__name__, place=place_of(trace))


def _naming(process: str) -> Any:
    pid = os.getpid()

    def name(_logger: Any, _method: str, line: Line) -> Line:
        line.setdefault("process", process)
        line.setdefault("pid", pid)
        return line

    return name


def place_not_text(_logger: Any, _method: str, line: Line) -> Line:
    """Writes an exception as its type and the place that raised it."""
    error = line.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        line["error"] = type(error).__name__
        line["place"] = place_of(error.__traceback__)
        if isinstance(error, BrokerError):
            line["code"], line["text"] = error.code, str(error)
    return line


def place_of(trace: TracebackType | None) -> str:
    """The last three frames of a traceback, innermost last, without the text of their lines."""
    frames = traceback.extract_tb(trace)[-3:]
    return " > ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames)


class _Forward(logging.Handler):
    """What libraries log by the standard library: which logger and level, with the text of their template."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(
            min(record.levelno, logging.ERROR),
            record.name,
            text=str(record.msg)[:200],
            exc_info=record.exc_info[1] if record.exc_info else None,
        )


@provider(ILogObserver)
def _from_twisted(event: LogEvent) -> None:
    """Twisted's failures, and its warnings; its chatter about factories and connections is left out."""
    failure = event.get("log_failure")
    level = event["log_level"].name
    if failure is None and level in ("debug", "info"):
        return
    error = failure.value if failure is not None else None
    if isinstance(error, BaseException) and error.__traceback__ is None and failure is not None:
        error = error.with_traceback(failure.getTracebackObject())
    structlog.get_logger().error(
        event.get("log_namespace", "twisted"),
        text=(event.get("log_format") or "")[:200],
        exc_info=error,
    )
