"""The proof bites: a broker that answers before its commit is found out.

A kill alone would not find it: where a sync takes no time, nothing stands between the answer and the commit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proof.onslaught import Onslaught, acknowledged
from tests.proof.verdict import assert_all_is_well

SLOW_MS = 40
# Python runs this before anything else, in every process of the broker.
ANSWERS_TOO_EARLY = """
from datetime import UTC, datetime
from broker.store.journal_writer import Writer

def write(self, group):
    numbering = self._numbering or self._open()
    self._queue.begin_write()
    sheet = numbering.sheet(group)
    self._queue.written(group, group.receipts(sheet.lines, numbering.stream, datetime.now(UTC)))
    numbering.written(self._pen.write(sheet))

Writer._write = write
"""


@pytest.mark.crash
def test_an_answer_before_its_commit_is_found_out(
    onslaught: Callable[..., Onslaught], tmp_path: Path
) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "sitecustomize.py").write_text(ANSWERS_TOO_EARLY)
    attacked = onslaught(PYTHONPATH=str(planted))
    attacked.slow(SLOW_MS)
    attacked.trial.start()
    attacked.load((1, 6, 6))
    for _ in range(4):  # most of its time is the sync's: that is where it dies
        acknowledged(attacked, 20)
        attacked.kill("intake")
    attacked.finish()
    with pytest.raises(AssertionError, match="acknowledged messages are lost"):
        assert_all_is_well(attacked, tmp_path)
