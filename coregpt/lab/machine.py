"""Where a launcher's workers live, and its clock."""

import time
from dataclasses import dataclass

from coregpt.lab.children import Child, spawn
from coregpt.lab.pool import CAN_FORK, Pool
from coregpt.lab.slots import Slot
from coregpt.lab.store import Claim, RunFolder


@dataclass
class Machine:
    """This computer. A cluster or a simulation overrides what differs."""

    slot: Slot

    def __post_init__(self) -> None:
        self.pool = Pool(self.slot) if CAN_FORK else None

    def begin(self, slot: Slot, folder: RunFolder, until: int | None, held: Claim) -> Child:
        """Start a worker; it inherits the claim, so that this ends with the worker and not with the launcher."""
        start = self.pool.start if self.pool and slot.ranks == 1 else spawn
        return start(slot, folder.path, until, folder.log, held.descriptor)

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        if self.pool:
            self.pool.close()
