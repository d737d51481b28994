"""Numbers by how they come about: every tensor of a pass without memory gets a name made of what computed it.

Two tensors of one name hold equal numbers, whatever the weights and the tokens are. A name is the digest of the
operation, its settings and the names of what it read, so it says nothing about what was computed and never read.
Names belong to stretches of memory: views share them, and what overwrites a stretch gives it a new one.
"""

import functools
import hashlib
import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

Piece = tuple[int, int, str]
"""First byte, end, name."""

OVERWRITE = {"copy_", "fill_", "zero_"}
"""What was there before does not matter to these."""
FROM_DATA = (torch.tensor, torch.as_tensor, torch.asarray)


def digest(*parts: object) -> str:
    """A name made of others."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


class Symbols(TorchDispatchMode):
    """Names for tensors on the meta device while it is entered; tensors with memory are named by their content."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._pieces: dict[int, list[Piece]] = {}
        self._alive: list[Tensor] = []
        self._draws = 0
        self._read: dict[str, list[str]] = {}
        self.writes: set[int] = set()
        """Storages written in place since this was last emptied."""

    def name(self, t: Tensor) -> str:
        """Of what a tensor holds now, with its shape."""
        if not t.is_meta:
            content = t.detach().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
            # not by `repr`: tables of positions have millions of numbers
            held = hashlib.blake2b(content.cpu().numpy().data, digest_size=16)
            return digest(_kind(t), held.hexdigest())
        pieces, (start, end) = self._of(t), _span(t)
        if not t.is_contiguous():
            return digest(_kind(t), t.stride(), start, pieces)
        exact = next((name for low, high, name in pieces if (low, high) == (start, end)), None)
        if exact is not None:
            return digest(_kind(t), exact)
        pieces = [(low - start, high - start, name) for low, high, name in self._cut(pieces, start, end)]
        return digest(_kind(t), pieces[0][2] if len(pieces) == 1 else pieces)

    def given(self, t: Tensor) -> str:
        """The name that was assigned to exactly this tensor, or its first stretch's."""
        return self._names(t)[0]

    def assign(self, t: Tensor, name: str) -> None:
        """From here on `t` holds what `name` stands for."""
        pieces, start, end = self._of(t), *_span(t)
        if not t.is_contiguous():
            whole = digest("part", name, start, tuple(t.shape), t.stride(), pieces)
            self._read[whole] = [name, *(before for *_, before in pieces)]
            pieces, start, name = [], 0, whole
            end = t.untyped_storage().nbytes()
        kept = [*self._cut(pieces, 0, start), *self._cut(pieces, end, t.untyped_storage().nbytes())]
        self._pieces[_storage(t)] = sorted([*kept, (start, end, name)])

    def _cut(self, pieces: list[Piece], start: int, end: int) -> Iterator[Piece]:
        """What lies between two bytes; of a piece that is cut, a name that says which part it is."""
        for low, high, name in pieces:
            first, last = max(low, start), min(high, end)
            if first < last:
                if (first, last) != (low, high):
                    whole, name = name, digest("cut", name, first - low, last - low)
                    self._read[name] = [whole]
                yield first, last, name

    def _names(self, t: Tensor) -> list[str]:
        """Of the stretches that `t` lies in."""
        start, end = _span(t) if t.is_contiguous() else (0, t.untyped_storage().nbytes())
        return [name for low, high, name in self._of(t) if low < end and high > start]

    def _of(self, t: Tensor) -> list[Piece]:
        storage = t.untyped_storage()
        if storage._cdata not in self._pieces:
            # Nobody saw where it comes from, so that it equals nothing.
            self._new(t, f"unknown {uuid.uuid4().hex}")
        return self._pieces[storage._cdata]

    def _new(self, t: Tensor, name: str) -> None:
        storage = t.untyped_storage()
        self._pieces[storage._cdata] = [(0, storage.nbytes(), name)]
        self._alive.append(t)  # or another tensor might get its address

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operator = _operator(func)
        tensors: list[Tensor] = []
        told = repr((operator.text, [_told(value, tensors) for value in args], _told(list(kwargs.items()), tensors)))
        first = operator.overwrites  # what was there before does not matter
        read = [_kind(t) if i == 0 and first else self.name(t) for i, t in enumerate(tensors)]
        self._draws += operator.random
        called = digest(told, read, self._draws if operator.random else 0)
        self._read[called] = [name for t in tensors[first:] if t.is_meta for name in self._names(t)]
        if operator.makes_new and all(t.is_meta for t in tensors):
            answer = _shaped(func, args, kwargs, (told, *((_kind(t), t.stride()) for t in tensors)))
            for i, t in enumerate(_tensors(answer)):
                self._new(t, self._part(called, i))
            return answer
        known = {_storage(t) for t in tensors}
        answer = func(*args, **kwargs)
        given = [*args, *([None] * (len(operator.names) - len(args)))]
        written = [t for i in operator.writes for t in _tensors(kwargs.get(operator.names[i], given[i]))]
        for i, t in enumerate(written):
            self.writes.add(_storage(t))
            if t.is_meta:
                self.assign(t, self._part(called, f"written {i}"))
        for i, t in enumerate(_tensors(answer)):
            if t.is_meta and _storage(t) not in known:
                self._new(t, self._part(called, i))
        return answer

    def _part(self, called: str, which: int | str) -> str:
        name = digest(called, which)
        self._read[name] = [called]
        return name

    def sources(self, t: Tensor) -> set[str]:
        """Every name that what `t` holds was made of, its own included."""
        found: set[str] = set()
        waiting = self._names(t)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self._read.get(name, ())
        return found


@dataclass(frozen=True)
class Operator:
    """What its schema says."""

    text: str
    names: tuple[str, ...]
    writes: tuple[int, ...]
    """Arguments that it changes."""
    makes_new: bool
    """It only reads its arguments, and answers with none of them and no view of one."""
    overwrites: bool
    """It writes its first argument without reading it."""
    random: bool


@functools.cache
def _operator(func: Any) -> Operator:
    schema = func._schema
    aliases = [argument.alias_info for argument in schema.arguments]
    return Operator(
        str(func),
        tuple(argument.name for argument in schema.arguments),
        tuple(i for i, alias in enumerate(aliases) if alias is not None and alias.is_write),
        all(alias is None for alias in (*aliases, *(each.alias_info for each in schema.returns))),
        schema.name.rpartition("::")[2] in OVERWRITE,
        torch.Tag.nondeterministic_seeded in func.tags,
    )


_SHAPES: dict[Any, list[tuple[Any, torch.dtype]]] = {}


def _shaped(func: Any, args: Any, kwargs: Any, key: Any) -> Any:
    """What the operation answers. Layers ask for equal shapes, which take long to work out, again and again."""
    if key in _SHAPES:
        made = [torch.empty_strided(*sizes, dtype=dtype, device="meta") for sizes, dtype in _SHAPES[key]]
        return made[0] if len(made) == 1 else tuple(made)
    answer = func(*args, **kwargs)
    made = _tensors(answer)
    plain = isinstance(answer, Tensor) or (isinstance(answer, tuple) and len(made) == len(answer) > 1)
    if plain and all(t.is_meta and not t.storage_offset() for t in made):
        _SHAPES[key] = [((t.shape, t.stride()), t.dtype) for t in made]
    return answer


class Shapes(TorchDispatchMode):
    """Works out an operation's shapes on the meta device once, while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, tensors = kwargs or {}, list[Tensor]()
        told = repr((str(func), [_told(value, tensors) for value in args], _told(list(kwargs.items()), tensors)))
        if not _operator(func).makes_new or not all(t.is_meta for t in tensors):
            return func(*args, **kwargs)
        return _shaped(func, args, kwargs, (told, *((_kind(t), t.stride()) for t in tensors)))


class WithContent(TorchFunctionMode):
    """Tensors made of Python numbers exist with their content first, or the meta device would lose it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in FROM_DATA and "device" in kwargs:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is Tensor.new_tensor:
            like, data, *_ = args
            return torch.tensor(data, dtype=kwargs.get("dtype", like.dtype)).to(kwargs.get("device", like.device))
        return func(*args, **kwargs)


def _kind(t: Tensor) -> tuple[str, tuple[int, ...]]:
    return str(t.dtype), tuple(t.shape)


def _storage(t: Tensor) -> int:
    return t.untyped_storage()._cdata


def _tensors(value: Any) -> list[Tensor]:
    """Of an argument or an answer, which may be several."""
    if isinstance(value, Tensor):
        return [value]
    return [each for each in value if isinstance(each, Tensor)] if isinstance(value, list | tuple) else []


def _told(value: Any, tensors: list[Tensor]) -> Any:
    """An argument but for its tensors, which go to the list."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return "tensor"
    if isinstance(value, list | tuple):
        return [_told(each, tensors) for each in value]
    return repr(value)


def _span(t: Tensor) -> tuple[int, int]:
    """First byte and end of a contiguous tensor in its storage."""
    start = int(t.storage_offset()) * t.element_size()
    return start, start + math.prod(t.shape) * t.element_size()
