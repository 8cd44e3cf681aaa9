"""People who may sign in: the tables. Floor 4."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from broker.store.care_tables import Big, CareTable
from broker.store.types import Utc

__all__ = ["SessionRow", "UserRow"]


class UserRow(CareTable):
    """One person's account."""

    __tablename__ = "person_account"
    __table_args__ = (
        CheckConstraint("role IN ('viewer','coordinator','analyst','admin')", name="account_role"),
    )

    id: Mapped[int] = mapped_column(Big, primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    role: Mapped[str]
    password: Mapped[str] = mapped_column(doc="argon2id; empty: signs in elsewhere (OIDC)")
    subject: Mapped[str] = mapped_column(doc="issuer and subject of OIDC, or empty")
    disabled: Mapped[bool]
    failed_logins: Mapped[int] = mapped_column(doc="since the last good one")
    locked_until: Mapped[datetime | None] = mapped_column(Utc)
    made_at: Mapped[datetime] = mapped_column(Utc)


class SessionRow(CareTable):
    """One signed-in browser or program."""

    __tablename__ = "session"
    __table_args__ = (Index("session_by_end", "ends_at"),)

    token_digest: Mapped[str] = mapped_column(primary_key=True, doc="SHA-256 of the cookie, hex")
    account: Mapped[int] = mapped_column(Big)
    made_at: Mapped[datetime] = mapped_column(Utc)
    ends_at: Mapped[datetime] = mapped_column(Utc)
    came_from: Mapped[str]
