"""What a technique imports beyond what a technique needs: a reader looks there first."""

from collections.abc import Iterable

from coregpt.lab.study.code.imports import uses
from coregpt.lab.study.code.origin import CORE, find
from coregpt.lab.study.registry import FILE, Catalogue

PURE = frozenset(
    [
        "__future__",
        "abc",
        "array",
        "bisect",
        "cmath",
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "decimal",
        "difflib",
        "enum",
        "fractions",
        "functools",
        "heapq",
        "inspect",
        "itertools",
        "math",
        "numbers",
        "operator",
        "re",
        "statistics",
        "string",
        "textwrap",
        "types",
        "typing",
        "typing_extensions",
        "warnings",
        "weakref",
    ]
)
"""Parts of the standard library that reach neither files nor processes nor other people's functions."""
NEEDED = frozenset({"torch", "pydantic"})
API = "coregpt.api"


def beyond(catalogue: Catalogue, name: str) -> list[str]:
    """Modules that a technique's sources import beside `coregpt.api`, torch and pure parts of Python, sorted."""
    found = catalogue.locate(name)
    closed = catalogue.imports(name).files
    inside = "" if found.package == FILE else found.inside
    files = [(found.path, inside), *((path, module.rpartition(".")[0]) for module, path in closed.items())]
    used = {use.name for path, package in files for use in uses(path.read_text("utf-8"), package)}
    return sorted(_named(used, closed))


def _named(used: Iterable[str], followed: Iterable[str]) -> set[str]:
    tops = {module.partition(".")[0] for module in followed}
    named = set()
    for module in used:
        top, _, rest = module.partition(".")
        if top == CORE:
            if not f"{module}.".startswith(f"{API}.") and rest:
                named.add(".".join(module.split(".")[:3]))
        elif top not in PURE | NEEDED | tops and find(top) is not None:
            named.add(module if _is_module(module) else top)
    return named


def _is_module(module: str) -> bool:
    return find(module) is not None


def told(catalogue: Catalogue, names: Iterable[str]) -> list[str]:
    """A sentence for each technique that imports more."""
    lines = []
    for name in names:
        if modules := beyond(catalogue, name):
            lines.append(
                f"{name} imports {', '.join(modules)}, beyond {API}, torch and pure parts of Python: read what it does "
                "there"
            )
    return lines
