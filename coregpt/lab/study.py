"""A study on this machine: arms x seeds as fully resolved runs, and what differs between the arms."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError, CoreGPTError, PluginError
from coregpt.engine.accounting import Cost, count
from coregpt.engine.data import TokenSource, open_source
from coregpt.engine.platform import default_device, fast_bf16, worth_compiling
from coregpt.lab.config import Arm, Study
from coregpt.lab.differences import derive
from coregpt.lab.identity import engine_digest, plugin_digests, run_id


@dataclass(frozen=True)
class PlannedRun:
    """One arm with one seed, ready to execute."""

    id: str
    arm: str
    seed: int
    config: RunConfig
    record: dict[str, Any]
    """What its folder's config.json will say."""
    plugin_files: dict[str, Path]
    """Single plugin files to freeze into the folder."""


@dataclass(frozen=True)
class Plan:
    """Everything known before the first run."""

    study: Study
    source: TokenSource
    costs: dict[str, Cost]
    """By arm."""
    derived: dict[str, dict[str, str]]
    """By arm: what its settings and plugins come to (see `derive`)."""
    runs: tuple[PlannedRun, ...]
    """Arms in the study's order, each with its seeds."""

    @property
    def flops(self) -> float:
        """Training FLOPs of all runs."""
        return sum(cost.flops for cost in self.costs.values()) * len(self.study.seeds)


def resolve(arm: Arm, seed: int) -> RunConfig:
    """The arm's config for one seed on this machine; the seed fixes weights and data order of its block."""
    device = default_device() if arm.machine.device == "auto" else arm.machine.device
    if device == "cuda" and default_device() != "cuda":
        raise ConfigError(f"arm '{arm.name}': device is cuda, but this machine has no usable GPU")
    precision = arm.machine.precision
    if precision == "auto":
        precision = "bf16" if fast_bf16(device) else "fp32"
    compile_ = worth_compiling(arm.run, device) if arm.machine.compile == "auto" else arm.machine.compile
    changes = {"device": device, "precision": precision, "compile": compile_, "seed": seed, "data_seed": seed}
    return arm.run.model_copy(update=changes)


def plan(study: Study) -> Plan:
    """Resolve every run, open the data and build every arm without memory, so that errors come before runs."""
    source = open_source(study.arms[0].run.data.source)
    costs, derived = dict[str, Cost](), dict[str, dict[str, str]]()
    runs, problems = list[PlannedRun](), list[str]()
    machines = _common_machine(study)
    for arm in study.arms:
        names = list(arm.run.plugins)
        digests = plugin_digests(study.catalogue, names)
        files = {name: study.catalogue.files[name] for name in names if name in study.catalogue.files}
        try:
            if arm.run.model.vocab < source.vocab:
                raise ConfigError(
                    f"model.vocab is {arm.run.model.vocab}, but {source.name} has {source.vocab} token ids"
                )
            instances, config = study.catalogue.instances(arm.run.plugins), resolve(arm, study.seeds[0])
            costs[arm.name] = count(config, instances)
            derived[arm.name] = derive(config, instances, costs[arm.name])
        except CoreGPTError as error:
            problems.append(f"{study.path}: arm '{arm.name}': {error}")
            continue
        for seed in study.seeds:
            config = resolve(arm, seed).model_copy(update=machines)
            id_ = run_id(config, digests, source.digest)
            record = {
                "id": id_,
                "config": config.model_dump(mode="json"),
                "engine": engine_digest(),
                "plugins": digests,
                "data": source.digest,
                "planned_by": {"study": study.name, "digest": study.digest},
            }
            runs.append(PlannedRun(id_, arm.name, seed, config, record, files))
    if problems:
        raise PluginError("\n".join(problems))
    return Plan(study, source, costs, derived, tuple(runs))


def _common_machine(study: Study) -> dict[str, Any]:
    """What `auto` compiles to is decided once for all arms: by the baseline, so that no arm is favoured."""
    baseline = next(arm for arm in study.arms if arm.name == study.criterion.baseline)
    if all(arm.machine.compile == "auto" for arm in study.arms):
        return {"compile": resolve(baseline, study.seeds[0]).compile}
    return {}
