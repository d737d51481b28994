"""Every arm built without memory: what it costs, and what its settings and plugins come to."""

import traceback
from functools import partial

from coregpt.contract.errors import ConfigError, CoreGPTError, PluginError, in_one_line
from coregpt.engine.accounting import Cost, count
from coregpt.lab.study.code.blame import told
from coregpt.lab.study.code.witness import witnessed
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.differences import derive
from coregpt.lab.study.identity import plugin_digests, run_id
from coregpt.lab.study.inputs import inputs_of
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Outline
from coregpt.lab.study.whereabouts import where_arm

_COUNTED: dict[str, tuple[Cost, dict[str, str]]] = {}
"""By what a run is: a study with trials is counted before them and after, most arms unchanged."""


def counted(study: Study) -> Outline:
    """Raises PluginError naming each arm that cannot be built."""
    costs, derived = dict[str, Cost](), dict[str, dict[str, str]]()
    problems = []
    for arm in study.arms:
        if (kind := foreign(arm.run)) is not None:
            costs[arm.name], derived[arm.name] = kind.cost(), kind.derived()
            continue
        instances = study.catalogue.instances(arm.run.plugins)
        try:
            inputs = inputs_of(arm.run, study.catalogue)
            key = run_id(arm.run, plugin_digests(study.catalogue, arm.run.plugins), "")
            if key not in _COUNTED or inputs:  # whether a model that is given can still be made is asked each time
                cost = witnessed(partial(count, arm.run, instances, inputs))
                _COUNTED[key] = cost, derive(arm.run, instances, cost, inputs)
            costs[arm.name], derived[arm.name] = _COUNTED[key]
            refuse_unshared(study.gpus_per_run, costs[arm.name])
        except CoreGPTError as error:
            problems.append(f"{where_arm(study, arm.name)}: {error}")
        except (Exception, SystemExit) as error:  # a plugin may fail in any way while it is asked
            problems.append(f"{where_arm(study, arm.name)}: {told(error) or _beside_plugins(error)}")
    if problems:
        raise PluginError("\n".join(problems))
    return Outline(study, costs, derived)


def refuse_unshared(gpus: int, cost: Cost) -> None:
    """Ranks have equal shares of every batch: found out before a run, not at the step where the batch changes."""
    for rows in cost.batch_rows:
        if rows % gpus:
            raise ConfigError(f"gpus_per_run is {gpus}, which cannot share a batch of {rows} rows alike")


def _beside_plugins(error: BaseException) -> str:
    """No plugin had a part in it: the line of core, for whoever mends that."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"cannot be built: {in_one_line(error)} ({frame.filename}:{frame.lineno})"
