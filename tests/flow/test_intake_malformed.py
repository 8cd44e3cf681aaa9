"""The corpus of malformed and awkward input, each case through a real listener on a `stored` channel.

It stands beside the project (`../shared/corpus/malformed`), with the script that judges the answers; where it
is not there, this test says so and is skipped.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

import broker

CORPUS = Path(broker.__file__).resolve().parents[2] / "shared" / "corpus" / "malformed"
CASES = CORPUS / "cases.json"

pytestmark = pytest.mark.skipif(
    not CASES.exists(), reason=f"the corpus of malformed input is not at {CORPUS}"
)


@pytest.fixture
def stores(sqlite_stores):
    return sqlite_stores


@pytest.mark.slow
@pytest_twisted.ensureDeferred
async def test_every_malformed_case_has_a_good_answer_and_the_listener_goes_on(receive, capfd):
    hub = await receive()

    names = [case["id"] for case in json.loads(CASES.read_text())["cases"]]

    def run(some: list[str]) -> str:
        told = {**os.environ, "ACKNOWLEDGE": "stored", "IDLE": "0.3"}
        arguments = [sys.executable, str(CORPUS / "run_cases.py"), str(CASES), str(hub.port), *some]
        return subprocess.run(arguments, env=told, capture_output=True, text=True, timeout=120).stdout

    parts = [names[start::6] for start in range(6)]
    said = await gatherResults([deferToThread(run, part) for part in parts])
    assert said == [f"{len(part)} passed, 0 failed\n" for part in parts]
    logged = "".join(capfd.readouterr())
    assert "intake.negative" in logged
    assert not re.search(r"TEST\^|ALIVE|PID\|", logged), "patient data in the log"
    assert all(row.raw for row in hub.rows())
