"""Where deliveries go. Floor 5: each type is one file, named here; from outside, an entry point.

`REGISTRY` has every type by the word that stands at `to:`.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from broker.destinations.base import Destination, DestinationOptions, Parcel, Tools, secret_from
from broker.destinations.file import File
from broker.destinations.mllp import Mllp
from broker.destinations.smtp import Smtp
from broker.errors import DestinationError

__all__ = ["REGISTRY", "Destination", "DestinationOptions", "Parcel", "Tools", "secret_from"]

ENTRY_POINTS = "handoff.destinations"


def _registry() -> dict[str, type[DestinationOptions]]:
    """Ours, and those that installed packages offer. Raises `DestinationError` for one that is none."""
    types: dict[str, type[DestinationOptions]] = {"smtp": Smtp, "mllp": Mllp, "file": File}
    for point in entry_points(group=ENTRY_POINTS):
        offered = point.load()
        if point.name in types:
            raise DestinationError(f"two destination types are called {point.name}", code="bad_type")
        if not (isinstance(offered, type) and issubclass(offered, DestinationOptions)):
            raise DestinationError(f"{point.value} is no class of destination options", code="bad_type")
        types[point.name] = offered
    return types


REGISTRY: dict[str, type[DestinationOptions]] = _registry()
