"""How a stay stands, from its facts in their order (DOMAIN 1.4). Floor 3: pure.

What is taken back is left out first; the rest is read once, from the first recorded to the last. Nothing
here knows what came late: a stay of twenty facts is folded anew each time one comes or goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from broker.care.record import Held, Said
from broker.care.results import Ordered, take_result
from broker.care.vocabulary import ADMITTED, EMERGENCY

__all__ = ["CANCEL", "DISCHARGE", "OPEN", "UPDATE", "Move", "Stay", "fold", "rank_of"]

OPEN, UPDATE, DISCHARGE, CANCEL = range(4)

OPENINGS = frozenset({"Admission", "Registration"})
PLANS = frozenset({"PreAdmission", "PendingAdmission"})
_RANKS = {kind: OPEN for kind in OPENINGS | PLANS} | {"ClassChange": OPEN, "Discharge": DISCHARGE}
_TAKES_BACK = {
    "AdmissionCancelled": OPENINGS,
    "TransferCancelled": frozenset({"Transfer"}),
    "DischargeCancelled": frozenset({"Discharge"}),
    "PreAdmissionCancelled": frozenset({"PreAdmission"}),
    "PendingAdmissionCancelled": frozenset({"PendingAdmission"}),
    "PendingTransferCancelled": frozenset({"PendingTransfer"}),
    "PendingDischargeCancelled": frozenset({"PendingDischarge"}),
    "LeaveCancelled": frozenset({"Leave"}),
    "LeaveReturnCancelled": frozenset({"LeaveReturn"}),
    "CareTeamChangeCancelled": frozenset({"CareTeamChange"}),
    "TrackingCancelled": frozenset({"Tracking"}),
}
# A second one of these before a cancel says the first again, corrected; others stand each for itself.
_REPLACES = frozenset({"Admission", "Registration", "PreAdmission", "PendingAdmission", "Discharge"})
NOT_AN_END = frozenset({"still_patient"})


def rank_of(kind: str) -> int:
    """Where a fact stands among facts of the same times: open, update, discharge, cancel."""
    return CANCEL if kind in _TAKES_BACK else _RANKS.get(kind, UPDATE)


class Move(NamedTuple):
    """A transfer that stands: where the patient was, and where they went."""

    fact: Held
    was: Said
    now: Said


class Stay:
    """How one stay stands.

    `status` is "" where no fact says that there is a stay at all (results alone). `facts` are those that
    stand. `said` is the last word on each field of the visit. `opening` is what began it, `admitted` what
    made it a stay with a bed, `arrival` what made it an emergency visit, `discharge` the first of the
    discharges that stand (a later one corrects it), `disposed` what said the disposition, `who` what its
    messages say of its patient. Times are microseconds, 0 where not known.
    """

    __slots__ = (
        "admitted",
        "arrival",
        "discharge",
        "discharged_at",
        "disposed",
        "disposition",
        "disposition_code",
        "expected",
        "facts",
        "last_who",
        "leave",
        "moves",
        "not_found",
        "opening",
        "orders",
        "patient",
        "patient_class",
        "planned",
        "reopened",
        "said",
        "status",
        "taken_back",
        "unclear",
        "who",
    )

    def __init__(self, facts: Sequence[Held], patient: int) -> None:
        self.facts = facts
        self.patient = patient
        self.said: Said = {}
        self.status = ""
        self.patient_class = ""
        self.opening: Held | None = None
        self.planned: Held | None = None
        self.arrival: Held | None = None
        self.admitted: Held | None = None
        self.discharge: Held | None = None
        self.discharged_at = 0
        self.disposition = ""
        self.disposition_code = ""
        self.disposed: Held | None = None
        self.expected: Held | None = None
        self.leave: Held | None = None
        self.moves: list[Move] = []
        self.orders: dict[str, Ordered] = {}
        self.not_found: list[Held] = []
        self.taken_back: Held | None = None
        self.unclear: list[Held] = []
        self.reopened: Held | None = None
        self.who: Said = {}
        self.last_who: Said = {}

    @property
    def started(self) -> int:
        """When it began: the admit time that was stated, else that of what opened it."""
        if admitted := self.said.get("admitted_at"):
            return int(admitted)
        first = self.admitted or self.opening or self.planned or (self.facts[0] if self.facts else None)
        return first.happened if first else 0

    def alike(self, other: Stay) -> bool:
        """Whether both stand alike in all that may be asked, but for results and when it was last said."""
        return self.started == other.started and bool(_ASKED(self) == _ASKED(other))

    @property
    def is_discharged(self) -> bool:
        """The patient has left, and it was not said that they are still in."""
        return self.status == "discharged"


_ASKED = attrgetter(*(name for name in Stay.__slots__ if name not in ("facts", "last_who", "orders")))


def fold(facts: Sequence[Held], patient: int) -> Stay:
    """How the stay of these facts, which must be in their order, stands for the patient whose it is."""
    stay = Stay(facts, patient)
    cancelled = False
    for fact in facts:
        if fact.rank == CANCEL:
            cancelled = True
            break
    if cancelled:
        stay.facts = _standing(facts, stay)
    for fact in stay.facts:
        _read(stay, fact)
    _conclude(stay)
    return stay


def _standing(facts: Iterable[Held], stay: Stay) -> list[Held]:
    """The facts that no cancel takes back. A cancel that found its fact goes on as an update."""
    standing: list[Held] = []
    done: Held | None = None
    for fact in facts:
        kinds = _TAKES_BACK.get(fact.kind)
        if kinds is None:
            standing.append(fact)
        elif done is not None and (done[:4], done.kind) == (fact[:4], fact.kind):
            continue  # the same cancel in another message
        elif (found := _meant(standing, kinds, done := fact)) is None:
            stay.not_found.append(fact)
        else:
            target = standing[found]
            if target[:2] == fact[:2]:
                stay.unclear.append(fact)
            stay.taken_back = fact
            if _ends_the_stay(standing, found, fact.kind):
                standing = [one for one in standing if one.kind in PLANS]
            else:
                standing = _without(standing, found)
                if fact.kind != "AdmissionCancelled":
                    standing.append(fact)
    return standing


def _meant(standing: Sequence[Held], kinds: frozenset[str], cancel: Held) -> int | None:
    """Which fact a cancel means: the last one that happened at EVN-6, else the last one."""
    last = None
    at = cancel.said.get("cancelled_at")
    for place in range(len(standing) - 1, -1, -1):
        if standing[place].kind in kinds:
            if at is None or standing[place].happened == at:
                return place
            if last is None:
                last = place
    return last


def _ends_the_stay(standing: Sequence[Held], found: int, kind: str) -> bool:
    """An admit's cancel that reaches the first opening takes all that was recorded of the stay."""
    if kind != "AdmissionCancelled":
        return False
    same = standing[found].kind
    return all(one.kind == same for one in standing[:found] if one.kind in OPENINGS)


def _without(standing: Sequence[Held], found: int) -> list[Held]:
    target = standing[found]
    if target.kind not in _REPLACES:
        return [*standing[:found], *standing[found + 1 :]]
    first = found
    for place in range(found - 1, -1, -1):
        if standing[place].kind == target.kind:
            first = place
        elif standing[place].kind in OPENINGS:
            break
    return [
        one for place, one in enumerate(standing) if not (first <= place <= found and one.kind == target.kind)
    ]


def _read(stay: Stay, fact: Held) -> None:
    """Takes one standing fact into the stay."""
    kind, said = fact.kind, fact.said
    who = fact.who
    if who is not stay.last_who and fact.patient == stay.patient:
        stay.last_who = who
        stay.who.update(who)
    if kind == "Result":
        take_result(stay.orders, fact)
        return
    before = stay.said
    if kind == "Transfer":
        was = said.get("prior_location") or before.get("location") or {}
        stay.moves.append(Move(fact, was, said.get("location") or {}))
    if stay.discharge is not None and (said.get("discharged_at") is None):
        before.update((name, value) for name, value in said.items() if name != "discharged_at")
    else:
        before.update(said)
    if "patient_class" in said:
        word = said["patient_class"]
        stay.patient_class = word if isinstance(word, str) else "unknown" if word else ""
    _ACTS.get(kind, _updated)(stay, fact)
    if stay.admitted is None and stay.patient_class in ADMITTED and stay.opening and fact.rank != CANCEL:
        stay.admitted = fact
    if "disposition" in said and stay.discharge is not None:
        _dispose(stay, said["disposition"], fact)


def _updated(stay: Stay, fact: Held) -> None:
    if stay.status in ("", "planned") and fact.kind not in _SAYS_NO_STAY:
        stay.status = "in_progress"


def _planned(stay: Stay, fact: Held) -> None:
    stay.planned = stay.planned or fact
    stay.status = stay.status or "planned"


def _opened(stay: Stay, fact: Held) -> None:
    if stay.discharge is not None and fact.happened > stay.discharged_at:
        stay.reopened = fact
    if stay.status in ("", "planned"):
        stay.status = "in_progress"
    stay.opening = stay.opening or fact
    if stay.patient_class == EMERGENCY:
        stay.arrival = stay.arrival or fact
    elif fact.kind == "Admission":
        stay.admitted = stay.admitted or fact


def _class_changed(stay: Stay, fact: Held) -> None:
    if stay.status in ("", "planned"):
        stay.status = "in_progress"
    stay.opening = stay.opening or fact


def _left(stay: Stay, fact: Held) -> None:
    stay.status = "discharged"
    stay.discharge = stay.discharge or fact
    stay.discharged_at = stay.said["discharged_at"] = fact.said.get("discharged_at") or fact.happened


def _on_leave(stay: Stay, fact: Held) -> None:
    stay.leave = fact
    if stay.status in ("", "planned", "in_progress"):
        stay.status = "on_leave"


def _back(stay: Stay, fact: Held) -> None:
    stay.leave = None
    if stay.status in ("", "planned", "on_leave"):
        stay.status = "in_progress"


def _discharge_expected(stay: Stay, fact: Held) -> None:
    stay.expected = fact
    _updated(stay, fact)


_SAYS_NO_STAY = frozenset({"PreAdmissionCancelled", "PendingAdmissionCancelled", "VisitMove"})
_ACTS = {
    "PreAdmission": _planned,
    "PendingAdmission": _planned,
    "Admission": _opened,
    "Registration": _opened,
    "ClassChange": _class_changed,
    "Discharge": _left,
    "Leave": _on_leave,
    "LeaveReturn": _back,
    "PendingDischarge": _discharge_expected,
}


def _dispose(stay: Stay, disposition: Any, fact: Held) -> None:
    """The last word on where the patient went, stated with the discharge or after it."""
    stay.disposed = fact
    if isinstance(disposition, dict):
        stay.disposition, stay.disposition_code = "unknown", str(disposition["unknown"])
    else:
        stay.disposition, stay.disposition_code = disposition or "", ""


def _conclude(stay: Stay) -> None:
    if stay.discharge is not None:
        if stay.disposition in NOT_AN_END:
            stay.status = "on_leave" if stay.leave else "in_progress"
        else:
            stay.discharged_at = stay.said["discharged_at"]
    elif stay.status == "" and stay.taken_back is not None:
        stay.status = "cancelled"
