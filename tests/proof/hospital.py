"""Hospitals that send as real ones do: in order, and each message again until it is answered positively."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice

from broker.demo.people import LINDQVIST, North, Person
from broker.hl7 import Deframer, Message, frame

OKAFOR = "1512873401^Okafor^Grace^^^Dr^^^NPI^^^^NPI"
WARD = {2: "I", 3: "4W^412^A^NORTH", 7: LINDQVIST, 18: "IP"}
INTENSIVE = {**WARD, 3: "ICU^07^1^NORTH", 6: "4W^412^A^NORTH"}
HEART = "DG1|1||I50.23^Acute on chronic systolic heart failure^I10C|||F"
PATIENCE_SECS = 10.0

Sent = tuple[bytes, bytes]  # control id and message


def histories(hospital: str, *, cancelled: bool = True) -> Iterator[Sent]:
    """Stays without end: admitted, updated, moved, discharged home.

    With `cancelled`, a third of the discharges is cancelled, and comes again.

    Three patients at a time, so that no two messages of one follow each other. `hospital` tells the numbers
    of one sender from those of another.
    """
    north, numbers = North(), count(1)
    now = datetime.now(UTC).replace(microsecond=0)
    for group in count():
        stays = [
            _stay(north, f"{hospital}{group * 3 + n}", now, cancelled=cancelled and n == 1) for n in range(3)
        ]
        for round_ in range(max(map(len, stays))):
            for stay in stays:
                if round_ < len(stay):
                    control_id = f"{hospital}{next(numbers):07}".encode()
                    head, _, rest = stay[round_].partition(b"|N9")
                    yield control_id, head + b"|" + control_id + rest[5:]


def _stay(north: North, number: str, now: datetime, *, cancelled: bool) -> list[bytes]:
    who = Person(number, "Load", "Test", "19500101", "F", "eng", OKAFOR, f"V{number}")
    came = {44: north.time(now - timedelta(days=2))}

    def at(hours: int) -> datetime:
        return now - timedelta(hours=hours)

    def left(hours: int) -> dict[int, str]:
        return {**WARD, **came, 36: "01", 45: north.time(at(hours))}

    stay = [
        north.adt("A01", "ADT_A01", who, at(20), {**WARD, **came}, HEART),
        north.adt("A08", "ADT_A01", who, at(18), {**WARD, **came, 10: "CAR"}),
        north.adt("A02", "ADT_A02", who, at(16), {**INTENSIVE, **came}),
        north.adt("A03", "ADT_A03", who, at(8), left(8), HEART),
    ]
    if cancelled:
        stay.append(north.adt("A13", "ADT_A01", who, at(6), {**WARD, **came}))
        stay.append(north.adt("A03", "ADT_A03", who, at(4), left(4), HEART))
    return stay


class Sender(threading.Thread):
    """One connection of a hospital. `window` messages are on their way at once; it ends when told to.

    Between one lot and the next it rests for `rest_secs`.

    `acknowledged` has what was answered positively, by control id; `echoed` every MSA-2 of such an answer.
    """

    def __init__(self, port: int, messages: Iterator[Sent], window: int, rest_secs: float = 0.05) -> None:
        super().__init__(name=f"sender-{port}", daemon=True)
        self._port, self._window, self._rest_secs = port, window, rest_secs
        self._messages = messages
        self._over = threading.Event()
        self.acknowledged: dict[bytes, bytes] = {}
        self.echoed: list[bytes] = []
        self.repeated = self.negative = 0
        self.fault: BaseException | None = None

    def finish(self) -> None:
        """Sends nothing new; what is on its way is sent until it is answered."""
        self._over.set()

    def run(self) -> None:
        try:
            self._send_all()
        except BaseException as error:  # shown by who joins
            self.fault = error

    def _send_all(self) -> None:
        line: _Line | None = None
        while not self._over.is_set() and (waiting := list(islice(self._messages, self._window))):
            while waiting:
                try:
                    line = line or _Line(self._port)
                    line.send([message for _, message in waiting])
                    while waiting:
                        self._hear(line, waiting)
                except (OSError, _NotTaken) as error:
                    self.negative += isinstance(error, _NotTaken)
                    self.repeated += len(waiting) if line is not None else 0
                    if line is not None:
                        line.close()
                    line = None
                    self._over.wait(0.2)
            self._over.wait(self._rest_secs)
        if line is not None:
            line.close()

    def _hear(self, line: _Line, waiting: list[Sent]) -> None:
        """The next answer, which is to the oldest that waits."""
        answer = line.answer()
        control_id, message = waiting[0]
        code, echoed = answer.get("MSA-1"), answer.get("MSA-2").encode()
        assert echoed == control_id, f"an answer to {echoed!r} where {control_id!r} waits"
        if code != "AA":
            raise _NotTaken
        self.echoed.append(echoed)
        self.acknowledged[control_id] = message
        waiting.pop(0)


class _NotTaken(Exception):
    """Answered negatively: to be sent again."""


class _Line:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._deframer, self._answers = Deframer(), list[bytes]()

    def send(self, messages: list[bytes]) -> None:
        self._socket.sendall(b"".join(map(frame, messages)))

    def answer(self) -> Message:
        while not self._answers:
            received = self._socket.recv(65536)
            if not received:
                raise ConnectionError("hung up")
            self._answers += self._deframer.feed(received)
        return Message(self._answers.pop(0))

    def close(self) -> None:
        self._socket.close()
