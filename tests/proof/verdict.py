"""What must hold once everybody has come to their end: nothing lost, nothing doubled, the same end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from broker import operations
from broker.hl7 import Message
from broker.store.journal import Reader, Row
from broker.store.open import migrate_all, open_engine, store_urls
from tests.proof.house import all_rows, house
from tests.proof.onslaught import LABORATORY, OKAFOR, PRACTICE, PROVER, Onslaught
from tests.proof.standing import (
    Meaning,
    delivered_to,
    difference,
    handled_once,
    kept,
    meaning,
    quiet,
    sound,
    what_stands,
)


def assert_all_is_well(attacked: Onslaught, folder: Path) -> None:
    """I1 to I7, and the same end as of a house in which nobody was ever killed."""
    assert attacked.trial.stop() == 0
    engine = open_engine(attacked.stores.care_url, role="care")
    reader = Reader(attacked.stores.journal_url)
    try:
        rows = all_rows(reader)
        for sender in attacked.senders:
            kept(rows, sender.acknowledged, sender.echoed)
        handled_once(engine, rows)
        quiet(engine)
        sound(engine, reader)
        found, wanted = meaning(engine), undisturbed(attacked, rows, folder)
        if attacked.released:
            found, wanted = what_stands(found), what_stands(wanted)
        apart = difference(found, wanted)
        assert not apart, "\n".join(apart[:10])
        told(attacked, *delivered_to(engine, PRACTICE))
        passed_on(attacked, rows, delivered_to(engine, LABORATORY)[0])
        acknowledged = sum(len(sender.acknowledged) for sender in attacked.senders)
        again = sum(sender.repeated for sender in attacked.senders)
        print(f"{acknowledged} acknowledged, {again} sent again, {len(rows)} rows, all worked once")
    finally:
        reader.close()
        engine.dispose()


def undisturbed(attacked: Onslaught, rows: Sequence[Row], folder: Path) -> Meaning:
    """What the same messages come to, each once, with one worker that nobody kills."""
    stores = store_urls(folder / "undisturbed")
    migrate_all(stores)
    once = {row.raw: row.channel for row in rows}
    with house(stores, attacked.project) as calm:
        operations.import_directory(calm.care, PROVER, [OKAFOR], True)
        calm.receive(list(once))
        calm.work()
        return meaning(calm.engine)


def told(attacked: Onslaught, delivered: set[str], reached: set[str]) -> None:
    """I3: what the store says was delivered is there, under its own id; nothing is there that cannot be."""
    files = {UUID(file.stem).hex for file in attacked.told.iterdir() if not file.name.startswith(".")}
    assert delivered and {UUID(name).hex for name in delivered} <= files
    assert files <= {UUID(name).hex for name in delivered | reached}


def passed_on(attacked: Onslaught, rows: Sequence[Row], delivered: set[str]) -> None:
    """I3 and I4: each message came at least once, as it was; a patient's first ones came in their order.

    But past one that was refused, and released by a person.
    """
    assert len(delivered) == len({row.raw for row in rows})
    places = {row.raw: number for number, row in reversed(list(enumerate(rows)))}
    taken = list(dict.fromkeys(attacked.catcher.taken))
    assert set(taken) == places.keys()
    late = {patient_of(row.raw) for row in rows if (row.stream, row.seq) in attacked.released}
    orders: dict[str, list[int]] = defaultdict(list)
    for raw in taken:
        orders[patient_of(raw)].append(places[raw])
    astray = [order for patient, order in orders.items() if patient not in late and order != sorted(order)]
    assert not astray, astray[:5]


def patient_of(raw: bytes) -> str:
    return Message(raw).get("PID-3.1")
