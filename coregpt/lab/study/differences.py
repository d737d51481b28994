"""What differs between the arms beyond the technique under test: the confounds a reader must know."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from coregpt.contract.config import RunConfig
from coregpt.engine.accounting import Cost
from coregpt.engine.build import NamedPlugins, build
from coregpt.engine.inputs import Given
from coregpt.lab.study.declaration import Arm, Study
from coregpt.lab.study.kind import foreign

Flat = dict[str, Any]
ABSENT = "-"


def differences(study: Study, derived: Mapping[str, Flat]) -> list[tuple[str, dict[str, str]]]:
    """(setting, value by arm) of every setting that is not equal in all arms and is not itself the technique.

    A plugin that only one of an arm and the baseline has is the technique. Everything else counts: options of
    shared plugins, optimizer, budget, and what follows from the technique (see `derive`, one entry per arm).
    """
    flat = {arm.name: settings(arm) for arm in study.compared}
    come_to = {arm.name: derived[arm.name] for arm in study.compared if arm.name in derived}
    return [row for row in _rows(flat) if not _is_technique(row[0], study)] + _rows(come_to)


def derive(config: RunConfig, plugins: NamedPlugins, cost: Cost, inputs: Given | None = None) -> Flat:
    """What an arm comes to, whichever setting or plugin brought it about."""
    run = build(config, plugins, inputs=inputs, device="meta", separator=0)
    rates, decays = Counter[float](), Counter[float]()
    for stack in run.optimizer.stacks:
        for path in stack.paths:
            rule, size = run.assembly.rules[path], run.assembly.params[path].numel()
            rates[stack.rule.lr * rule.lr] += size
            decays[stack.rule.weight_decay * rule.weight_decay] += size
    return {
        "parameters": f"{cost.parameters:,}",
        "FLOPs per token": _per_token(cost),
        "steps": f"{cost.steps:,}",
        "tokens trained": f"{cost.tokens:,}",
        "peak learning rate": _by_size(rates),
        "weight decay": _by_size(decays),
    }


def _per_token(cost: Cost) -> str:
    """`4.2e+06`, or `4.2e+06 (3e+06 to 5e+06)` where it changes during the run."""
    each = [stage.flops_per_token for stage in cost.stages]
    extent = f" ({min(each):.4g} to {max(each):.4g})" if len(set(each)) > 1 else ""
    return f"{cost.flops_per_token:.4g}{extent}"


def changes(arm: Arm, baseline: Arm, arms: Sequence[Arm] = ()) -> str:
    """What an arm changes, in one line: `adds NAME; optim.weight_decay 0.1 -> 0.0`.

    An added technique is told with those of its options in which `arms`, all of the study, differ.
    """
    if arm.name == baseline.name:
        return "baseline"
    own, base = set(arm.run.plugins), set(baseline.run.plugins)
    parts = [f"adds {name}{_told_apart(name, arm, arms)}" for name in sorted(own - base)] + [
        f"removes {name}" for name in sorted(base - own)
    ]
    for key, values in _rows({"base": settings(baseline), "arm": settings(arm)}):
        if not (key.startswith("plugins.") and key.split(".")[1] in own ^ base):
            parts.append(f"{key} {values['base']} -> {values['arm']}")
    return "; ".join(parts)


def _told_apart(name: str, arm: Arm, arms: Sequence[Arm]) -> str:
    """` (cap 15.0)`, or nothing where every arm with the technique has it alike."""
    mine = flatten(arm.run.plugins[name])
    others = [flatten(other.run.plugins[name]) for other in arms if name in other.run.plugins]
    told = [f"{key} {_text(value)}" for key, value in mine.items() if any(each.get(key) != value for each in others)]
    return f" ({', '.join(told)})" if told else ""


def settings(arm: Arm) -> Flat:
    """Every setting of an arm by dotted key; a plugin without options is there as `plugins.name`."""
    if (kind := foreign(arm.run)) is not None:
        return kind.shown()
    flat = flatten(arm.settings())
    return {key: value for key, value in flat.items() if key != "plugins"}


def flatten(data: Mapping[str, Any], prefix: str = "") -> Flat:
    flat: Flat = {}
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _rows(flat: Mapping[str, Flat]) -> list[tuple[str, dict[str, str]]]:
    keys = sorted({key for values in flat.values() for key in values})
    rows = [(key, {name: _text(values.get(key, ABSENT)) for name, values in flat.items()}) for key in keys]
    return [(key, values) for key, values in rows if len(set(values.values())) > 1]


def _is_technique(key: str, study: Study) -> bool:
    """True for a plugin that every arm differing from the baseline in it adds or drops as a whole."""
    if not key.startswith("plugins."):
        return False
    name = key.split(".")[1]
    having = [arm for arm in study.arms if name in arm.run.plugins]
    baseline = any(arm.name == study.criterion.baseline for arm in having)
    if not baseline:
        return True
    return all(arm.run.plugins[name] == having[0].run.plugins[name] for arm in having)


def _by_size(values: Counter[float]) -> str:
    """`0.1`, or `0.1 on 96%, 0 on 4% of parameters`."""
    if len(values) == 1:
        return f"{next(iter(values)):g}"
    parts = [f"{value:g} on {size / values.total():.1%}" for value, size in sorted(values.items(), reverse=True)]
    return f"{', '.join(parts)} of the parameters"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
