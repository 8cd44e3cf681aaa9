"""A site: whose numbers it uses, whose messages are its own, when nobody works there."""

from datetime import date

import pytest

from broker.hl7 import Message
from broker.site import Site, SiteFile, choose, patient_key


def site(name="north", **said):
    return Site(name, SiteFile.model_validate({"site": "A place", "zone": "UTC", **said}), {})


def message(pid3="7^^^NORTH^MR", msh4="NORTH", place="4W^^^NORTH", name="Hollis"):
    return Message(
        f"MSH|^~\\&|APP|{msh4}|||20260305||ADT^A03|1|P|2.5.1\rPID|1||{pid3}||{name}\rPV1|1|I|{place}\r".encode()
    )


def test_authorities_have_our_names_and_foreign_words_stay_the_sites():
    north = site(authorities={"NORTH": "north", "ENT": "region", "1.2.3": "region"})
    assert north.resolve_authority("NORTH") == "north"
    assert north.resolve_authority("1.2.3") == "region"
    assert north.resolve_authority("") == north.resolve_authority('""') == "north"
    assert north.resolve_authority("MRN") == "north:MRN"
    assert north.resolve_authority("region") == "region"
    assert site("south").resolve_authority("MRN") == "south:MRN"
    assert site(authority="trust").resolve_authority("") == "trust"


@pytest.mark.parametrize(
    ("said", "pid3", "key"),
    [
        ({}, "7^^^NORTH^MR", ("n", "7")),
        ({}, "~7^^^NORTH^MR", ("n", "7")),
        ({}, "", None),
        ({}, '""', None),
        ({"patient_number": "MR"}, "E1^^^ENT^PI~7^^^NORTH^MR", ("n", "7")),
        ({"patient_number": ["MR", "PI"]}, "E1^^^ENT^PI~7^^^NORTH^MR", ("north:ENT", "E1")),
        ({"patient_number": "MR"}, "7", None),
        ({"patient_number": {"authority": "n"}}, "E1^^^ENT^PI~7^^^&NORTH&ISO^MR", ("n", "7")),
        ({"patient_number": {"type": "MR", "authority": "n"}}, "E1^^^ENT^MR", None),
    ],
)
def test_the_patients_number_is_one_of_pid_3(said, pid3, key):
    assert patient_key(message(pid3), site(authorities={"NORTH": "n"}, **said)) == key


def test_of_several_sites_msh_4_names_it_and_pv1_3_refines_it():
    main = site("main", facilities="NORTH")
    rehab = site("rehab", facilities=["NORTH", "NR"], locations="NREHAB")
    south = site("south", facilities="SOUTH")
    other = site("other")
    sites = (main, rehab, south)
    assert choose(sites, "NORTH", "", "") is main
    assert choose(sites, "NORTH", "", "ELSEWHERE") is main
    assert choose(sites, "NORTH", "", "NREHAB") is rehab
    assert choose(sites, "NR", "", "") is rehab
    assert choose(sites, "X", "SOUTH", "NREHAB") is south
    assert choose(sites, "X", "", "") is None
    assert choose((*sites, other), "X", "", "") is other
    assert choose((*sites, other), "SOUTH", "", "") is south


def test_holidays_weekends_and_days_of_its_own():
    north = site(holidays={"country": "US", "also": ["2026-03-16"], "but": ["2026-10-12"]})
    off = {day: north.days_off(date.fromisoformat(day)) for day in (
        "2026-11-26", "2026-03-07", "2026-03-09", "2026-03-16", "2026-10-12")}  # fmt: skip
    assert off == {"2026-11-26": True, "2026-03-07": True, "2026-03-09": False,
                   "2026-03-16": True, "2026-10-12": False}  # fmt: skip
    assert site(holidays={"country": "DE"}).days_off(date(2026, 10, 3))


def test_invented_patients_are_known_by_a_condition():
    north = site(test_patients={"any": [{"PID-5.1": {"starts_with": "ZZ"}}, {"PID-3.1": "999"}]})
    assert north.is_test_patient(message(name="ZZTEST"))
    assert north.is_test_patient(message("999"))
    assert not north.is_test_patient(message())
    assert not site().is_test_patient(message(name="ZZTEST"))
