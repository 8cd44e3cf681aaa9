"""The records of a batch, between the store that holds them and the core that decides. Floor 6."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from broker.care.codec import decode, encode
from broker.care.facts import Fact
from broker.care.given import Given
from broker.care.react import react
from broker.care.record import MissingRecords, Record, new_record
from broker.care.rows import Change
from broker.store.batch import Loaded, LoadedRecords, RecordPut

__all__ = ["Number", "Records", "Remembered"]

Number = tuple[str, str]  # authority and number


class Remembered:
    """The records that were saved last, as they were left; each holds while the store has just that version.

    Most messages are about somebody of whom another has come not long ago. A thousand records of a stay each
    take some 80 MB.
    """

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._held: dict[int, tuple[int, Record]] = {}

    def record(self, loaded: Loaded) -> Record | None:
        """The record that the store has, if it is known."""
        version, record = self._held.get(loaded.patient, (0, None))
        return record if version == loaded.version else None

    def keep(self, version: int, record: Record) -> None:
        """A record as it was saved at a version. Those that were kept longest ago are forgotten."""
        record.written = frozenset()
        self._held.pop(record.patient, None)
        self._held[record.patient] = version, record
        if len(self._held) > self._most:
            del self._held[next(iter(self._held))]


@dataclass(slots=True)
class Records:
    """What a batch decides on. Loaded records are read when they are first asked for.

    `load` fetches patients that turn out to be needed too, `reserve` gives a new patient's number.
    `now_held` is each record as the batch has left it, `touched` those that it changed, `kin` who is one
    person. `remembered` outlives the batch.
    """

    loaded: LoadedRecords
    load: Callable[[Iterable[int]], LoadedRecords]
    reserve: Callable[[], int]
    remembered: Remembered | None = None
    now_held: dict[int, Record] = field(default_factory=dict)
    numbers: dict[Number, int] = field(default_factory=dict)
    visits: dict[tuple[str, str], int] = field(default_factory=dict)
    touched: set[int] = field(default_factory=set)
    kin: dict[int, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._know(self.loaded)

    def known(self, number: Number) -> int | None:
        """The store's number for a patient, or None for one whom we have not met."""
        found = self.numbers.get(number)
        return found if found is not None else self.loaded.by_number.get(number)

    def patient_of(self, number: Number) -> int:
        """The store's number for a patient; a record is opened for one whom we have not met."""
        if (known := self.known(number)) is not None:
            return known
        fresh = self.reserve()
        self.numbers[number] = fresh
        self.now_held[fresh] = new_record(fresh, *number)
        return fresh

    def owner_of(self, visit: tuple[str, str]) -> int | None:
        """Who holds a visit (site, visit number), as far as is known."""
        found = self.visits.get(visit)
        return found if found is not None else self.loaded.by_visit.get(visit)

    def work(self, facts: Sequence[Fact], involved: Iterable[int], given: Given) -> tuple[Change, ...]:
        """Lets these facts (or none: time) work on the records of those involved; the changes that follow.

        Raises what `react` raises, and has changed nothing then.
        """
        wanted = set(involved)
        while True:
            try:
                reaction = react(facts, (), self._of(wanted), given)
                break
            except MissingRecords as error:
                if error.patients <= wanted:
                    raise
                wanted |= error.patients
                self._fetch(error.patients)
        self.now_held.update(reaction.records)
        self.touched |= reaction.records.keys()
        for patient, record in reaction.records.items():
            self.visits.update(dict.fromkeys(record.visits, patient))
            self.kin.setdefault(record.person, set()).add(patient)
        return reaction.changes

    def puts(self) -> list[RecordPut]:
        """What is to be written of the records that were touched, in the order of their numbers."""
        return [self._put(patient, self.now_held[patient]) for patient in sorted(self.touched)]

    def untouched(self) -> list[tuple[int, int]]:
        """Those that were read and decided on, but not changed, with their versions."""
        return [
            (patient, loaded.version)
            for patient, loaded in self.loaded.records.items()
            if patient in self.now_held and patient not in self.touched
        ]

    def saved(self) -> None:
        """The batch was saved: each record has the version after the one that was read."""
        if self.remembered is not None:
            for patient, record in self.now_held.items():
                read = self.loaded.records.get(patient)
                if read or patient in self.touched:
                    self.remembered.keep(read.version + 1 if read else 1, record)

    def _put(self, patient: int, record: Record) -> RecordPut:
        loaded = self.loaded.records.get(patient)
        head, stays = encode(record)
        return RecordPut(
            patient=patient,
            version=loaded.version if loaded else 0,
            person=record.person,
            head=head,
            stays=stays,
            numbers=[number for number in record.numbers if self.loaded.by_number.get(number) != patient],
            visits=[visit for visit in record.visits if self.loaded.by_visit.get(visit) != patient],
        )

    def _held(self, patient: int) -> Record | None:
        found = self.now_held.get(patient)
        if found is None and (loaded := self.loaded.records.get(patient)):
            known = self.remembered.record(loaded) if self.remembered else None
            found = self.now_held[patient] = known or decode(loaded)
        return found

    def _of(self, patients: Iterable[int]) -> dict[int, Record]:
        """These patients' records, and those of everybody who is one person with them."""
        found = {patient: record for patient in patients if (record := self._held(patient))}
        for record in tuple(found.values()):
            for patient in self.kin.get(record.person, ()):
                if patient not in found and (held := self._held(patient)):
                    found[patient] = held
        return found

    def _fetch(self, patients: Iterable[int]) -> None:
        more = self.load([one for one in patients if one not in self.loaded.records])
        for patient in more.records.keys() & self.loaded.records.keys():
            del more.records[patient]  # as first read: the save compares with that
        self.loaded.records.update(more.records)
        self._know(more)

    def _know(self, loaded: LoadedRecords) -> None:
        for record in loaded.records.values():
            self.kin.setdefault(record.person, set()).add(record.patient)
