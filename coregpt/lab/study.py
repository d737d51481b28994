"""A study on this machine: arms x seeds as fully resolved runs, and what differs between the arms."""

import traceback
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError, CoreGPTError, PluginError
from coregpt.engine.accounting import Cost, count
from coregpt.engine.data import TokenSource, open_source
from coregpt.engine.platform import default_device, fast_bf16, worth_compiling
from coregpt.lab import abort, fork, match
from coregpt.lab.borrowed import check_runs
from coregpt.lab.declaration import TOLERANCE, Arm, Axis, Study
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
class Outline:
    """What a study comes to on any machine, before its data are there."""

    study: Study
    costs: dict[str, Cost]
    """By arm."""
    derived: dict[str, dict[str, str]]
    """By arm: what its settings and plugins come to (see `derive`)."""

    @property
    def baseline(self) -> Arm:
        return next(arm for arm in self.study.arms if arm.name == self.study.criterion.baseline)

    @property
    def fork_step(self) -> int:
        """Where the arms of a fork branch; 0 for any other study."""
        at = self.study.fork_at
        return 0 if at is None else fork.step_of(at, self.costs[self.baseline.name].steps)

    @cached_property
    def fork_tokens(self) -> int:
        """Tokens of the baseline before the fork; a fork's arms may batch differently only after it."""
        return 0 if self.study.fork_at is None else fork.tokens_before(self)

    def cost(self, arm: str) -> Cost:
        """Of one run of an arm; that of a trunk, which is no arm, were it trained to the baseline's end."""
        return self.costs.get(arm, self.costs[self.baseline.name])

    def share(self, run: PlannedRun) -> float:
        """The part of a whole run that one run trains: all of it, unless it begins or ends at a fork."""
        steps = self.cost(run.arm).steps
        return (run.record.get("until", steps) - run.record.get("branch", {"step": 0})["step"]) / steps

    def spent(self, arm: str, axis: Axis) -> float:
        """What training one run of an arm takes, of what a plan can know."""
        return self.flops_of(arm) if axis == "flops" else float(getattr(self.costs[arm], axis))

    def flops_of(self, arm: str) -> float:
        """Training FLOPs that end in one run of an arm; a branch was the baseline until the fork."""
        cost, shared = self.costs[arm], self.fork_tokens
        return shared * self.costs[self.baseline.name].flops_per_token + (cost.tokens - shared) * cost.flops_per_token

    @property
    def flops(self) -> float:
        """Training FLOPs of all runs; what the arms of a fork share is counted once."""
        shared = self.fork_tokens * self.costs[self.baseline.name].flops_per_token
        own = sum(self.flops_of(arm) - shared for arm in self.costs)
        return (own + shared) * len(self.study.seeds)


@dataclass(frozen=True)
class Plan(Outline):
    """Everything known before the first run."""

    source: TokenSource
    runs: tuple[PlannedRun, ...]
    """Arms in the study's order, each with its seeds."""
    trunks: tuple[PlannedRun, ...] = ()
    """What the arms of a fork begin with, by seed."""


def outline(study: Study) -> Outline:
    """Build every arm without memory, matched where that needs no clock.

    Raises PluginError naming each arm whose plugins clash, and ConfigError for one that cannot be matched.
    """
    costs, derived = _counted(study)
    matched = match.resolve(study, costs)
    made = Outline(matched, costs, derived) if matched is study else Outline(matched, *_counted(matched))
    if study.fork_at is not None:
        fork.check(made)
    if study.criterion.abort is not None:
        abort.check(made)
    return made


def _counted(study: Study) -> tuple[dict[str, Cost], dict[str, dict[str, str]]]:
    costs, derived = dict[str, Cost](), dict[str, dict[str, str]]()
    problems = []
    for arm in study.arms:
        instances = study.catalogue.instances(arm.run.plugins)
        try:
            costs[arm.name] = count(arm.run, instances)
            derived[arm.name] = derive(arm.run, instances, costs[arm.name])
            refuse_unshared(study.gpus_per_run, costs[arm.name])
        except CoreGPTError as error:
            problems.append(f"{study.path}: arm '{arm.name}': {error}")
        except Exception as error:  # a plugin may fail in any way while it is asked
            problems.append(f"{study.path}: arm '{arm.name}': {_told(error, study, arm)}")
    if problems:
        raise PluginError("\n".join(problems))
    return costs, derived


def refuse_unshared(gpus: int, cost: Cost) -> None:
    """Ranks have equal shares of every batch: found out before a run, not at the step where the batch changes."""
    for rows in cost.batch_rows:
        if rows % gpus:
            raise ConfigError(f"gpus_per_run is {gpus}, which cannot share a batch of {rows} rows alike")


def _told(error: Exception, study: Study, arm: Arm) -> str:
    """`cannot be built: KeyError: 'x' (my_plugin.py:12)`, the line being the plugin's where it is known."""
    frames = traceback.extract_tb(error.__traceback__)
    files = {str(study.catalogue.source(name)) for name in arm.run.plugins}
    frame = next((frame for frame in reversed(frames) if frame.filename in files), frames[-1])
    text = (str(error).strip().splitlines() or [""])[0]
    return f"cannot be built: {type(error).__name__}: {text} ({frame.filename}:{frame.lineno})"


def plan(outlined: Outline, nodes: str = "") -> Plan:
    """Open the data and resolve every run for this machine, or for `nodes` elsewhere (see `resolve`).

    Raises CoreGPTError for what is missing.
    """
    study = outlined.study
    if study.undecided:
        raise ConfigError(f"{study.path}: tuning: its runs are known once its trials are; that is 'coregpt ablate'")
    source = open_source(study.arms[0].run.data.source)
    for arm in study.arms:
        if arm.run.model.vocab < source.vocab:
            text = f"model.vocab is {arm.run.model.vocab}, but {source.name} has {source.vocab} token ids"
            raise ConfigError(f"{study.path}: arm '{arm.name}': {text}")
    if nodes and study.match == "seconds":
        raise ConfigError(f"{match.where(study)} is measured where the runs are trained, not for other nodes")
    check_equal(outlined)
    common = _common_compile(outlined, nodes)

    digests = {arm.name: plugin_digests(study.catalogue, arm.run.plugins) for arm in study.arms}

    def planned(arm: Arm, seed: int, part: dict[str, Any], name: str) -> PlannedRun:
        config = resolve(arm, seed, nodes).model_copy(update=common)
        return _planned(study, name, config, digests[arm.name], source.digest, part)

    trunks: tuple[PlannedRun, ...] = ()
    parts: dict[int, dict[str, Any]] = {}
    if step := outlined.fork_step:
        trunks = tuple(planned(outlined.baseline, seed, {"until": step}, fork.TRUNK) for seed in study.seeds)
        parts = {trunk.seed: {"branch": {"trunk": trunk.id, "step": step}} for trunk in trunks}
    runs = [planned(arm, seed, parts.get(seed, {}), arm.name) for arm in study.arms for seed in study.seeds]
    check_runs(study, source.digest, (run.id for run in runs))
    return Plan(study, outlined.costs, outlined.derived, source, tuple(runs), trunks)


def check_equal(outlined: Outline) -> None:
    """Arms must spend what the study holds equal; seconds are not known before the runs."""
    study, axis = outlined.study, outlined.study.equal
    if axis == "seconds":
        return
    spent = {arm.name: outlined.spent(arm.name, axis) for arm in study.compared}
    if max(spent.values()) > (1 + TOLERANCE) * min(spent.values()):
        each = ", ".join(f"{amount:,.6g} in '{name}'" for name, amount in spent.items())
        raise ConfigError(
            f"{study.path}: equal: arms must spend equal {axis}, within {TOLERANCE:.0%}, but it is {each}; "
            "change their tokens or batch_tokens, or declare what is held equal (equal: flops, steps, seconds)"
        )


def resolve(arm: Arm, seed: int, nodes: str = "") -> RunConfig:
    """The arm's config for one seed on this machine; the seed fixes weights and data order of its block.

    `nodes`: the device of other machines, if those will train. Their GPUs are taken to be fast with bf16.
    """
    there = nodes or default_device()
    device = there if arm.machine.device == "auto" else arm.machine.device
    if device == "cuda" and there != "cuda":
        raise ConfigError(f"arm '{arm.name}': device is cuda, but this machine has no usable GPU")
    precision = arm.machine.precision
    if precision == "auto":
        precision = "bf16" if nodes == device == "cuda" or fast_bf16(device) else "fp32"
    compile_ = worth_compiling(arm.run, device) if arm.machine.compile == "auto" else arm.machine.compile
    changes = {"device": device, "precision": precision, "compile": compile_, "seed": seed, "data_seed": seed}
    return arm.run.model_copy(update=changes)


def _planned(
    study: Study, arm: str, config: RunConfig, plugins: dict[str, str], data: str, part: dict[str, Any]
) -> PlannedRun:
    id_ = run_id(config, plugins, data, part)
    record = {
        "id": id_,
        "config": config.model_dump(mode="json"),
        "engine": engine_digest(),
        "plugins": plugins,
        "data": data,
        "planned_by": {"study": study.name, "digest": study.digest},
        **part,
    }
    files = {name: study.catalogue.files[name] for name in plugins if name in study.catalogue.files}
    return PlannedRun(id_, arm, config.seed, config, record, files)


def _common_compile(outlined: Outline, nodes: str) -> dict[str, bool]:
    """What `auto` compiles to is decided once for all arms, by the baseline, so that no arm is favoured."""
    if all(arm.machine.compile == "auto" for arm in outlined.study.arms):
        return {"compile": resolve(outlined.baseline, 0, nodes).compile}
    return {}
