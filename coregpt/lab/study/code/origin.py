"""Where a module comes from: Python itself, an installed distribution, or a source file that anybody may edit."""

import importlib.metadata
import importlib.util
import re
import sys
import sysconfig
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

CORE = "coregpt"
INSTALLED = {"site-packages", "dist-packages"}


def find(name: str) -> ModuleSpec | None:
    """How a module was loaded, or would be; None if there is none. Nothing is executed."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if loaded is not None:
        return loaded
    parent = name.rpartition(".")[0]
    if not parent:
        return search(name)
    above = find(parent)
    places = None if above is None else above.submodule_search_locations
    return None if places is None else PathFinder.find_spec(name, list(places))


def search(name: str) -> ModuleSpec | None:
    """How a module of no package would be loaded if none of that name were yet."""
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None) if hasattr(finder, "find_spec") else None
        if spec is not None:
            return spec
    return None


def place(spec: ModuleSpec) -> Path | None:
    """The file of a module, or the folder of a package without one; None for what is built into Python."""
    if spec.has_location and spec.origin:
        return Path(spec.origin)
    folders = list(spec.submodule_search_locations or ())
    return Path(folders[0]) if folders else None


def of_python(spec: ModuleSpec) -> bool:
    """Whether it is part of the standard library."""
    where = place(spec)
    if where is None:
        return True
    return not INSTALLED & set(where.parts) and any(where.resolve().is_relative_to(root) for root in _standard())


def distributions(top: str, spec: ModuleSpec) -> dict[str, str]:
    """Name and version of what was installed and has the module `top`; empty for sources, editable installs too.

    A dependency of coregpt itself is there with the version "": which one it is belongs to a run's environment.
    """
    where = place(spec)
    if where is None:
        return {}
    if _plain(top) in _dependencies() and INSTALLED & set(where.parts):  # saves reading what all distributions hold
        return {_plain(top): ""}
    folders = list(spec.submodule_search_locations or ())
    root = Path(folders[0]).parent if folders else where.parent
    if not any(root.glob("*.dist-info")):  # what holds the module also holds the record of its installation
        return {}
    found = {}
    for name in _offering(tuple(sys.path)).get(top, ()):
        made = importlib.metadata.distribution(name)
        own = Path(str(made.locate_file(""))).resolve()
        if made.read_text("RECORD") is not None and where.resolve().is_relative_to(own):
            found[_plain(name)] = "" if _plain(name) in _dependencies() else made.version
    return found


@cache
def _standard() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_paths()[kind]).resolve() for kind in ("stdlib", "platstdlib"))


@cache
def _dependencies() -> frozenset[str]:
    """What coregpt itself needs, without its extras."""
    try:
        lines = importlib.metadata.requires(CORE) or []
    except importlib.metadata.PackageNotFoundError:
        return frozenset()
    names = [re.match(r"[\w.-]+", line) for line in lines if "extra" not in line.partition(";")[2]]
    return frozenset(_plain(name.group()) for name in names if name)


@cache
def _offering(path: tuple[str, ...]) -> dict[str, list[str]]:
    """Names of distributions by the modules that they offer, on this `sys.path`."""
    return {top: list(names) for top, names in importlib.metadata.packages_distributions().items()}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
