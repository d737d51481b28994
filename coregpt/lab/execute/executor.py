"""Where a launcher's workers live, and its clock."""

import time
from dataclasses import dataclass, field

from coregpt.lab.execute.children import Child, spawn
from coregpt.lab.execute.jobs import meaning
from coregpt.lab.execute.pool import CAN_FORK, Pool
from coregpt.lab.execute.slots import Slot
from coregpt.lab.records.claims import Claim
from coregpt.lab.records.store import RunFolder


@dataclass
class Executor:
    """This computer. A cluster or a simulation overrides what differs."""

    slot: Slot
    pool: Pool | None = field(default=None, kw_only=True)
    """One that stays open for others; a machine without gets its own, where it can have one."""

    def __post_init__(self) -> None:
        self.lent = self.pool is not None
        if CAN_FORK and not self.lent:
            self.pool = Pool(self.slot)

    def begin(self, slot: Slot, folder: RunFolder, until: int | None, held: Claim) -> Child:
        """Start a worker; it inherits the claim, so that this ends with the worker and not with the launcher."""
        start = self.pool.start if self.pool and slot.ranks == 1 else spawn
        return start(slot, folder.path, until, folder.log, held.descriptor)

    def attached(self, folder: RunFolder, until: int | None) -> Claim | None:
        """What stands for the claim on a run that is held by a child of this machine from an earlier launcher."""
        return None

    def queued(self, child: Child) -> bool:
        """Whether a child still waits for a place to run."""
        return False

    def meaning(self, child: Child, code: int) -> str:
        """What the exit code of a child that left no error.json means."""
        return meaning(code)

    def abandon(self) -> None:
        """The launcher is about to stop for good: children that would outlive it are not wanted any more."""

    def farewell(self) -> str:
        """What becomes of the children when the launcher is asked to stop."""
        return "workers write their checkpoints (again to stop at once)"

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def close(self) -> None:
        if self.pool and not self.lent:
            self.pool.close()
