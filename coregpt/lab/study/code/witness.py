"""Which plugin's answer core stumbled over, where the error itself comes from a line of core or of torch.

A part that gives a tensor of another shape fails where the tensor is used, not where it was made.
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TypeVar

from torch import OutOfMemoryError, Tensor

from coregpt.contract.errors import CoreGPTError, PluginError, in_one_line
from coregpt.lab.study.code.blame import place_of, plugin_roots, within

T = TypeVar("T")


def witnessed(work: Callable[[], T]) -> T:
    """What `work` gives. Where it fails in core over what a plugin answered, it is done once more and watched:

    PluginError then says which code of a plugin answered last, and with what.
    """
    try:
        return work()
    except Exception as error:
        if isinstance(error, CoreGPTError | MemoryError | OutOfMemoryError) or place_of(error):
            raise
        if (last := _last_answer(work)) is None:
            raise
        raise PluginError(f"{in_one_line(error)}; the last plugin code before it: {last}") from error


def _last_answer(work: Callable[[], object]) -> str | None:
    """`Gate.forward (gate.py:12) gave a tensor of shape (2, 3)`; None if no plugin's code was executed."""
    roots, last = plugin_roots(), ""
    ours: dict[str, bool] = {}

    def watch(frame: FrameType, event: str, answer: object) -> None:
        nonlocal last
        if event == "return":
            code = frame.f_code
            if code.co_filename not in ours:
                ours[code.co_filename] = within(Path(code.co_filename), roots)
            if ours[code.co_filename]:
                last = f"{code.co_qualname} ({code.co_filename}:{frame.f_lineno}) gave {_described(answer)}"

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        with warnings.catch_warnings(action="ignore"):
            work()
    except Exception:  # the same again: what matters is who answered before it
        return last or None
    finally:
        sys.setprofile(before)
    return None


def _described(answer: object) -> str:
    if isinstance(answer, Tensor):
        return f"a tensor of shape {tuple(answer.shape)} ({str(answer.dtype).removeprefix('torch.')})"
    if isinstance(answer, tuple):
        return f"({', '.join(map(_described, answer))})"
    return "None" if answer is None else f"an object of type {type(answer).__name__}"
