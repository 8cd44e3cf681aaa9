"""The deliver process: real threads, real sockets, one dead destination beside good ones."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest
import pytest_twisted
from prometheus_client.registry import CollectorRegistry
from pytest_twisted import ensureDeferred
from sqlalchemy import text
from twisted.internet import reactor
from twisted.internet.task import deferLater

from broker.care.facts import FactId
from broker.care.rows import Cause, DeliveryPut, NotificationPut
from broker.channel import Outbound, Retry
from broker.conditions import Condition
from broker.demo.peers import MailCatcher, RecordSystem
from broker.destinations import REGISTRY
from broker.flow.parcels import control_id_of
from broker.flow.sender import SenderService, build_sender
from broker.hl7 import Message, compose, read_acknowledgement
from broker.project import load_project
from broker.settings import Settings
from broker.store.batch import AsidePut, Batch, ForwardPut, RecordPut
from broker.store.care import CareStore, Saved
from broker.store.journal import Entry, Receipt, Writer
from broker.store.open import Stores, open_engine

CAUSE = Cause(FactId(1, 1, "Discharge", 0))
TURNS = 20_000
ROOT = Path(__file__).parents[2]


class House:
    """A project of destinations, patients, and the service that sends."""

    def __init__(self, stores: Stores, folder: Path) -> None:
        self.stores, self.folder = stores, folder
        self.outbounds: dict[str, Outbound] = {}
        self.care = CareStore(open_engine(stores.care_url, role="care"))
        self.asked = 0
        self.service: SenderService | None = None
        self.ports: list[Any] = []

    async def listen(self, factory: Any) -> int:
        port = await factory.listen(reactor)
        self.ports.append((port, factory))
        return int(port.getHost().port)

    def add(
        self, name: str, to: str, map: dict[str, str] | None = None, when: Any = None, **options: Any
    ) -> None:
        made = REGISTRY[to].model_validate(options)
        self.outbounds[name] = Outbound(to, made, when, Retry(first_secs=1), 60, map or {})

    def start(self, said: Any = None) -> None:
        """`said`: the project whose mappings and tables are used."""
        words = {"mappings": said.mappings, "tables": said.tables} if said else {"mappings": {}, "tables": {}}
        project: Any = SimpleNamespace(destinations=lambda: self.outbounds, **words)
        settings = Settings(public_url="https://handoff.example", drain_secs=5)
        home: Any = SimpleNamespace(
            project=self.folder, data=self.folder / "data", stores=self.stores, settings=settings
        )
        self.service = build_sender(project, "b", home, reactor, registry=CollectorRegistry())
        self.service.startService()

    def tell(self, destination: str, content: Any = None, address: str = "dr.west@westside.example") -> str:
        self.asked += 1
        name = uuid5(NAMESPACE_OID, str(self.asked))
        (patient,) = self.care.reserve(1)
        told = NotificationPut(
            patient=patient, n=0, name=name, version=1, encounter=0, kind="Discharge", state="standing",
            urgency="routine", about="1", occurred_at=datetime.now(UTC),
            content=content or {"patient": "Erika Muster", "disposition": "home"}, verb="told", cause=CAUSE,
        )  # fmt: skip
        delivery = DeliveryPut(
            name=name, patient=patient, notification=0, version=1, act="tell", recipient="pcp",
            destination=destination, address=address, not_before=datetime.now(UTC), cause=CAUSE,
        )  # fmt: skip
        saved = self.care.save(Batch(records=[RecordPut(patient, 0, patient, b"")], changes=[told, delivery]))
        assert isinstance(saved, Saved), saved
        return name.hex

    def keep(self, raw: bytes, answer: str = "CA") -> Receipt:
        """A message in the journal."""
        receipts: list[Any] = []
        writer = Writer(self.stores.journal_url, post=lambda run: run(), on_death=receipts.append)
        words = dict.fromkeys((name for name in Entry._fields if name not in ("raw", "slot")), "")
        writer.accept(
            Entry(**words | {"raw": raw, "slot": 1, "channel": "north", "answer": answer}), receipts.append
        )
        writer.stop(10)
        return receipts[0]

    def pass_on(self, destination: str, act: Any, receipt: Receipt) -> str:
        self.asked += 1
        name = uuid5(NAMESPACE_OID, str(self.asked))
        put = ForwardPut(name, act, receipt.stream, receipt.seq, 1, None, destination, datetime.now(UTC))
        assert isinstance(self.care.save(Batch(forwards=[put])), Saved)
        return name.hex

    def states(self, destination: str) -> list[str]:
        asked = text("SELECT state FROM delivery WHERE destination = :d ORDER BY id")
        with self.care.engine.begin() as connection:
            return list(connection.execute(asked, {"d": destination}).scalars())

    async def until(self, met: Callable[[], bool]) -> None:
        for _ in range(TURNS):
            if met():
                return
            await deferLater(reactor, 0.001)
        raise AssertionError("it never came to that")

    async def end(self) -> None:
        if self.service is not None:
            await self.service.stopService()
        for port, factory in self.ports:
            await port.stopListening()
            await factory.hang_up()
        self.care.engine.dispose()


@pytest_twisted.async_yield_fixture
async def house(stores: Stores, tmp_path: Path) -> AsyncIterator[House]:
    made = House(stores, tmp_path)
    yield made
    await made.end()


@ensureDeferred
async def test_one_dead_destination_starves_no_other(house: House) -> None:
    catcher, silent = MailCatcher(), RecordSystem(lambda message: None)
    sender = {"sender": "handoff@north.example", "tls": "none", "host": "127.0.0.1"}
    house.add("west/mail", "smtp", port=await house.listen(catcher), **sender)
    house.add("dead/mail", "smtp", port=1, **sender)
    house.add("silent/mail", "smtp", port=await house.listen(silent), **sender)
    house.add("disk/file", "file", folder=Path("out"))
    for _ in range(20):
        for name in house.outbounds:
            house.tell(name)
    house.start()
    for _ in range(5):
        house.tell("west/mail")
    await house.until(lambda: house.states("west/mail") == ["delivered"] * 25)
    await house.until(lambda: house.states("disk/file") == ["delivered"] * 20)
    assert len(catcher.taken) == 25
    assert "delivered" not in house.states("dead/mail") + house.states("silent/mail")
    assert len(list((house.folder / "data" / "out").iterdir())) == 20
    assert b"Muster" not in b"".join(mail.raw for mail in catcher.taken)
    assert "https://handoff.example/n/" in catcher.taken[0].text


@ensureDeferred
async def test_a_message_is_passed_on_as_it_came(house: House) -> None:
    system = RecordSystem()
    house.add("north/lab", "mllp", host="127.0.0.1", port=await house.listen(system))
    raw = compose({"MSH-9.1": "ADT", "MSH-9.2": "A03", "MSH-10": "77", "PID-5.1": "Müller"}, version="2.3")
    house.pass_on("north/lab", "forward", house.keep(raw))
    house.start()
    await house.until(lambda: house.states("north/lab") == ["delivered"])
    assert system.received == [raw]


@pytest.mark.parametrize(("noted", "code"), [("CA >AA", "AA"), (">AE", "AE")])
@ensureDeferred
async def test_an_answer_that_goes_elsewhere_is_a_delivery(house: House, noted: str, code: str) -> None:
    system = RecordSystem()
    house.add("north/answers", "mllp", host="127.0.0.1", port=await house.listen(system))
    raw = compose({"MSH-9.1": "ADT", "MSH-9.2": "A03", "MSH-10": "77", "MSH-16": "AL"}, version="2.5.1")
    name = house.pass_on("north/answers", "answer", house.keep(raw, noted))
    house.start()
    await house.until(lambda: house.states("north/answers") == ["delivered"])
    answer = read_acknowledgement(system.received[0])
    assert (answer.code, answer.control_id) == (code, "77")
    assert control_id_of(name).encode() in system.received[0]


@ensureDeferred
async def test_a_patient_whose_message_is_set_aside_is_told_of_as_incomplete(house: House) -> None:
    mails = MailCatcher()
    port = await house.listen(mails)
    house.add("mail/smtp", "smtp", host="127.0.0.1", port=port, tls="none", sender="handoff@example.org")
    house.tell("mail/smtp")
    with house.care.engine.begin() as connection:
        patient = connection.execute(text("SELECT patient FROM delivery")).scalar_one()
    refused = AsidePut(1, 1, 1, "north", "refused", "missing", patient=patient)
    assert isinstance(house.care.save(Batch(aside=[refused])), Saved)
    house.start()
    await house.until(lambda: house.states("mail/smtp") == ["delivered"])
    assert b"may be incomplete" in mails.taken[0].raw


@ensureDeferred
async def test_a_notification_is_composed_by_the_mapping_of_its_kind(house: House) -> None:
    system = RecordSystem()
    port = await house.listen(system)
    house.add("westside/ehr", "mllp", map={"Discharge": "westside_discharge"}, host="127.0.0.1", port=port)
    name = house.tell("westside/ehr", json.loads((ROOT / "fixtures/westside/discharge.json").read_text()))
    house.start(load_project(ROOT))
    await house.until(lambda: house.states("westside/ehr") == ["delivered"])
    message = Message(system.received[0])
    assert message.get("MSH-9.2") == "A03"
    assert message.get("MSH-10") == control_id_of(name)
    assert message.get("PID-5.1") == "Hollis"


@ensureDeferred
async def test_what_has_no_mapping_is_not_sent_as_a_message(house: House) -> None:
    system = RecordSystem()
    house.add("west/ehr", "mllp", host="127.0.0.1", port=await house.listen(system))
    house.tell("west/ehr")
    house.start()
    await house.until(lambda: house.states("west/ehr") == ["rejected"])
    assert system.received == []


@ensureDeferred
async def test_a_destination_that_cannot_be_opened_is_tried_again_and_stops_nobody(house: House) -> None:
    catcher = MailCatcher()
    sender = {"sender": "handoff@north.example", "host": "127.0.0.1"}
    house.add("bad/mail", "smtp", trust_file=Path("nowhere.pem"), **sender)
    house.add("west/mail", "smtp", port=await house.listen(catcher), tls="none", **sender)
    house.tell("bad/mail")
    house.tell("west/mail")
    house.start()
    await house.until(lambda: house.states("west/mail") == ["delivered"])
    assert house.states("bad/mail") == ["queued"]


@ensureDeferred
async def test_what_a_destination_does_not_want_is_withheld(house: House) -> None:
    for name, want in (("west/home", "home"), ("west/away", "expired")):
        when = Condition.read({"disposition": want})
        house.add(name, "file", when=when, folder=Path("out"))
        house.tell(name)
    house.start()
    await house.until(lambda: house.states("west/home") == ["delivered"])
    await house.until(lambda: house.states("west/away") == ["withdrawn"])


@pytest.mark.parametrize("name", ["5f1d2c3b-0a49-4b58-8c67-1d2e3f405162", "5f1d2c3b0a494b588c671d2e3f405162"])
def test_a_control_id_is_of_the_deliverys_id_and_fits_every_version(name: str) -> None:
    assert control_id_of(name) == "5f1d2c3b0a494b588c67"
