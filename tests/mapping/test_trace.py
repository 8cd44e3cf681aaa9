"""Each value of a notice with the path that gave it."""

from broker.hl7 import Message
from broker.mapping import apply
from broker.mapping.trace import Traced, trace
from tests.mapping.projects import FIXTURES, mapping_file, project

FIELDS = """
reason: {first_of: [PV2-3.2, DG1-3.2]}
attending: PV1-7
attending.address: {value: "nils@example.org"}
disposition: {take: PV1-36, table: disposition}
vip: {value: yes}
"""
MORE = "repeats:\n  diagnoses: {each: DG1, fields: {code: DG1-3.1, kind: DG1-6}}\n"


def test_each_value_has_the_path_that_gave_it_and_what_stood_there():
    made = project({"mappings/tried.yaml": mapping_file(FIELDS, more=MORE)})
    message = Message((FIXTURES / "north/a03_home.hl7").read_bytes())
    mapping, site = made.mappings["tried"], made.sites["north"]
    (notice,) = apply(mapping, message, site, made.tables).notices
    told = {one.name: one for one in trace(mapping, message, notice)}
    assert told["reason"].path == "DG1-3.2"
    assert told["attending.npi"][2:] == ("PV1-7", "1622984510^Lindqvist^Nils^^^Dr^^^NPI^^^^NPI")
    assert told["attending.address"].path == "value"
    assert told["disposition"] == Traced("disposition", "home", "PV1-36", "01")
    assert told["occurred_at"][2:] == ("PV1-45", "20260305141000-0500")
    assert told["diagnoses[2].code"] == Traced("diagnoses[2].code", "N18.3", "DG1-3.1", "N18.3")
    assert told["patient.number.value"].path == "PID-3"
    assert told["vip"].value is True


def test_what_is_kept_as_it_came_and_what_is_deleted_are_traced_too():
    made = project({"mappings/tried.yaml": mapping_file(FIELDS)})
    raw = (FIXTURES / "north/a03_home.hl7").read_bytes()
    message = Message(raw.replace(b"|01||||||||2026", b"|ZZ||||||||2026").replace(b"|1622984510^", b'|""^'))
    mapping, site = made.mappings["tried"], made.sites["north"]
    (notice,) = apply(mapping, message, site, made.tables).notices
    told = {one.name: one for one in trace(mapping, message, notice)}
    assert told["disposition"] == Traced("disposition", {"unknown": "ZZ"}, "PV1-36", "ZZ")
