"""`coregpt plan STUDY --gpus N`: what each of N GPUs would hold. Needs no GPU and no data."""

from pathlib import Path

from coregpt.cli.screen import say, table
from coregpt.cli.studies.costs import size
from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.load import load_family
from coregpt.lab.planning.memory import Memory, estimate
from coregpt.lab.planning.plans import resolve
from coregpt.lab.planning.split import COUNTS
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.inputs import inputs_of
from coregpt.report.drawing.numbers import plural


def show_memory(path: Path, scale: str | None, gpus: int, store: Path) -> int:
    """Raises ConfigError for a run that needs more GPUs than there would be."""
    studies = load_family(path, scale, gpus, store)
    for study in studies:
        counts = [count for count in COUNTS if count <= gpus] if study.splits else [study.gpus_per_run]
        if max(counts) > gpus:
            raise ConfigError(f"{path}: gpus_per_run is {max(counts)}, but --gpus says {gpus}")
        name = f" of size {study.member}" if study.member else ""
        say(f"Memory of each GPU of a run{name}, estimated from shapes; {plural(gpus, 'GPU')}, nothing measured here.")
        for count in counts:
            say()
            several = "s" if count > 1 else ""
            say(f"{count} GPU{several} per run, {gpus // count} at a time:")
            for line in lines(study, count):
                say(line)
    say()
    say("Optimizer states are shared among the ranks of a run; weights and gradients are whole on each.")
    return 0


def lines(study: Study, ranks: int) -> list[str]:
    """A table: one row per arm."""
    header = ["arm", "rows per pass", "weights", "gradients", "optimizer", "activations", "temporaries", "peak"]
    rows = [header]
    for arm in study.arms:
        config = resolve(arm, 0, "cuda")
        share = config.batch_tokens // config.model.context
        if share % ranks:
            raise ConfigError(f"arm '{arm.name}': a batch of {share} rows cannot be shared by {ranks} GPUs")
        made = study.catalogue.instances(config.plugins)
        rows.append([arm.name, *cells(estimate(config, made, inputs_of(config, study.catalogue), ranks))])
    return table(rows)


def cells(found: Memory) -> list[str]:
    parts = (found.weights, found.gradients, found.optimizer, found.activations, found.working, found.peak)
    return [str(found.rows), *map(size, parts)]
