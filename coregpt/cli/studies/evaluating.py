"""Measuring the secondary outcomes that a study asks for, of every complete run, before its report is written."""

from dataclasses import replace
from pathlib import Path

import torch

from coregpt.cli.screen import say
from coregpt.contract.errors import ConfigError, CoreGPTError, RunError
from coregpt.lab.records.losses import RESULT
from coregpt.lab.records.outcomes import Measured, keep, measured
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.evaluating import BOOKS, KEY, QUESTIONS, Asked, asked_of, question, tokens_of
from coregpt.lab.study.outline import Plan, PlannedRun
from coregpt.lab.study.whereabouts import where
from coregpt.text.tokenizer import Tokenizer
from coregpt.trained.books import Cut, Windows, read_windows
from coregpt.trained.hellaswag import Item, read_items
from coregpt.trained.opening import meaning_of, open_run, tokenizer_at
from coregpt.trained.outcomes import Text, measure

ALIKE = 1e-3
"""Nats by which rounding, on another device or with rows in other groups, may move a loss."""


class Materials:
    """Files of questions and books, each read once, the books once for each tokenizer."""

    def __init__(self, asked: Asked):
        self.asked = asked
        self._items: list[Item] | None = None
        self._windows: dict[str, Windows] = {}

    def items(self) -> list[Item]:
        """The questions of HellaSwag; none where they are not asked for."""
        if self._items is None:
            said = self.asked.said.hellaswag
            self._items = [] if said is None else read_items(self.asked.files[QUESTIONS].path, said.questions)
        return self._items

    def windows(self, tokenizer: Tokenizer) -> Windows:
        """Of the books that are asked for."""
        if tokenizer.digest not in self._windows:
            self._windows[tokenizer.digest] = read_windows(self.asked.files[BOOKS].path, tokenizer, self.cut())
        return self._windows[tokenizer.digest]

    def cut(self) -> Cut:
        said = self.asked.said.books
        assert said is not None
        return Cut(said.length, said.rows, said.books)


def refuse_unmeasurable(made: Plan) -> None:
    """Before anything is trained: raises ConfigError for questions or books that cannot be read, or asked of these
    models."""
    asked = asked_of(made.study)
    for key in asked.files if asked is not None else ():
        assert asked is not None
        try:
            materials = Materials(asked)
            if key == QUESTIONS:  # what is wrong with the file itself is told first
                materials.items()
            tokenizer = tokenizer_at(meaning_of(made.runs[0].config.data.source)[1], made.source.name)
            if key == BOOKS:  # one that is long enough will do for now
                read_windows(asked.files[key].path, tokenizer, replace(materials.cut(), books=1))
        except CoreGPTError as error:
            raise ConfigError(f"{where(made.study, KEY, key)}: {error}") from None


def measure_runs(made: Plan, store: Path) -> list[str]:
    """Measure what was not measured yet; the lines that say of which runs nothing could be."""
    asked = asked_of(made.study)
    todo = unmeasured(made, store) if asked is not None else []
    if asked is None or not todo:
        return []
    say(f"secondary outcomes of {len(todo)} {'run' if len(todo) == 1 else 'runs'} to measure")
    materials, lost = Materials(asked), []
    for run in todo:
        try:
            found = of_run(run, made, materials, store)
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


def of_run(run: PlannedRun, made: Plan, materials: Materials, store: Path) -> Measured:
    """Raises CoreGPTError where the run's weights are gone, or are not those of its result."""
    study, source, asked = made.study, made.source_of(run.arm), materials.asked
    model = replace(open_run(run.id, None, store, device_of(run)), name=f"{run.arm}, seed {run.seed}")
    model.refuse_other(source)
    text = Text(source, getattr(source, study.reads), study.reads, tokens_of(asked, study))
    windows = None if asked.said.books is None else materials.windows(model.open_tokenizer())
    found, loss = measure(model, text, asked.said, materials.items(), windows)
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
