"""The points at which a process can be made to die."""

from pathlib import Path

from broker.crash import armed


def deaths(asked: str, points: str) -> list[int]:
    """At which of these points, by place, a process would die."""
    died: list[bool] = []
    places: list[int] = []
    at = armed(asked, lambda: died.append(True))
    for place, point in enumerate(points.split()):
        at(point)
        places += [place] * len(died)
        died.clear()
    return places


def test_without_a_point_nobody_dies() -> None:
    assert deaths("", "a b c") == []


def test_it_dies_at_the_named_point_alone() -> None:
    assert deaths("b", "a b c b") == [1]


def test_it_dies_when_it_comes_there_the_nth_time() -> None:
    assert deaths("a:3", "a b a b a a") == [4]


def test_a_file_that_names_a_point_is_one_death(tmp_path: Path) -> None:
    file = tmp_path / "crash"
    assert deaths(f"@{file}", "a b a") == []
    file.write_text("a:2:first")
    assert deaths(f"@{file}", "a b a b a a") == [2]
    assert not file.exists()


def test_a_file_may_come_while_the_process_runs(tmp_path: Path) -> None:
    file, died = tmp_path / "crash", []
    at = armed(f"@{file}", lambda: died.append(1))
    for n in range(3):
        at("a")
        file.write_text(f"a:1:{n}")
        at("b")
        at("a")
    assert len(died) == 3
