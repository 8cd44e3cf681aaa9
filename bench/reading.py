"""How long reading takes: a header, 15 paths of an ADT, one leaf, an answer, a frame, an ORU of 400 results.

    python bench/reading.py

prints a table on stderr and the same figures as one line of JSON on stdout. The messages are made up.
"""

from __future__ import annotations

import json
import sys
import timeit
from collections.abc import Callable
from datetime import UTC, datetime

from broker.hl7 import Answer, Deframer, Message, Path, acknowledge, frame, header, leaf

ADT = "\r".join(
    [
        "MSH|^~\\&|ADT1|NORTH^1999999984^NPI|HANDOFF|REGION|20260305141000-0500||ADT^A03^ADT_A03|M1|P|2.5.1",
        "EVN|A03|20260305141000-0500||||20260305141000-0500|NORTH^1999999984^NPI",
        "PID|1||N100023^^^NORTH^MR~999-00-1234^^^USSSA^SS||OAKLEY^JUNE^M^^MRS^^L||19410312|F|||12 ELM ST"
        "^^LAKEVIEW^IL^60000^USA^H||^PRN^PH^^1^312^5550101|^WPN^PH|ENG|M|CHR|V55001^^^NORTH^VN|||||||||||N",
        "PD1||||1555555551^PATEL^ASHA^^^DR^MD^^NPI^L^^^NPI",
        "NK1|1|OAKLEY^TOM|SON^Son^HL70063|12 ELM ST^^LAKEVIEW^IL^60000|^PRN^PH^^1^312^5550102||C^Emergency",
        "PV1|1|I|4W^410^B^NORTH^^^^4||||1666666661^CHEN^LI^^^DR^MD^^NPI^L^^^NPI|||MED||||1|||1666666661"
        "^CHEN^LI^^^DR|I|V55001^^^NORTH^VN|||||||||||||||||06|SUNRISE HOME HEALTH|||NORTH"
        "|||||20260302081200-0500|20260305141000-0500",
        "PV2|||^Community acquired pneumonia||||||20260306|4",
        "ROL|1|AD|PP^Primary Care Provider^HL70443|1555555551^PATEL^ASHA^^^DR^MD^^NPI",
        "DG1|1||J18.9^Pneumonia, unspecified organism^I10||20260302|A",
        "DG1|2||E11.9^Type 2 diabetes mellitus without complications^I10||20260302|F",
        "AL1|1|DA|70618^Penicillin^RXN|SV|Hives",
        "IN1|1|MEDICARE^Medicare Part A|CMS|Medicare|||||||||||1|OAKLEY^JUNE^M|SEL|19410312",
        "",
    ]
).encode()
PATHS = [
    *map(Path.parse, ("MSH-4", "MSH-7", "MSH-9.2", "EVN-2", "PID-3.1", "PID-3.4.1", "PID-5.1", "PID-5.2")),
    *map(Path.parse, ("PID-7", "PID-8", "PV1-2", "PV1-3.1", "PV1-7.1", "PV1-19.1", "PV1-44")),
]
RESULT_PATHS = [Path.parse(text) for text in ("OBX-3.1", "OBX-5", "OBX-6", "OBX-8", "OBX-11")]
ORU = (
    b"MSH|^~\\&|LAB|NORTH|HANDOFF|REGION|20260305||ORU^R01^ORU_R01|L1|P|2.5.1\r"
    b"PID|1||N100023^^^NORTH^MR||OAKLEY^JUNE\rORC|RE|P1|F1\rOBR|1|P1|F1|24323-8^CMP^LN|||20260305070000\r"
    + b"".join(
        b"OBX|%d|NM|2345-7^Glucose^LN^GLU^Glucose^L|1|182|mg/dL^mg/dL^UCUM|70-105|H|||F|||20260305070000\r"
        % n
        for n in range(1, 401)
    )
)


def measured() -> dict[str, float]:
    """Microseconds each, the best of seven rounds."""
    came, path, order = header(ADT), PATHS[4], Path.parse("PID-3[5=MR].1")
    deframer, framed, accepted, now = Deframer(), frame(ADT), Answer("AA"), datetime.now(UTC)
    cases: dict[str, tuple[Callable[[], object], int]] = {
        "header": (lambda: header(ADT), 5000),
        "message_and_15_paths": (_fifteen_paths, 3000),
        "one_leaf_from_bytes": (lambda: leaf(ADT, came, path), 5000),
        "one_picked_leaf_from_bytes": (lambda: leaf(ADT, came, order), 5000),
        "answer": (lambda: acknowledge(came, accepted, control_id="A1", now=now), 5000),
        "frame_out_of_a_stream": (lambda: deframer.feed(framed), 5000),
        "oru_of_400_results": (_read_results, 20),
    }
    return {
        name: round(min(timeit.repeat(work, number=number, repeat=7)) / number * 1e6, 2)
        for name, (work, number) in cases.items()
    }


def _fifteen_paths() -> None:
    message = Message(ADT)
    for path in PATHS:
        message.get(path)


def _read_results() -> None:
    for result in Message(ORU).each("OBX"):
        for path in RESULT_PATHS:
            result.get(path)


MARKS = {"header": 10, "message_and_15_paths": 20, "oru_of_400_results": 2000}


def main() -> None:
    found = measured()
    for name, microseconds in found.items():
        mark = f"  (mark: {MARKS[name]})" if name in MARKS else ""
        print(f"{name:30} {microseconds:9.2f} us{mark}", file=sys.stderr)
    print(json.dumps({"microseconds": found, "adt_bytes": len(ADT), "oru_bytes": len(ORU)}))


if __name__ == "__main__":
    main()
