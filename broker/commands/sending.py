"""`broker send`: messages over MLLP, every answer checked. Floor 10."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from broker.commands.files import messages_of
from broker.commands.output import AsJson, failing_well, print_json, print_table, say
from broker.errors import BrokerError, OperationError
from broker.hl7 import Message, header
from broker.mllp_line import MllpLine

__all__ = ["Sent", "send", "send_all"]

POSITIVE = ("AA", "CA")


@dataclass(slots=True)
class Sent:
    """What became of messages that were sent: how often each answer came, and what was not well."""

    codes: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[str, str, str]] = field(default_factory=list)  # control id, code, text
    secs: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.codes.values())


def send_all(
    messages: Iterable[bytes],
    host: str,
    port: int,
    connections: int = 1,
    rate: float = 0,
    timeout_secs: float = 60,
    told: Callable[[str], None] = lambda code: None,
) -> Sent:
    """Sends each message and checks its answer: framed, with MSA, echoing the control id.

    `rate` is messages a second over all connections, 0 as fast as they are answered. With one connection
    the order is kept. `told` hears of every answer's code, from the threads that send.
    """
    source, lock, sent, begun = iter(messages), threading.Lock(), Sent(), time.monotonic()
    numbers = iter(range(1 << 62))

    def take() -> bytes | None:
        with lock:
            message, number = next(source, None), next(numbers)
        if message is not None and rate:
            time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        return message

    def work() -> None:
        line: MllpLine | None = None
        while (message := take()) is not None:
            try:
                line = line or MllpLine(host, port, timeout_secs)
                code, text = _judged(message, line.ask(message))
            except OSError as error:
                code, text = "no answer", str(error)
                if line:
                    line.close()
                line = None
            with lock:
                sent.codes[code] += 1
                if code not in POSITIVE:
                    sent.problems.append((_control_id(message), code, text))
            told(code)
        if line:
            line.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent.secs = time.monotonic() - begun
    return sent


def _judged(message: bytes, answer: Message) -> tuple[str, str]:
    code, echoed, asked = answer.get("MSA-1"), answer.get("MSA-2"), _control_id(message)
    if not code:
        return "no MSA", "the answer has no MSA"
    if echoed != asked and not asked.startswith("?"):
        return "other id", f"the answer is for {echoed}"
    where = answer.get("ERR-2") or answer.get("ERR-1")
    return code, " ".join(filter(None, (where, answer.get("ERR-8") or answer.get("MSA-3"))))


def _control_id(message: bytes) -> str:
    try:
        return header(message).control_id
    except BrokerError:
        return "?"


def send(
    files: Annotated[
        list[str], typer.Argument(help="Files of messages, plain or framed; - is standard input.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="Where the channel listens.")],
    rate: Annotated[float, typer.Option(help="Messages a second over all connections; 0: as they go.")] = 0,
    connections: Annotated[int, typer.Option(min=1, max=512, help="More than one gives up their order.")] = 1,
    times: Annotated[int, typer.Option(min=1, help="Send all of it so many times.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Send messages over MLLP and check every answer; exit 1 when one was not AA or CA."""
    with failing_well():
        host, _, port = to.rpartition(":")
        if not port.isdigit():
            raise OperationError(f"--to: HOST:PORT is expected, found {to!r}", code="bad_option")
        messages = [message for name in files for message in messages_of(name)]
        bar = Progress(
            TextColumn("sending"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        with bar:
            task = bar.add_task("", total=len(messages) * times)
            sent = send_all(
                _repeated(messages, times),
                host or "127.0.0.1",
                int(port),
                connections,
                rate,
                told=lambda code: bar.advance(task),
            )
    if as_json:
        problems = [
            dict(zip(("control_id", "code", "text"), problem, strict=True)) for problem in sent.problems
        ]
        print_json({"sent": sent.count, "secs": sent.secs, "codes": dict(sent.codes), "problems": problems})
    else:
        print_table("Not accepted", ("control id", "code", "why"), sent.problems[:50], empty="none")
        codes = ", ".join(f"{count} {code}" for code, count in sent.codes.most_common())
        say(f"{sent.count} sent in {sent.secs:.1f} s ({sent.count / max(sent.secs, 1e-9):.0f}/s): {codes}")
    if sent.problems:
        raise typer.Exit(1)


def _repeated(messages: list[bytes], times: int) -> Iterator[bytes]:
    for _ in range(times):
        yield from messages
