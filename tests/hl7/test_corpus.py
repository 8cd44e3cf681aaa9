"""Sample messages, generated ones and awkward input, read alike by us and by python-hl7 and hl7apy.

The files stay where they are (`../shared/corpus` beside the project, or HANDOFF_CORPUS). Where the
other libraries and we differ, and why we do not follow:

- python-hl7 has empty leaves too; only those that hold something are compared.
- Both strip the blanks at the end of the message; we keep them.
- python-hl7 makes a CR of `\\.br\\`, we a line feed; highlighting and unknown sequences are dropped by
  it and kept by us; so leaves with an escape character are compared before unescaping.
- hl7apy drops Z segments and what the structure does not have, and mangles formatting escapes: only
  leaves that it has are compared, without those that hold an escape character.
"""

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path as File

import hl7 as python_hl7
import pytest
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from broker.hl7 import (
    Answer,
    Deframer,
    Message,
    Problem,
    Unreadable,
    acknowledge,
    frame,
    header,
    read_acknowledgement,
    reassemble,
    split_batch,
    unescape,
)

CORPUS = File(os.environ.get("HANDOFF_CORPUS", File(__file__).parents[3] / "shared" / "corpus"))
NOW = datetime(2026, 3, 5, tzinfo=UTC)

on_samples = pytest.mark.skipif(
    not (CORPUS / "messages").is_dir(),
    reason=f"no sample messages at {CORPUS}: HANDOFF_CORPUS names the folder with messages/ and malformed/",
)


def messages() -> list[tuple[str, bytes]]:
    """Every message of every file, batches cut."""
    found = []
    for file in sorted((CORPUS / "messages").rglob("*.hl7")):
        raw = file.read_bytes()
        batch = split_batch(raw)
        if batch is not None:
            assert reassemble(batch.envelope, batch.messages, batch.places) == raw
        found += [(file.name, one) for one in (batch.messages if batch else [raw])]
    return found


CELL = st.text("abXYZ 019.-é改", max_size=6).map(str.strip)
REPETITION = st.lists(st.lists(CELL, min_size=1, max_size=3).map("&".join), min_size=1, max_size=4).map(
    "^".join
)
FIELD = st.lists(REPETITION, min_size=1, max_size=3).map("~".join)
SEGMENT = st.tuples(
    st.sampled_from(["PID", "PV1", "OBX", "NTE", "ZAB", "DG1"]), st.lists(FIELD, min_size=1, max_size=8)
).map(lambda made: "|".join([made[0], *made[1]]))


@given(st.lists(SEGMENT, min_size=1, max_size=6), st.sampled_from(["\r", "\r\n", "\n"]))
def test_generated_messages_have_the_leaves_that_python_hl7_lists(segments, end):
    msh = "MSH|^~\\&|A|B|||20260305||ADT^A01^ADT_A01|C1|P|2.5.1||||||UNICODE UTF-8"
    message = Message((end.join([msh, *segments]) + end).encode())
    ours = {path: value for path, value in message.path_values() if path not in ("MSH-1", "MSH-2")}
    assert ours == leaves_of_python_hl7(message)


def text_of(message: Message) -> str:
    return message.raw.removeprefix(b"\xef\xbb\xbf").decode(message.codec).strip("\r\n")


def leaves_of_python_hl7(message: Message) -> dict[str, str]:
    """Its leaves by our paths; MSH-1 and MSH-2 left out."""
    parsed = python_hl7.parse(re.sub("[\r\n]+", "\r", text_of(message)))
    names = [str(segment[0]) for segment in parsed]
    leaves, counts = {}, dict.fromkeys(names, 0)
    for segment in parsed:
        name = str(segment[0])
        counts[name] += 1
        prefix = f"{name}[{counts[name]}]" if names.count(name) > 1 else name
        for number, field in enumerate(segment):
            if number == 0 or (number < 3 and name == "MSH"):
                continue
            repetitions = list(field) if isinstance(field, python_hl7.Field) else [field]
            for r, repetition in enumerate(repetitions, 1):
                components = (
                    list(repetition) if isinstance(repetition, python_hl7.Repetition) else [repetition]
                )
                for c, component in enumerate(components, 1):
                    subs = list(component) if isinstance(component, python_hl7.Component) else [component]
                    for s, sub in enumerate(subs, 1):
                        if str(sub):
                            place = f"{prefix}-{number}" + (f"[{r}]" if len(repetitions) > 1 else "")
                            part = f".{c}.{s}" if len(subs) > 1 else f".{c}" if len(components) > 1 else ""
                            leaves[place + part] = str(sub)
    return leaves


@on_samples
def test_every_sample_reads_without_a_warning_and_lists_the_leaves_that_python_hl7_lists():
    compared = 0
    for name, raw in messages():
        message = Message(raw)
        assert message.warnings == (), name
        ours = {path: value.rstrip(" ") for path, value in message.path_values()}
        del ours["MSH-1"], ours["MSH-2"]
        theirs = {
            path: unescape(value, message.header, message.codec).rstrip(" ")
            for path, value in leaves_of_python_hl7(message).items()
        }
        assert ours == theirs, name
        compared += len(ours)
    assert compared > 50_000


@on_samples
def test_every_leaf_of_the_samples_is_found_again_by_its_path():
    for name, raw in messages()[::5]:
        message = Message(raw)
        leaves = dict(message.path_values())
        assert {path: message.get(path) for path in leaves} == leaves, name


@on_samples
def test_a_sample_of_the_samples_has_the_leaves_that_hl7apy_has():
    compared = 0
    for name, raw in [(name, raw) for name, raw in messages() if len(raw) < 3000][::9]:
        message = Message(raw)
        try:
            parsed = parse_message(text_of(message), find_groups=False)
        except HL7apyException:
            continue  # a structure or a version that it does not know
        counts: dict[str, int] = {}
        for segment in parsed.children:
            counts[segment.name] = counts.get(segment.name, 0) + 1
            for path, value in leaves_of_hl7apy(segment, f"{segment.name}[{counts[segment.name]}]"):
                assert message.get(path).rstrip(" ") == value.rstrip(" "), (name, path)
                compared += 1
    assert compared > 1000


def leaves_of_hl7apy(segment, prefix):
    repetitions: dict[str, int] = {}
    for field in segment.children:
        if field.name is None:
            continue  # one past those that it knows of this segment
        repetitions[field.name] = repetitions.get(field.name, 0) + 1
        number = field.name.rpartition("_")[2]
        if not number.isdecimal() or (segment.name == "MSH" and number in ("1", "2")):
            continue
        for component in field.children:
            if component.name is None and len(field.children) > 1:
                continue  # it does not know the field's type, and then not which component this is
            c = component.name.rpartition("_")[2] if component.name else "1"
            for at, leaf in enumerate(component.children, 1):
                value = leaf.to_er7()
                s = leaf.name.rpartition("_")[2] if leaf.name and "_" in leaf.name else str(at)
                if value and "\\" not in value and c.isdecimal() and s.isdecimal():
                    yield f"{prefix}-{number}[{repetitions[field.name]}].{c}.{s}", value


@on_samples
def test_every_sample_is_answered_with_its_control_id():
    for name, raw in messages():
        came = header(raw)
        for code in ("AA", "AE"):
            answer = Answer(code, (Problem("101", "missing", "PID-3"),) if code == "AE" else ())
            read = read_acknowledgement(acknowledge(came, answer, control_id="A1", now=NOW))
            assert (read.code, read.control_id) == (code, came.control_id), name


REFUSED_BY = {
    "F18": "utf16",
    "F22": "several_messages",
    "M01": "no_msh",
    "M03": "illegal_delimiters",
    "M06": "missing",
    "M15": "illegal_delimiters",
    "M16": "illegal_delimiters",
    "S05": "no_segment",
    "B04": "several_messages",
}
NO_FRAME = {"F01", "F14", "F21"}
FOUND = {
    "E01": {"OBX-5": "a\r\nb"},
    "E03": {"OBX-5": "a\\X000d\\b\\X00D\\c"},
    "E05": {"PID-5.2": "\\", "PID-7": "19700102"},
    "E07": {"NTE-3": "Some text\n"},
    "E09": {"PID-3.2": "\\"},
    "E13": {"OBX-5": "\\H\\bold\\N\\ \\Z99\\ \\.in+4\\"},
    "F16": {"PID-3": "T000123"},
    "F24": {"OBX-3": "PDF"},
    "M10": {"MSH-2": "^~\\&#", "PID-3": "T000123"},
    "M18": {"PID-3.5": "MR", "PID-5.1": "TESTPAT"},
    "M26": {"PID-5.1": "MÜLLERTEST", "PID-5.2": "ZOË"},
    "M28": {"OBX-6": "µg/L"},
    "M30": {"PID-5[1].1": "改田", "PID-8": "M"},
    "M33": {"PID-5.1": "SØRENTEST", "PID-5.2": "ÅSE"},
    "R01": {"PID-3.4": "GENHOSP"},
    "R05": {"PID-5.5": '""', "PID-12": '""'},
    "S01": {"PID-3": "T000123"},
    "S09": {"PID-3": "T000123"},
    "S13": {"PID-5.1": "TESTPAT"},
}


@on_samples
def test_awkward_input_is_read_or_refused_with_its_cause():
    cases = json.loads((CORPUS / "malformed" / "cases.json").read_text())["cases"]
    for case in cases:
        raw = (CORPUS / "malformed" / case["file"]).read_bytes()
        raw = re.sub(rb"@@REPEAT:(.):(\d+)@@", lambda found: found[1] * int(found[2]), raw)
        deframer = Deframer()
        frames = deframer.feed(frame(raw) if case["send"] == "frame" else raw) + deframer.finish()
        assert bool(frames) == (case["id"] not in NO_FRAME), case["id"]
        for one in frames:
            batch = split_batch(one)
            for message in batch.messages if batch else [one]:
                try:
                    read = Message(message)
                except Unreadable as error:
                    assert error.code == REFUSED_BY.get(case["id"]), case["id"]
                    continue
                assert case["id"] not in REFUSED_BY, case["id"]
                assert {path: read.get(path) for path in FOUND.get(case["id"], {})} == FOUND.get(
                    case["id"], {}
                ), case["id"]


@on_samples
def test_the_second_patients_result_in_one_message_is_the_second_patients():
    read = Message((CORPUS / "malformed" / "S21_two-patients-in-oru.hl7").read_bytes())
    assert [one.get("PID-3") for one in read.each("OBX")] == ["T000123", "T000456"]
