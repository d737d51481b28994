"""What became of the runs of a study that were missing, and whether to go on after failures."""

from collections import Counter
from dataclasses import dataclass, field

from coregpt.lab.execute.jobs import Job


@dataclass
class Tally:
    """What became of the runs that were missing."""

    trained: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Run id to the reason."""
    interrupted: bool = False
    spent: str = ""
    """What was spent, if the study was stopped because it may spend no more."""
    hopeless: str = ""
    """The failure that every further run of its arm would have; the rest was not tried."""


class Failures:
    """What failures of this launcher have in common."""

    def __init__(self) -> None:
        self.seen = Counter[tuple[str, str, float]]()

    def must_repeat(self, job: Job, reason: str) -> bool:
        """Data or settings that no run can take, or two runs of an arm that fail alike at one step: so do the rest."""
        error = job.folder.error() or {}
        alike = reason.replace(job.run.id, "")  # as in the path of the run's own copy of a technique
        cell = (job.run.arm, alike, float(job.last.get("step", 0)))
        self.seen[cell] += bool(error.get("traceback"))
        return bool(error.get("must_repeat")) or self.seen[cell] > 1
