"""Reading a message by path, whole and by its groups."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7 import NULL, STANDARD, Message, Path, Unreadable, compose, header, leaf, parse, unescape
from broker.hl7.unreadable import MAX_COMPONENTS, MAX_FIELDS, MAX_REPETITIONS, MAX_SEGMENTS, MAX_SUBCOMPONENTS

MSH = "MSH|^~\\&|LAB|NORTH&1.2&ISO|HUB||20260305||ORU^R01^ORU_R01|C1|P|2.5.1"
PID = "PID|1||100^^^NORTH&9.9&ISO^MR~200^^^STATE^SS~^^^^PI||O\\T\\NEIL^ANN^^^^^L~SMITH^ANN||19700102|F"
ADT = [
    MSH.replace("ORU^R01^ORU_R01", "ADT^A03^ADT_A03"),
    "EVN|A03|202603051410",
    PID + '|||1 MAIN ST^^TOWN||""|',
    "PD1||||7^PCP",
    "ROL|1|AD|PP^Primary|55^FAMILY^DOC",
    "NK1|1|BEE^SUE|SIS",
    "PV1|1|I|4W^410^B^NORTH",
    "PV2|||^pneumonia",
    "ROL|2|AD|AT^Attending|66^TENDING^ATA",
    "ROL|3|AD|CP^Consulting|77^SULTING^CON",
    "DG1|1||J18.9^Pneumonia^I10",
    "DG1|2||E11.9^Diabetes^I10",
    "PR1|1||X",
    "ROL|4|AD|PR^Surgeon|88^SUR^GEON",
    "ZDS|x|DC",
]
ORU = [
    MSH,
    PID,
    "NTE|1||about the patient",
    "PV1|1|I|4W",
    "ORC|RE|P1",
    "OBR|1|P1|F1|CBC",
    "NTE|1||about the order",
    "OBX|1|NM|718-7^Hgb^LN||9.1|g/dL||L",
    "NTE|1||about the first",
    "NTE|2||more about the first",
    "OBX|2|NM|777-3^Plt^LN||150",
    "OBR|2|P2|F2|BMP",
    "OBX|1|NM|2823-3^K^LN||6.3|||HH",
    "PID|2||300^^^NORTH^MR||TWO^PATIENT",
    "OBR|1|P3|F3|CBC",
    "OBX|1|NM|718-7^Hgb^LN||12",
]


def message(*segments: str) -> Message:
    return Message("\r".join(segments).encode() + b"\r")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("MSH-1", "|"),
        ("MSH-2", "^~\\&"),
        ("MSH-3", "LAB"),
        ("MSH-4", "NORTH"),
        ("MSH-4.1.3", "ISO"),
        ("MSH-9.2", "A03"),
        ("PID-3", "100"),
        ("PID-3.4", "NORTH"),
        ("PID-3.4.2", "9.9"),
        ("PID-3[2].1", "200"),
        ("PID-3[3].5", "PI"),
        ("PID-3[4].1", ""),
        ("PID-3[5=SS].1", "200"),
        ("PID-3[5=MR,4.1=NORTH].1", "100"),
        ("PID-3[5=MR,4.2=8.8].1", ""),
        ("PID-3[5=PI].1", ""),
        ("PID-5.1", "O&NEIL"),
        ("PID-5[2].1", "SMITH"),
        ("PID-5[1.2=ANN]", ""),
        ("PID-5[2=ANN]", "O&NEIL"),
        ("PID-5[2=ANN][2]", "SMITH"),
        ("PID-7.2", ""),
        ("PID-7[2]", ""),
        ("PID-13", NULL),
        ("PID-14", ""),
        ("PID-99", ""),
        ("ROL[3.1=PP]-4", "55"),
        ("ROL[3=AT]-4.2", "TENDING"),
        ("ROL[3.1=XX]-4", ""),
        ("ROL[2]-4", "66"),
        ("PID/ROL-4", "55"),
        ("PV1/ROL[3.1=AT]-4.1", "66"),
        ("PV1/ROL[2]-4", "77"),
        ("PV1/ROL[3.1=PP]-4", ""),
        ("PR1/ROL-4", "88"),
        ("DG1[2]-3.1", "E11.9"),
        ("DG1[3]-3.1", ""),
        ("ZDS-2", "DC"),
        ("IN1-3", ""),
    ],
)
def test_paths_of_an_admission(path, value):
    assert message(*ADT).get(path) == value


def test_all_gives_every_match_in_order_and_no_empty_ones():
    adt = message(*ADT)
    assert adt.all("PID-3.1") == ("100", "200")
    assert adt.all("PID-3.5") == ("MR", "SS", "PI")
    assert adt.all("PID-5") == ("O&NEIL", "SMITH")
    assert adt.all("DG1-3.1") == ("J18.9", "E11.9")
    assert adt.all("ROL-4") == ("55", "66", "77", "88")
    assert adt.all("PV1/ROL-4") == ("66", "77")
    assert adt.all("MSH-2") == ("^~\\&",)
    assert adt.all("PID-13") == (NULL,)
    assert adt.all("IN1-2") == ()


def test_a_path_may_be_text_or_parsed():
    adt = message(*ADT)
    assert adt.get(Path.parse("PID-5.1")) == adt.get("PID-5.1")
    assert adt.all(Path.parse("PID-5.1")) == adt.all("PID-5.1")


def test_each_result_is_read_with_what_hangs_on_it():
    first, second, third, fourth = message(*ORU).each("OBX")
    assert first.get("OBX-5") == "9.1"
    assert first.all("NTE-3") == ("about the first", "more about the first")
    assert second.all("NTE-3") == ()
    assert [one.get("OBX-3.1") for one in (first, second, third, fourth)] == [
        "718-7",
        "777-3",
        "2823-3",
        "718-7",
    ]


def test_what_stands_outside_a_result_is_read_from_what_is_around_it():
    results = message(*ORU).each("OBX")
    assert [result.get("OBR-3") for result in results] == ["F1", "F1", "F2", "F3"]
    assert [result.get("ORC-2") for result in results] == ["P1", "P1", "", ""]
    assert [result.get("PID-3") for result in results] == ["100", "100", "100", "300"]
    assert [result.get("PV1-3") for result in results] == ["4W", "4W", "4W", ""]
    assert {result.get("MSH-10") for result in results} == {"C1"}


def test_orders_come_with_their_own_notes_and_results():
    first, second, third = message(*ORU).each("OBR")
    assert first.names == ["ORC", "OBR", "NTE", "OBX", "NTE", "NTE", "OBX"]
    assert first.get("ORC-1") == "RE"
    assert first.all("NTE-3") == ("about the order",)
    assert [one.get("OBX-5") for one in first.each("OBX")] == ["9.1", "150"]
    assert [one.get("NTE-3") for one in first.each("OBX")] == ["about the first", ""]
    assert second.get("ORC-1") == ""
    assert second.all("NTE-3") == ()
    assert second.get("PID-3") == "100"
    assert third.get("PID-3") == "300"
    assert [one.get("OBR-3") for one in message(*ORU).each("ORDER")] == ["F1", "F2", "F3"]
    assert [one.get("OBR-3") for one in message(*ORU).each("ORC")] == ["F1"]


def test_each_patient_goes_to_the_next():
    first, second = message(*ORU).each("PATIENT")
    assert (first.get("PID-3"), second.get("PID-3")) == ("100", "300")
    assert first.all("NTE-3") == ("about the patient",)
    assert second.get("PV1-3") == ""
    assert [one.get("OBR-3") for one in second.each("ORDER")] == ["F3"]
    assert second.all("OBX-5") == ("12",)
    assert second.get("MSH-9.1") == "ORU"
    assert second.root.get("PID-3") == "100"
    assert [one.get("PID-3") for one in message(*ORU).each("PID")] == ["100", "300"]


def test_two_patients_of_a_swap_keep_their_visits():
    swap = message(MSH, "EVN|A17", "PID|1||1", "PV1|1|I|A", "PID|2||2", "PV1|1|I|B")
    assert [(one.get("PID-3"), one.get("PV1-3")) for one in swap.each("PATIENT")] == [("1", "A"), ("2", "B")]
    assert {one.get("EVN-1") for one in swap.each("PATIENT")} == {"A17"}


def test_several_pairs_of_a_merge():
    merge = message(MSH, "EVN|A40", "PID|1||1", "MRG|9", "PID|2||2", "PID|3||3", "MRG|8")
    assert [(one.get("PID-3"), one.get("MRG-1")) for one in merge.each("PATIENT")] == [
        ("1", "9"),
        ("2", ""),
        ("3", "8"),
    ]


def test_segments_of_an_admission_one_by_one():
    adt = message(*ADT)
    assert [one.get("DG1-3.1") for one in adt.each("DG1")] == ["J18.9", "E11.9"]
    assert [one.get("PV1-3") for one in adt.each("DG1")] == ["4W", "4W"]
    assert [one.get("ROL-4") for one in adt.each("PR1")] == ["88"]
    assert adt.each("PV1")[0].all("ROL-4") == ("66", "77")
    assert adt.each("NK1")[0].get("NK1-2") == "BEE"
    assert adt.each("IN1") == ()


def test_a_result_beside_a_document_is_no_order():
    mdm = message(MSH, PID, "PV1|1", "ORC|RE", "OBR|1|P1", "TXA|1|DS", "OBX|1|TX|A||text")
    assert mdm.each("OBX")[0].get("TXA-2") == "DS"
    assert mdm.each("ORDER")[0].names == ["ORC", "OBR"]


def test_every_leaf_is_listed_with_a_path_that_reads_it():
    adt = message(*ADT)
    leaves = dict(adt.path_values())
    assert leaves["PID-3[1].4.2"] == "9.9"
    assert leaves["PID-5[1].1"] == "O&NEIL"
    assert leaves["DG1[2]-3.1"] == "E11.9"
    assert leaves["PV1-2"] == "I"
    assert leaves["MSH-2"] == "^~\\&"
    assert {path: adt.get(path) for path in leaves} == leaves


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\n\r", "\r\n\r\n", "\r \r"])
@pytest.mark.parametrize("last", ["", "\r", "\n", "\r\n", "\r\x00", "\r\x1a", "\r\n \t"])
def test_segments_end_in_whatever_the_sender_uses(end, last):
    read = Message((end.join(ADT) + last).encode())
    assert read.segment_names == [segment[:3] for segment in ADT]
    assert read.get("ZDS-2") == "DC"


def test_mixed_segment_ends():
    read = Message((MSH + "\r" + PID + "\nPV1|1|I\r\nDG1|1||J18\rZDS|a").encode())
    assert read.segment_names == ["MSH", "PID", "PV1", "DG1", "ZDS"]
    assert read.warnings == ("lf_ends",)


def test_a_line_feed_inside_a_field_stays_there_if_segments_end_in_cr():
    read = message(MSH, "NTE|1||first line\nsecond line", "OBX|1")
    assert read.get("NTE-3") == "first line\nsecond line"
    assert read.warnings == ()


def test_a_line_that_is_no_segment_is_refused_by_its_number():
    with pytest.raises(Unreadable) as caught:
        message(MSH, PID, "SUITE 1000^^TOWN")
    assert (caught.value.code, caught.value.where) == ("no_segment", "line 3")
    assert caught.value.partial.control_id == "C1"
    assert "SUITE" not in caught.value.text


def test_a_segment_name_in_lower_case_is_read_with_a_warning():
    read = message(MSH, "pid|1||55", "PV1|1")
    assert (read.get("PID-3"), read.segment_names, read.warnings) == (
        "55",
        ["MSH", "PID", "PV1"],
        ("lower_case_segment",),
    )


def test_another_separator_than_the_messages_own_ends_no_name():
    with pytest.raises(Unreadable, match="no segment"):
        message("MSH$%~\\!$A$$$$$$ADT%A01$1$P$2.5", "PID|1||55")


def test_without_an_escape_character_nothing_is_unescaped():
    read = message("MSH|^~|A||||||ADT^A01|1|P|2.3", "PID|1||a\\T\\b&c^d")
    assert (read.get("PID-3"), read.get("PID-3.2"), read.warnings) == ("a\\T\\b&c", "d", ("short_msh2",))


def test_the_truncation_character_stays_text():
    read = message("MSH|^~\\&#|A||||||ADT^A01|1|P|2.7", "PID|1||a#b#")
    assert read.get("PID-3") == "a#b#"


def test_nul_bytes_are_left_out_of_text_and_counted():
    read = message(MSH, "PID|1||55\x00\x00|")
    assert (read.get("PID-3"), read.warnings) == ("55", ("nul_removed",))
    assert b"\x00" in read.raw


def test_bytes_in_are_bytes_kept():
    raw = b"\xef\xbb\xbf\r\n" + "\n".join(ADT).encode() + b"\n\x00"
    assert parse(raw).raw is raw


@pytest.mark.parametrize(
    ("segments", "limit"),
    [
        (["PID|1"] * (MAX_SEGMENTS + 1), "MAX_SEGMENTS"),
        (["PID|" + "|" * MAX_FIELDS], "MAX_FIELDS"),
        (["PID|1||" + "~" * (MAX_REPETITIONS + 1)], "MAX_REPETITIONS"),
        (["OBX|1||||" + "^" * (MAX_COMPONENTS + 1)], "MAX_COMPONENTS"),
        (["OBX|1||||" + "&" * (MAX_SUBCOMPONENTS + 1)], "MAX_SUBCOMPONENTS"),
    ],
)
def test_what_passes_a_limit_is_refused_with_the_limits_name(segments, limit):
    with pytest.raises(Unreadable) as caught:
        message(MSH, *segments)
    assert caught.value.code == "too_many"
    assert limit in caught.value.text


def test_a_megabyte_in_one_field_is_read():
    assert len(message(MSH, "OBX|1|ED|||^TEXT^^Base64^" + "A" * 1_000_000).get("OBX-5.5")) == 1_000_000


PLACES = st.sampled_from(["PID-3.1", "PID-5", "PID-3[2].1", "PID-3[5=MR].1", "PID-3[5=MR,4.1=N].1", "MSH-4"])
CELLS = st.text("AN~^&\\|FXTE5é\u97ff=MR .", max_size=12)


@given(st.lists(CELLS, max_size=8), PLACES, st.sampled_from(["\r", "\n", "\r\n"]), st.booleans())
def test_one_leaf_from_bytes_is_what_the_message_says(cells, place, end, with_name):
    raw = (MSH + end + ("pid" if with_name else "PID") + "|" + "|".join(cells) + end).encode()
    path = Path.parse(place)
    assert leaf(raw, header(raw), path) == Message(raw).get(path)


@given(st.dictionaries(st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)),
                       st.text("ab|^~&\\ é\r\n\x0b\x1c", min_size=1, max_size=5), max_size=12))  # fmt: skip
def test_what_is_composed_is_read_back_leaf_by_leaf(leaves):
    fields = {f"ZZZ-{f}[{r}].{c}.{s}": text for (f, r, c, s), text in leaves.items()}
    read = Message(compose({"MSH-9.1": "ADT", **fields}, version="2.5.1"))
    assert {path: read.get(path) for path in fields} == fields


@given(st.binary(max_size=120))
def test_whatever_comes_is_read_or_refused(raw):
    whole = MSH.encode() + b"||||||8859/1~ISO IR87\r" + raw
    try:
        read = Message(whole)
        listed = list(read.path_values())
        assert all(read.get(path) == value for path, value in listed)
        for group in ("PATIENT", "ORDER", "OBX", "PID", "ZZZ"):
            for view in read.each(group):
                view.get("PID-3")
    except Unreadable as error:
        assert error.code in ("no_segment", "several_messages")


def test_unescaping_follows_splitting():
    assert unescape("a\\S\\b", STANDARD) == "a^b"
    assert message(MSH, "PID|1||a\\S\\b^c").get("PID-3") == "a^b"


def test_a_message_leaves_nothing_for_the_garbage_collector():
    def read() -> None:
        whole = message(*ORU)
        assert [one.get("PID-3") for one in whole.each("OBX")] == ["100", "100", "100", "300"]

    read()
    gc.collect()
    read()
    assert gc.collect() == 0
