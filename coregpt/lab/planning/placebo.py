"""The plan of a placebo: a study's baseline on twice its seeds, half of which stand for an arm that is none."""

import itertools
from dataclasses import replace

from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.whereabouts import where

ARM = "placebo"
KEPT = ("stage",)
"""Of what a study declares beside its arms: whether it is a screen."""


def alone(study: Study, nodes: str = "") -> Plan:
    """The baseline's runs: on the study's seeds, then on as many others. No study of a chain, as it asks nothing."""
    if "fork_at" in study.designs:
        raise ConfigError(f"{where(study, 'mode')}: the branches of a fork share their beginning; a placebo needs runs")
    base = next(arm for arm in study.written if arm.name == study.criterion.baseline)
    others = itertools.islice((seed for seed in itertools.count() if seed not in study.seeds), len(study.seeds))
    plain = replace(
        study,
        name=f"{study.name}-{ARM}",
        arms=(base,),
        as_declared=(),
        seeds=(*study.seeds, *others),
        techniques=(),
        designs={key: value for key, value in study.designs.items() if key in KEPT},
        criterion=study.criterion.model_copy(update={"target": None, "yardstick": None, "abort": None, "history": ()}),
        unresolved={},
    )
    return plan(outline(plain), nodes)


def twofold(made: Plan, study: Study) -> Plan:
    """The same as a comparison with an arm of another name, for the facts of its report."""
    base = made.baseline
    name = ARM if base.name != ARM else f"{ARM} again"
    both = replace(made.study, arms=(base, replace(base, name=name)), seeds=study.seeds)
    costs = dict.fromkeys((base.name, name), made.costs[base.name])
    derived = dict.fromkeys((base.name, name), made.derived[base.name])
    half = made.runs[: len(study.seeds)]
    runs = (*half, *(replace(run, arm=name) for run in half))
    return replace(made, study=both, costs=costs, derived=derived, runs=runs)
