"""What a technique must leave as it found it: the functions of torch and of core, and the switches of arithmetic.

A picture is taken before any technique is imported, and compared with one taken later. A function that was put back in
between is not seen here; what it did to a number is (`lab/judging/judge.py`).
"""

import builtins
import contextlib
import gc
import hashlib
import json
import math
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy
import numpy.random
import torch
from torch import nn

from coregpt.contract.errors import PluginError
from coregpt.lab.guard.switches import switches

MODULES = (
    *(builtins, math, os, random, time, numpy, numpy.random),
    *(contextlib, gc, hashlib, json, socket, tempfile),  # by which a run says what came of it
    *(torch, torch.nn.functional, torch.nn.init, torch.autograd, torch.random, torch.overrides, torch.special),
    torch._C._nn,
)
CLASSES = (
    *(torch.Tensor, nn.Parameter, nn.Module, torch.autograd.Function, torch.Generator),
    *(json.JSONEncoder, json.JSONDecoder, socket.socket, Path),
)
CORE = "coregpt."
OWN = ("__pydantic", "__abstractmethods__", "_abc_")
"""How names begin that Python and pydantic write into classes when they are first used."""
COMPILERS = tuple(os.path.join(os.path.dirname(torch.__file__), name) for name in ("_dynamo/", "_compile.py"))
CALLED_ITSELF = frozenset({FunctionType, BuiltinFunctionType, WrapperDescriptorType, MethodDescriptorType})
"""Kinds of callables that hand on to no other; most are of these, and every run goes through all of them four times."""
PLAIN = (bool, int, float, str, bytes, tuple, frozenset)
"""Kinds of a module's constants that are compared."""


@dataclass(frozen=True)
class Bound:
    """A picture of both."""

    functions: Mapping[str, Mapping[str, Any]]
    """By module or class, everything that can be called, by name."""
    codes: Mapping[str, Mapping[str, tuple[Any, ...]]]
    """What each of them executes and is given if nothing is said, which may be exchanged inside of a function that
    stays."""
    constants: Mapping[str, Mapping[str, Any]]
    """By module of core, its plain constants."""
    switches: Mapping[str, str]

    @classmethod
    def now(cls) -> "Bound":
        functions = {place: callables(owner) for place, owner in places()}
        codes = {place: {name: _inside(value) for name, value in found.items()} for place, found in functions.items()}
        constants = {place: _constants(owner) for place, owner in places() if isinstance(owner, ModuleType)}
        return cls(functions, codes, constants, switches())

    def refuse_changes(self, when: str) -> None:
        """Raises PluginError naming what is no longer as it was. `when` says since when, of a technique."""
        refuse([*self.changed_functions(), *self.changed_switches()], when)

    def refuse_in_step(self, but: Sequence[str], functions: bool = False) -> None:
        """As `refuse_changes`, inside of a step, of `functions` too or of switches alone; `but` are those that may
        move."""
        refuse([*(self.changed_functions() if functions else ()), *self.changed_switches(but)], "began a step")

    def put_back(self) -> None:
        """Undo changes of functions, where they can be undone: in modules and in classes written in Python."""
        for place, owner in places():
            for name, value in self.functions.get(place, {}).items():
                if vars(owner).get(name) is not value and not _by_compiler(vars(owner).get(name), value):
                    setattr(owner, name, value)
                elif _apart(self.codes[place][name], _inside(value)):
                    function = called(value)
                    function.__code__, function.__defaults__ = self.codes[place][name][:2]

    def changed_functions(self) -> Iterator[str]:
        """`torch.nn.functional.cross_entropy is another function`, for each."""
        for place, owner in places():
            before = self.functions.get(place)
            if before is None:  # a module of core that was imported since
                continue
            after = callables(owner)
            for name, value in before.items():
                if after.get(name) is not value and not _by_compiler(after.get(name), value):
                    yield f"{place}.{name} is {'gone' if name not in after else 'another function'}"
                elif _apart(_inside(value), self.codes[place][name]):
                    yield f"{place}.{name} executes other code"
            now = _constants(owner) if place in self.constants else {}
            for name, value in self.constants.get(place, {}).items():
                if name not in now or now[name] != value:
                    yield f"{place}.{name} is {now.get(name, 'gone')!r}, not {value!r}"
            # Whatever torch imports later adds names to its modules; a new one of a class hides an inherited one.
            if isinstance(owner, type) or place.startswith(CORE):
                yield from (f"{place}.{name} is new" for name in after if name not in before and _hides(owner, name))

    def changed_switches(self, but: Sequence[str] = ()) -> Iterator[str]:
        """`the precision of fp32 products is medium, not highest`, for each."""
        now = switches()
        for key, value in self.switches.items():
            if now[key] != value and key not in but:
                yield f"{key} is {now[key]}, not {value}"


def called(value: Any) -> Any:
    """What is called: of a property when it is read, of a method, of a function with some arguments given."""
    if type(value) in CALLED_ITSELF:
        return value
    return getattr(value, "fget", None) or getattr(value, "__func__", None) or getattr(value, "func", value)


def _inside(value: Any) -> tuple[Any, ...]:
    """Code of a function and its defaults; empty for what is not written in Python."""
    function = called(value)
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return ()
    return (code, function.__defaults__, *(function.__kwdefaults__ or {}).values())


def _apart(now: tuple[Any, ...], before: tuple[Any, ...]) -> bool:
    return len(now) != len(before) or not all(map(is_, now, before))


def _constants(owner: Any) -> dict[str, Any]:
    """Of a module of core: `MORE = 1.02`, and no counter or table that is filled."""
    if not owner.__name__.startswith(CORE):
        return {}
    found = {name: value for name, value in list(vars(owner).items()) if name.isupper() and not name.startswith("__")}
    return {name: value for name, value in found.items() if isinstance(value, PLAIN)}


def refuse(found: Sequence[str], when: str) -> None:
    """Raises PluginError where something was found."""
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise PluginError(
            f"after a technique {when}, {'; '.join(found[:3])}{more}: techniques change the model that they are "
            "asked about, never what all runs share; this run cannot count"
        )


def places() -> Iterator[tuple[str, Any]]:
    yield from ((module.__name__, module) for module in MODULES)
    yield from ((_class_name(owner), owner) for owner in CLASSES)
    for name, module in list(sys.modules.items()):
        if name.startswith(CORE) and isinstance(module, ModuleType):
            yield name, module
            for own in list(vars(module).values()):
                if isinstance(own, type) and own.__module__ == name:
                    yield f"{name}.{own.__qualname__}", own


def _class_name(owner: type) -> str:
    """`torch.Generator`, of one that lies deeper inside of torch, and `json.encoder.JSONEncoder`."""
    module = owner.__module__
    return f"{'torch' if module.partition('.')[0] == 'torch' else module}.{owner.__name__}"


def callables(owner: Any) -> dict[str, Any]:
    kinds = (property, staticmethod, classmethod)
    return {
        name: value
        for name, value in list(vars(owner).items())
        if (callable(value) or isinstance(value, kinds)) and not name.startswith(OWN)
    }


def _hides(owner: Any, name: str) -> bool:
    """Whether a new name of a class or of a module of core takes the place of one that was found elsewhere."""
    return isinstance(owner, type) or hasattr(builtins, name)


def _by_compiler(now: Any, before: Any) -> bool:
    """Whether torch's compiler has only wrapped it, as it does with some functions when it is first used."""
    code = getattr(now, "__code__", None)
    if code is None or not code.co_filename.startswith(COMPILERS):
        return False
    around = [cell.cell_contents for cell in now.__closure__ or ()]
    return getattr(now, "__wrapped__", None) is before or any(each is before for each in around)
