"""`coregpt eval`: collects what is asked for, and prints it."""

import json
import math
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from coregpt.cli.models.opening import opened
from coregpt.cli.screen import say, table
from coregpt.contract.errors import ConfigError
from coregpt.engine.data import TokenSource, TokenStream
from coregpt.lab.study.material import found as found_material
from coregpt.lab.study.place import opened as opened_data
from coregpt.report.drawing.numbers import plural
from coregpt.trained.books import ByPlace, Cut, buckets, by_place, over_books, perplexity, read_windows
from coregpt.trained.breakdown import Calibration, Part, calibration, documents, frequencies, positions, split
from coregpt.trained.estimates import Floats, Mean, mean_of_rows
from coregpt.trained.hellaswag import Answers, answer, read_items
from coregpt.trained.lengths import Longer, extrapolate
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


@dataclass
class Found:
    """All that is told."""

    run: str
    stream: str
    loss: Mean
    bits_per_byte: float | None
    tables: dict[str, list[Part]]
    calibration: Calibration
    against: str = ""
    difference: Mean | None = None
    """Loss of this run minus that of the other one."""
    differences: dict[str, list[Part]] = field(default_factory=dict)
    longer: list[Longer] = field(default_factory=list)
    books: ByPlace | None = None
    other_in_books: list[Part] = field(default_factory=list)
    """Of the other run, in the same windows."""
    differences_in_books: list[Part] = field(default_factory=list)
    hellaswag: Answers | None = None


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


def lines(found: Found) -> Iterator[str]:
    """Everything as text."""
    bits = "" if found.bits_per_byte is None else f", {found.bits_per_byte:.4f} bits per byte"
    yield f"run {found.run}, {found.loss.count:,} tokens of {found.stream}: loss {told(found.loss)}{bits}"
    if found.stream == "held_out":
        yield NOTE
    if found.difference is not None:
        yield f"minus run {found.against}: {told(found.difference, signed=True)}"
        yield PAIR
    for name, parts in found.tables.items():
        if parts:
            yield ""
            yield from table(_rows(name, parts, found.differences.get(name)))
    yield ""
    yield from _calibration(found.calibration)
    for each in found.longer:
        yield ""
        yield from _longer(each)
    if found.books is not None:
        yield ""
        yield from _books(found, found.books)
    if found.hellaswag is not None:
        yield ""
        yield from _hellaswag(found.hellaswag)


def told(mean: Mean, signed: bool = False) -> str:
    """`3.1416 (3.1 to 3.2)`."""
    sign = "+" if signed else ""
    if mean.low is None or mean.high is None:
        return f"{mean.value:{sign}.4f}"
    return f"{mean.value:{sign}.4f} ({mean.low:{sign}.4f} to {mean.high:{sign}.4f})"


def _rows(name: str, parts: Sequence[Part], gaps: Sequence[Part] | None) -> list[tuple[str, ...]]:
    head = (name, "tokens", "share", "loss (95% interval)")
    rows = [(each.name, f"{each.mean.count:,}", f"{each.share:.1%}", told(each.mean)) for each in parts]
    if gaps is None:
        return [head, *rows]
    more = [(told(each.mean, signed=True), f"{each.mean.value * each.share:+.4f}") for each in gaps]
    return [(*head, "difference", "of the whole"), *((*row, *gap) for row, gap in zip(rows, more, strict=True))]


def _calibration(found: Calibration) -> list[str]:
    rows = [("confidence", "tokens", "mean confidence", "right (95% interval)")]
    rows += [(name, f"{mean.count:,}", f"{sure:.3f}", told(mean)) for name, sure, mean in found.levels]
    return [*table(rows), f"expected calibration error {found.error:.4f}"]


def _longer(found: Longer) -> list[str]:
    if found.refused:
        return [found.refused]
    rows = [(f"tokens before, rows of {found.length:,}", "loss (95% interval)", "perplexity")]
    both = zip(found.parts, found.perplexities(), strict=True)
    return table([*rows, *((part.name, told(part.mean), f"{value:.2f}") for part, (_, value) in both)])


def _books(found: Found, books: ByPlace) -> list[str]:
    if books.refused:
        return [books.refused]
    windows = f"{plural(books.books, 'book')}, {plural(books.rows, 'window')} each"
    short = f"; {books.short:,} documents are too short" if books.short else ""
    head = (f"tokens before, windows of {books.length:,}", "loss (95% interval)", "perplexity")
    rows = [(part.name, told(part.mean), f"{perplexity(part.mean.value):.2f}") for part in books.parts]
    if not found.other_in_books:
        return [f"{windows}{short}", *table([head, *rows])]
    both = zip(rows, found.other_in_books, found.differences_in_books, strict=True)
    more = [(*row, f"{perplexity(part.mean.value):.2f}", told(gap.mean, signed=True)) for row, part, gap in both]
    return [f"{windows}{short}", *table([(*head, f"that of {found.against[:12]}", "difference of losses"), *more])]


def _hellaswag(found: Answers) -> list[str]:
    rows = [("HellaSwag", "right", "of", "share", "95% interval")]
    for name, right in (("acc", found.acc), ("acc_norm", found.acc_norm)):
        low, high = found.interval(right)
        rows.append((name, f"{right:,}", f"{found.items:,}", f"{right / found.items:.4f}", f"{low:.4f} to {high:.4f}"))
    cut = [f"{found.cut:,} contexts did not fit, and their ends were seen"] if found.cut else []
    return [*table(rows), *cut]
