"""Who is who: person updates, merges, moves, renames and links of patients, accounts and visits. Floor 2.

Source: HL7 v2.5.1 chapter 3.3 and 3.6; DOMAIN 1.4-1.5. `patient` is the survivor or the right owner
(PID), `retired` what is given up or moved away from (MRG).
"""

from __future__ import annotations

from pydantic import Field

from broker.notices.parts import Allergy, Identifier
from broker.notices.visits import Notice

__all__ = [
    "AccountChange",
    "AccountMerge",
    "AccountMove",
    "AllergyUpdate",
    "IdentifierChange",
    "IdentifierMove",
    "IdentityNotice",
    "Link",
    "PatientMerge",
    "PersonUpdate",
    "RecordDeleted",
    "Unlink",
    "VisitChange",
    "VisitMerge",
    "VisitMove",
]


class PersonUpdate(Notice):
    """Person-level facts, no visit: ADT^A28, A31."""


class AllergyUpdate(Notice):
    """The allergy list changed: ADT^A60."""

    allergies: tuple[Allergy, ...] | None = None


class RecordDeleted(Notice):
    """The sender purged its record: ADT^A23 (visit), A29 (person). Nothing of ours is deleted."""

    visit_id: str | None = Field(default=None, description="PV1-19.1, for A23.")


class IdentityNotice(Notice):
    """Two identities, accounts or visits have to do with each other."""

    retired: Identifier | None = Field(default=None, description="MRG-1, or the second PID of A24 and A37.")
    account_id: str | None = Field(default=None, description="PID-18.1.")
    retired_account_id: str | None = Field(default=None, description="MRG-3.1.")
    visit_id: str | None = Field(default=None, description="PV1-19.1.")
    retired_visit_id: str | None = Field(default=None, description="MRG-5.1.")


class PatientMerge(IdentityNotice):
    """`retired` is the same person as `patient`: ADT^A18, A30, A34, A36, A39, A40."""


class AccountMerge(IdentityNotice):
    """ADT^A35, A41."""


class VisitMerge(IdentityNotice):
    """ADT^A42."""


class IdentifierMove(IdentityNotice):
    """An identifier belongs to another person: ADT^A43."""


class AccountMove(IdentityNotice):
    """An account was on the wrong patient: ADT^A44."""


class VisitMove(IdentityNotice):
    """A visit was on the wrong patient: ADT^A45."""


class IdentifierChange(IdentityNotice):
    """A number is replaced by another, no merge: ADT^A46, A47, A48."""


class AccountChange(IdentityNotice):
    """ADT^A49."""


class VisitChange(IdentityNotice):
    """ADT^A50, A51."""


class Link(IdentityNotice):
    """The two are one person, the records stay distinct: ADT^A24."""


class Unlink(IdentityNotice):
    """Undoes a link: ADT^A37."""
