"""Studies whose arms share their beginning: one trunk per seed, trained as the baseline to the fork step.

Every arm, the baseline included, is a branch: a run that begins at the trunk's checkpoint with all of its state and
goes on with the arm's own settings. So a branch is the baseline until the fork and the arm after it, and only what
acts after the fork can be studied like this.

What a trunk leaves and a branch takes from it is `lab.records.trunk`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError
from coregpt.contract.rules import Clock
from coregpt.engine.build import NamedPlugins, Run, build
from coregpt.engine.training import checkpoint
from coregpt.lab.designs.design import Design, Task
from coregpt.lab.records.readings import lacking
from coregpt.lab.records.store import RunFolder
from coregpt.lab.records.trunk import stands
from coregpt.lab.study.declaration import Arm, Study, StudyFile
from coregpt.lab.study.inputs import inputs_of
from coregpt.lab.study.outline import Outline, Plan, PlannedRun
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.whereabouts import where, where_arm

# -- before the first run --------------------------------------------------------------------------------------


class Fork(Design):
    """Arms of one seed share their beginning, which is trained once."""

    def file_problems(self, file: StudyFile) -> Iterator[Problem]:
        if file.mode != "fork":
            if file.fork_at is not None:
                yield ("fork_at",), "needs 'mode: fork'"
            return
        if file.fork_at is None:
            yield ("mode",), "'fork' needs 'fork_at: 0.7', the share of the run that all arms have in common, or a step"
        if file.techniques is not None:
            yield ("techniques",), "'mode: fork' compares listed 'arms'; list them instead"
        elif file.arms is None:
            yield ("arms",), "is missing"

    def declare(self, file: StudyFile) -> dict[str, Any]:
        return {} if file.fork_at is None else {"fork_at": file.fork_at}

    def restore(self, declaration: Mapping[str, Any]) -> dict[str, Any]:
        return {"fork_at": declaration["fork_at"]} if "fork_at" in declaration else {}

    def settle(self, outlined: Outline) -> Outline:
        return branched(outlined) if "fork_at" in outlined.study.designs else outlined

    def wave(self, plan: Plan, store: Path) -> Iterator[Task] | None:
        """Branches that can begin or go on, and the trunks that others still wait for, with the step to pause at."""
        return needed(plan, store) if plan.trunks else None

    def told(self, outlined: Outline) -> list[str]:
        """Where the arms branch, and what that saves."""
        if not outlined.trunk_step:
            return []
        steps, seeds = outlined.costs[outlined.baseline.name].steps, len(outlined.study.seeds)
        whole = sum(cost.flops for cost in outlined.costs.values()) * seeds
        return [
            f"Fork: one trunk per seed, {seeds} in all, is trained as {outlined.baseline.name} to step "
            f"{outlined.trunk_step:,} of {steps:,}; every arm branches there.",
            f"That is {outlined.flops / whole:.0%} of the {whole:.3g} FLOPs of separate runs. Arms can differ only in "
            "what they do after the fork, and a verdict speaks about nothing else.",
            "Branches of one trunk mostly differ less than separate runs: a spread taken from those is cautious here.",
        ]


def branched(outlined: Outline) -> Outline:
    """With what the arms have in common.

    Raises ConfigError, one line per problem, if the fork is not inside the run or an arm cannot branch there.
    """
    study, steps = outlined.study, outlined.costs[outlined.baseline.name].steps
    step = step_of(study.designs["fork_at"], steps)
    if not 0 < step < steps:
        raise ConfigError(f"{where(study, 'fork_at')}: is step {step} of a run of {steps}; it must lie inside the run")
    trunk = _built(study, outlined.baseline)
    wrong = []
    for arm in study.arms:
        for text in differs(trunk, _built(study, arm), outlined.baseline, arm, step):
            wrong.append(f"{where_arm(study, arm.name)}: cannot branch at step {step}: {text}")
            break
    if wrong:
        raise ConfigError("\n".join(wrong))
    return replace(outlined, trunk_step=step, trunk_tokens=trunk.timeline.first_tokens[step])


def differs(trunk: Run, own: Run, baseline: Arm, arm: Arm, step: int) -> Iterator[str]:
    """What an arm has that is not the baseline's before the fork, the most telling first."""
    name = f"'{baseline.name}'"
    if own.config.model != trunk.config.model:
        yield f"its model has another shape than that of {name}"
    theirs, mine = checkpoint.contents(trunk), checkpoint.contents(own)
    for key in {**theirs, **mine}:
        if theirs.get(key) != mine.get(key):
            here, there = (held.get(key, "none") for held in (mine, theirs))
            yield f"it changes {key} from the start of training ({here}, in {name} {there})"
    for path, rule in own.assembly.rules.items():
        if _other_start(rule.init, trunk.assembly.rules[path].init):
            yield f"it changes the initial value of {path}, which the trunk has trained already"
    for sizes, what in (("batches", "batch"), ("lengths", "sequence length")):
        if getattr(own.timeline, sizes)[:step] != getattr(trunk.timeline, sizes)[:step]:
            yield f"its {what} differs from that of {name} before the fork"
    if own.timeline.steps <= step:
        yield f"it ends at step {own.timeline.steps}"
    if arm.machine.device != baseline.machine.device:
        yield f"its device is {arm.machine.device}, that of {name} {baseline.machine.device}"


def step_of(fork_at: float, steps: int) -> int:
    """The fork in whole steps."""
    return round(Clock(0, steps).span(fork_at))


def _built(study: Study, arm: Arm) -> Run:
    config: RunConfig = arm.run
    plugins: NamedPlugins = study.catalogue.instances(config.plugins)
    return build(config, plugins, inputs=inputs_of(config, study.catalogue), device="meta", separator=0)


def _other_start(mine: Any, theirs: Any) -> bool:
    """Whether two initial-value rules differ; two functions cannot be compared and pass."""
    return callable(mine) != callable(theirs) or (not callable(mine) and mine != theirs)


# -- what to execute -------------------------------------------------------------------------------------------


def needed(plan: Plan, store: Path) -> Iterator[Task]:
    """See `Fork.wave`."""
    for trunk in plan.trunks:
        branches = [run for run in plan.runs if run.seed == trunk.seed]
        begun = [run for run in branches if _begun(run, RunFolder(store / run.id))]
        folder = RunFolder(store / trunk.id)
        there = stands(folder, plan.trunk_step) and not lacking(folder, trunk.needs)
        yield from (Task(run) for run in (branches if there else begun))
        if not there and len(begun) < len(branches):
            yield Task(trunk, plan.trunk_step)


def _begun(run: PlannedRun, folder: RunFolder) -> bool:
    """Whether it needs its trunk no more, as it would to start over."""
    return (folder.result() is not None or folder.checkpoint.exists()) and not lacking(folder, run.needs)
