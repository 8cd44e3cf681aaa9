"""The first tables of `care`."""

import sqlalchemy as sa
from alembic import op

from broker.store.types import Utc

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "act",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("patient", BIG, nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("act_of_patient", "act", ["patient", "id"], unique=False)
    op.create_table(
        "activation",
        sa.Column("id", BIG, nullable=False),
        sa.Column("bundle", sa.Integer(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "aside",
        sa.Column("stream", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("patient", BIG, nullable=True),
        sa.Column("set_aside_at", Utc(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("by_at", Utc(), nullable=True),
        sa.Column("why", sa.String(), nullable=False),
        sa.CheckConstraint("state IN ('refused','paused','released','dismissed')", name="aside_state"),
        sa.PrimaryKeyConstraint("stream", "seq"),
    )
    op.create_index(
        "aside_by_cause", "aside", ["code", "place", "channel", "state", "stream", "seq"], unique=False
    )
    op.create_index(
        "aside_of_patient",
        "aside",
        ["patient"],
        unique=False,
        postgresql_where=sa.text("patient IS NOT NULL"),
        sqlite_where=sa.text("patient IS NOT NULL"),
    )
    op.create_index(
        "aside_paused",
        "aside",
        ["channel", "at", "stream", "seq"],
        unique=False,
        postgresql_where=sa.text("state = 'paused'"),
        sqlite_where=sa.text("state = 'paused'"),
    )
    op.create_index(
        "aside_released",
        "aside",
        ["at", "stream", "seq"],
        unique=False,
        postgresql_where=sa.text("state = 'released'"),
        sqlite_where=sa.text("state = 'released'"),
    )
    op.create_table(
        "attempt",
        sa.Column("delivery", BIG, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("epoch", BIG, nullable=False),
        sa.Column("act", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("claimed_at", Utc(), nullable=False),
        sa.Column("settled_at", Utc(), nullable=True),
        sa.Column("code", sa.String(), server_default="", nullable=False),
        sa.Column("detail", sa.String(), server_default="", nullable=False),
        sa.Column("body_digest", sa.String(), server_default="", nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "state IN ('sending','delivered','failed','unclear','rejected','unsent')", name="attempt_state"
        ),
        sa.PrimaryKeyConstraint("delivery", "number"),
    )
    op.create_table(
        "audit",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("patient", BIG, nullable=True),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("came_from", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_of_patient", "audit", ["patient", "id"], unique=False)
    op.create_index("audit_of_who", "audit", ["who", "id"], unique=False)
    op.create_table(
        "body",
        sa.Column("id", BIG, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "bundle",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("files", sa.LargeBinary(), nullable=False),
        sa.Column("stored_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "change",
        sa.Column("id", BIG, nullable=False),
        sa.Column("patient", BIG, nullable=False),
        sa.Column("before", BIG, nullable=True),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("verb", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("body", BIG, nullable=True),
        sa.Column("stream", BIG, nullable=True),
        sa.Column("seq", BIG, nullable=True),
        sa.Column("fact_kind", sa.String(), nullable=False),
        sa.Column("fact_n", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("rule_version", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "channel_state",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("channel"),
    )
    op.create_table(
        "code",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.Column("first_stream", BIG, nullable=False),
        sa.Column("first_seq", BIG, nullable=False),
        sa.Column("last_stream", BIG, nullable=False),
        sa.Column("last_seq", BIG, nullable=False),
        sa.PrimaryKeyConstraint("channel", "table_name", "code", "path"),
    )
    op.create_table(
        "counter",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", BIG, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "cursor",
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("stream", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.PrimaryKeyConstraint("slot", "stream"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "delivery",
        sa.Column("id", BIG, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("lane", BIG, nullable=False),
        sa.Column("patient", BIG, nullable=True),
        sa.Column("before", BIG, nullable=True),
        sa.Column("notification", sa.Integer(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("act", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("stream", BIG, nullable=True),
        sa.Column("seq", BIG, nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("not_before", Utc(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reached", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("asked_at", Utc(), nullable=False),
        sa.Column("settled_at", Utc(), nullable=True),
        sa.Column("code", sa.String(), server_default="", nullable=False),
        sa.Column("proof", sa.String(), server_default="", nullable=False),
        sa.CheckConstraint("act IN ('tell','correct','retract','forward','answer')", name="delivery_act"),
        sa.CheckConstraint(
            "state IN ('queued','sending','delivered','rejected','doubtful','given_up','withdrawn')",
            name="delivery_state",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("delivery_by_state", "delivery", ["state", "id"], unique=False)
    op.create_index(
        "delivery_due",
        "delivery",
        ["destination", "not_before", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'queued'"),
        sqlite_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "delivery_waiting",
        "delivery",
        ["destination", "lane", "id", "state"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued','sending','doubtful')"),
        sqlite_where=sa.text("state IN ('queued','sending','doubtful')"),
    )
    op.create_table(
        "delivery_tally",
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.PrimaryKeyConstraint("day", "destination", "state"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "destination",
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("epoch", BIG, nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("since", Utc(), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("paused_by", sa.String(), server_default="", nullable=False),
        sa.Column("paused_at", Utc(), nullable=True),
        sa.Column("why", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("destination"),
    )
    op.create_table(
        "directory_entry",
        sa.Column("id", BIG, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("authority", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("practice", sa.String(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("kinds", sa.String(), nullable=False),
        sa.CheckConstraint("kind IN ('practitioner','organisation','role')", name="directory_entry_kind"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "directory_entry_once",
        "directory_entry",
        ["authority", "number", "destination", "address"],
        unique=True,
    )
    op.create_table(
        "encounter",
        sa.Column("patient", BIG, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("visit_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("patient_class", sa.String(), nullable=False),
        sa.Column("admitted_at", Utc(), nullable=True),
        sa.Column("discharged_at", Utc(), nullable=True),
        sa.Column("disposition", sa.String(), nullable=False),
        sa.Column("location", sa.String(), nullable=False),
        sa.Column("attending", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.CheckConstraint(
            "status IN ('planned','in_progress','on_leave','discharged','cancelled')", name="encounter_status"
        ),
        sa.PrimaryKeyConstraint("patient", "n"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "handled",
        sa.Column("stream", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("control_id", sa.String(), nullable=False),
        sa.Column("patient", BIG, nullable=True),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("notices", sa.Integer(), nullable=False),
        sa.Column("mute", sa.Boolean(), nullable=False),
        sa.Column("bundle", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "outcome IN ('worked','repeated','filtered','refused','paused','quarantine')",
            name="handled_outcome",
        ),
        sa.PrimaryKeyConstraint("stream", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_index("handled_by_time", "handled", ["at", "stream", "seq"], unique=False)
    op.create_index(
        "handled_not_worked",
        "handled",
        ["outcome", "at", "stream", "seq"],
        unique=False,
        postgresql_where=sa.text("outcome <> 'worked'"),
        sqlite_where=sa.text("outcome <> 'worked'"),
    )
    op.create_index("handled_of_channel", "handled", ["channel", "at", "stream", "seq"], unique=False)
    op.create_index(
        "handled_unlisted",
        "handled",
        ["patient", "stream", "seq"],
        unique=False,
        postgresql_where=sa.text("patient IS NOT NULL AND NOT listed"),
        sqlite_where=sa.text("patient IS NOT NULL AND NOT listed"),
    )
    op.create_table(
        "identifier",
        sa.Column("authority", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("patient", BIG, nullable=False),
        sa.PrimaryKeyConstraint("authority", "number"),
        sqlite_with_rowid=False,
    )
    op.create_index("identifier_of_patient", "identifier", ["patient"], unique=False)
    op.create_table(
        "in_hand",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("stream", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.PrimaryKeyConstraint("owner"),
    )
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", Utc(), nullable=False),
        sa.CheckConstraint("id = 1", name="installation_one"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "notice",
        sa.Column("stream", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("patient", BIG, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "seq", "kind", "n", "revision"),
    )
    op.create_table(
        "notification",
        sa.Column("patient", BIG, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("encounter", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("urgency", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("occurred_at", Utc(), nullable=False),
        sa.Column("body", BIG, nullable=False),
        sa.CheckConstraint("state IN ('standing','retracted')", name="notification_state"),
        sa.PrimaryKeyConstraint("patient", "n"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "patient",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("person", BIG, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("authority", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("given", sa.String(), nullable=False),
        sa.Column(
            "family_key", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "given_key", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("birth_date", sa.String(), nullable=False),
        sa.Column("sex", sa.String(), nullable=False),
        sa.Column("phone", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("contacts", sa.String(), nullable=False),
        sa.Column("pcp", sa.String(), nullable=False),
        sa.Column("deceased", sa.Boolean(), nullable=False),
        sa.Column("deceased_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("patient_by_birth", "patient", ["birth_date", "id"], unique=False)
    op.create_index("patient_by_name", "patient", ["family_key", "given_key", "id"], unique=False)
    op.create_index(
        "patient_linked",
        "patient",
        ["person"],
        unique=False,
        postgresql_where=sa.text("person <> id"),
        sqlite_where=sa.text("person <> id"),
    )
    op.create_table(
        "person_account",
        sa.Column("id", BIG, nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("failed_logins", sa.Integer(), nullable=False),
        sa.Column("locked_until", Utc(), nullable=True),
        sa.Column("made_at", Utc(), nullable=False),
        sa.CheckConstraint("role IN ('viewer','coordinator','analyst','admin')", name="account_role"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("login"),
    )
    op.create_table(
        "plan_entry",
        sa.Column("patient", BIG, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("section", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("body", BIG, nullable=False),
        sa.CheckConstraint(
            "section IN ('goal','team','problem','medication','appointment','note','allergy','contact')",
            name="plan_entry_section",
        ),
        sa.CheckConstraint("state IN ('active','ended','withdrawn')", name="plan_entry_state"),
        sa.PrimaryKeyConstraint("patient", "n"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "record",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("person", BIG, nullable=True),
        sa.Column("version", BIG, nullable=True),
        sa.Column("last_line", BIG, nullable=True),
        sa.Column("last_delivery", BIG, nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "record_linked",
        "record",
        ["person"],
        unique=False,
        postgresql_where=sa.text("person <> id / 65536"),
        sqlite_where=sa.text("person <> id / 65536"),
    )
    op.create_table(
        "review",
        sa.Column("patient", BIG, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_at", Utc(), nullable=False),
        sa.CheckConstraint("state IN ('open','closed')", name="review_state"),
        sa.PrimaryKeyConstraint("patient", "n"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "review_open",
        "review",
        ["opened_at", "patient", "n"],
        unique=False,
        postgresql_where=sa.text("state = 'open'"),
        sqlite_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "seen",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("control_id", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("stream", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "sender", "control_id", "digest"),
        sqlite_with_rowid=False,
    )
    op.create_index("seen_by_time", "seen", ["at"], unique=False)
    op.create_table(
        "session",
        sa.Column("token_digest", sa.String(), nullable=False),
        sa.Column("account", BIG, nullable=False),
        sa.Column("made_at", Utc(), nullable=False),
        sa.Column("ends_at", Utc(), nullable=False),
        sa.Column("came_from", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("token_digest"),
    )
    op.create_index("session_by_end", "session", ["ends_at"], unique=False)
    op.create_table(
        "suspect",
        sa.Column("stream", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "seq"),
    )
    op.create_table(
        "tally",
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.PrimaryKeyConstraint("day", "channel", "event", "outcome", "shard"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "task",
        sa.Column("patient", BIG, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("encounter", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("assignee", sa.String(), nullable=False),
        sa.Column("urgency", sa.String(), nullable=False),
        sa.Column("due_at", Utc(), nullable=True),
        sa.Column("opened_at", Utc(), nullable=False),
        sa.Column("closed_at", Utc(), nullable=True),
        sa.Column("verify", sa.Boolean(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.CheckConstraint(
            "state IN ('open','begun','done','withdrawn','joined','dismissed','changed_after')",
            name="task_state",
        ),
        sa.PrimaryKeyConstraint("patient", "n"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "task_open",
        "task",
        ["due_at", "patient", "n"],
        unique=False,
        postgresql_where=sa.text("state IN ('open','begun','changed_after')"),
        sqlite_where=sa.text("state IN ('open','begun','changed_after')"),
    )
    op.create_table(
        "timer",
        sa.Column("patient", BIG, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("due_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("patient", "n"),
        sqlite_with_rowid=False,
    )
    op.create_index("timer_due", "timer", ["due_at", "patient", "n"], unique=False)
    op.create_table(
        "visit_key",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("visit_id", sa.String(), nullable=False),
        sa.Column("patient", BIG, nullable=False),
        sa.PrimaryKeyConstraint("site", "visit_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "worker",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("ended_at", Utc(), nullable=True),
        sa.CheckConstraint("state IN ('running','ended','died')", name="worker_state"),
        sa.PrimaryKeyConstraint("owner"),
    )
    op.create_index(
        "worker_running",
        "worker",
        ["owner"],
        unique=False,
        postgresql_where=sa.text("state = 'running'"),
        sqlite_where=sa.text("state = 'running'"),
    )
