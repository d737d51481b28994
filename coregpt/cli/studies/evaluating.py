"""Measuring the secondary outcomes that a study asks for, of every complete run, before its report is written."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from coregpt.cli.screen import say
from coregpt.contract.errors import ConfigError, CoreGPTError, RunError
from coregpt.lab.records.losses import RESULT
from coregpt.lab.records.outcomes import Measured, keep, measured
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.evaluating import KEY, Asked, asked_of, question, tokens_of
from coregpt.lab.study.outline import Plan, PlannedRun
from coregpt.lab.study.whereabouts import where
from coregpt.trained.hellaswag import Item, read_items
from coregpt.trained.opening import meaning_of, open_run, tokenizer_at
from coregpt.trained.outcomes import Text, measure

ALIKE = 1e-3
"""Nats by which rounding, on another device or with rows in other groups, may move a loss."""


def refuse_unmeasurable(made: Plan) -> None:
    """Before anything is trained: raises ConfigError for questions that cannot be read, or asked of these models."""
    asked = asked_of(made.study)
    if asked is None or asked.questions is None:
        return
    try:
        items_of(asked)
        source = made.runs[0].config.data.source
        tokenizer_at(meaning_of(source)[1], made.source.name)
    except CoreGPTError as error:
        raise ConfigError(f"{where(made.study, KEY, 'hellaswag')}: {error}") from None


def items_of(asked: Asked) -> list[Item]:
    """The questions of HellaSwag; none where they are not asked for."""
    said = asked.said.hellaswag
    return [] if said is None or asked.questions is None else read_items(asked.questions, said.questions)


def measure_runs(made: Plan, store: Path) -> list[str]:
    """Measure what was not measured yet; the lines that say of which runs nothing could be."""
    asked = asked_of(made.study)
    todo = unmeasured(made, store) if asked is not None else []
    if asked is None or not todo:
        return []
    say(f"secondary outcomes of {len(todo)} {'run' if len(todo) == 1 else 'runs'} to measure")
    items, lost = items_of(asked), []
    for run in todo:
        try:
            found = of_run(run, made, asked, items, store)
        except CoreGPTError as error:
            lost.append(f"no secondary outcomes of {run.arm}, seed {run.seed}: {error}")
            continue
        keep(RunFolder(store / run.id), question(asked, made.study), found)
        say(f"  {run.arm}, seed {run.seed}: measured")
    return lost


def unmeasured(made: Plan, store: Path) -> list[PlannedRun]:
    """Finished runs of compared arms without their outcomes."""
    asked = asked_of(made.study)
    arms = {arm.name for arm in made.study.compared}
    return [
        run
        for run in made.runs
        if asked is not None
        and run.arm in arms
        and (RunFolder(store / run.id).result() or {}).get("status") == "finished"
        and measured(RunFolder(store / run.id), question(asked, made.study)) is None
    ]


def of_run(run: PlannedRun, made: Plan, asked: Asked, items: Sequence[Item], store: Path) -> Measured:
    """Raises CoreGPTError where the run's weights are gone, or are not those of its result."""
    study, source = made.study, made.source_of(run.arm)
    model = replace(open_run(run.id, None, store, device_of(run)), name=f"{run.arm}, seed {run.seed}")
    model.refuse_other(source)
    text = Text(source, getattr(source, study.reads), study.reads, tokens_of(asked, study))
    found, loss = measure(model, text, asked.said, items)
    if text.count == run.config.eval_tokens:
        refuse_other_weights(run, loss, study, store)
    return found


def refuse_other_weights(run: PlannedRun, loss: float, study: Study, store: Path) -> None:
    """Raises RunError for weights whose loss is not the one that the run ended with."""
    result = RunFolder(store / run.id).result()
    assert result is not None
    ended = float(result[RESULT[study.reads]])
    if abs(loss - ended) > ALIKE:
        raise RunError(f"its weights have a loss of {loss:.4f} on {study.reads}, and it ended with {ended:.4f}")


def device_of(run: PlannedRun) -> str:
    """That of its training, where it is here."""
    return run.config.device if torch.cuda.is_available() else "cpu"
