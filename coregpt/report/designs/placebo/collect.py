"""The placebo on record of a study's baseline and test."""

from pathlib import Path
from typing import Any

from coregpt.lab.records import placebo
from coregpt.lab.study.outline import Plan
from coregpt.report.facts.placebo import PlaceboFacts
from coregpt.report.reading.collector import Collector


class Placebo(Collector):
    """None where there is none, or its baseline, seeds or level are others."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        found = placebo.recorded(name_of(plan), store)
        return {"placebo": None if found is None else PlaceboFacts.model_validate(found)}


def name_of(plan: Plan) -> str:
    """Of the placebo that would be the plan's."""
    study = plan.study
    like = next(run for run in plan.runs if run.arm == plan.baseline.name)
    stage = str(study.designs.get("stage", ""))
    return placebo.name(placebo.identity(like.record), len(study.seeds), study.criterion.alpha, stage)
