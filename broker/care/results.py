"""The results of orders, from what was reported in its order (DOMAIN 1.8). Floor 3: pure.

An observation is known by its code and sub-id within its order. A later report replaces it; deleted or
wrong (OBX-11 D, W) takes it away; what was critical once stays worth telling until then.
"""

from __future__ import annotations

from typing import Any

from broker.care.record import Held, Said

__all__ = ["Observed", "Ordered", "take_result"]

FINAL = frozenset({"final", "corrected", "amended", "appended", "verified"})
CORRECTED = frozenset({"corrected", "amended"})
GONE = frozenset({"deleted", "wrong"})
ORDER_DONE = frozenset({"final", "corrected", "cancelled", "no_order"})
NORMAL = frozenset({"N", "", "NEG", "ND", "NR"})


class Observed:
    """One observation as it stands: `said` is its last report, `flags` every one it ever bore."""

    __slots__ = ("changed", "final", "flags", "gone", "said", "status")

    def __init__(self) -> None:
        self.said: Said = {}
        self.status = ""
        self.flags: set[str] = set()  # of every report, the standing one too
        self.final: Held | None = None  # the report that first made it final
        self.changed: Held | None = None  # the last correction that changed value, flags or units
        self.gone: Held | None = None


class Ordered:
    """One order's results as they stand."""

    __slots__ = ("first", "last", "observed", "said", "status", "wrong")

    def __init__(self, first: Held) -> None:
        self.first = self.last = first
        self.said: Said = {}
        self.status = ""
        self.observed: dict[str, Observed] = {}
        self.wrong: Held | None = None

    @property
    def standing(self) -> list[Observed]:
        """The observations that were not taken away."""
        return [one for one in self.observed.values() if one.gone is None and one.said]

    @property
    def pending(self) -> bool:
        """Something of this order is still to come."""
        if self.status in ORDER_DONE:
            return False
        standing = self.standing
        if self.status and self.status not in ("unknown",):
            return True
        return not standing or any(
            one.status not in FINAL and one.status not in ("unobtainable", "not_asked", "order_detail")
            for one in standing
        )

    @property
    def unobtainable(self) -> bool:
        """It will not come: the order was cancelled, or nothing of it can be obtained."""
        if self.status in ("cancelled", "no_order"):
            return True
        standing = self.standing
        return bool(standing) and all(one.status == "unobtainable" for one in standing)

    @property
    def final(self) -> Held | None:
        """The last report that made one of its observations final."""
        finals = [one.final for one in self.standing if one.final is not None]
        return max(finals) if finals else None

    @property
    def changed(self) -> Held | None:
        """The last correction that changed what was final."""
        found = [one.changed for one in self.standing if one.changed is not None]
        return max(found) if found else None


def take_result(orders: dict[str, Ordered], fact: Held) -> None:
    """Takes one report into the orders."""
    said = fact.said
    order = orders.get(said["order_id"])
    if order is None:
        order = orders[said["order_id"]] = Ordered(fact)
    order.last = fact
    order.said = {**order.said, **said}
    if "status" in said:
        order.status = _word(said["status"])
    for report in said.get("observations") or ():
        key = f"{report['code']}|{report.get('sub_id') or ''}"
        observed = order.observed.get(key)
        if observed is None:
            observed = order.observed[key] = Observed()
        _observe(order, observed, report, fact)


def _observe(order: Ordered, observed: Observed, report: Said, fact: Held) -> None:
    status = _word(report.get("status"))
    if status in GONE:
        observed.gone = fact
        if status == "wrong":
            order.wrong = fact
        return
    if observed.gone is not None:  # a replacement of what was taken away is a result of its own
        observed.gone, observed.final, observed.changed, observed.flags = None, None, None, set()
    was = observed.said
    if status in FINAL or (not status and order.status in ("final", "corrected")):
        if observed.final is None:
            observed.final = fact
        elif was and any(was.get(name) != report.get(name) for name in ("value", "flags", "units")):
            observed.changed = fact
    elif status in CORRECTED:
        observed.changed = fact
    observed.status = status
    observed.said = {**was, **report} if status == "appended" else report
    observed.flags.update(report.get("flags") or ())


def _word(coded: Any) -> str:
    return coded if isinstance(coded, str) else "unknown" if coded else ""
