"""The directory: read from CSV with every error at once, replaced or merged, and asked."""

from __future__ import annotations

from collections.abc import Callable
from csv import DictReader
from datetime import UTC, datetime
from io import StringIO

import pytest
from sqlalchemy import Engine

from broker.notices import Practitioner
from broker.store.batch import AuditPut
from broker.store.care import CareStore
from broker.store.directory import DirectoryBook, DirectoryErrors, read_rows

AT = datetime(2026, 3, 5, 14, 10, tzinfo=UTC)
ANN = AuditPut("ann", "import_directory", why="new practice")
HEADER = "npi,authority,id,kind,name,practice,destination,address,kinds\n"
MILLER = "1234567893,,,,Ann Miller,Westside,westside/ehr,PCP1,\n"


def rows(text: str) -> DictReader:
    return DictReader(StringIO(HEADER + text))


@pytest.fixture
def care(engine_of: Callable[..., Engine]) -> CareStore:
    return CareStore(engine_of("care"))


def test_somebody_is_reached_by_npi_and_by_the_hospitals_number(care: CareStore) -> None:
    entries = read_rows(rows("1234567893,north,D17,,Ann Miller,Westside,westside/ehr,PCP1,discharge\n"))
    assert DirectoryBook(care.engine).replace(entries, ANN, AT) == 2
    directory = care.directory()
    (reach,) = directory.reach(Practitioner(npi="1234567893"))
    assert (reach.destination, reach.address, reach.kinds) == (
        "westside/ehr",
        "PCP1",
        frozenset({"discharge"}),
    )
    assert directory.reach(Practitioner(id="D17", authority="north")) == (reach,)
    assert directory.reach(Practitioner(id="D17", authority="south")) == ()


def test_a_role_is_reached_by_its_name(care: CareStore) -> None:
    entries = read_rows(rows(",,coordinator,role,The team,,mail/smtp,team@example.org,\n"))
    DirectoryBook(care.engine).replace(entries, ANN, AT)
    assert [reach.address for reach in care.directory().entries["role", "coordinator"]] == [
        "team@example.org"
    ]


def test_every_error_of_a_file_is_told_with_its_line() -> None:
    text = (
        "1234567890,,,,Ann,W,westside/ehr,PCP1,\n"
        ",,,,Bob,W,westside/ehr,PCP2,\n"
        + MILLER
        + MILLER
        + "1234567893,,,robot,,W,nowhere/x,,no_such_kind\n"
        + ",,,role,Team,,westside/ehr,x,\n"
    )
    with pytest.raises(DirectoryErrors) as raised:
        read_rows(rows(text), frozenset({"westside/ehr"}), frozenset({"discharge"}))
    assert sorted({line for line, _ in raised.value.errors}) == [2, 3, 5, 6, 7]
    assert [words for line, words in raised.value.errors if line == 5] == ["says the same as line 4"]
    assert len([line for line, _ in raised.value.errors if line == 6]) == 5


def test_a_column_that_is_not_known_is_an_error() -> None:
    with pytest.raises(DirectoryErrors, match="no column 'fax'"):
        read_rows(DictReader(StringIO("npi,name,destination,address,fax\n1234567893,A,w/e,x,1\n")))


def test_merging_replaces_who_is_named_and_keeps_the_others(care: CareStore) -> None:
    book = DirectoryBook(care.engine)
    book.replace(read_rows(rows(MILLER + "1245319599,,,,Bob Ross,East,east/ehr,R,\n")), ANN, AT)
    book.merge(read_rows(rows("1234567893,,,,Ann Miller,Westside,mail/smtp,ann@example.org,\n")), ANN, AT)
    assert [(entry.name, entry.address) for entry in book.entries()] == [
        ("Ann Miller", "ann@example.org"),
        ("Bob Ross", "R"),
    ]
    assert [entry.name for entry in book.entries(search="west")] == ["Ann Miller"]
    book.replace([], ANN, AT)
    assert book.entries() == []
