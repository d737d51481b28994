"""What a command that trains may use, and where it keeps things."""

from dataclasses import dataclass
from pathlib import Path

from coregpt.lab.jobs import Policy
from coregpt.lab.slurm import SlurmOptions


@dataclass(frozen=True)
class Resources:
    """`jobs` is how many runs go at a time (None: one per core or GPU); with `slurm` they go on a cluster."""

    store: Path
    reports: Path = Path("reports")
    jobs: int | None = None
    mlflow: bool = True
    policy: Policy | None = None
    slurm: SlurmOptions | None = None

    @property
    def nodes(self) -> str:
        """The device of the nodes that will train; empty for this machine."""
        return self.slurm.device if self.slurm else ""
