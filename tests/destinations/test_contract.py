"""What every destination type keeps to, whatever it speaks. A new type gets its world here, or it fails.

Each returns an Outcome and raises nothing: peer absent, silent, ending midway, saying no, saying later,
good; content huge or hostile; closed while delivering. What "midway" and "silent" are is the type's own.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from broker.demo.peers import MailCatcher, RecordSystem
from broker.destinations import REGISTRY, Tools
from broker.destinations.mllp import Mllp
from broker.hl7 import Answer, acknowledge, compose, header
from broker.outcome import Delivered, Failed, Rejected, Unclear

OUTCOMES = (Delivered, Failed, Unclear, Rejected)
ID = "5f1d2c3b0a494b588c67"
HOSTILE = "x\x1c\r\x0bMSH|^~\\&|forged\r\n.\r\nRCPT TO:<evil@example.org>\r\n\0\\X1C0D0B\\ ../../etc ü \u2028"


class World:
    """One type's other side. `options` are as an analyst would write them; `got` is what arrived."""

    behaviours = ("absent", "silent", "midway", "no", "later", "good")

    def __init__(self, by_hand: Any, folder: Path, behaviour: str) -> None:
        self.by_hand, self.folder, self.behaviour = by_hand, folder, behaviour
        self.cleanup: list[Callable[[], Any]] = []

    async def options(self) -> dict[str, Any]:
        raise NotImplementedError

    def got(self) -> list[bytes]:
        raise NotImplementedError

    async def end(self) -> None:
        for one in self.cleanup:
            await one()

    async def listen(self, factory: Any) -> int:
        port = await TCP4ServerEndpoint(self.by_hand, 0, interface="127.0.0.1").listen(factory)
        self.cleanup.append(port.stopListening)
        if hasattr(factory, "hang_up"):
            self.cleanup.append(factory.hang_up)
        return int(port.getHost().port)

    async def nobody(self) -> int:
        """A port where nobody listens any more."""
        port = await TCP4ServerEndpoint(self.by_hand, 0, interface="127.0.0.1").listen(Factory())
        number = int(port.getHost().port)
        await port.stopListening()
        return number


class MllpWorld(World):
    async def options(self) -> dict[str, Any]:
        self.system = RecordSystem(None if self.behaviour == "good" else self.answer)
        port = await (self.nobody() if self.behaviour == "absent" else self.listen(self.system))
        return {"host": "127.0.0.1", "port": str(port)}

    def answer(self, message: bytes) -> bytes | None:
        if self.behaviour == "midway":
            self.system.hang_up()
            return None
        codes: Any = {"no": "AE", "later": "AR"}
        if self.behaviour not in codes:
            return None
        answer = Answer(codes[self.behaviour])
        return acknowledge(header(message), answer, control_id="1", now=self.system.clock())

    def got(self) -> list[bytes]:
        return self.system.received


class SmtpWorld(World):
    async def options(self) -> dict[str, Any]:
        self.catcher = MailCatcher()
        factory: Any = self.catcher
        if self.behaviour in ("silent", "midway", "no", "later"):
            factory = Factory.forProtocol(_Postmaster)
            factory.behaviour, factory.lines = self.behaviour, set()
            self.cleanup.append(lambda: _hang_up(factory.lines))
        port = await (self.nobody() if self.behaviour == "absent" else self.listen(factory))
        return {
            "host": "127.0.0.1",
            "port": str(port),
            "tls": "none",
            "sender": "handoff@north.example",
            "body": "full",
        }

    def got(self) -> list[bytes]:
        return [mail.raw for mail in self.catcher.taken]


class _Postmaster(Protocol):
    """A mail server that goes along until the mail's end and then shows its mood."""

    def connectionMade(self) -> None:
        self.factory.lines.add(self)  # type: ignore[union-attr]
        self.gone: Any = None
        self.received = b""
        self.transport.write(b"220 ready\r\n")  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        wire: Any = self.transport
        self.received += data
        if b"\r\nDATA\r\n" not in self.received:
            wire.write(b"250 fine\r\n")
        elif data.endswith(b"DATA\r\n"):
            wire.write(b"354 go on\r\n")
        elif self.received.endswith(b"\r\n.\r\n"):
            behaviour = self.factory.behaviour  # type: ignore[union-attr]
            if behaviour == "midway":
                wire.abortConnection()
            elif behaviour in ("no", "later"):
                wire.write({"no": b"554 no\r\n", "later": b"451 later\r\n"}[behaviour])
        elif data == b"QUIT\r\n":
            wire.write(b"221 bye\r\n")

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.lines.discard(self)  # type: ignore[union-attr]


async def _hang_up(lines: set[Any]) -> None:
    for line in list(lines):
        line.transport.abortConnection()
    while lines:
        await deferLater(reactor, 0)


class FileWorld(World):
    behaviours = ("absent", "later", "good")  # a file system neither falls silent nor says no

    async def options(self) -> dict[str, Any]:
        self.target = self.folder / "written"
        if self.behaviour == "absent":
            self.target.write_text("a file stands where the folder should be")
        if self.behaviour == "later":
            self.target.symlink_to(self.target)
        return {"folder": str(self.target)}

    def got(self) -> list[bytes]:
        return [(self.target / name).read_bytes() for name in sorted(os.listdir(self.target))]


WORLDS: dict[str, type[World]] = {"smtp": SmtpWorld, "mllp": MllpWorld, "file": FileWorld}
EXPECTED: dict[str, tuple[type, ...]] = {
    "absent": (Failed,),
    "silent": (Failed, Unclear),
    "midway": (Failed, Unclear),
    "no": (Rejected,),
    "later": (Failed,),
    "good": (Delivered,),
}
CASES = [(name, behaviour) for name, world in WORLDS.items() for behaviour in world.behaviours]

Opened = Callable[[str, str], Awaitable[tuple[World, Any]]]


def test_every_registered_type_has_a_world() -> None:
    assert set(WORLDS) == set(REGISTRY)


@pytest.fixture
def opened(tools: Tools, by_hand: Any, tmp_path: Path) -> Opened:
    async def open_one(name: str, behaviour: str) -> tuple[World, Any]:
        world = WORLDS[name](by_hand, tmp_path, behaviour)
        return world, REGISTRY[name].model_validate(await world.options()).open(tools)

    return open_one


@pytest.mark.parametrize(("name", "behaviour"), CASES)
@ensureDeferred
async def test_whatever_the_peer_is_like_an_outcome_says_so(
    opened: Opened, by_hand: Any, parcel: Any, name: str, behaviour: str
) -> None:
    world, destination = await opened(name, behaviour)
    outcome = await by_hand.until(destination.deliver(parcel()), step=7 if behaviour == "silent" else 0.01)
    assert isinstance(outcome, EXPECTED[behaviour])
    await destination.close()
    if behaviour == "good":
        assert len(world.got()) == 1
    await world.end()


@pytest.mark.parametrize("name", WORLDS)
@ensureDeferred
async def test_huge_content_arrives_whole(opened: Opened, by_hand: Any, parcel: Any, name: str) -> None:
    world, destination = await opened(name, "good")
    lines = {f"NTE[{number}]-3": "lorem ipsum " * 80 for number in range(1, 5000)}
    payload = compose({"MSH-9.1": "ADT", "MSH-9.2": "A03", "MSH-10": ID} | lines, version="2.5.1")
    assert len(payload) > 4_000_000
    outcome = await by_hand.until(destination.deliver(parcel(payload=payload)), step=0)
    assert isinstance(outcome, Delivered)
    assert len(world.got()) == 1
    await destination.close()
    await world.end()


@pytest.mark.parametrize("name", WORLDS)
@ensureDeferred
async def test_hostile_content_stays_content(opened: Opened, by_hand: Any, parcel: Any, name: str) -> None:
    world, destination = await opened(name, "good")
    payload = compose({"MSH-9.1": "ADT", "MSH-10": ID, "NTE-3": HOSTILE, "ZZZ-1": "end"}, version="2.5.1")
    for one in (
        parcel(payload=payload, kind=HOSTILE, recipient=HOSTILE, link=HOSTILE),
        parcel(payload=payload, content={HOSTILE: HOSTILE, "list": [HOSTILE]}),
    ):
        outcome = await by_hand.until(destination.deliver(one), step=0)
        assert isinstance(outcome, Delivered)
    assert all(b"MSH|^~\\&|forged" not in got.split(b"\r")[1:2] for got in world.got())
    assert len(world.got()) == (1 if name == "file" else 2)
    await destination.close()
    await world.end()


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize(
    "oddity",
    [
        {"payload": None, "content": {}},
        {"payload": b""},
        {"payload": b"\xff\xfe\x00" * 1000},
        {"content": {"half": "\ud800"}, "payload": None},
        {"content": {"object": object()}, "payload": None},
        {"delivery": "../../../etc/passwd", "kind": ""},
        {"address": "", "act": "retract"},
        {"address": "a@b.example\r\nRCPT TO:<c@d.example>", "lane": -7},
    ],
    ids=["nothing", "empty", "no text", "half a character", "no JSON", "id", "no address", "address"],
)
@ensureDeferred
async def test_whatever_the_parcel_is_like_an_outcome_says_so(
    opened: Opened, by_hand: Any, parcel: Any, name: str, oddity: dict[str, Any]
) -> None:
    world, destination = await opened(name, "good")
    outcome = await by_hand.until(destination.deliver(parcel(**oddity)), step=0)
    assert isinstance(outcome, OUTCOMES)
    await destination.close()
    await world.end()


@pytest.mark.parametrize(("name", "behaviour"), [case for case in CASES if case[1] in ("silent", "good")])
@ensureDeferred
async def test_closing_settles_everything_that_is_under_way(
    opened: Opened, by_hand: Any, parcel: Any, name: str, behaviour: str
) -> None:
    world, destination = await opened(name, behaviour)
    outcomes: list[Any] = []
    for lane in range(3):
        destination.deliver(parcel(lane=lane)).addBoth(outcomes.append)
    await by_hand.until(destination.close(), step=0)
    await deferLater(reactor, 0)
    assert len(outcomes) == 3
    assert all(isinstance(outcome, OUTCOMES) for outcome in outcomes)
    after = await by_hand.until(destination.deliver(parcel()), step=0)
    assert isinstance(after, Failed)
    await world.end()


@pytest.mark.parametrize("name", WORLDS)
def test_every_option_says_what_it_is(name: str) -> None:
    for key, field in REGISTRY[name].model_fields.items():
        assert field.description, key
    assert REGISTRY[name].__doc__
    assert REGISTRY[name].model_json_schema()


def test_units_stand_in_the_names() -> None:
    for options in REGISTRY.values():
        for key, field in options.model_fields.items():
            if field.annotation is float:
                assert key.endswith("_secs"), key
    assert Mllp.needs_payload
