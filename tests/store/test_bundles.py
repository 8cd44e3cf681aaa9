"""Configurations are kept whole and unchanged, named by what is in them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from broker.errors import OperationError
from broker.store.batch import Batch, HandledPut
from broker.store.bundles import Bundles, digest_of
from broker.store.care import CareStore

FILES = {"channels/a.yaml": b"channel: A\n", "mappings/b.yaml": b"\x00\xff", "empty.csv": b""}


@pytest.fixture
def bundles(engine_of: Callable[..., Engine]) -> Bundles:
    return Bundles(engine_of("care"))


def test_a_bundle_comes_back_as_it_was(bundles: Bundles) -> None:
    digest = bundles.put(FILES)
    assert bundles.put(dict(reversed(FILES.items()))) == digest == digest_of(FILES)
    assert bundles.get(digest) == FILES


def test_names_and_contents_cannot_be_shifted_into_each_other() -> None:
    assert digest_of({"ab": b"c"}) != digest_of({"a": b"bc"})
    assert digest_of({"a": b"", "b": b""}) != digest_of({"a": b"b"})


def test_the_last_one_activated_is_in_force(bundles: Bundles) -> None:
    with pytest.raises(OperationError):
        bundles.active()
    first, second = bundles.put(FILES), bundles.put({"x": b"y"})
    for digest in (first, first, second, first):
        bundles.activate(digest, "ann", "reload")
        assert bundles.active()[0] == digest
    with pytest.raises(OperationError):
        bundles.activate("0" * 64)


def test_a_message_names_the_bundle_that_decided_it(bundles: Bundles) -> None:
    from datetime import UTC, datetime

    care = CareStore(bundles._engine)
    digest = bundles.put(FILES)
    put = HandledPut(
        1, 1, datetime(2026, 3, 5, tzinfo=UTC), "a", "ADT^A01", "1", None, "worked", bundle=digest
    )
    care.save(Batch(handled=[put]))
    with pytest.raises(ValueError, match="not stored"):
        care.save(Batch(handled=[put._replace(bundle="f" * 64)]))
