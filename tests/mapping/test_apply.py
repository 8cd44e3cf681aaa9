"""What the right-hand side of a mapping can say, and what a message then means."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from broker.errors import MappingError
from broker.mapping import UnknownCode
from tests.mapping.projects import applied, applied_by, mapping_file, project, said


def refused(fields, changes=None, **kind):
    with pytest.raises(MappingError) as raised:
        applied(fields, changes, **kind)
    return raised.value


def test_a_path_gives_its_first_leaf():
    assert said("service: PV1-10")["service"] == "MED"
    assert said("visit_id: PV1-19")["visit_id"] == "V5500120"


def test_an_empty_field_says_nothing_and_a_null_deletes():
    assert "service" not in said("service: PV1-10", {"PV1-10": ""})
    assert said("service: PV1-10", {"PV1-10": '""'})["service"] is None


def test_first_of_takes_the_first_that_holds_something_and_passes_over_nulls():
    fields = "reason: {first_of: [PV2-3.2, PV2-3.1, DG1-3.2]}"
    assert said(fields)["reason"] == "Acute on chronic systolic heart failure"
    assert said(fields, {"PV2-3.2": "Short of breath"})["reason"] == "Short of breath"
    assert said(fields, {"PV2-3": '""'})["reason"] == "Acute on chronic systolic heart failure"


def test_a_null_counts_where_nothing_else_is_said():
    assert said("reason: {first_of: [PV2-3.2, PV2-4]}", {"PV2-3.2": '""'})["reason"] is None


def test_texts_are_joined_and_what_is_empty_is_left_out():
    fields = 'reason: {join: [PID-5.2, PID-5.4, PID-5.1], separator: "-"}'
    assert said(fields)["reason"] == "June-Hollis"


def test_every_value_of_a_path_is_joined():
    assert said('reason: {join_all: DG1-3.1, separator: ", "}')["reason"] == "I50.23, N18.3"


def test_a_fixed_value_default_pad_and_trim():
    assert said("service: {value: MEDICINE}")["service"] == "MEDICINE"
    assert said("service: {take: PV1-10, default: NONE}", {"PV1-10": ""})["service"] == "NONE"
    assert said("visit_id: {take: PV1-19, pad: 12}")["visit_id"] == "0000V5500120"
    assert said("service: {take: PV1-10, trim: yes}", {"PV1-10": "  MED "})["service"] == "MED"
    assert said("service: {take: PV1-10, pad: 5}", {"PV1-10": ""}).get("service") is None


def test_a_field_may_have_a_condition_of_its_own():
    fields = "vip: {value: yes, when: {PV1-16: {present: yes}}}"
    assert "vip" not in said(fields)
    assert said(fields, {"PV1-16": "VIP"})["vip"] is True


def test_a_source_within_first_of_may_have_one_too():
    fields = "reason: {first_of: [{take: PV1-10, when: {PV1-2: E}}, PV1-4]}"
    assert said(fields)["reason"] == "E"
    assert said(fields, {"PV1-2": "E"})["reason"] == "MED"


def test_a_time_is_moved():
    fields = "expected_discharge_at: {take: PV1-45, date_add: {days: 1, hours: -2}}"
    notice = said(fields)
    assert notice["expected_discharge_at"] - notice["occurred_at"] == timedelta(hours=22)


def test_a_time_without_offset_is_in_the_zone_of_the_site():
    notice = said("admitted_at: PV1-44", {"PV1-44": "202603020815"})
    assert notice["admitted_at"] == datetime(2026, 3, 2, 8, 15, tzinfo=ZoneInfo("America/New_York"))


@pytest.mark.parametrize(
    ("text", "word"), [("202611010130", "repeated_hour"), ("202603080230", "skipped_hour")]
)
def test_an_hour_that_the_clock_shows_twice_or_never_is_flagged(text, word):
    found = applied("admitted_at: PV1-44", {"PV1-44": text})
    assert found.warnings == (f"{word} at admitted_at",)


def test_a_table_gives_our_word_and_an_unknown_code_is_kept_and_listed():
    fields = "disposition: {take: PV1-36, table: disposition}"
    assert said(fields)["disposition"] == "home"
    found = applied(fields, {"PV1-36": "ZZ"})
    assert found.notices[0].disposition.unknown == "ZZ"
    assert found.unknown_codes == (UnknownCode("disposition", "ZZ", "PV1-36"),)


def test_an_unknown_code_refuses_or_means_a_word_where_the_file_says_so():
    error = refused("disposition: {take: PV1-36, table: disposition, unknown: refuse}", {"PV1-36": "ZZ"})
    assert (error.code, error.where, error.value) == ("unknown_code", "PV1-36", "ZZ")
    found = applied("disposition: {take: PV1-36, table: disposition, unknown: other}", {"PV1-36": "ZZ"})
    assert found.notices[0].disposition == "other"
    assert found.unknown_codes == (UnknownCode("disposition", "ZZ", "PV1-36"),)


def test_a_flag_by_table_says_nothing_for_a_code_without_a_row():
    fields = "planned_readmission: {take: PV1-36, table: planned_readmission}"
    assert said(fields, {"PV1-36": "81"})["planned_readmission"] is True
    found = applied(fields)
    assert found.notices[0].model_fields_set == {"patient", "occurred_at", "recorded_at"}
    assert found.unknown_codes == ()


def test_the_site_has_words_of_its_own_and_a_row_may_hold_at_one_site_only():
    words = {
        "mappings/tables/classes.csv": "code,word,note\nI,observation,\n",
        "mappings/tables/both.csv": "code,word,note,site\nX,inpatient,,\nX,emergency,,south\n",
        "channels/sites/south.yaml": "site: South\nzone: UTC\ntables: {patient_class: classes}\n",
        "mappings/tried.yaml": """\
            mapping: On trial
            produces: Discharge
            like: adt_discharge
            fields: {patient.number: PID-3}
            examples: [{name: x, given: north/a03_home.hl7, notices: 1}]
            """,
        "mappings/other.yaml": """\
            mapping: On trial
            produces: Discharge
            like: tried
            fields: {patient_class: {take: PV1-2, table: both}}
            examples: [{name: x, given: north/a03_home.hl7, notices: 1}]
            """,
    }
    made = project(words)

    def class_of(mapping, site, code):
        found = applied_by(made, mapping, "north/a03_home.hl7", {"PV1-2": code}, site)
        return found.notices[0].patient_class

    assert class_of("tried", "north", "I") == "inpatient"
    assert class_of("tried", "south", "I") == "observation"
    assert class_of("tried", "south", "E") == "emergency"
    assert class_of("other", "north", "X") == "inpatient"
    assert class_of("other", "south", "X") == "emergency"


def test_a_part_is_made_of_a_whole_field_and_its_own_fields_come_last():
    fields = """
        attending: PV1-7
        attending.npi: {take: "ROL[3.1=AT]-4.1", trim: yes}
        """
    assert said(fields)["attending"] == {"npi": "1622984510", "family": "Lindqvist", "given": "Nils"}
    changed = {"ROL": "", "ROL-3": "AT", "ROL-4": " 1512873401 "}
    assert said(fields, changed)["attending"]["npi"] == "1512873401"


@pytest.mark.parametrize(
    ("field", "made"),
    [
        ("1622984510^Lind^Nils^^^^^^NPI^^^^NPI", {"npi": "1622984510", "family": "Lind", "given": "Nils"}),
        ("77^Lind^Nils^^^^^^NORTH", {"id": "77", "authority": "north", "family": "Lind", "given": "Nils"}),
        (
            "77^Lind^^^^^^^NORTH~1622984510^Lind^^^^^^^&2.16.840.1.113883.4.6&ISO",
            {"npi": "1622984510", "id": "77", "authority": "north", "family": "Lind"},
        ),
        ("77", {"id": "77"}),
        ("^Lind", {"family": "Lind"}),
        ('""', None),
    ],
)
def test_a_practitioner_in_every_form(field, made):
    assert said("attending: PV1-7", {"PV1-7": field})["attending"] == made


def test_a_number_that_fails_its_check_digit_is_no_npi():
    found = applied("attending: PV1-7", {"PV1-7": "1622984511^Lind^^^^^^^NPI^^^^NPI"})
    assert found.notices[0].attending.model_dump(exclude_unset=True) == {"family": "Lind"}
    assert found.warnings == ("bad_npi at PV1-7",)


def test_a_sensitive_unit_is_not_named():
    site = "site: North\nzone: UTC\nsensitive_units: [BHU]\n"
    text = mapping_file("location: PV1-3\nprior_location: PV1-6")
    made = project({"channels/sites/north.yaml": site, "mappings/tried.yaml": text})
    changes = {"PV1-3": "BHU^2^A^NORTH", "PV1-6": "4W^412^A^NORTH"}
    (notice,) = applied_by(made, "tried", "north/a03_home.hl7", changes).notices
    assert notice.location.model_dump(exclude_unset=True) == {"facility": "NORTH"}
    assert notice.prior_location.unit == "4W"


@pytest.mark.parametrize(
    ("field", "phones"),
    [
        ("(262)555-0163", [{"number": "(262)555-0163", "use": "home"}]),
        ("^PRN^CP^^1^860^5550118", [{"number": "+1 860 5550118", "use": "mobile"}]),
        ("^WPN^PH^^^860^5550118^22", [{"number": "860 5550118 x22", "use": "work"}]),
        ("^NET^Internet^a@example.org~5550118", [{"number": "5550118", "use": "home"}]),
        ('""', None),
        ("^NET^Internet^a@example.org", "unset"),
    ],
)
def test_phones_in_every_form(field, phones):
    found = said("patient.phones: PID-13", {"PID-13": field})["patient"]
    if phones == "unset":
        assert "phones" not in found
    else:
        assert found["phones"] == (tuple(phones) if phones is not None else None)


def test_the_patients_number_is_the_repetition_of_the_sites_kind():
    number = said("service: PV1-10", {"PID-3": "E1^^^ENTERPRISE^PI~007^^^NORTH^MR"})["patient"]["number"]
    assert number == {"value": "007", "authority": "north", "type": "MR"}


def test_a_number_without_authority_is_the_sites_and_a_foreign_word_stays_apart():
    assert said("service: PV1-10", {"PID-3": "7^^^^MR"})["patient"]["number"]["authority"] == "north"
    assert said("service: PV1-10", {"PID-3": "7^^^MRN^MR"})["patient"]["number"]["authority"] == "north:MRN"


def test_a_list_of_parts_is_one_for_each_segment():
    more = "repeats:\n  diagnoses: {each: DG1, fields: {code: DG1-3.1, kind: DG1-6}}\n"
    assert said("service: PV1-10", more=more)["diagnoses"] == (
        {"code": "I50.23", "kind": "F"},
        {"code": "N18.3", "kind": "F"},
    )
    assert "diagnoses" not in said("service: PV1-10", {"DG1": ""}, more=more)


def test_a_list_whose_only_segment_is_null_is_deleted():
    more = "repeats:\n  allergies: {each: AL1, fields: {code: AL1-3.1}}\n"
    assert said("service: PV1-10", {"AL1-3": '""'}, more=more)["allergies"] is None


def test_results_have_observations_with_their_own_notes():
    text = """\
        mapping: On trial
        produces: Result
        like: oru_result
        examples: [{name: x, given: north/oru_potassium_critical.hl7, notices: 1}]
        """
    made = project({"mappings/tried.yaml": text})
    found = applied_by(made, "tried", "north/oru_potassium_critical.hl7")
    (observation,) = found.notices[0].observations
    assert (observation.value, observation.flags) == ("6.9", ("HH",))
    assert observation.notes == "Specimen not hemolyzed."


@pytest.mark.parametrize(
    ("fields", "changes", "code", "where"),
    [
        ("service: PV1-10", {"PV1-45": ""}, "missing", "PV1-45"),
        ("service: PV1-10", {"PV1-45": '""'}, "missing", "PV1-45"),
        ("service: PV1-10", {"PV1-45": "yesterday"}, "bad_time", "PV1-45"),
        ("service: PV1-10", {"PV1": ""}, "missing_segment", "PV1"),
        ("service: PV1-10", {"PID-3": ""}, "missing", "PID-3"),
        ("service: PV1-10", {"PID-3": "7^^^NORTH^PI"}, "missing", "PID-3"),
        ("service: PV1-10", {"PID": ""}, "missing_segment", "PID"),
        ("service: {take: PV1-10, required: yes}", {"PV1-10": ""}, "missing", "PV1-10"),
    ],
)
def test_without_who_what_and_when_a_message_is_refused(fields, changes, code, where):
    error = refused(fields, changes)
    assert (error.code, error.where) == (code, where)


def test_anything_else_that_cannot_be_read_is_left_unset_with_a_warning():
    changes = {"PID-7": "31.12.1969", "PID-30": "maybe", "PV1-44": "2026-03-02"}
    fields = "patient.birth_date: PID-7\npatient.deceased: PID-30\nadmitted_at: PV1-44"
    found = applied(fields, changes)
    (notice,) = found.notices
    assert notice.patient.model_fields_set == {"number"}
    assert notice.model_fields_set == {"patient", "occurred_at", "recorded_at"}
    assert found.warnings == ("bad_time at PID-7", "bad_value at PID-30", "bad_time at PV1-44")


def test_a_merge_needs_a_second_number_and_never_merges_one_with_itself():
    kind = {"produces": "PatientMerge"}
    fields = "retired: MRG-1"
    minimal = {"MRG": "", "MRG-1": "9^^^NORTH^MR"}
    assert said(fields, minimal, **kind)["retired"] == {"value": "9", "authority": "north", "type": "MR"}
    assert refused(fields, {"MRG": ""}, **kind).code == "missing_segment"
    error = refused(fields, {"MRG-1": "4400017^^^^MR"}, **kind)
    assert (error.code, error.where) == ("same_patient", "MRG-1")


def test_the_python_door_makes_notices_of_what_no_words_can_say():
    door = """\
        from datetime import UTC, datetime

        from broker.notices import Identifier, PatientStated, PersonUpdate


        def notices(message):
            at = datetime(2026, 3, 5, tzinfo=UTC)
            for number in message.all("PID-3.1"):
                who = PatientStated(number=Identifier(value=number))
                yield PersonUpdate(patient=who, occurred_at=at, recorded_at=at)
        """
    text = """\
        mapping: Through the door
        python: own.doors:notices
        examples: [{name: two numbers, given: north/a03_home.hl7, notices: 2}]
        """
    made = project({"mappings/own/doors.py": door, "mappings/tried.yaml": text})
    found = applied_by(made, "tried", "north/a03_home.hl7")
    assert [notice.patient.number.value for notice in found.notices] == ["4400017", "E0099121"]
