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
import sysconfig
import tempfile
import time
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import is_
from pathlib import Path
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy
import numpy.random
import torch
from torch import nn

from coregpt.contract.errors import PluginError

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
SWITCHES = (
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"),
    *("ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"),
    *("CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
)
"""Variables by which libraries choose other instructions, and with them how sums are rounded."""
COMPILERS = tuple(os.path.join(os.path.dirname(torch.__file__), name) for name in ("_dynamo/", "_compile.py"))
KERNELS = (
    *("mm", "addmm", "bmm", "baddbmm", "_log_softmax", "nll_loss_forward", "logsumexp", "embedding", "index", "copy_"),
    *("add.Tensor", "mul.Tensor", "sub_.Tensor", "native_layer_norm", "rms_norm"),
)
"""Operators whose kernels nobody may replace: products, losses, and what moves weights."""
CALLED_ITSELF = frozenset({FunctionType, BuiltinFunctionType, WrapperDescriptorType, MethodDescriptorType})
"""Kinds of callables that hand on to no other; most are of these, and every run goes through all of them four times."""
PLAIN = (bool, int, float, str, bytes, tuple, frozenset)
"""Kinds of a module's constants that are compared."""
WRITTEN = (FunctionType, MethodType, partial)
"""Types of what is called and was written in Python."""
LIBRARIES = (
    *(os.path.join(sysconfig.get_path(kind), "") for kind in ("stdlib", "platstdlib", "purelib", "platlib")),
    os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), ""),
)
"""Folders of Python and of what is installed."""
TINY = 1e-39
"""A number that is zero where denormals are flushed."""


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
        functions = {place: _callables(owner) for place, owner in _places()}
        codes = {place: {name: _inside(value) for name, value in found.items()} for place, found in functions.items()}
        constants = {place: _constants(owner) for place, owner in _places() if isinstance(owner, ModuleType)}
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
        for place, owner in _places():
            for name, value in self.functions.get(place, {}).items():
                if vars(owner).get(name) is not value and not _by_compiler(vars(owner).get(name), value):
                    setattr(owner, name, value)
                elif _apart(self.codes[place][name], _inside(value)):
                    function = _function(value)
                    function.__code__, function.__defaults__ = self.codes[place][name][:2]

    def changed_functions(self) -> Iterator[str]:
        """`torch.nn.functional.cross_entropy is another function`, for each."""
        for place, owner in _places():
            before = self.functions.get(place)
            if before is None:  # a module of core that was imported since
                continue
            after = _callables(owner)
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


def refuse_planted(sources: Iterable[Path]) -> None:
    """Raises PluginError where a function of core, of Python or of what is installed is written in one of `sources`.

    For a process that has planned a study, and imported its techniques for that, before it reads their results.
    """
    files = {str(path) for source in sources for path in (source, source.resolve())}
    looked_at = [(f"{place}.{name}", value) for place, owner in _places() for name, value in _callables(owner).items()]
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


def _function(value: Any) -> Any:
    """What is called: of a property when it is read, of a method, of a function with some arguments given."""
    if type(value) in CALLED_ITSELF:
        return value
    return getattr(value, "fget", None) or getattr(value, "__func__", None) or getattr(value, "func", value)


def _code(value: Any) -> CodeType | None:
    """What a function executes; None for what is not written in Python."""
    code = getattr(_function(value), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _inside(value: Any) -> tuple[Any, ...]:
    """Code of a function and its defaults; empty for what is not written in Python."""
    function = _function(value)
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


def of_products() -> dict[str, str]:
    """The switches of products alone, which are quick to ask."""
    asked = {
        "the precision of fp32 products": torch.get_float32_matmul_precision,
        "the number of threads": torch.get_num_threads,
        "oneDNN being enabled": lambda: torch._C._get_mkldnn_enabled(),
    }
    return {name: _told(ask) for name, ask in asked.items()}


def switches() -> dict[str, str]:
    """Everything outside of a run's settings by which torch rounds otherwise, draws otherwise, or takes other time."""
    read = {
        "the precision of fp32 products": torch.get_float32_matmul_precision,
        "the default type of tensors": torch.get_default_dtype,
        "the number of threads": torch.get_num_threads,
        "flushing of denormals": lambda: bool(torch.tensor(TINY) * 1 == 0),
        "gradients being on": torch.is_grad_enabled,
        "autocast on the CPU": lambda: torch.is_autocast_enabled("cpu"),
        "autocast on CUDA": lambda: torch.is_autocast_enabled("cuda"),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled,
        "oneDNN": torch.backends.mkldnn.is_available,
        "oneDNN being enabled": lambda: torch._C._get_mkldnn_enabled(),
        "TF32 in products": lambda: torch.backends.cuda.matmul.allow_tf32,
        "TF32 in convolutions": lambda: torch.backends.cudnn.allow_tf32,
        "sums in bf16": lambda: torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
        "sums in fp16": lambda: torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        "the fp32 precision of oneDNN": lambda: _setting("mkldnn", "fp32_precision"),
        "the fp32 precision of backends": lambda: getattr(torch.backends, "fp32_precision", None),
        **{f"the fp32 precision of {name}": partial(_setting, name, "fp32_precision") for name in PARTS},
        "hooks on all modules": _global_hooks,
        "kernels of products and losses": _kernels,
        "functions in between": lambda: len(torch.overrides._get_current_function_mode_stack()),
        "operators in between": lambda: len(torch.utils._python_dispatch._get_current_dispatch_mode_stack()),
    }
    variables = {f"the variable {name}": str(os.environ.get(name)) for name in SWITCHES}
    return {name: _told(ask) for name, ask in read.items()} | variables


PARTS = ("mkldnn.matmul", "mkldnn.conv", "cuda.matmul", "cudnn.conv", "cudnn.rnn")
"""Of backends, with a precision of their own."""


def _setting(backend: str, name: str) -> object:
    found: object = torch.backends
    for part in (*backend.split("."), name):
        found = getattr(found, part, None)
    return found


def _global_hooks() -> int:
    module = torch.nn.modules.module
    return sum(len(value) for name, value in vars(module).items() if name.startswith("_global_") and "hooks" in name)


def _kernels() -> str:
    """A digest of who computes these operators. torch itself adds kernels without memory when they are first wanted."""
    said = "".join(
        line
        for name in KERNELS
        for line in torch._C._dispatch_dump(f"aten::{name}").splitlines()
        if not line.startswith(("Meta", "Python", "Fake", "Functionalize"))
    )
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _told(ask: Any) -> str:
    try:
        return str(ask())
    except RuntimeError:  # where old and new names of one switch were both set
        return "set in two ways"


def _places() -> Iterator[tuple[str, Any]]:
    yield from ((module.__name__, module) for module in MODULES)
    yield from ((_called(owner), owner) for owner in CLASSES)
    for name, module in list(sys.modules.items()):
        if name.startswith(CORE) and isinstance(module, ModuleType):
            yield name, module
            for own in list(vars(module).values()):
                if isinstance(own, type) and own.__module__ == name:
                    yield f"{name}.{own.__qualname__}", own


def _called(owner: type) -> str:
    """`torch.Generator`, of one that lies deeper inside of torch, and `json.encoder.JSONEncoder`."""
    module = owner.__module__
    return f"{'torch' if module.partition('.')[0] == 'torch' else module}.{owner.__name__}"


def _callables(owner: Any) -> dict[str, Any]:
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
