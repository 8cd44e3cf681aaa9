"""Imports go down only, and rooms on one floor do not see each other (ARCHITECTURE section 3)."""

import ast
from pathlib import Path

import broker

HOUSE = Path(broker.__file__).parent

# Each line a floor, each word a room: a module, or a package with all that is in it.
FLOORS = [
    "errors",
    "hl7 yaml_files ids slots crash",
    "conditions notices outcome hl7_names",
    "channel+channel_file+site mapping care settings",
    "store presence",
    "sources destinations mllp_line",
    "file_words+project+project_channels+project_checks+project_examples+project_files+project_rules"
    "+schemas+validate records",
    "decide+mapped",
    "operations preview",
    "status",
    "flow web",
    "home logs metrics running supervisor",
    "watch",
    "run trial",
    "bench+demo+commands",
    "cli+__main__",
]
ROOM_OF = {
    name: (number, room)
    for number, floor in enumerate(FLOORS)
    for room in floor.split()
    for name in room.split("+")
}


def modules():
    for path in sorted(HOUSE.rglob("*.py")):
        words = path.relative_to(HOUSE).with_suffix("").parts
        if words != ("__init__",) and "versions" not in words:
            yield path, words[0]


def imported(path):
    """The rooms of this house that a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} imports relatively"
            names = [node.module]
            if node.module == "broker":
                names = [f"broker.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("broker."):
                yield name.split(".")[1]


def test_every_module_has_its_floor():
    assert {room for _, room in modules()} <= ROOM_OF.keys()


def test_imports_go_down_only_and_never_to_a_neighbour():
    wrong = []
    for path, name in modules():
        floor, room = ROOM_OF[name]
        for other in imported(path):
            floor_of_other, other_room = ROOM_OF[other]
            if other_room != room and floor_of_other >= floor:
                wrong.append(f"{path.relative_to(HOUSE)} (floor of {room}) imports {other_room}")
    assert wrong == []


def test_the_care_core_sees_only_notices_conditions_and_errors():
    seen = {other for path, name in modules() if name == "care" for other in imported(path)}
    assert seen <= {"care", "notices", "conditions", "errors"}


def test_the_pure_floors_import_no_clock_no_network_and_no_database():
    outside = {
        "time",
        "socket",
        "sqlalchemy",
        "twisted",
        "asyncio",
        "threading",
        "subprocess",
        "random",
        "psycopg",
    }
    pure = {name for name, (floor, _) in ROOM_OF.items() if floor <= ROOM_OF["care"][0]} - {"crash"}
    wrong = []
    for path, name in modules():
        if name in pure:
            for node in ast.walk(ast.parse(path.read_text())):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                wrong += [f"{path.relative_to(HOUSE)}: {n}" for n in names if n.split(".")[0] in outside]
    assert wrong == []
