"""What a command that trains may use, and where it keeps things."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from coregpt.cli.cluster import slurm_options
from coregpt.lab.execute.jobs import Policy
from coregpt.lab.execute.pool import Pool
from coregpt.lab.slurm.cluster import SlurmOptions
from coregpt.lab.study.outline import Plan
from coregpt.report.places import own


@dataclass(frozen=True)
class Resources:
    """`jobs` is how many runs go at a time (None: one per core or GPU); with `slurm` they go on a cluster."""

    store: Path
    reports: Path
    jobs: int | None = None
    mlflow: bool = True
    policy: Policy | None = None
    slurm: SlurmOptions | None = None
    before: tuple[Plan, ...] = ()
    """Trials of the study, whose runs count among what it has spent."""
    pool: Pool | None = None
    """Opened before the study was read, so that workers start at once; whoever opened it ends it."""

    @property
    def nodes(self) -> str:
        """The device of the nodes that will train; empty for this machine."""
        return self.slurm.device if self.slurm else ""


def resources(options: argparse.Namespace, pool: Pool | None) -> Resources:
    """Of the command line."""
    policy = Policy(options.retries, options.fail_fast, options.hang_seconds)
    slurm = slurm_options(options, options.on == "slurm", "--on slurm")
    reports = getattr(options, "reports", None) or own(options.runs)
    mlflow = not getattr(options, "no_mlflow", True)
    return Resources(options.runs, reports, options.jobs, mlflow, policy, slurm, pool=pool)
