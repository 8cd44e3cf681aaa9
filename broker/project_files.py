"""The files that a project is made of, and the Python doors among them. Floor 6."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from broker.errors import ConfigError, Place
from broker.yaml_files import Wrong, nearest

__all__ = ["STANDARD", "Doors", "digest_of", "read_folder", "standard_files", "stems"]

STANDARD = Path(__file__).parent / "standard"  # mappings/standard, as it is packed into the wheel
_PARTS = (
    ("channels", "*.yaml"),
    ("channels/sites", "*.yaml"),
    ("channels/rules", "*.yaml"),
    ("mappings", "*.yaml"),
    ("mappings", "**/*.py"),
    ("mappings/standard", "*.yaml"),
    ("mappings/tables", "*.csv"),
    ("mappings/standard/tables", "*.csv"),
)


def read_folder(folder: Path) -> dict[str, bytes]:
    """Every file of a project's channels and mappings, by its name in the folder.

    Without a `mappings/standard` of its own it has the one that is packed with the program.
    """
    found: dict[str, bytes] = {}
    for part, pattern in _PARTS:
        for path in sorted((folder / part).glob(pattern)):
            if path.is_file():
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    if not (folder / "mappings/standard").is_dir():
        found |= standard_files()
    return found


def standard_files() -> dict[str, bytes]:
    """The mappings and tables that are packed with the program, by the names that a project gives them."""
    return {
        f"mappings/standard/{path.relative_to(STANDARD).as_posix()}": path.read_bytes()
        for pattern in ("*.yaml", "tables/*.csv")
        for path in sorted(STANDARD.glob(pattern))
    }


def stems(files: Mapping[str, bytes], folder: str, ending: str) -> dict[str, tuple[str, bytes]]:
    """The files that stand right in a folder, by their stem: (name, content)."""
    found = {}
    for name, content in files.items():
        head, _, tail = name.rpartition("/")
        if head == folder and tail.endswith(ending):
            found[tail.removesuffix(ending)] = (name, content)
    return found


def digest_of(files: Mapping[str, bytes]) -> str:
    """What names a bundle: a digest of every file's name and content."""
    whole = sha256()
    for name in sorted(files):
        whole.update(f"{len(name)}:{name}{len(files[name])}:".encode())
        whole.update(files[name])
    return whole.hexdigest()


class Doors:
    """The Python functions of a project: of its `mappings/`, or of an installed package.

    A module is run only when one of its functions is first used, from the project's own bytes, so that a
    bundle means the same wherever it is worked. It may import what is installed, not its neighbours.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._modules: dict[str, ModuleType] = {}

    def door(self, said: str) -> Callable[[], Callable[[Any], Any]]:
        """What gives the function that `package.module:function` names. Nothing is imported yet.

        Raises `Wrong` where it can be seen that there is none.
        """
        module, _, name = said.partition(":")
        content = self._files.get(_file_of(module))
        if content is not None:
            _check_function(content, _file_of(module), name)
        elif find_spec(module.partition(".")[0]) is None:
            raise Wrong(f"python: there is no {_file_of(module)}, and no such package", value=module)
        return lambda: self._function(said)

    def _function(self, said: str) -> Callable[[Any], Any]:
        module_name, _, name = said.partition(":")
        function = getattr(self._module(module_name), name, None)
        if not callable(function):
            raise ConfigError(f"python: {module_name} has no function {name}", value=said)
        found: Callable[[Any], Any] = function
        return found

    def _module(self, name: str) -> ModuleType:
        file = _file_of(name)
        if file not in self._files:
            try:
                return importlib.import_module(name)
            except ImportError as error:
                raise ConfigError(f"python: there is no {file}, and no module {name}", value=name) from error
        if name not in self._modules:
            module = ModuleType(f"handoff_mappings.{name}")
            module.__file__ = file
            try:
                exec(compile(self._files[file], file, "exec"), module.__dict__)
            except Exception as error:
                line = getattr(error, "lineno", None) or 0
                raise ConfigError(
                    f"python: the module cannot be loaded: {type(error).__name__}", place=Place(file, line)
                ) from error
            self._modules[name] = module
        return self._modules[name]


def _file_of(module: str) -> str:
    return f"mappings/{module.replace('.', '/')}.py"


def _check_function(content: bytes, file: str, name: str) -> None:
    """Whether a module, as it is written, has this function."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError) as error:
        raise Wrong(f"python: {file}, line {getattr(error, 'lineno', 0)}: this is no Python") from error
    known = {
        one
        for node in tree.body
        for one in (
            [node.name]
            if isinstance(node, ast.FunctionDef)
            else [alias.asname or alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else [target.id for target in node.targets if isinstance(target, ast.Name)]
            if isinstance(node, ast.Assign)
            else []
        )
    }
    if name not in known:
        right = nearest(name, known)
        raise Wrong(f"python: {file} has no such function", value=name, right=right)
