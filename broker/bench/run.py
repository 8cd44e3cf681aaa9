"""`broker bench`: starts a broker of its own, loads it, and prints what it did. Floor 11."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from broker.bench.measure import EndToEnd, Figures, measure_accepting, measure_reading
from broker.bench.traffic import traffic
from broker.trial import Trial, copy_project, free_ports

__all__ = ["bench", "save"]

NORTH_PORT = 2575  # where the shipped north channel listens, before the copy's ports are moved
CONNECTIONS = (1, 8, 64)


def bench(
    project: Path,
    store: str | None = None,
    secs: float = 5,
    told: Callable[[str], None] = lambda doing: None,
) -> Figures:
    """Every figure of one run. The worker works all the while, as it does in a hospital."""
    figures = Figures(store="postgresql" if store else "sqlite")
    told("reading headers and paths")
    measure_reading(figures)
    with tempfile.TemporaryDirectory(prefix="handoff-bench-") as folder:
        ports = copy_project(project, Path(folder) / "project")
        web, environment = f"127.0.0.1:{free_ports(1)[0]}", {"HANDOFF_STORE": store} if store else {}
        trial = Trial(Path(folder) / "project", Path(folder) / "data", web, environment)
        told("starting a broker")
        with trial.running():
            messages = traffic()
            begun = time.monotonic()
            for connections in CONNECTIONS:
                told(f"accepting at {connections} connections")
                figures.accepted.append(
                    measure_accepting("127.0.0.1", ports[NORTH_PORT], connections, secs, messages)
                )
            told("working what was accepted")
            figures.end_to_end = _worked(trial, begun)
    return figures


def _worked(trial: Trial, begun: float, wait_secs: float = 900) -> EndToEnd:
    """Waits until nothing is left to be worked."""
    stopped = time.monotonic()
    left = trial.status()["backlog"]
    while (status := trial.status())["backlog"] and time.monotonic() < stopped + wait_secs:
        time.sleep(0.25)
    now, worked = time.monotonic(), status["worked"]
    secs, left_secs = now - begun, max(now - stopped, 0.001)
    return EndToEnd(
        worked, round(secs, 2), round(worked / secs), left, round(left_secs, 2), round(left / left_secs)
    )


def save(figures: Figures, folder: Path) -> Path:
    """Keeps the figures as a JSON file named by their time and store."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{figures.at[:19].replace(':', '')}-{figures.store}.json"
    file.write_text(json.dumps(figures.as_json(), indent=2) + "\n")
    return file
