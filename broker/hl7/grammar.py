"""Which segment hangs on which, as far as reading needs it (HL7 v2.5.1 and 2.8 message grammars). Floor 1.

A table of what follows what, not a parser of structures: order errors, Z segments and segments of
other versions do not fail a message.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["ANCHORS", "ORDER_SEGMENTS", "carries", "order_ranges", "owns", "patient_ranges"]


def _segments(names: str) -> frozenset[str]:
    return frozenset(names.split())


_DEFAULT = frozenset({"NTE", "PRT"})
_CARRIES = {
    "PV1": frozenset({"PV2", "ROL", "PRT", "ARV", "NTE"}),
    "PD1": frozenset({"ROL", "PRT", "ARV"}),
    "PR1": frozenset({"ROL", "PRT", "NTE", "AUT", "CTD"}),
    "IN1": frozenset({"IN2", "IN3", "ROL", "PRT", "AUT", "RF1", "CTD"}),
    "MRG": frozenset({"PV1"}),
    "OBX": frozenset({"NTE", "PRT"}),
    "SPM": frozenset({"OBX", "NTE", "PRT", "SAC", "DEV"}),
    "TXA": frozenset({"OBX", "NTE", "PRT", "CON"}),
    "RXO": frozenset({"NTE", "RXR", "RXC", "TQ1", "TQ2"}),
    "RXE": frozenset({"NTE", "RXR", "RXC", "TQ1", "TQ2", "PRT"}),
    "RXD": frozenset({"NTE", "RXR", "RXC"}),
    "RXA": frozenset({"RXR", "OBX", "NTE", "PRT"}),
    "TQ1": frozenset({"TQ2"}),
    "FT1": frozenset({"NTE", "PR1", "ROL", "PRT"}),
    "GOL": frozenset({"NTE", "VAR", "ROL", "PRT", "PTH", "OBX"}),
    "PRB": frozenset({"NTE", "VAR", "ROL", "PRT", "PTH", "OBX"}),
    "PTH": frozenset({"VAR", "ROL", "PRT"}),
    "PRD": frozenset({"CTD"}),
    "AUT": frozenset({"CTD"}),
    "SCH": frozenset({"TQ1", "NTE", "PRT"}),
    "RGS": frozenset({"AIS", "AIG", "AIL", "AIP", "NTE"}),
    "NK1": frozenset(),
    "NTE": frozenset(),
}
ORDER_SEGMENTS = _segments(
    "ORC OBR NTE TQ1 TQ2 PRT CTD OBX DG1 FT1 CTI SPM SAC CON ODS ODT BLG RXO RXR RXC RXE RXD RXA RXG RXV "
    "VAR ROL SID TCD"
)
_OF_THE_MESSAGE = _segments("FHS BHS BTS FTS MSH SFT UAC EVN MSA ERR QAK QPD QRD QRF RCP DSC DSP SCH RF1 TXA")
ANCHORS = _segments(
    "MSH EVN PID NK1 PV1 PR1 IN1 GT1 AL1 DG1 ORC OBR OBX SPM RXE RXO RXA RXD FT1 GOL PRB PTH TXA SCH RGS PRD"
)


def carries(name: str) -> frozenset[str]:
    """The segments that hang on one of this name while they follow it."""
    return _CARRIES.get(name, _DEFAULT)


def owns(kind: str, name: str) -> bool:
    """Whether a group of this kind is where such a segment stands; if not, it is read further out."""
    if kind == "PATIENT":
        return name not in _OF_THE_MESSAGE
    if kind == "ORDER":
        return name in ORDER_SEGMENTS
    return name == kind or name in carries(kind)


def patient_ranges(names: Sequence[str]) -> list[tuple[int, int]]:
    """Each PID with all that follows it until the next PID."""
    starts = [at for at, name in enumerate(names) if name == "PID"]
    return list(zip(starts, [*starts[1:], len(names)], strict=False))


def order_ranges(names: Sequence[str]) -> list[tuple[int, int]]:
    """Each order: an ORC with its OBR, or an OBR without ORC, and what hangs on them."""
    ranges: list[tuple[int, int]] = []
    start, with_obr = -1, False
    for at, name in enumerate(names):
        begins = name == "ORC" or (name == "OBR" and (start < 0 or with_obr))
        stays = name in ORDER_SEGMENTS or name[0] == "Z"
        if start >= 0 and (begins or not stays):
            ranges.append((start, at))
            start = -1
        if begins:
            start, with_obr = at, False
        with_obr = with_obr or name == "OBR"
    if start >= 0:
        ranges.append((start, len(names)))
    return ranges
