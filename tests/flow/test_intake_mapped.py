"""`acknowledge: mapped`: the mapping's verdict comes before the answer, from processes that may die."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.threads import deferToThread

from broker.hl7 import Message, frame
from broker.slots import slot_of

CARE = "  care: {map: {A01: adt_admission, A40: adt_merge, A02: strange}}"
STRANGE = """
import os, time

def strange(message):
    what = message.get("PV1-2")
    if what == "S":
        time.sleep(600)
    if what == "D":
        os._exit(1)
    if what == "F":
        raise RuntimeError("SAMPLE^ANN")
    return ()
"""


@pytest.fixture
def stores(sqlite_stores):
    return sqlite_stores


@pytest.fixture
def mapped(receive, tmp_path):
    """A channel that maps before it answers, with a mapping in Python that misbehaves when told to."""

    async def start(limit_secs: float = 20.0):
        folder = tmp_path / "project" / "mappings"
        folder.mkdir(parents=True)
        (folder / "strange.py").write_text(STRANGE)
        (folder / "strange.yaml").write_text(
            "mapping: Strange\nproduces: Transfer\npython: strange:strange\n"
            "examples: [{name: nothing, given: north/a02.hl7, notices: 0}]\n"
        )
        return await receive(
            more="acknowledge: mapped", deliver=CARE, verdict_secs=limit_secs, verdict_children=1
        )

    return start


def adt(event: str, control_id: str, klass: str = "I", **replaced: str) -> bytes:
    text = (
        f"MSH|^~\\&|EHR|NORTH|HUB|HERE|20260305101010||ADT^{event}|{control_id}|P|2.5.1MORE\r"
        "EVN||20260305101010\rPID|1||MR1^^^NMC^MR||SAMPLE^ANN||19700101|F\r"
        f"PV1|1|{klass}|W1^2^3|||||||||||||||||V1\r"
    )
    text = text.replace("MORE", replaced.pop("msh", ""))
    for old, new in replaced.items():
        text = text.replace(old, new)
    return text.encode()


@pytest_twisted.ensureDeferred
async def test_what_the_mapping_can_use_is_accepted_and_what_it_cannot_is_told_why(mapped):
    hub = await mapped()
    good, bad, also_good = await hub.send(
        adt("A01", "C1"), adt("A01", "C2").replace(b"MR1^^^NMC^MR", b""), adt("A60", "C3")
    )
    assert (good.code, also_good.code) == ("AA", "AA")
    assert (bad.code, bad.control_id) == ("AE", "C2")
    assert bad.problems[0].code == "101" and bad.problems[0].where.startswith("PID-3")
    rows = hub.rows()
    assert [(row.control_id, row.answer, row.cause) for row in rows] == [
        ("C1", "AA", ""), ("C2", "AE", "unmappable"), ("C3", "AA", ""),
    ]  # fmt: skip
    assert rows[0].slot == slot_of("north:NMC", "MR1") and rows[1].slot == -1


@pytest_twisted.ensureDeferred
async def test_in_enhanced_mode_it_is_kept_and_then_judged_as_far_as_each_is_wanted(mapped):
    hub = await mapped()
    bad = adt("A01", "C1", msh="|||AL|AL").replace(b"MR1^^^NMC^MR", b"")
    got = await deferToThread(hub.ask, frame(bad) + frame(bad.replace(b"AL|AL", b"AL|NE")), 3)
    assert [Message(answer).get("MSA-1") for answer in got] == ["CA", "AE", "CA"]
    told, untold = hub.rows()
    assert (told.slot, told.answer) == (-1, "CA AE")
    # Nobody was told: the worker will refuse it, and show it.
    assert (untold.slot, untold.answer) == (slot_of("channel", "north"), "CA")


@pytest_twisted.ensureDeferred
async def test_a_mapping_that_hangs_dies_or_fails_costs_one_answer_and_no_message(mapped):
    hub = await mapped(limit_secs=0.5)
    answers = await hub.send(*[adt("A02", f"C{n}", klass) for n, klass in enumerate("IFISIDI")])
    assert [answer.code for answer in answers] == ["AA", "AE", "AA", "AE", "AA", "AE", "AA"]
    assert [answer.control_id for answer in answers] == [f"C{n}" for n in range(7)]
    assert {problem.code for answer in answers for problem in answer.problems} == {"207"}
    assert "SAMPLE" not in repr(answers)
    assert [row.slot >= 0 for row in hub.rows()] == [answer.code == "AA" for answer in answers]


@pytest_twisted.ensureDeferred
async def test_the_answers_of_a_batch_are_the_mappings_too(mapped):
    hub = await mapped()
    bad = adt("A01", "C2").replace(b"MR1^^^NMC^MR", b"")
    batch = b"BHS|^~\\&|A|B\r" + adt("A01", "C1") + bad + b"BTS|2\r"
    (answer,) = await deferToThread(hub.ask, frame(batch), 1)
    assert answer.count(b"MSA|AA|C1") == 1 and answer.count(b"MSA|AE|C2") == 1


@pytest_twisted.ensureDeferred
async def test_a_channel_that_says_yes_when_it_is_stored_never_loads_a_mapping_in_python(receive, tmp_path):
    folder = tmp_path / "project" / "mappings"
    folder.mkdir(parents=True)
    (folder / "loud.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w')\n" + STRANGE)
    (folder / "loud.yaml").write_text(
        "mapping: Loud\nproduces: Transfer\npython: loud:strange\n"
        "examples: [{name: nothing, given: north/a02.hl7, notices: 0}]\n"
    )
    hub = await receive(deliver="  care: {map: {A02: loud}}")
    (answer,) = await hub.send(adt("A02", "C1", "F"))
    assert answer.code == "AA"
    assert not (tmp_path / "loaded").exists()


@pytest_twisted.ensureDeferred
async def test_a_structure_that_is_to_be_validated_is_judged_before_the_answer(receive):
    hub = await receive(
        more="acknowledge: mapped\nvalidate: yes",
        deliver="  care: {map: {A01: adt_admission}}",
        verdict_children=1,
    )
    good, bad = await hub.send(adt("A01", "C1"), adt("A01", "C2").replace(b"PID|1|", b"EVN||2026\rPID|1|"))
    assert (good.code, bad.code, bad.problems[0].code) == ("AA", "AE", "198")
