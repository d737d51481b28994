"""Functions of a study's techniques in the place of others, where results are read that they must not touch."""

import os
import sys
import sysconfig
from collections.abc import Container, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch

from coregpt.lab.guard.bound import callables, called, places, refuse

WRITTEN = (FunctionType, MethodType, partial)
"""Types of what is called and was written in Python."""
LIBRARIES = (
    *(os.path.join(sysconfig.get_path(kind), "") for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
    os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), ""),
)
"""Folders of Python and of what is installed."""


def refuse_planted(sources: Iterable[Path]) -> None:
    """Raises PluginError where a function of core, of Python or of what is installed is written in one of `sources`.

    For a process that has planned a study, and imported its techniques for that, before it reads their results.
    """
    files = {str(path) for source in sources for path in (source, source.resolve())}
    looked_at = [(f"{place}.{name}", value) for place, owner in places() for name, value in callables(owner).items()]
    found = dict.fromkeys(
        f"{name} is a function of {code.co_filename}"
        for name, value in (*looked_at, *_of_others(files))
        if (code := _code(value)) is not None and code.co_filename in files
    )
    refuse(list(found), "was planned")


def _of_others(files: Container[str]) -> Iterator[tuple[str, Any]]:
    """Functions of Python's modules and of installed ones: not only core's own read results. By their type, as whatever
    else lies in modules may warn of being looked at.

    Not of packages with one of `files` in them, nor of what somebody wrote beside: another technique, or a notebook,
    may import the helpers of this one.
    """
    modules = [(place, each) for place, each in list(sys.modules.items()) if isinstance(each, ModuleType)]
    own = {_top(place) for place, module in modules if vars(module).get("__file__") in files}
    for place, module in modules:
        if module is sys.modules["__main__"] or _top(place) in own:
            continue
        if (vars(module).get("__file__") or LIBRARIES[0]).startswith(LIBRARIES):
            for name, value in list(vars(module).items()):
                if type(value) in WRITTEN:
                    yield f"{place}.{name}", value


def _top(place: str) -> str:
    return place.partition(".")[0]


def _code(value: Any) -> CodeType | None:
    """What a function executes; None for what is not written in Python."""
    code = getattr(called(value), "__code__", None)
    return code if isinstance(code, CodeType) else None
