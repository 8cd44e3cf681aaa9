"""Acknowledgements: what we answer, whether an answer is wanted, and how another's is read. Floor 1.

Source: HL7 v2.5.1, chapter 2.9 and 2.15; tables 0008, 0155, 0357, 0516.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from broker.errors import Hl7Error
from broker.hl7.charset import codec_of
from broker.hl7.delimiters import STANDARD, Delimiters
from broker.hl7.escape import escape, unescape
from broker.hl7.header import Header, header
from broker.hl7.paths import Path
from broker.hl7.times import format_time
from broker.hl7.unreadable import Unreadable

__all__ = [
    "CONDITIONS",
    "AckCode",
    "Acknowledged",
    "Answer",
    "Problem",
    "Severity",
    "acknowledge",
    "is_acknowledgement",
    "mode",
    "read_acknowledgement",
    "wanted",
]

AckCode = Literal["AA", "AE", "AR", "CA", "CE", "CR"]
Severity = Literal["E", "W", "I", "F"]

CONDITIONS = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "104": "Value too long",
    "198": "Non-Conformant Cardinality",
    "199": "Other HL7 Error",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}
"""HL7 table 0357."""

_DEFAULT_VERSION = "2.5.1"
_NO_HEADER = Header(STANDARD, ("MSH", "|", STANDARD.encoding))
_RESPONSES = frozenset(
    "ACK ADR BRP BRT DSR EAR EDR ERP ESR LSR MCF MDR MFD MFK MFR NMR OPR ORA ORB ORD ORF ORG ORL ORN ORP ORR "  # noqa: SIM905
    "ORS ORX OSR QCK RAR RCI RCL RDO RDR RDY RER RGR ROR RPA RPI RPL RPR RRA RRD RRE RRG RRI RRO RSP RTB SQR "
    "SRR TBR VXR VXX".split()
)
_SEGMENT_ONLY = re.compile("[A-Z][A-Z0-9]{2}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was wrong: a code of table 0357, a sentence that an analyst can act on, and a path.

    The text leaves the house and is logged there: it names no patient's value.
    """

    code: str
    text: str
    where: str = ""
    severity: Severity = "E"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a message is answered (MSA-1), and why (ERR)."""

    code: AckCode
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Another system's answer. `control_id` is MSA-2 as it came: it must equal the MSH-10 that was sent."""

    code: str
    control_id: str
    text: str = ""
    problems: tuple[Problem, ...] = ()


def acknowledge(header: Header | None, answer: Answer, *, control_id: str, now: datetime) -> bytes:
    """The answer's payload, not framed; `control_id` is its own MSH-10, `now` its MSH-7.

    The sender's delimiters, character set, MSH-11 and MSH-12 are kept, the endpoints swapped, MSH-10
    echoed byte for byte. With no header (nothing could be read) it is a plain v2.5.1 answer.
    """
    came = header or _NO_HEADER
    before_time, before_id, before_echo = _template(came, answer.code)
    end = b"\r"
    if answer.problems:
        end = _why(came, answer)
    echoed = came.control_id.encode("latin-1", "replace")
    own_id = escape(control_id, came.delimiters).encode("ascii", "replace")
    written = escape(format_time(now), came.delimiters).encode()
    if not echoed and end[:1] == b"\r":
        before_echo = before_echo.removesuffix(came.delimiters.field.encode())
    return b"".join((before_time, written, before_id, own_id, before_echo, echoed, end))


def mode(header: Header) -> Literal["original", "enhanced"]:
    """Enhanced as soon as MSH-15 or MSH-16 has a value."""
    return "enhanced" if header.accept_ack or header.application_ack else "original"


def wanted(header: Header, level: Literal["accept", "application"], positive: bool) -> bool:
    """Whether the sender wants this answer.

    Original mode: the application's, always. Enhanced: by MSH-15 (accept) and MSH-16 (application):
    AL always, NE never, ER errors, SU success; an empty one beside a valued one is NE, a word that
    is not in table 0155 is AL.
    """
    if mode(header) == "original":
        return level == "application"
    condition = header.accept_ack if level == "accept" else header.application_ack
    return {"": False, "NE": False, "ER": not positive, "SU": positive}.get(condition.upper(), True)


def is_acknowledgement(header: Header, frame: bytes = b"") -> bool:
    """Whether this is itself an answer (ACK, a response of table 0003, or, where `frame` is given, one
    with MSA): answers are never acknowledged."""
    if header.message_type in _RESPONSES or header.structure == "ACK":
        return True
    return re.search(rb"[\r\n]MSA" + re.escape(header.field.encode()), frame) is not None


def read_acknowledgement(payload: bytes) -> Acknowledged:
    """What another system answered. Raises `Unreadable`: as `header` does, or `no_msa`."""
    try:
        came = header(payload)
    except Unreadable as error:
        if error.partial is None or error.code == "several_messages":
            raise
        came = error.partial  # an answer with a poor MSH is still an answer
    codec = _codec(came)
    lines = [line.lstrip().rstrip(b"\x00\x1c\x1a") for line in re.split(rb"[\r\n]+", payload)]
    separator = came.delimiters.field.encode()
    segments = [line.split(separator) for line in lines]
    msa = next((fields for fields in segments if fields[0].upper() == b"MSA"), None)
    if msa is None or len(msa) < 2 or not msa[1].strip():
        raise Unreadable("the answer has no MSA-1", code="no_msa", where="MSA-1", partial=came)

    def text(fields: list[bytes], number: int) -> str:
        raw = fields[number] if number < len(fields) else b""
        return raw.decode(codec, "replace")

    plain = unescape(text(msa, 3), came.delimiters)
    problems = tuple(
        _problem([text(fields, number) for number in range(9)], came.delimiters)
        for fields in segments
        if fields[0].upper() == b"ERR" and any(fields[1:])
    )
    echoed = (msa[2] if len(msa) > 2 else b"").decode("latin-1")
    return Acknowledged(text(msa, 1).strip(), echoed, plain, problems)


def _template(came: Header, code: AckCode) -> tuple[bytes, bytes, bytes]:
    """What stands before MSH-7, before MSH-10 and before MSA-2: the same for all messages of a feed."""
    fields = came.fields
    key = (fields[1:7], fields[9:10], fields[11:13], fields[15:19], came.old_event, code)
    found = _templates.get(key)
    if found is None:
        if len(_templates) >= _MOST_TEMPLATES:
            _templates.clear()
        found = _templates[key] = _make_template(came, code)
    return found


_Key = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...], str, AckCode]
_templates: dict[_Key, tuple[bytes, bytes, bytes]] = {}
_MOST_TEMPLATES = 1000


def _make_template(came: Header, code: AckCode) -> tuple[bytes, bytes, bytes]:
    delimiters, separator = came.delimiters, came.delimiters.field
    endpoints = [came.receiving_application, came.receiving_facility]
    endpoints += [came.sending_application, came.sending_facility]
    before_time = separator.join(["MSH", delimiters.encoding, *endpoints, ""])
    before_id = separator.join(["", "", _message_type(came, _version(came)), ""])
    after_id = ["", came.raw(11) or "P", came.raw(12) if came.version else _DEFAULT_VERSION, "", ""]
    if code[0] == "A" and mode(came) == "enhanced":
        after_id += ["NE", "NE"]  # nobody is to answer an application's answer
    else:
        after_id += ["", ""]
    after_id += ["", came.raw(18)]
    before_echo = separator.join(after_id).rstrip(separator) + separator.join(["\rMSA", code, ""])
    before, middle, after = (
        text.encode("latin-1", "replace") for text in (before_time, before_id, before_echo)
    )
    return before, middle, after


def _message_type(came: Header, version: tuple[int, ...]) -> str:
    """ACK alone up to v2.2, ACK^A01 in v2.3, ACK^A01^ACK from v2.3.1 on; ACK alone without an event."""
    component = came.delimiters.component
    event = escape(came.event, came.delimiters)
    if not event or version < (2, 3):
        return "ACK"
    if version < (2, 3, 1):
        return f"ACK{component}{event}"
    return f"ACK{component}{event}{component}ACK"


def _why(came: Header, answer: Answer) -> bytes:
    """What follows MSA-2 where there are problems: MSA-3 before v2.7, and ERR in the form of the version."""
    version, delimiters = _version(came), came.delimiters
    separator = delimiters.field
    text = ""
    if version < (2, 7):
        first = answer.problems[0]
        text = separator + escape(f"{first.where}: {first.text}" if first.where else first.text, delimiters)
    if version >= (2, 5):
        segments = [_err(problem, delimiters) for problem in answer.problems]
    else:
        segments = [_old_err(answer.problems, delimiters)] if answer.code not in ("AA", "CA") else []
    lines = [text, *(separator.join(segment).rstrip(separator) for segment in segments)]
    return "".join(line + "\r" for line in lines).encode(_codec(came), "replace")


def _err(problem: Problem, delimiters: Delimiters) -> list[str]:
    """ERR of v2.5 and later: location, code, severity, a sentence for people."""
    mark = delimiters.component
    code = mark.join([problem.code, escape(CONDITIONS.get(problem.code, ""), delimiters), "HL70357"])
    location = mark.join(_location(problem.where)).rstrip(mark)
    text = problem.text if location or not problem.where else f"{problem.where}: {problem.text}"
    return ["ERR", "", location, code, problem.severity, "", "", "", escape(text, delimiters)]


def _old_err(problems: tuple[Problem, ...], delimiters: Delimiters) -> list[str]:
    """ERR-1 up to v2.4: segment, its number, field, and the code, a repetition for each problem."""
    component, sub = delimiters.component, delimiters.subcomponent or " "
    places = []
    for problem in problems:
        code = sub.join([problem.code, escape(CONDITIONS.get(problem.code, ""), delimiters)])
        segment, number, field = (*_location(problem.where), "", "", "")[:3]
        places.append(component.join([segment, number, field, code]))
    return ["ERR", (delimiters.repetition or " ").join(places)]


def _location(where: str) -> list[str]:
    """A path as ERL: segment, its number, field, repetition, component, subcomponent."""
    if _SEGMENT_ONLY.fullmatch(where):
        return [where, "1"]
    try:
        path = Path.parse(where)
    except Hl7Error:
        return []
    numbers = [path.segment_number or 1, path.field, path.repetition, path.component, path.subcomponent]
    if path.component and not path.repetition:
        numbers[2] = 1
    return [path.segment, *(str(number) if number else "" for number in numbers)]


def _problem(err: list[str], delimiters: Delimiters) -> Problem:
    """An ERR segment of either form."""
    _, component, sub, _ = delimiters.marks

    def parts(text: str, mark: str) -> list[str]:
        return [unescape(part, delimiters).strip() for part in text.split(mark)]

    if err[3]:
        place, code = parts(err[2], component), parts(err[3], component)
        severity = err[4] if err[4] in ("E", "W", "I", "F") else "E"
        text = unescape(err[8], delimiters) or (code[1] if len(code) > 1 else "")
        return Problem(code[0], text, _path_of(place, 3), cast(Severity, severity))
    raw = err[1].split(delimiters.marks[0])[0].split(component)
    code = parts(raw[3], sub) if len(raw) > 3 else [""]
    return Problem(code[0], code[1] if len(code) > 1 else "", _path_of(raw[:3], 3))


def _path_of(place: list[str], field_at: int) -> str:
    numbers = place[1:]
    if not place[0] or len(numbers) < 2 or not numbers[1].isdecimal():
        return place[0]
    several = f"[{numbers[0]}]" if numbers[0].isdecimal() and int(numbers[0]) > 1 else ""
    return f"{place[0]}{several}-{numbers[1]}"


def _version(came: Header) -> tuple[int, ...]:
    parts = came.version.split(".")
    if all(part.isdecimal() and len(part) < 4 for part in parts):
        return tuple(int(part) for part in parts)
    return (2, 5, 1)


def _codec(came: Header) -> str:
    charsets = came.charsets
    return (codec_of(charsets[0]) if charsets and charsets[0] else None) or "ascii"
