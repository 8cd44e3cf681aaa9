"""Whether messages follow HL7's structures, by hl7apy, in a process of its own. Floor 6.

It takes 20 ms an ADT and half a second for hundreds of OBX, and never runs where messages are received.
A copy is judged, without Z segments: the bytes that are kept stay as they are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Sequence

from broker.errors import BrokerError
from broker.hl7 import Message
from broker.hl7_names import version_of

__all__ = ["structure_of", "validate", "wrong_with"]

LIMIT_SECS = 120.0
_WITHOUT_STRUCTURE = frozenset({"2.1", "2.2", "2.3"})
# Event: structure (table 0354), where it is not named for the event itself (DOMAIN 1.3).
_STRUCTURES = {
    event: structure
    for structure, events in {
        "ADT_A01": "A04 A08 A13",
        "ADT_A05": "A14 A28 A31",
        "ADT_A06": "A07",
        "ADT_A09": "A10 A11",
        "ADT_A21": "A22 A23 A25 A26 A27 A29 A32 A33",
        "ADT_A30": "A34 A35 A36 A46 A47 A48 A49",
        "ADT_A39": "A40 A41 A42",
        "ADT_A50": "A51",
        "ADT_A52": "A53",
        "ADT_A54": "A55",
        "ADT_A61": "A62",
        "SIU_S12": "S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24 S26",
        "MDM_T01": "T03 T05 T07 T09 T11",
        "MDM_T02": "T04 T06 T08 T10",
    }.items()
    for event in events.split()
}


def validate(messages: Sequence[bytes], limit_secs: float = LIMIT_SECS) -> list[list[str]]:
    """What is wrong with each message, in a child process; [] where nothing is.

    Raises `BrokerError` ("validation_failed") when the child takes longer than the limit, or dies.
    """
    if not messages:
        return []
    asked = json.dumps([b64encode(raw).decode() for raw in messages]).encode()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "broker.validate"],
            input=asked,
            capture_output=True,
            timeout=limit_secs,
            check=True,
        )
        said: list[list[str]] = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        raise BrokerError(
            f"the structure could not be checked: {type(error).__name__}", code="validation_failed"
        ) from error
    return said


def structure_of(message_type: str, event: str) -> str:
    """The name of a message's structure: what MSH-9.3 should say, which it often does not."""
    return _STRUCTURES.get(event, f"{message_type}_{event}") if event else message_type


def wrong_with(raw: bytes) -> list[str]:
    """What is wrong with one message. Only in a child process: this loads and runs hl7apy."""
    from hl7apy.consts import VALIDATION_LEVEL
    from hl7apy.core import Message as Structured
    from hl7apy.exceptions import HL7apyException
    from hl7apy.parser import parse_message
    from hl7apy.validation import Validator

    message = Message(raw)
    header = message.header
    structure = structure_of(header.message_type, header.event)
    version = version_of(header.version)
    text = _without_z(message, structure, version)
    try:
        parsed: Structured = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT)
    except HL7apyException as error:
        return [f"{structure} of version {version}: {error}"]
    came = Counter(name for name in message.segment_names if not name.startswith("Z"))
    kept = Counter(line[:3] for line in parsed.to_er7().split("\r") if line)
    wrong = [f"{name} does not belong in {structure}" for name in sorted((came - kept).keys())]
    told = _told(Validator, parsed)
    if version in _WITHOUT_STRUCTURE:
        # These versions know no MSH-9.3, which is there only so that the structure is known.
        told = [line for line in told if not line.startswith("Invalid children detected for <Field MSH_9")]
    return wrong + told


def _without_z(message: Message, structure: str, version: str) -> str:
    """The message's text, without Z segments, with the structure and version that it is judged by."""
    separator = message.delimiters.field
    lines = []
    for at, name in enumerate(message.segment_names):
        if name.startswith("Z"):
            continue
        fields = list(message.fields(at))
        if name == "MSH":
            del fields[1]
            fields += [""] * (12 - len(fields))
            header = message.header
            fields[8] = message.delimiters.component.join((header.message_type, header.event, structure))
            fields[11] = version
        lines.append(separator.join([name, *fields[1:]]))
    return "\r".join(lines) + "\r"


def _told(validator: object, parsed: object) -> list[str]:
    """Every error that hl7apy finds; of values outside its tables it only warns, and so is not heard."""
    import tempfile
    from pathlib import Path

    from hl7apy.exceptions import HL7apyException

    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        try:
            validator.validate(parsed, report_file=str(report))  # type: ignore[attr-defined]
        except HL7apyException as error:
            if not report.exists():
                return [str(error)]
        lines = report.read_text("utf-8").splitlines() if report.exists() else []
    return [line.removeprefix("Error: ").strip() for line in lines if line.startswith("Error")]


def main() -> None:
    """Reads messages, says what is wrong with each."""
    asked = [b64decode(one) for one in json.load(sys.stdin)]
    said = []
    for raw in asked:
        try:
            said.append(wrong_with(raw))
        except BrokerError as error:
            said.append([str(error)])
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
