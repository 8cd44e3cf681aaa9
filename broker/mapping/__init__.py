"""Mappings: what a message means, as a notice; what a notification says, as a message. Floor 3, pure."""

from broker.mapping.apply import Applied, Mapping, apply
from broker.mapping.convert import Facility, UnknownCode
from broker.mapping.outbound import compose_for
from broker.mapping.tables import Table, read_table

__all__ = ["Applied", "Facility", "Mapping", "Table", "UnknownCode", "apply", "compose_for", "read_table"]
