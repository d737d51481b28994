"""A study file as a command sees it: read for the machine, or the cluster, on which it will run."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from coregpt.cli.screen import say
from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.tuned import WHERE, refuse_absent, taken_of
from coregpt.lab.planning.chain import resolved
from coregpt.lab.planning.load import load, load_family
from coregpt.lab.planning.pilot import refuse_undecidable
from coregpt.lab.planning.plans import refuse_nowhere
from coregpt.lab.progress import Display
from coregpt.lab.slurm.cluster import SlurmOptions
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.idle.inert import refuse_idle
from coregpt.lab.study.idle.known import Known
from coregpt.lab.study.whereabouts import where


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
    for study in studies:  # what takes no building of models to see, first
        refuse_absent(study)
        refuse_nowhere(study)
    refuse_edited_brackets(studies)
    display = Display(sys.stderr)
    try:
        return studies, refuse_idle(studies, display.status)
    finally:
        display.clear()


def refuse_edited_brackets(studies: Sequence[Study]) -> None:
    """Raises ConfigError for a report, named by `tuned`, that says what its own runs do not, or was changed by hand."""
    for study in studies:
        taken = taken_of(study)
        if taken is None:
            continue
        from coregpt.cli.reports.report import edits, read_report

        source = study.path.parent / taken.path
        try:
            found = edits(read_report(source), source)
        except ConfigError as error:
            found = [str(error).removeprefix(f"{source}: ")]
        if found:
            raise ConfigError(f"{where(study, *WHERE)}: {taken.path}: {found[0]}; bracket again, or bring it back")


def put_before_laws(studies: Sequence[Study]) -> None:
    """Tell what laws the techniques break that do not come with CoreGPT. Raises ConfigError for those that none may."""
    named = {(study.catalogue, name) for study in studies for arm in study.arms for name in arm.run.plugins}
    if all(catalogue.shipped(name) for catalogue, name in named):
        return
    from coregpt.lab.laws.foreign import refuse_unlawful  # half a second that most studies do without

    refuse_unlawful(studies, say)


def load_study(path: Path, scale: str | None, store: Path, slurm: SlurmOptions | None = None) -> Study:
    return resolved(load(path, scale, slurm.gpus_per_node if slurm else torch.cuda.device_count(), store), store)
