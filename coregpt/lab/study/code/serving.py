"""Where modules that a plugin file imports are looked for, beyond what Python does.

While a study is planned they may lie beside the file. A worker takes them from the run's folder, whatever the file
does to `sys.path`: what was hashed and frozen there is what runs.
"""

import importlib
import sys
from collections.abc import Collection, Iterable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from coregpt.lab.study.code.origin import distributions, find, of_python

FILE_MODULE = "coregpt_file_"
"""How the name of a plugin file's module begins in this process."""


class _Folders:
    """Finds modules of no package in some folders; what is in a package is found through the package."""

    def __init__(self) -> None:
        self.folders: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, self.folders) if path is None and self.folders else None
        if found is None or found.loader is not None:
            return found
        # A folder of any kind is a package for Python; one without code must not pass for a package that is missing.
        return found if any(any(Path(each).glob("*.py")) for each in found.submodule_search_locations or ()) else None


FROZEN, BESIDE = _Folders(), _Folders()
_loaded: set[str] = set()
"""Modules that plugin files have loaded: another study in this process may mean other files by their names."""
_added: list[str] = []
"""What plugin files have added to `sys.path`."""
_before: set[str] = set()
"""Modules that were there when `serve` was called last."""


def serve(files: Iterable[Path], frozen: Path | None, apart_from: Collection[str]) -> None:
    """From now on plugin files find modules in the folder `frozen` first, or if None last beside the `files`.

    What earlier plugin files have loaded is forgotten, the packages `apart_from` excepted.
    """
    for name in _loaded | {name for name in _late() if name.partition(".")[0] not in apart_from}:
        sys.modules.pop(name, None)
    sys.path[:] = [each for each in sys.path if each not in _added]
    _loaded.clear()
    _added.clear()
    FROZEN.folders = [str(frozen)] if frozen is not None and frozen.is_dir() else []
    BESIDE.folders = [] if frozen is not None else list(dict.fromkeys(str(file.parent) for file in files))
    if FROZEN not in sys.meta_path:
        sys.meta_path.insert(0, FROZEN)
        sys.meta_path.append(BESIDE)
    importlib.invalidate_caches()
    _before.clear()
    _before.update(sys.modules)


def _late() -> set[str]:
    """Modules that functions of plugin files have imported from the folders that are served."""
    roots = [Path(folder) for folder in (*FROZEN.folders, *BESIDE.folders, *_added)]
    files = {name: getattr(sys.modules[name], "__file__", None) for name in set(sys.modules) - _before} if roots else {}
    found = {name for name, file in files.items() if file and any(Path(file).is_relative_to(root) for root in roots)}
    sources = {top for top in {name.partition(".")[0] for name in found} if _is_source(top)}
    return {name for name in found if name.partition(".")[0] in sources}


def sources_loaded(before: set[str], apart_from: Collection[str]) -> dict[str, Path]:
    """Files of modules loaded since `sys.modules` had the names `before`, but for Python's and what is installed.

    `apart_from`: packages that do not count.
    """
    names = [name for name in set(sys.modules) - before if not name.startswith(FILE_MODULE)]
    sources = {top for top in {name.partition(".")[0] for name in names} - {*apart_from} if _is_source(top)}
    specs = {name: getattr(sys.modules[name], "__spec__", None) for name in names if name.partition(".")[0] in sources}
    return {name: Path(spec.origin) for name, spec in specs.items() if spec and spec.has_location and spec.origin}


def _is_source(top: str) -> bool:
    spec = find(top)
    return spec is not None and not of_python(spec) and not distributions(top, spec)


def remember(names: Iterable[str], path: Collection[str] = ()) -> None:
    """Plugin files have loaded these, and before them `sys.path` was `path`; `serve` takes both back."""
    _loaded.update(names)
    _added.extend(each for each in sys.path if path and each not in path)
