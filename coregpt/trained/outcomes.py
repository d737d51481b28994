"""Secondary outcomes of one finished model: what `evaluate` in a study asks for, by name.

The numbers are those of `coregpt eval`, on the same tokens; here each is an outcome of the run as its metric is one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coregpt.engine.data import TokenSource, TokenStream
from coregpt.lab.records.outcomes import Measured
from coregpt.lab.study.evaluating import IN_BOOKS
from coregpt.lab.study.sections.evaluate import Bands, EvaluateFile
from coregpt.trained.books import Windows, by_place
from coregpt.trained.breakdown import Places, calibration, documents, frequencies, positions, split
from coregpt.trained.hellaswag import Item, answer
from coregpt.trained.lengths import beyond
from coregpt.trained.opening import Trained
from coregpt.trained.scoring import Scored, score

Outcome = tuple[str, float]


@dataclass(frozen=True)
class Text:
    """What is evaluated on."""

    source: TokenSource
    stream: TokenStream
    name: str
    """Of the stream."""
    count: int
    """The first so many tokens of it."""


def measure(
    model: Trained, text: Text, said: EvaluateFile, questions: Sequence[Item], windows: Windows | None = None
) -> tuple[Measured, float]:
    """Every outcome that is asked for, and the loss of the whole text in nats per token. `windows` are those of books.

    Raises ConfigError or DataError where text, questions or windows do not go with the model.
    """
    scored = score(model, text.stream, text.count, text.name)
    found = dict(_of_tokens(scored, text, said))
    refused = dict[str, str]()
    for times in said.longer:
        name, place = f"loss past {model.context:,} tokens, in rows of {model.context * times:,}", text.name
        value = beyond(model, text.stream, text.count, times, place)
        if isinstance(value, str):
            refused[name] = value
        else:
            found[name] = value
    if said.books is not None and windows is not None:
        books, _ = by_place(model, windows, said.books.bucket)
        found |= {f"{IN_BOOKS}: {part.name}": part.mean.value for part in books.parts}
        refused |= {f"loss in books, in windows of {windows.length:,}": books.refused} if books.refused else {}
    if questions:
        answers = answer(model, model.open_tokenizer(), questions)
        found["HellaSwag acc"] = answers.acc / answers.items
        found["HellaSwag acc_norm"] = answers.acc_norm / answers.items
    return Measured(found, refused), float(scored.losses.mean())


def _of_tokens(scored: Scored, text: Text, said: EvaluateFile) -> Iterator[Outcome]:
    if said.position:
        yield from _bands("tokens before", scored, positions(scored, _borders(said.position)))
    if said.frequency:
        where = frequencies(scored, text.source, _borders(said.frequency))
        yield from _bands("times in training", scored, where)
    if said.document:
        where = documents(scored, text.source, text.stream, _borders(said.document))
        yield from _bands("tokens of the document", scored, where)
    if said.calibration:
        yield "expected calibration error", calibration(scored).error


def _borders(said: Bands) -> list[int] | None:
    return said if isinstance(said, list) else None


def _bands(what: str, scored: Scored, where: Sequence[tuple[str, Places]]) -> Iterator[Outcome]:
    for part in split(scored.losses, where):
        yield f"loss, {what}: {part.name}", part.mean.value
