"""`coregpt eval`: collects what is asked for, prints it, and writes the page where one is asked for."""

import json
import math
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from coregpt.cli.models.evaluated import (
    Found,
    by_confidence,
    by_parts,
    in_books,
    in_longer,
    in_questions,
    summary,
    told,
)
from coregpt.cli.models.evaluation_page import page
from coregpt.cli.models.opening import opened
from coregpt.cli.screen import say, table
from coregpt.contract.errors import ConfigError
from coregpt.engine.data import TokenSource, TokenStream, replacing
from coregpt.lab.study.material import found as found_material
from coregpt.lab.study.place import opened as opened_data
from coregpt.report.drawing.page import html
from coregpt.trained.books import Cut, buckets, by_place, over_books, read_windows
from coregpt.trained.breakdown import calibration, documents, frequencies, positions, split
from coregpt.trained.estimates import Floats, Mean, mean_of_rows
from coregpt.trained.hellaswag import answer, read_items
from coregpt.trained.lengths import extrapolate
from coregpt.trained.opening import Trained
from coregpt.trained.scoring import Scored, score

TELL_S = 2.0
NOTE = (
    "note: held_out is for verdicts; whatever is chosen in sight of these numbers looks better by them than it is "
    "(docs/studies.md, two streams)"
)

PAIR = (
    "note: intervals are over rows of this text, for these two runs; how far another seed moves the difference, only "
    "the study's report says"
)


def evaluate(options: Namespace) -> int:
    """Print the parts of the loss, or all of it as JSON."""
    questions = read_items(found_material(options.hellaswag, Path()), options.questions) if options.hellaswag else []
    model = opened(options)
    other = opened(options, options.against) if options.against else None
    source = opened_data(model.config.data, Path())
    model.refuse_other(source)
    stream: TokenStream = getattr(source, options.stream)
    count = model.config.eval_tokens if options.tokens is None else _whole_rows(options.tokens, model, stream)
    if other is not None:
        _refuse_unlike(model, other, source)
    scored = score(model, stream, count, options.stream)
    places = {
        "tokens before": positions(scored),
        "times in training": frequencies(scored, source),
        "tokens of the document": documents(scored, source, stream),
    }
    found = Found(
        model.name,
        options.stream,
        _whole(scored.losses),
        bits_per_byte(scored, source),
        {name: split(scored.losses, where) for name, where in places.items()},
        calibration(scored),
    )
    if other is not None:
        gaps = scored.losses - score(other, stream, count, options.stream).losses
        found.against, found.difference = other.name, _whole(gaps)
        found.differences = {name: split(gaps, where) for name, where in places.items()}
    found.longer = [extrapolate(model, stream, count, each, options.stream) for each in options.longer]
    if options.books:
        _in_books(found, options, model, other)
    if questions:
        found.hellaswag = answer(model, model.open_tokenizer(options.tokenizer), questions, _progress(len(questions)))
    if options.json:
        say(json.dumps(asdict(found), indent=1))
    else:
        for line in lines(found):
            say(line)
    if options.html is not None:
        with replacing(options.html) as file:
            file.write(html(page(found, notes(found), model.context)).encode("utf-8", errors="replace"))
        if not options.json:
            say(f"\n{options.html}: the same with pictures")
    return 0


def _in_books(found: Found, options: Namespace, model: Trained, other: Trained | None) -> None:
    """Add what long documents show, of two runs in the same windows."""
    cut = Cut(options.length or 4 * model.context, options.rows, options.most_books)
    if cut.length % model.context:
        raise ConfigError(f"--length {cut.length}: expected a multiple of {model.name}'s context {model.context}")
    tokenizer = model.open_tokenizer(options.tokenizer)
    windows = read_windows(found_material(options.books, Path()), tokenizer, cut)
    found.books, losses = by_place(model, windows, options.bucket)
    if other is None or losses is None:
        return
    others = over_books(other, windows)
    if not isinstance(others, str):
        places = buckets(windows, options.bucket)
        found.other_in_books, found.differences_in_books = split(others, places), split(losses - others, places)


def _whole_rows(tokens: int, model: Trained, stream: TokenStream) -> int:
    most = (len(stream) - 1) // model.context * model.context
    if tokens % model.context or tokens > most:
        raise ConfigError(
            f"--tokens {tokens}: expected a multiple of {model.name}'s context {model.context}, at most {most:,} here"
        )
    return tokens


def _refuse_unlike(model: Trained, other: Trained, source: TokenSource) -> None:
    if other.context != model.context:
        raise ConfigError(
            f"--against: {other.name} has rows of {other.context} tokens and {model.name} of {model.context}"
        )
    if other.data != source.digest:
        raise ConfigError(
            f"--against: {other.name} was trained on other data than {model.name}; expected the same tokens"
        )


def _whole(values: Floats) -> Mean:
    mean = mean_of_rows(values, np.ones(values.shape, dtype=np.bool_))
    assert mean is not None
    return mean


def bits_per_byte(scored: Scored, source: TokenSource) -> float | None:
    """None where the bytes of the tokens are not known."""
    size = source.bytes_of(scored.targets.flatten())
    return float(scored.losses.sum()) / size / math.log(2) if size else None


def _progress(whole: int) -> Callable[[int], None]:
    told = [time.monotonic()]

    def tell(done: int) -> None:
        if time.monotonic() - told[0] > TELL_S:
            told[0] = time.monotonic()
            say(f"{done} of {whole} questions")

    return tell


def notes(found: Found) -> list[str]:
    """What whoever reads it must know."""
    return [NOTE] * (found.stream == "held_out") + [PAIR] * (found.difference is not None)


def lines(found: Found) -> Iterator[str]:
    """Everything as text."""
    yield summary(found)
    if found.difference is not None:
        yield f"minus run {found.against}: {told(found.difference, signed=True)}"
    yield from notes(found)
    for _, rows in by_parts(found):
        yield from ("", *table(rows))
    rows, below = by_confidence(found.calibration)
    yield from ("", *table(rows), below)
    for each in found.longer:
        yield from ("", *([each.refused] if each.refused else table(in_longer(each))))
    if found.books is not None:
        said, rows = in_books(found, found.books)
        yield from ("", *([found.books.refused] if found.books.refused else [said, *table(rows)]))
    if found.hellaswag is not None:
        rows, more = in_questions(found.hellaswag)
        yield from ("", *table(rows), *more)
