"""The learning rate of each step, which follows from a run's settings and is in no log."""

from collections.abc import Callable

from coregpt.contract.config import RunConfig
from coregpt.engine.build import build
from coregpt.lab.study.inputs import inputs_of
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.registry import Catalogue


def learning_rate(config: RunConfig, catalogue: Catalogue) -> Callable[[int], float] | None:
    """By step, `optim.lr` times the schedule's value; factors that parameters have of their own are not in it.

    An evaluation after the last step has the last step's. None for a run that is not our trainer's.
    """
    if foreign(config) is not None:
        return None
    plugins = catalogue.instances(config.plugins)
    run = build(config, plugins, inputs=inputs_of(config, catalogue), device="meta", separator=0)
    schedule, timeline = run.dials.schedules.get("lr"), run.timeline

    def at(step: int) -> float:
        return config.optim.lr * (
            1.0 if schedule is None else float(schedule(timeline.clock(min(step, timeline.steps - 1))))
        )

    return at
