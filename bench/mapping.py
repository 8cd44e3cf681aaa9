"""Microseconds to read, route and map one discharge: `python bench/mapping.py`."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from pathlib import Path

from broker.hl7 import Message
from broker.mapping import apply
from broker.project import load_project

HERE = Path(__file__).parent.parent


def micros(work: Callable[[], object]) -> float:
    """The best of several runs: what it costs when nothing else wants the core."""
    return min(timeit.repeat(work, number=10, repeat=500)) / 10 * 1e6


def main() -> None:
    project = load_project(HERE)
    channel = project.channels["north"]
    raw = (HERE / "fixtures/north/a03_home.hl7").read_bytes()
    message = Message(raw)
    (route,) = channel.route(message).routes
    assert route.mapping is not None
    mapping, site = project.mappings[route.mapping], project.site_of(channel, message)

    def whole() -> object:
        fresh = Message(raw)
        (route,) = channel.route(fresh).routes
        return apply(mapping, route.view, project.site_of(channel, route.view), project.tables)

    def mapped() -> object:
        return apply(mapping, Message(raw), site, project.tables)

    fields = len(mapping.origins)
    print(f"read                  {micros(lambda: Message(raw)):6.1f} us")
    print(f"route                 {micros(lambda: channel.route(message)):6.1f} us")
    print(f"read, map {fields:2} fields    {micros(mapped):6.1f} us")
    print(f"read, route, map      {micros(whole):6.1f} us")


if __name__ == "__main__":
    main()
