"""What was claimed, as it is sent: rendered at that moment, from what its notification says then. Floor 8."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from broker.channel import Outbound
from broker.conditions import Tables
from broker.destinations import Parcel
from broker.errors import BrokerError, StoreError
from broker.outcome import Failed, Outcome, Rejected
from broker.store.deliveries import Claimed
from broker.store.journal import Row

__all__ = ["Compose", "Rendering", "control_id_of"]

Compose = Callable[[str, Claimed], bytes]
"""Makes the bytes of a notification by the mapping of this name. Raises `BrokerError`."""


class Rendering:
    """Makes parcels for one destination. Blocks: a message that is passed on is read from the journal.

    What a destination's `when` does not hold of is not told there; what was told before is still corrected
    and retracted. `link` is what links to our pages begin with. `answer_of` makes the answer to a message,
    `incomplete` says of which patients a message is set aside: what is told of them says so.
    """

    def __init__(
        self,
        outbound: Outbound,
        compose: Compose,
        tables: Tables,
        link: str,
        fetch: Callable[[int, int], Row],
        answer_of: Callable[[Row, str], bytes],
        incomplete: Callable[[Collection[int]], Collection[int]],
    ) -> None:
        self._outbound, self._compose, self._tables, self._link = outbound, compose, tables, link
        self._fetch, self._answer_of, self._incomplete = fetch, answer_of, incomplete

    def __call__(self, one: Claimed, send_before: float) -> Parcel | Outcome | None:
        """The parcel; where nothing could be sent, what that means; None where it is withheld."""
        when = self._outbound.when
        if when is not None and one.act == "tell" and not when.holds(one.content, self._tables):
            return None
        try:
            if one.notification is not None and one.patient is not None and self._incomplete([one.patient]):
                one = replace(one, content={**one.content, "incomplete": True})
            payload = self._payload(one)
        except StoreError as error:
            return Rejected(error.code) if error.code in GONE else Failed(error.code)
        except BrokerError as error:
            return Rejected(error.code, error.where)
        if payload is None and self._outbound.options.needs_payload:
            return Rejected("no_mapping", one.kind)
        return Parcel(
            delivery=one.name,
            content=one.content,
            payload=payload,
            kind=one.kind,
            act=one.act,
            version=one.version,
            address=one.address,
            recipient=one.recipient,
            link=f"{self._link}/n/{one.notification_name}" if one.notification_name else "",
            notification=one.notification_name,
            send_before=send_before,
        )

    def _payload(self, one: Claimed) -> bytes | None:
        if one.notification is None:
            if one.stream is None or one.seq is None:
                raise BrokerError("the delivery names no message", code="no_message")
            row = self._fetch(one.stream, one.seq)
            return row.raw if one.act == "forward" else self._answer_of(row, one.name)
        name = self._outbound.map.get(one.kind)
        return self._compose(name, one) if name is not None else None


GONE = frozenset({"let_go", "no_such_row"})
"""What the journal says of bytes that will not come again."""


def control_id_of(delivery: str) -> str:
    """MSH-10 of what a delivery sends: the same at every attempt, and within the 20 characters of v2.5.1."""
    return delivery.replace("-", "")[:20]
