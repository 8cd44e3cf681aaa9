"""Every table of `care`, in one place for those who compare schemas. Floor 4."""

from broker.store import care_rows, delivery_tables, house_tables, users
from broker.store.care_tables import CareTable

__all__ = ["METADATA"]

_TABLES = (care_rows, delivery_tables, house_tables, users)
METADATA = CareTable.metadata
