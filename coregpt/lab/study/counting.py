"""Every arm built without memory: what it costs, and what its settings and plugins come to."""

import traceback

from coregpt.contract.errors import ConfigError, CoreGPTError, PluginError
from coregpt.engine.accounting import Cost, count
from coregpt.lab.study.declaration import Arm, Study
from coregpt.lab.study.differences import derive
from coregpt.lab.study.inputs import inputs_of
from coregpt.lab.study.outline import Outline


def counted(study: Study) -> Outline:
    """Raises PluginError naming each arm that cannot be built."""
    costs, derived = dict[str, Cost](), dict[str, dict[str, str]]()
    problems = []
    for arm in study.arms:
        instances = study.catalogue.instances(arm.run.plugins)
        try:
            inputs = inputs_of(arm.run, study.catalogue)
            costs[arm.name] = count(arm.run, instances, inputs)
            derived[arm.name] = derive(arm.run, instances, costs[arm.name], inputs)
            refuse_unshared(study.gpus_per_run, costs[arm.name])
        except CoreGPTError as error:
            problems.append(f"{study.path}: arm '{arm.name}': {error}")
        except Exception as error:  # a plugin may fail in any way while it is asked
            problems.append(f"{study.path}: arm '{arm.name}': {_told(error, study, arm)}")
    if problems:
        raise PluginError("\n".join(problems))
    return Outline(study, costs, derived)


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
