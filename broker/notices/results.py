"""Results of orders. Floor 2. Source: HL7 v2.5.1 chapter 7, ORU^R01; DOMAIN 1.8."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from broker.notices.parts import Coded, Part, Practitioner
from broker.notices.visits import Notice

__all__ = ["Observation", "ObservationStatus", "OrderStatus", "Result"]

ObservationStatus = Literal[
    "pending", "preliminary", "partial", "entered", "final", "corrected", "amended", "appended", "verified",
    "deleted", "wrong", "unobtainable", "not_asked", "order_detail",
]  # fmt: skip
OrderStatus = Literal[
    "ordered", "in_process", "scheduled", "some_results", "preliminary", "entered", "final", "corrected",
    "cancelled", "no_order", "no_patient", "corrected_not_final", "done_results_pending",
]  # fmt: skip


class Observation(Part):
    """One OBX. `flags` are OBX-8 as they came (table 0078)."""

    code: str = Field(min_length=1, description="OBX-3.1, else OBX-3.4, else OBX-3.2.")
    system: str | None = Field(default=None, description="OBX-3.3.")
    text: str | None = Field(default=None, description="OBX-3.2.")
    sub_id: str | None = Field(default=None, description="OBX-4.")
    kind: str | None = Field(default=None, description="OBX-2.")
    value: str | None = Field(default=None, description="OBX-5, as text.")
    units: str | None = Field(default=None, description="OBX-6.1.")
    range: str | None = Field(default=None, description="OBX-7.")
    flags: tuple[str, ...] | None = Field(default=None, description="OBX-8.")
    status: Coded[ObservationStatus] | None = Field(default=None, description="OBX-11.")
    observed_at: datetime | None = Field(default=None, description="OBX-14.")
    notes: str | None = Field(default=None, description="NTE-3 of this OBX.")


class Result(Notice):
    """One order's results (an OBR with its OBX): ORU^R01."""

    visit_id: str | None = Field(default=None, description="PV1-19.1.")
    account_id: str | None = Field(default=None, description="PID-18.1.")
    order_id: str = Field(min_length=1, description="OBR-3.1, else OBR-2.1, else ORC-3.1, ORC-2.1.")
    code: str | None = Field(default=None, description="OBR-4.1.")
    text: str | None = Field(default=None, description="OBR-4.2.")
    status: Coded[OrderStatus] | None = Field(default=None, description="OBR-25.")
    ordering: Practitioner | None = Field(default=None, description="OBR-16.")
    collected_at: datetime | None = Field(default=None, description="OBR-7.")
    reported_at: datetime | None = Field(default=None, description="OBR-22.")
    observations: tuple[Observation, ...] | None = None
