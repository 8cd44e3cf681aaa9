"""The constant SQL of the two hot paths of `care`: load and save. Both stores, side by side. Floor 4.

SQLAlchemy's compiler costs 25 us a message and these run thousands of times a second, so they are made
once, here. SQLite takes rows by `executemany` and keys as one JSON text; PostgreSQL takes both as one
array a column. `tests/store/test_care_plans.py` reads the query plan of these very constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["FORGET_SEEN", "LOADS", "MOVES", "PUTS", "Load", "Put"]

Again = Literal["fail", "replace", "same", "count"]


@dataclass(frozen=True, slots=True, eq=False)
class Put:
    """Puts rows of one table. `rowcount` of both statements counts the rows that were put.

    `again` says what is done when the key is there: `fail` (a unique violation), `replace` the row,
    `count` adds to it, or `same`: nothing is put unless the columns `same` are equal.
    """

    table: str
    columns: tuple[str, ...]
    sqlite: str
    postgres: str


@dataclass(frozen=True, slots=True)
class Load:
    """Reads or moves rows by keys: on SQLite one JSON text, on PostgreSQL one array a column."""

    sqlite: str
    postgres: str


def _put(table: str, columns: str, key: str = "", again: Again = "fail", same: str = "") -> Put:
    names = tuple(word.split(":")[0] for word in columns.split())
    types = [word.split(":")[1] for word in columns.split()]
    keys = key.split()
    listed = ", ".join(f'"{name}"' for name in names)
    tail = ""
    if again != "fail":
        tail = f" ON CONFLICT ({', '.join(keys)}) DO "
        rest = [name for name in names if name not in keys]
        if again == "count":
            added = f'"count" = "{table}"."count" + excluded."count"'
            last = [f'"{name}" = excluded."{name}"' for name in rest if name.startswith("last_")]
            tail += "UPDATE SET " + ", ".join([added, *last])
        else:
            tail += "UPDATE SET " + ", ".join(f'"{name}" = excluded."{name}"' for name in rest)
            if again == "same":
                tail += " WHERE " + " AND ".join(
                    f'"{table}".{name} = excluded.{name}' for name in same.split()
                )
    marks = ", ".join("?" for _ in names)
    arrays = ", ".join(f"%s::{kind}[]" for kind in types)
    return Put(
        table,
        names,
        f'INSERT INTO "{table}" ({listed}) VALUES ({marks}){tail}',
        f'INSERT INTO "{table}" ({listed}) SELECT * FROM unnest({arrays}){tail}',
    )


class PUTS:
    """Every kind of row that a save writes."""

    HANDLED = _put(
        "handled",
        "stream:bigint seq:bigint at:timestamptz channel:text event:text control_id:text patient:bigint "
        "listed:bool outcome:text why:text notices:int mute:bool bundle:int",
        key="stream seq",
        again="replace",
    )
    SEEN = _put(
        "seen",
        "channel:text sender:text control_id:text digest:text stream:bigint seq:bigint at:timestamptz",
        key="channel sender control_id digest",
        again="same",
        same="stream seq",
    )
    ASIDE = _put(
        "aside",
        "stream:bigint seq:bigint at:timestamptz slot:int channel:text event:text state:text code:text "
        "place:text text:text value:text patient:bigint set_aside_at:timestamptz by:text why:text",
    )
    NOTICE = _put("notice", "stream:bigint seq:bigint kind:text n:int revision:int patient:bigint body:bytea")
    ACT = _put(
        "act", "id:bigint kind:text patient:bigint row:int by:text at:timestamptz body:bytea", key="id"
    )
    RECORD = _put(
        "record", "id:bigint person:bigint version:bigint last_line:bigint last_delivery:bigint body:bytea"
    )
    STAY = _put("record", "id:bigint body:bytea", key="id", again="replace")
    PATIENT = _put(
        "patient",
        "id:bigint person:bigint name:text authority:text number:text family:text given:text family_key:text "
        "given_key:text birth_date:text sex:text phone:text language:text contacts:text pcp:text "
        "deceased:bool deceased_at:timestamptz",
        key="id",
        again="replace",
    )
    IDENTIFIER = _put(
        "identifier",
        "authority:text number:text patient:bigint",
        key="authority number",
        again="same",
        same="patient",
    )
    CHANGE = _put(
        "change",
        "id:bigint patient:bigint before:bigint at:timestamptz kind:text row:int row_version:int verb:text "
        "state:text body:bigint stream:bigint seq:bigint fact_kind:text fact_n:int rule:text "
        "rule_version:text",
    )
    BODY = _put("body", "id:bigint body:bytea")
    ENCOUNTER = _put(
        "encounter",
        "patient:bigint n:int name:text site:text visit_id:text status:text patient_class:text "
        "admitted_at:timestamptz discharged_at:timestamptz disposition:text location:text attending:text "
        "reason:text",
        key="patient n",
        again="replace",
    )
    TASK = _put(
        "task",
        "patient:bigint n:int name:text encounter:int kind:text title:text state:text owner:text "
        "assignee:text urgency:text due_at:timestamptz opened_at:timestamptz closed_at:timestamptz "
        "verify:bool note:text",
        key="patient n",
        again="replace",
    )
    NOTIFICATION = _put(
        "notification",
        "patient:bigint n:int name:text version:int encounter:int kind:text state:text urgency:text "
        "about:text occurred_at:timestamptz body:bigint",
        key="patient n",
        again="replace",
    )
    PLAN_ENTRY = _put(
        "plan_entry",
        "patient:bigint n:int section:text key:text version:int state:text body:bigint",
        key="patient n",
        again="replace",
    )
    TIMER = _put(
        "timer", "patient:bigint n:int kind:text due_at:timestamptz", key="patient n", again="replace"
    )
    REVIEW = _put(
        "review",
        "patient:bigint n:int kind:text text:text state:text opened_at:timestamptz",
        key="patient n",
        again="replace",
    )
    DELIVERY = _put(
        "delivery",
        "id:bigint name:text lane:bigint patient:bigint before:bigint notification:int version:int act:text "
        "recipient:text destination:text address:text stream:bigint seq:bigint state:text "
        "not_before:timestamptz asked_at:timestamptz",
    )
    DELIVERY_TALLY = _put(
        "delivery_tally",
        "day:text destination:text state:text count:bigint",
        key="day destination state",
        again="count",
    )
    CODE = _put(
        "code",
        "channel:text table_name:text code:text path:text count:bigint first_stream:bigint first_seq:bigint "
        "last_stream:bigint last_seq:bigint",
        key="channel table_name code path",
        again="count",
    )
    TALLY = _put(
        "tally",
        "day:text channel:text event:text outcome:text shard:int count:bigint",
        key="day channel event outcome shard",
        again="count",
    )


class MOVES:
    """Compare-and-set: every row of these must be hit, else somebody else was faster."""

    NEW_CURSOR = _put("cursor", "slot:int stream:bigint seq:bigint")
    CURSOR = Load(
        "UPDATE cursor SET seq = ? WHERE slot = ? AND stream = ? AND seq = ?",
        "UPDATE cursor c SET seq = v.now FROM unnest(%s::bigint[], %s::int[], %s::bigint[], %s::bigint[])"
        " AS v(now, slot, stream, was) WHERE c.slot = v.slot AND c.stream = v.stream AND c.seq = v.was",
    )
    ASIDE = Load(
        "DELETE FROM aside WHERE stream = ? AND seq = ? AND state = ?",
        "DELETE FROM aside a USING unnest(%s::bigint[], %s::bigint[], %s::text[]) AS v(stream, seq, state)"
        " WHERE a.stream = v.stream AND a.seq = v.seq AND a.state = v.state",
    )
    RECORD = Load(
        "UPDATE record SET version = version + 1, person = ?, last_line = ?, last_delivery = ?, body = ?"
        " WHERE id = ? AND version = ?",
        "UPDATE record r SET version = r.version + 1, person = v.person, last_line = v.last_line,"
        " last_delivery = v.last_delivery, body = v.body"
        " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bytea[], %s::bigint[], %s::bigint[])"
        " AS v(person, last_line, last_delivery, body, id, version)"
        " WHERE r.id = v.id AND r.version = v.version",
    )
    UNTOUCHED = Load(
        "UPDATE record SET version = version + 1, last_line = ?, last_delivery = ?"
        " WHERE id = ? AND version = ?",
        "UPDATE record r SET version = r.version + 1, last_line = v.last_line,"
        " last_delivery = v.last_delivery"
        " FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])"
        " AS v(last_line, last_delivery, id, version) WHERE r.id = v.id AND r.version = v.version",
    )
    # PostgreSQL only: takes the row locks in the order of ids, so that two savers do not meet head on.
    LOCK_RECORDS = "SELECT 1 FROM record WHERE id = ANY(%s::bigint[]) ORDER BY id FOR UPDATE"
    # A visit may move only from a record that this batch has read, hence compared.
    VISIT = Load(
        "INSERT INTO visit_key (site, visit_id, patient)"
        " SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true"
        " ON CONFLICT (site, visit_id) DO UPDATE SET patient = excluded.patient"
        " WHERE visit_key.patient IN (SELECT value FROM json_each(?))",
        "INSERT INTO visit_key (site, visit_id, patient)"
        " SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[])"
        " ON CONFLICT (site, visit_id) DO UPDATE SET patient = excluded.patient"
        " WHERE visit_key.patient = ANY(%s::bigint[])",
    )
    TIMER_DONE = Load(
        "DELETE FROM timer WHERE patient = ? AND n = ?",
        "DELETE FROM timer t USING unnest(%s::bigint[], %s::int[]) AS v(patient, n)"
        " WHERE t.patient = v.patient AND t.n = v.n",
    )


class LOADS:
    """What a batch reads before it decides."""

    BY_NUMBER = Load(
        "SELECT i.authority, i.number, i.patient FROM json_each(?) k CROSS JOIN identifier i"
        " ON i.authority = k.value ->> 0 AND i.number = k.value ->> 1",
        "SELECT i.authority, i.number, i.patient FROM unnest(%s::text[], %s::text[]) AS k(authority, number)"
        " JOIN identifier i USING (authority, number)",
    )
    BY_VISIT = Load(
        "SELECT v.site, v.visit_id, v.patient FROM json_each(?) k CROSS JOIN visit_key v"
        " ON v.site = k.value ->> 0 AND v.visit_id = k.value ->> 1",
        "SELECT v.site, v.visit_id, v.patient FROM unnest(%s::text[], %s::text[]) AS k(site, visit_id)"
        " JOIN visit_key v USING (site, visit_id)",
    )
    RECORDS = Load(
        "SELECT r.id, r.person, r.version, r.body FROM json_each(?) k CROSS JOIN record r"
        " ON r.id BETWEEN k.value * 65536 AND k.value * 65536 + 65535",
        "SELECT r.id, r.person, r.version, r.body FROM unnest(%s::bigint[]) AS k(id)"
        " JOIN record r ON r.id BETWEEN k.id * 65536 AND k.id * 65536 + 65535",
    )
    LINKED = Load(
        "SELECT r.id / 65536 FROM json_each(?) k CROSS JOIN record r ON r.person = k.value"
        " WHERE r.person <> r.id / 65536",
        "SELECT r.id / 65536 FROM record r WHERE r.person = ANY(%s::bigint[]) AND r.person <> r.id / 65536",
    )
    ENDS = Load(
        "SELECT r.id / 65536, r.last_line, r.last_delivery FROM json_each(?) k"
        " CROSS JOIN record r ON r.id = k.value * 65536",
        "SELECT r.id / 65536, r.last_line, r.last_delivery FROM unnest(%s::bigint[]) AS k(id)"
        " JOIN record r ON r.id = k.id * 65536",
    )
    SEEN = Load(
        "SELECT s.channel, s.sender, s.control_id, s.digest, s.stream, s.seq"
        " FROM json_each(?) k CROSS JOIN seen s ON s.channel = k.value ->> 0 AND s.sender = k.value ->> 1"
        " AND s.control_id = k.value ->> 2 AND s.digest = k.value ->> 3",
        "SELECT s.channel, s.sender, s.control_id, s.digest, s.stream, s.seq"
        " FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])"
        " AS k(channel, sender, control_id, digest) JOIN seen s USING (channel, sender, control_id, digest)",
    )
    CURSORS = Load(
        "SELECT slot, stream, seq FROM cursor WHERE slot IN (SELECT value FROM json_each(?))",
        "SELECT slot, stream, seq FROM cursor WHERE slot = ANY(%s::int[])",
    )


FORGET_SEEN = (
    "DELETE FROM seen WHERE (channel, sender, control_id, digest) IN"
    " (SELECT channel, sender, control_id, digest FROM seen WHERE at < {at} ORDER BY at LIMIT {limit})"
)
