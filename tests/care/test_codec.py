"""Records as bytes: read as they were written, and no more written than changed."""

from broker.care.codec import decode, encode
from broker.care.react import react
from broker.care.record import new_record
from tests.care.people import World, admitted, left, says


def test_what_is_read_is_written_again_alike():
    world = World()
    world.hear(admitted(0))
    world.hear(says("PatientMerge", 5, retired="200", visit=None))
    world.hear(left(300))
    world.act("plan_entry_put", section="goal", key="walk", text="Walk to the mailbox")
    for stored in world.records.values():
        assert encode(decode(stored)) == (stored.head, {})
        record = decode(stored)
        for visit in record.all_visits():
            record.put(visit)
        assert encode(record) == (stored.head, dict(stored.stays))


def test_only_visits_that_changed_are_written():
    world = World()
    world.hear(admitted(0, visit="V1"))
    world.hear(left(10, visit="V1"))
    world.hear(admitted(60 * 24 * 200, visit="V2"))
    fact = says("VisitUpdate", 60 * 24 * 200 + 5, visit="V2", reason="Fall").fact(world)
    reaction = react([fact], [], {1: decode(world.records[1])}, world.given)
    assert encode(reaction.records[1])[1].keys() == {2}


def test_a_record_says_by_which_numbers_and_visits_it_is_found():
    world = World()
    world.hear(admitted(0, visit="V1"))
    record = decode(world.records[1])
    assert (record.numbers, record.visits) == ((("NORTH", "100"),), (("north", "V1"),))
    world.hear(says("VisitMove", 10, number="200", retired="100", retired_visit_id="V1"))
    assert decode(world.records[1]).visits == ()
    assert decode(world.records[2]).visits == (("north", "V1"),)


def test_a_new_record_is_small_and_empty():
    head, visits = encode(new_record(7, "NORTH", "100"))
    assert len(head) < 100
    assert visits == {}
