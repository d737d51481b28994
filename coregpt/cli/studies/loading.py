"""A study file as a command sees it: read for the machine, or the cluster, on which it will run."""

from pathlib import Path

import torch

from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.chain import resolved
from coregpt.lab.planning.load import load, load_family
from coregpt.lab.planning.pilot import refuse_undecidable
from coregpt.lab.slurm.cluster import SlurmOptions
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.idle.inert import refuse_idle
from coregpt.lab.study.idle.known import Known


def load_studies(path: Path, scale: str | None, store: Path, slurm: SlurmOptions | None = None) -> list[Study]:
    """One study, or one per size. Raises ConfigError for what a cluster cannot decide."""
    studies = load_family(path, scale, slurm.gpus_per_node if slurm else torch.cuda.device_count(), store)
    if slurm and studies[0].splits:
        text = "auto is measured on this machine's GPUs; a cluster needs a number, such as gpus_per_run: 8"
        raise ConfigError(f"{path}: gpus_per_run: {text}")
    return [resolved(study, store) for study in studies]


def sound_studies(
    path: Path, scale: str | None, store: Path, slurm: SlurmOptions | None = None
) -> tuple[list[Study], list[Known]]:
    """As `load_studies`, with what is known of each study's techniques.

    Raises ConfigError where the runs could decide nothing, or a technique would do nothing in its arm.
    """
    studies = load_studies(path, scale, store, slurm)
    refuse_undecidable(studies[0])
    return studies, refuse_idle(studies)


def load_study(path: Path, scale: str | None, store: Path, slurm: SlurmOptions | None = None) -> Study:
    return resolved(load(path, scale, slurm.gpus_per_node if slurm else torch.cuda.device_count(), store), store)
