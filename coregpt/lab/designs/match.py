"""`match: X` makes arms comparable: each gets what it needs to spend as much of X as the baseline, before any run.

    tokens    nothing to change; arms must have the baseline's tokens
    params    each arm's MLP width (`model.hidden`) is set so that it has the baseline's parameters
    flops     each arm's tokens are set so that it is trained with the baseline's FLOPs
    seconds   each arm's tokens are set from its measured speed (see `lab.designs.pace`)

What is declared, and hashed, is the study as written with its `match`; run ids hold what was resolved. FLOPs are those
that core counts: tokens in proportion to parameters would not be equal FLOPs, attention and the head see to that.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.engine.accounting import Cost
from coregpt.lab.designs import pace
from coregpt.lab.designs.design import Design, Planner
from coregpt.lab.designs.fitting import fit_flops, fit_params, whole_batches
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.study.counting import counted
from coregpt.lab.study.declaration import Match as Quantity
from coregpt.lab.study.declaration import Study, StudyFile
from coregpt.lab.study.inputs import inputs_of
from coregpt.lab.study.outline import Outline
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.whereabouts import where
from coregpt.lab.study.yamlfile import Key

_SETS: dict[Quantity, Key] = {"params": ("model", "hidden"), "flops": ("tokens",), "seconds": ("tokens",)}


class Match(Design):
    """Arms get what they need to spend as much of something as the baseline."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if file.match is not None:
            yield "match"
        if file.match == "seconds":
            yield "match: seconds"

    def file_problems(self, file: StudyFile) -> Iterator[Problem]:
        if file.match is None:
            return
        if "equal" in file.model_fields_set and file.equal != file.axis:
            yield ("equal",), f"'match: {file.match}' holds {file.axis} equal; remove 'equal'"
        sets = _SETS.get(file.match, ())
        for name, own in (file.arms or {}).items():
            inner: Any = own
            for part in sets:
                inner = inner.get(part) if isinstance(inner, dict) else None
            if sets and inner is not None and name != file.test.get("baseline"):
                yield ("arms", name, *sets), f"is what 'match: {file.match}' sets; remove one of them"

    def declare(self, file: StudyFile) -> dict[str, Any]:
        return {"match": file.match} if file.match else {}

    def restore(self, declaration: Mapping[str, Any]) -> dict[str, Any]:
        return {"match": declaration["match"]} if "match" in declaration else {}

    def settle(self, outlined: Outline) -> Outline:
        """Matched, if that needs no clock. An arm that stays more than 1% from the baseline is an error."""
        study, goal = outlined.study, outlined.costs[outlined.baseline.name]
        if matched_on(study) not in ("params", "flops") or study.as_declared:
            return outlined
        fit = fit_params if matched_on(study) == "params" else fit_flops
        fixed = study.criterion.baseline
        arms = (
            fit(study, arm, goal, _place(study)) if arm.compared and arm.name != fixed else arm for arm in study.arms
        )
        return counted(replace(study, arms=tuple(arms), as_declared=study.compared))

    def matches(self, study: Study) -> list[str]:
        quantity = matched_on(study)
        return [".".join(map(str, _SETS[quantity]))] if quantity in _SETS else []

    def measure(self, study: Study, store: Path, planned: Planner, record: bool) -> Study:
        """Tokens from measured speeds, or from those on record."""
        if matched_on(study) != "seconds" or study.as_declared:
            return study
        tokens = on_record(study, store)
        if tokens is None:
            tokens = measured(study, planned)
            if record:
                Ledger.of(store).append("paced", study=study.name, digest=study.digest, tokens=tokens)
        return with_tokens(study, tokens)

    def measures(self, study: Study) -> bool:
        return matched_on(study) == "seconds"

    def refuse(self, outlined: Outline, nodes: str) -> None:
        if nodes and matched_on(outlined.study) == "seconds":
            text = "is measured where the runs are trained, not for other nodes"
            raise ConfigError(f"{_place(outlined.study)} {text}")

    def told(self, outlined: Outline) -> list[str]:
        """What was set to make the arms comparable, and how well that came out."""
        study, quantity = outlined.study, matched_on(outlined.study)
        if quantity == "seconds":
            tokens = ", ".join(f"{arm.name} {arm.run.tokens:,}" for arm in study.compared)
            text = "from measured speeds; `coregpt ablate` measures once and keeps it"
            return [f"Matched on {quantity}: {tokens} tokens, {text}"]
        apart = achieved(study, outlined.costs)
        each = ", ".join(f"{name} {share:+.2%}" for name, share in apart.items() if name != outlined.baseline.name)
        return [f"Matched on {quantity}: relative to the baseline, {each}"] if apart else []


def matched_on(study: Study) -> Quantity | None:
    """What arms are adjusted to spend as much of as the baseline; None if they are as written."""
    found: Quantity | None = study.designs.get("match")
    return found


def on_record(study: Study, store: Path) -> dict[str, int] | None:
    """Tokens by arm that an earlier call found for the same declaration."""
    found = [
        entry["tokens"]
        for entry in Ledger.of(store).read()
        if entry.event == "paced" and (entry["study"], entry["digest"]) == (study.name, study.digest)
    ]
    return {name: int(number) for name, number in found[-1].items()} if found else None


def measured(study: Study, planned: Planner) -> dict[str, int]:
    """Tokens by arm, in whole batches; the baseline keeps its own. Raises ConfigError for runs on several GPUs."""
    if study.gpus_per_run != 1 or study.splits:
        raise ConfigError(f"{_place(study)} is measured on one GPU; it needs 'gpus_per_run: 1'")
    made = planned(study)
    first = {run.arm: run.config for run in reversed(made.runs)}
    name = study.criterion.baseline
    tokens = {}
    for arm in study.compared:
        if arm.name != name:
            pair = {each: first[each] for each in (name, arm.name)}
            plugins = {each: study.catalogue.instances(config.plugins) for each, config in pair.items()}
            inputs = {each: inputs_of(config, study.catalogue) for each, config in pair.items()}
            speed = pace.side_by_side(pair, plugins, made.source, inputs)
            wanted = made.costs[name].tokens * speed[arm.name] / speed[name]
            tokens[arm.name] = whole_batches(wanted, arm.run.batch_tokens)
    return tokens


def with_tokens(study: Study, tokens: Mapping[str, int]) -> Study:
    """The study with other budgets; the declaration keeps those that were written."""
    arms = tuple(
        replace(arm, run=arm.run.model_copy(update={"tokens": tokens[arm.name]})) if arm.name in tokens else arm
        for arm in study.arms
    )
    return replace(study, arms=arms, as_declared=study.compared)


def achieved(study: Study, costs: Mapping[str, Cost]) -> dict[str, float]:
    """By arm, what it has of the matched quantity relative to the baseline, minus 1; empty without one or for seconds.

    Arms that are not compared are left out.
    """
    amount: dict[str | None, Callable[[Cost], float]] = {
        "tokens": lambda cost: cost.tokens,
        "params": lambda cost: cost.parameters,
        "flops": lambda cost: cost.flops,
    }
    if matched_on(study) not in amount:
        return {}
    of = amount[matched_on(study)]
    return {arm.name: of(costs[arm.name]) / of(costs[study.criterion.baseline]) - 1 for arm in study.compared}


def _place(study: Study) -> str:
    """`study.yaml:7: match: flops`; a study that a report declares again has no lines."""
    return f"{where(study, 'match')}: {matched_on(study)}"
