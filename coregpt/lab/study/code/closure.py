"""Everything that decides what a technique computes beside its own file: sources it imports, and versions."""

import ast
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from coregpt.contract.errors import PluginError
from coregpt.lab.study.code.imports import Use, uses
from coregpt.lab.study.code.origin import CORE, distributions, find, of_python, place, search

HASHED = ("api", "contract", "engine")
"""Of coregpt itself: what every run's identity has anyway."""


@dataclass(frozen=True)
class Closure:
    """What a file imports, directly or through each other, that is not Python's and not coregpt's."""

    files: dict[str, Path] = field(default_factory=dict)
    """Sources by their full module name, sorted."""
    installed: dict[str, str] = field(default_factory=dict)
    """Versions of distributions by name, sorted; coregpt's own dependencies are left out."""


def closure(path: Path, package: str, offered: Collection[str] = (), beside: Path | None = None) -> Closure:
    """What a technique's file in `package` ("" for none) imports.

    `offered` are packages of techniques: sources, wherever they are installed. `beside` is the folder in which its
    modules may lie. Raises PluginError with file and line for an import that cannot be followed.
    """
    made = Closure()
    waiting = [(path, package)]
    while waiting:
        file, inside = waiting.pop()
        for use in _uses(file, inside):
            top = use.name.partition(".")[0]
            if _is_source(file, use, top, offered, made):
                if top not in offered:
                    _refuse_ambiguous(file, use, top, beside)
                for name, spec in _sources(file, use):
                    where = Path(str(spec.origin))
                    if where != path and name not in made.files:
                        made.files[name] = where
                        waiting.append((where, name if spec.submodule_search_locations else name.rpartition(".")[0]))
    return Closure(dict(sorted(made.files.items())), dict(sorted(made.installed.items())))


def says_only(file: Path) -> bool:
    """Whether a source holds no statement but text."""
    try:
        body = ast.parse(file.read_text("utf-8")).body
    except SyntaxError as error:
        raise PluginError(f"{file}:{error.lineno}: {error.msg}") from None
    return all(isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in body)


def _uses(file: Path, inside: str) -> tuple[Use, ...]:
    try:
        return uses(file.read_text("utf-8"), inside)
    except PluginError as error:
        raise PluginError(f"{file}:{error}") from None


def _is_source(file: Path, use: Use, top: str, offered: Collection[str], made: Closure) -> bool:
    """Whether a module is to be followed; versions of what is not are noted."""
    spec = find(top)
    if top == CORE:
        _refuse_core(file, use)
        return False
    if spec is None:
        if use.needed and top not in sys.stdlib_module_names:  # Python has some modules on other systems only
            raise _not_found(file, use)
        return False
    if of_python(spec):
        return False
    versions = {} if top in offered else distributions(top, spec)
    made.installed.update({name: version for name, version in versions.items() if version})
    return not versions


def _sources(file: Path, use: Use) -> Iterator[tuple[str, ModuleSpec]]:
    """A module and, before it, the packages that it lies in; those without a file of their own are left out."""
    parts = use.name.split(".")
    for length in range(1, len(parts) + 1):
        name = ".".join(parts[:length])
        spec = find(name)
        if spec is None:
            if use.needed:
                raise _not_found(file, use)
            return
        if spec.has_location and spec.origin:
            if not spec.origin.endswith(".py"):
                raise PluginError(
                    f"{file}:{use.line}: {name} ({spec.origin}) is no Python source; install it to use it"
                )
            yield name, spec


def _not_found(file: Path, use: Use) -> PluginError:
    return PluginError(
        f"{file}:{use.line}: imports '{use.name}', which is not found; put it beside the plugin's file, install it, "
        "or change sys.path where the file begins"
    )


def _refuse_core(file: Path, use: Use) -> None:
    """An edit of coregpt beyond contract and engine trains nothing anew."""
    parts = use.name.split(".")
    if len(parts) > 1 and parts[1] not in HASHED and find(f"{CORE}.{parts[1]}") is not None:
        raise PluginError(f"{file}:{use.line}: imports {use.name}; a plugin imports from coregpt.api only")


def _refuse_ambiguous(file: Path, use: Use, top: str, beside: Path | None) -> None:
    """One process has one module of a name; with two files of it, which one runs would depend on the order."""
    meant = find(top)
    others = [search(top)]
    if beside is not None:
        others.append(PathFinder.find_spec(top, [str(beside)]))
    places = [place(spec) for spec in (meant, *others) if spec is not None and spec.loader is not None]
    different = list(dict.fromkeys(where.resolve() for where in places if where is not None))
    if len(different) > 1:
        raise PluginError(
            f"{file}:{use.line}: '{top}' may be {' or '.join(map(str, different))}; rename one, so that it is clear"
        )
