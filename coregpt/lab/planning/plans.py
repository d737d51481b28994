"""A study on this machine: arms x seeds as fully resolved runs, and what differs between the arms."""

import traceback

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError, CoreGPTError, PluginError
from coregpt.engine.accounting import Cost, count
from coregpt.engine.data import open_source
from coregpt.engine.platform import default_device, fast_bf16, worth_compiling
from coregpt.lab.designs import abort, fork, match
from coregpt.lab.designs.history import check_runs
from coregpt.lab.study.declaration import TOLERANCE, Arm, Study
from coregpt.lab.study.differences import derive
from coregpt.lab.study.identity import engine_digest, plugin_digests, run_id
from coregpt.lab.study.outline import Outline, Plan, PlannedRun
from coregpt.lab.study.part import TRUNK, WHOLE, RunPart


def outline(study: Study) -> Outline:
    """Build every arm without memory, matched where that needs no clock.

    Raises PluginError naming each arm whose plugins clash, and ConfigError for one that cannot be matched.
    """
    costs, derived = _counted(study)
    matched = match.resolve(study, costs)
    made = Outline(matched, costs, derived) if matched is study else Outline(matched, *_counted(matched))
    if study.fork_at is not None:
        made = fork.branched(made)
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

    def planned(arm: Arm, seed: int, part: RunPart, name: str) -> PlannedRun:
        config = resolve(arm, seed, nodes).model_copy(update=common)
        return _planned(study, name, config, digests[arm.name], source.digest, part)

    trunks: tuple[PlannedRun, ...] = ()
    parts: dict[int, RunPart] = {}
    if step := outlined.trunk_step:
        trunks = tuple(planned(outlined.baseline, seed, RunPart(until=step), TRUNK) for seed in study.seeds)
        parts = {trunk.seed: RunPart(trunk=trunk.id, begin=step) for trunk in trunks}
    runs = [planned(arm, seed, parts.get(seed, WHOLE), arm.name) for arm in study.arms for seed in study.seeds]
    check_runs(study, source.digest, (run.id for run in runs))
    shared = {"trunk_step": outlined.trunk_step, "trunk_tokens": outlined.trunk_tokens}
    return Plan(study, outlined.costs, outlined.derived, source, tuple(runs), trunks, **shared)


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
    study: Study, arm: str, config: RunConfig, plugins: dict[str, str], data: str, part: RunPart
) -> PlannedRun:
    id_ = run_id(config, plugins, data, part)
    record = {
        "id": id_,
        "config": config.model_dump(mode="json"),
        "engine": engine_digest(),
        "plugins": plugins,
        "data": data,
        "planned_by": {"study": study.name, "digest": study.digest},
        **part.record(),
    }
    files = {name: study.catalogue.files[name] for name in plugins if name in study.catalogue.files}
    return PlannedRun(id_, arm, config.seed, config, record, files)


def _common_compile(outlined: Outline, nodes: str) -> dict[str, bool]:
    """What `auto` compiles to is decided once for all arms, by the baseline, so that no arm is favoured."""
    if all(arm.machine.compile == "auto" for arm in outlined.study.arms):
        return {"compile": resolve(outlined.baseline, 0, nodes).compile}
    return {}
