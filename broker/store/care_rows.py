"""The tables of `care` that people see: encounters, tasks, notifications, the plan, timers, reviews.

One row is `(patient, n)`; what happened to it stands in `change`.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from broker.store.care_tables import CLUSTERED, Big, CareTable
from broker.store.types import Utc

__all__ = [
    "OPEN_REVIEW",
    "OPEN_TASK",
    "EncounterRow",
    "NotificationRow",
    "PlanEntryRow",
    "ReviewRow",
    "TaskRow",
    "TimerRow",
]

# In the words of the index on open tasks: a database uses such an index only for just these words.
OPEN_TASK = "state IN ('open','begun','changed_after')"
OPEN_REVIEW = "state = 'open'"


class EncounterRow(CareTable):
    """One encounter as it stands."""

    __tablename__ = "encounter"
    __table_args__ = (
        CheckConstraint(
            "status IN ('planned','in_progress','on_leave','discharged','cancelled')", name="encounter_status"
        ),
        CLUSTERED,
    )

    patient: Mapped[int] = mapped_column(Big, primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(doc="the id that others see, hex")
    site: Mapped[str]
    visit_id: Mapped[str]
    status: Mapped[str]
    patient_class: Mapped[str]
    admitted_at: Mapped[datetime | None] = mapped_column(Utc)
    discharged_at: Mapped[datetime | None] = mapped_column(Utc)
    disposition: Mapped[str]
    location: Mapped[str]
    attending: Mapped[str]
    reason: Mapped[str]


class TaskRow(CareTable):
    """A transition task."""

    __tablename__ = "task"
    __table_args__ = (
        CheckConstraint(
            "state IN ('open','begun','done','withdrawn','joined','dismissed','changed_after')",
            name="task_state",
        ),
        Index(
            "task_open",
            "due_at",
            "patient",
            "n",
            postgresql_where=text(OPEN_TASK),
            sqlite_where=text(OPEN_TASK),
        ),
        CLUSTERED,
    )

    patient: Mapped[int] = mapped_column(Big, primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(doc="the id that others see, hex")
    encounter: Mapped[int | None]
    kind: Mapped[str]
    title: Mapped[str]
    state: Mapped[str]
    owner: Mapped[str] = mapped_column(doc="a role")
    assignee: Mapped[str] = mapped_column(doc="a person, or empty")
    urgency: Mapped[str]
    due_at: Mapped[datetime | None] = mapped_column(Utc)
    opened_at: Mapped[datetime] = mapped_column(Utc)
    closed_at: Mapped[datetime | None] = mapped_column(Utc)
    verify: Mapped[bool] = mapped_column(doc="it rests on a code that we do not know")
    note: Mapped[str]


class NotificationRow(CareTable):
    """What people are told: one a meaning. Earlier versions are found by the timeline."""

    __tablename__ = "notification"
    __table_args__ = (
        CheckConstraint("state IN ('standing','retracted')", name="notification_state"),
        CLUSTERED,
    )

    patient: Mapped[int] = mapped_column(Big, primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(doc="the id that others see, hex")
    version: Mapped[int]
    encounter: Mapped[int | None]
    kind: Mapped[str]
    state: Mapped[str]
    urgency: Mapped[str]
    about: Mapped[str] = mapped_column(doc="the patient's number under which it was told")
    occurred_at: Mapped[datetime] = mapped_column(Utc)
    body: Mapped[int] = mapped_column(Big, doc="body.id: what is told")


class PlanEntryRow(CareTable):
    """One entry of a care plan. Earlier versions are found by the timeline."""

    __tablename__ = "plan_entry"
    __table_args__ = (
        CheckConstraint(
            "section IN ('goal','team','problem','medication','appointment','note','allergy','contact')",
            name="plan_entry_section",
        ),
        CheckConstraint("state IN ('active','ended','withdrawn')", name="plan_entry_state"),
        CLUSTERED,
    )

    patient: Mapped[int] = mapped_column(Big, primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    section: Mapped[str]
    key: Mapped[str] = mapped_column(doc="its meaning within the section: a code, an NPI")
    version: Mapped[int]
    state: Mapped[str]
    body: Mapped[int] = mapped_column(Big, doc="body.id: what it says")


class TimerRow(CareTable):
    """When a patient is looked at again. The row goes when that has been done."""

    __tablename__ = "timer"
    __table_args__ = (Index("timer_due", "due_at", "patient", "n"), CLUSTERED)

    patient: Mapped[int] = mapped_column(Big, primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    due_at: Mapped[datetime] = mapped_column(Utc)


class ReviewRow(CareTable):
    """Something that only a person can judge."""

    __tablename__ = "review"
    __table_args__ = (
        CheckConstraint("state IN ('open','closed')", name="review_state"),
        Index(
            "review_open",
            "opened_at",
            "patient",
            "n",
            postgresql_where=text(OPEN_REVIEW),
            sqlite_where=text(OPEN_REVIEW),
        ),
        CLUSTERED,
    )

    patient: Mapped[int] = mapped_column(Big, primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    text: Mapped[str]
    state: Mapped[str]
    opened_at: Mapped[datetime] = mapped_column(Utc)
