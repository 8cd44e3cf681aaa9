"""After a worker's unclean end: one message at a time, and no longer than there is a reason."""

from __future__ import annotations

from itertools import islice

import pytest

from broker.project import Project, load_project
from broker.store.care import CareStore
from broker.store.open import Stores
from tests.proof.hospital import histories
from tests.proof.house import ROOT, house


@pytest.fixture(scope="module")
def project() -> Project:
    return load_project(ROOT)


def test_what_a_dead_worker_may_have_had_is_worked_alone_and_what_came_later_is_not(
    stores: Stores, project: Project
) -> None:
    messages = [message for _, message in islice(histories("A"), 24)]
    with house(stores, project, batch_size=50) as made:
        dead = CareStore(made.engine)
        dead.worker_started("dead")
        dead.close()
        made.receive(messages[:3])
        worker = made.worker()
        assert [worker.work_once() for _ in range(3)] == [1, 1, 1]
        made.receive(messages[3:])
        assert [worker.work_once() for _ in range(3)] == [1, 20, 0]
        worker.end()
