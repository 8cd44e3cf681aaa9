"""BrokerError and its children: a code for machines, words for people, a place. Floor 0."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BrokerError",
    "ConfigError",
    "ConfigErrors",
    "DestinationError",
    "Hl7Error",
    "MappingError",
    "OperationError",
    "Place",
    "StoreError",
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a project folder something stands: a file and a line (1-based; 0: the whole file)."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class BrokerError(Exception):
    """Something that a person can act on.

    `code` is for machines, the text is for people, `where` says at which path of a message or of a
    file (`PV1-36`, `channels/north.yaml:12`). `value` is what stood there: it is shown to people
    who may see it and is never logged, since it may be a patient's.
    """

    code = "error"

    def __init__(self, text: str, *, code: str | None = None, where: str = "", value: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.where = where
        self.value = value
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


class Hl7Error(BrokerError):
    """The bytes cannot be read as HL7. They are kept in quarantine and answered negatively."""

    code = "unreadable"


class MappingError(BrokerError):
    """The message is readable but the mapping cannot make a notice of it. It is refused and set aside."""

    code = "mapping_failed"


class ConfigError(BrokerError):
    """A file of the project folder is wrong. Nothing starts and nothing is switched over."""

    code = "config"

    def __init__(
        self,
        text: str,
        *,
        place: Place | None = None,
        value: str = "",
        right: str = "",
        code: str | None = None,
    ) -> None:
        super().__init__(text, code=code, where=str(place) if place else "", value=value)
        self.place = place
        self.right = right

    def __str__(self) -> str:
        parts = [super().__str__()]
        if self.value:
            parts.append(f"found {self.value!r}")
        if self.right:
            parts.append(f"right would be {self.right}")
        return "; ".join(parts)


class ConfigErrors(BrokerError):
    """Everything that is wrong with a project folder, at once."""

    code = "config"

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


class StoreError(BrokerError):
    """The database failed. What was being written may or may not be stored: ask again."""

    code = "store_failed"


class DestinationError(BrokerError):
    """A destination cannot be opened with its options."""

    code = "destination"


class OperationError(BrokerError):
    """A person's action is not possible as things stand; nothing was changed."""

    code = "operation"
