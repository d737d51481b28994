"""A study on this machine: arms x seeds as fully resolved runs, and what differs between the arms."""

from collections.abc import Sequence
from dataclasses import replace

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError, DataError
from coregpt.engine.arithmetic.platform import default_device, fast_precision, worth_compiling
from coregpt.engine.data import TokenSource
from coregpt.lab.designs import DESIGNS
from coregpt.lab.planning.enough import refuse_unfit
from coregpt.lab.study.counting import counted
from coregpt.lab.study.declaration import TOLERANCE, Arm, Study
from coregpt.lab.study.identity import engine_of, frozen_files, plugin_digests, run_id
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Outline, Plan, PlannedRun
from coregpt.lab.study.part import TRUNK, WHOLE, RunPart
from coregpt.lab.study.place import is_nowhere, opened, placed
from coregpt.lab.study.readings import Readings, along
from coregpt.lab.study.text_unit import scales_of
from coregpt.lab.study.whereabouts import where, where_set


def outline(study: Study) -> Outline:
    """Count every arm, and settle what follows from the counts where that needs no clock.

    Raises PluginError naming each arm whose plugins clash, and ConfigError for arms that a design cannot take.
    """
    made = counted(study)
    for design in DESIGNS:
        made = design.settle(made)
    return made


def outlines(studies: Sequence[Study]) -> list[Outline]:
    """Of all members of a family. Raises ConfigError also for members that make none."""
    made = [outline(study) for study in studies]
    for design in DESIGNS:
        design.settle_family(made)
    return made


def trials_before(outlined: Outline) -> Outline | None:
    """The study whose runs must be complete before the settings of this one are known."""
    found = next((trials for design in DESIGNS if (trials := design.first(outlined)) is not None), None)
    if found is None:
        return None
    study = found.study
    for design in DESIGNS:
        study = design.of_trials(outlined.study, study)
    return replace(found, study=study)


def plan(outlined: Outline, nodes: str = "") -> Plan:
    """Open the data and resolve every run for this machine, or for `nodes` elsewhere (see `resolve`).

    Raises CoreGPTError for what is missing.
    """
    study = outlined.study
    for design in DESIGNS:
        design.refuse(outlined, nodes)
    refuse_no_gpu(study, nodes)
    check_equal(outlined)
    sources = data_of(study)
    source = sources[outlined.baseline.name]
    if foreign(outlined.baseline.run) is None:
        refuse_unfit(outlined, sources)
    common = _common_compile(outlined, nodes)

    digests = {arm.name: _code(study, arm) for arm in study.arms}

    looked_at = frozenset(each for design in DESIGNS for each in design.readings(outlined))

    def planned(arm: Arm, seed: int, part: RunPart, name: str) -> PlannedRun:
        config = resolve(arm, seed, nodes)
        if (kind := foreign(config)) is not None:
            config = kind.twice() if (arm, seed) == (outlined.baseline, study.seeds[0]) else kind
        else:
            config = config.model_copy(update={**common, "data": placed(arm.run.data, study.path.parent)})
        needs = along(config, outlined.costs[arm.name].steps, part, before.get(seed, frozenset()))
        needs |= looked_at if arm.compared else frozenset()
        return _planned(study, name, config, digests[arm.name], sources[arm.name].digest, part, needs)

    trunks: tuple[PlannedRun, ...] = ()
    parts: dict[int, RunPart] = {}
    before: dict[int, Readings] = {}
    if step := outlined.trunk_step:
        trunks = tuple(planned(outlined.baseline, seed, RunPart(until=step), TRUNK) for seed in study.seeds)
        parts = {trunk.seed: RunPart(trunk=trunk.id, begin=step) for trunk in trunks}
        before = {trunk.seed: trunk.needs for trunk in trunks}
    runs = [planned(arm, seed, parts.get(seed, WHOLE), arm.name) for arm in study.arms for seed in study.seeds]
    shared = {"trunk_step": outlined.trunk_step, "trunk_tokens": outlined.trunk_tokens}
    scales = scales_of(study, sources)
    made = Plan(study, outlined.costs, outlined.derived, source, tuple(runs), trunks, sources, scales, **shared)
    for design in DESIGNS:
        design.check(made)
    return made


def refuse_no_gpu(study: Study, nodes: str) -> None:
    """Raises ConfigError for arms that ask for a GPU where there is none."""
    if (nodes or default_device()) != "cuda":
        for arm in study.arms:
            if arm.machine.device == "cuda":
                raise ConfigError(f"{where_set(study, arm, 'device')}: is cuda, but this machine has no usable GPU")


def data_of(study: Study) -> dict[str, TokenSource]:
    """The data of each arm, opened once. Raises DataError, naming the line that asks for them."""
    found: dict[tuple[str, ...], TokenSource] = {}
    by_arm = {}
    for arm in study.arms:
        if (kind := foreign(arm.run)) is not None:
            by_arm[arm.name] = kind.source()
            continue
        at = placed(arm.run.data, study.path.parent)
        key = (at.source, *(text for name in sorted(at.mixture) for text in (name, at.mixture[name].source)))
        if key not in found:
            found[key] = _opened(study, arm)
        by_arm[arm.name] = found[key]
    return by_arm


def refuse_nowhere(study: Study) -> None:
    """Raises DataError for data that are in no place, which takes no counting and no reading to see."""
    for arm in study.arms:
        if foreign(arm.run) is None and is_nowhere(arm.run.data, study.path.parent):
            _opened(study, arm)


def _opened(study: Study, arm: Arm) -> TokenSource:
    try:
        return opened(arm.run.data, study.path.parent)
    except DataError as error:
        raise DataError(f"{where_set(study, arm, 'data', 'source')}: {error}") from error


def check_equal(outlined: Outline) -> None:
    """Arms must spend what the study holds equal; seconds are not known before the runs."""
    study, axis = outlined.study, outlined.study.equal
    if axis == "seconds":
        return
    spent = {arm.name: outlined.spent(arm.name, axis) for arm in study.compared}
    if max(spent.values()) > (1 + TOLERANCE) * min(spent.values()):
        each = ", ".join(f"{amount:,.6g} in '{name}'" for name, amount in spent.items())
        raise ConfigError(
            f"{where(study, 'equal')}: arms must spend equal {axis}, within {TOLERANCE:.0%}, but it is {each}; "
            "change their tokens or batch_tokens, or declare what is held equal (equal: flops, steps, seconds)"
        )


def resolve(arm: Arm, seed: int, nodes: str = "") -> RunConfig:
    """The arm's config for one seed on this machine; the seed fixes weights and data order of its block.

    `nodes`: the device of other machines, if those will train. Their GPUs are taken to be fast with bf16.
    """
    device = (nodes or default_device()) if arm.machine.device == "auto" else arm.machine.device
    if foreign(arm.run) is not None:
        return arm.run.model_copy(update={"device": device, "seed": seed, "data_seed": seed})
    precision = arm.machine.precision
    if precision == "auto":
        precision = "bf16" if nodes == device == "cuda" else fast_precision(device)
    compile_ = worth_compiling(arm.run, device) if arm.machine.compile == "auto" else arm.machine.compile
    changes = {"device": device, "precision": precision, "compile": compile_, "seed": seed, "data_seed": seed}
    return arm.run.model_copy(update=changes)


def _planned(
    study: Study, arm: str, config: RunConfig, plugins: dict[str, str], data: str, part: RunPart, needs: Readings
) -> PlannedRun:
    id_ = run_id(config, plugins, data, part)
    record = {
        "id": id_,
        "config": config.model_dump(mode="json"),
        "engine": engine_of(config),
        "plugins": plugins,
        "data": data,
        "planned_by": {"study": study.name, "digest": study.digest},
        **({} if study.keep == "weights" else {"keep": study.keep}),
        **part.record(),
        **({} if (kind := foreign(config)) is None else {"aside": kind.kept()}),
    }
    files = frozen_files(study.catalogue, config.plugins)
    return PlannedRun(id_, arm, config.seed, config, record, files, needs)


def _code(study: Study, arm: Arm) -> dict[str, str]:
    """Digests of what an arm runs beside the engine."""
    kind = foreign(arm.run)
    return plugin_digests(study.catalogue, arm.run.plugins) if kind is None else kind.code()


def _common_compile(outlined: Outline, nodes: str) -> dict[str, bool]:
    """What `auto` compiles to is decided once for all arms, by the baseline, so that no arm is favoured."""
    if foreign(outlined.baseline.run) is None and all(arm.machine.compile == "auto" for arm in outlined.study.arms):
        return {"compile": resolve(outlined.baseline, 0, nodes).compile}
    return {}
