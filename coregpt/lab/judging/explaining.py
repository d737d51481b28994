"""What went wrong in a run, in one line."""

import torch

from coregpt.contract.errors import CoreGPTError, in_one_line
from coregpt.lab.study.code.blame import told


def out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the machine, had no room for what was asked."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def explain(error: BaseException) -> str:
    """One line that says what went wrong, and where if a plugin had a part in it."""
    if out_of_memory(error):
        return "out of memory"
    if isinstance(error, CoreGPTError):
        return str(error)
    return told(error) or in_one_line(error)


def whole_story(error: BaseException) -> bool:
    """Whether the message alone says what to mend; else the log holds the whole traceback."""
    return out_of_memory(error) or (isinstance(error, CoreGPTError) and error.__cause__ is None)
