"""The other side, as the demo and these tests use it: it keeps what comes, once, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_twisted import ensureDeferred

from broker.demo.peers import MailCatcher, RecordSystem
from broker.destinations import Tools
from broker.destinations.mllp import Mllp
from broker.destinations.smtp import Smtp
from broker.outcome import Delivered


@ensureDeferred
async def test_a_mail_is_kept_in_memory_and_in_its_folder_and_its_number_is_the_proof(
    tools: Tools, by_hand: Any, parcel: Any, self_signed: Any, tmp_path: Path
) -> None:
    told: list[Any] = []
    catcher = MailCatcher(tmp_path / "mails", tls=self_signed.server, told=told.append)
    port = await catcher.listen(by_hand)
    options = {"host": "localhost", "sender": "handoff@north.example", "trust_file": self_signed.cert_file}
    destination = Smtp.model_validate(options | {"port": port.getHost().port}).open(tools)
    for number in (1, 2):
        outcome = await by_hand.until(destination.deliver(parcel()), step=0.01)
        assert outcome == Delivered(f"2.0.0 queued as {number:06}")
    assert [mail.recipients for mail in catcher.taken] == [("dr.west@westside.example",)] * 2
    assert catcher.taken == told
    assert (tmp_path / "mails" / "000002.eml").read_bytes() == catcher.taken[1].raw
    assert "Discharge" in catcher.taken[0].mail["Subject"]
    await destination.close()
    await port.stopListening()
    await catcher.hang_up()


@ensureDeferred
async def test_the_record_system_takes_many_messages_over_one_connection(
    tools: Tools, by_hand: Any, parcel: Any
) -> None:
    system = RecordSystem()
    port = await system.listen(by_hand)
    options = {"host": "127.0.0.1", "port": port.getHost().port}
    destination = Mllp.model_validate(options).open(tools)
    for _ in range(3):
        assert isinstance(await by_hand.until(destination.deliver(parcel()), step=0.01), Delivered)
    assert system.received == [parcel().payload] * 3
    assert len(system._open) == 1
    await destination.close()
    await port.stopListening()
    await system.hang_up()
