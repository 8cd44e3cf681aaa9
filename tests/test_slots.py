"""Slots are stored: they never change."""

from broker.slots import SLOTS, slot_of


def test_the_slot_of_a_number_is_the_same_for_ever():
    assert [slot_of("north", str(number)) for number in range(6)] == [6, 56, 11, 20, 59, 3]


def test_authority_and_number_are_apart():
    assert slot_of("a", "bc") != slot_of("ab", "c") or slot_of("a", "bd") != slot_of("ab", "d")


def test_patients_are_spread_over_all_slots():
    counts = [0] * SLOTS
    for number in range(64_000):
        counts[slot_of("north", f"{number:07}")] += 1
    assert 850 < min(counts) <= max(counts) < 1150
