"""The rows of the next step, gathered while this step computes.

On CUDA the processor has nothing to do while the device works, and gathering 512 rows from memory-mapped shards takes
milliseconds, longer where the disk is slow. The rows lie in page-locked memory, from which the device copies while it
computes. On a CPU the core is busy anyway: rows are gathered when they are asked for.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch import Tensor

Rows = tuple[Tensor, Tensor]
Place = tuple[int, int]
"""First row and number of rows."""


class Ahead:
    """`take(read, place, following)` is `read(*place)`; what `following` will be is begun in another thread.

    An error while reading is raised where the rows are taken. A place that was not foreseen is read at once.
    """

    def __init__(self, wanted: bool, pinned: bool):
        """`wanted`: whether to read ahead at all; `pinned`: into page-locked memory, for CUDA."""
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="rows") if wanted else None
        self.pinned = pinned
        self.coming: tuple[Any, Place, Future[Rows]] | None = None

    def take(self, read: Callable[[int, int], Rows], place: Place, following: Place | None) -> Rows:
        if self.thread is None:
            return read(*place)
        foreseen, self.coming = self.coming, None
        # All reading is done by the one thread: an order of rows remembers its last epoch, and is no place for two.
        known = foreseen is not None and foreseen[:2] == (read, place)
        future = foreseen[2] if known and foreseen else self.thread.submit(self._read, read, place)
        rows = future.result()
        if following is not None:
            self.coming = read, following, self.thread.submit(self._read, read, following)
        return rows

    def _read(self, read: Callable[[int, int], Rows], place: Place) -> Rows:
        inputs, targets = read(*place)
        return (inputs.pin_memory(), targets.pin_memory()) if self.pinned else (inputs, targets)

    def close(self) -> None:
        """Forget what was begun; the thread ends."""
        if self.thread is not None:
            self.thread.shutdown(wait=True, cancel_futures=True)
            self.thread = self.coming = None
