"""`budget`: what the runs of a study may spend, the same for every arm, enforced while they train.

`seconds_per_run` belongs to the question: whether a technique trains in the time that every arm has. What all runs
together may cost decides when a study stops and nothing else, so raising it is no amendment.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from coregpt.lab.designs.design import Allowance, Design
from coregpt.lab.progress import duration
from coregpt.lab.study.declaration import Study, StudyFile
from coregpt.lab.study.outline import Outline

KEY, EACH = "budget", "seconds_per_run"


class Budget(Design):
    """No arm has more than another, and no run begins once all is spent."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if file.budget is not None and file.budget.seconds_per_run is not None:
            yield f"{KEY}.{EACH}"

    def declare(self, file: StudyFile) -> Mapping[str, Any]:
        return {KEY: file.budget.model_dump(exclude_none=True)} if file.budget is not None else {}

    def of_trials(self, study: Study, trials: Study) -> Study:
        said = study.designs.get(KEY)
        return replace(trials, designs={**trials.designs, KEY: said}) if said else trials

    def allowance(self, study: Study) -> Allowance | None:
        said = study.designs.get(KEY)
        if not said:
            return None
        hours = [said["hours"]] if "hours" in said else []
        hours += [said["usd"] / said["usd_per_gpu_hour"]] if "usd" in said else []
        return Allowance(said.get(EACH), min(hours, default=None), said.get("usd_per_gpu_hour"))

    def restore(self, declaration: Mapping[str, Any]) -> Mapping[str, Any]:
        each = declaration.get(KEY, {}).get(EACH)
        return {} if each is None else {KEY: {EACH: each}}

    def fresh(self, study: Study) -> Study:
        """Fresh seeds have as long as the published ones; what they may cost together is for whoever runs them."""
        others = {key: value for key, value in study.designs.items() if key != KEY}
        return replace(study, designs={**others, **self.restore(study.designs)})

    def told(self, outlined: Outline) -> list[str]:
        said = outlined.study.designs.get(KEY)
        if not said:
            return []
        parts = [f"{duration(said[EACH])} of training for each run of every arm"] if EACH in said else []
        parts += [f"{said['hours']:g} h for all"] if "hours" in said else []
        parts += [f"{said['usd']:g} USD at {said['usd_per_gpu_hour']:g} per hour"] if "usd" in said else []
        return [f"Budget: {', '.join(parts)}."]
