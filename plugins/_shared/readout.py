"""Weights that only evaluations see: swapped in around one, and back to the bit after it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor


@contextmanager
def swapped(params: Mapping[str, Any], shown: Callable[[str, Tensor], Tensor]) -> Iterator[None]:
    """Inside, every parameter has the value `shown(path, last)` in the place of its last one."""
    last = {path: param.detach().clone() for path, param in params.items()}
    try:
        for path, value in last.items():
            params[path].data.copy_(shown(path, value))
        yield
    finally:
        for path, value in last.items():
            params[path].data.copy_(value)
