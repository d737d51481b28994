"""Whether data and arms fit, and can carry a verdict: refused where not, told where data are gone over often."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from coregpt.contract.data_config import DataConfig
from coregpt.contract.errors import ConfigError, DataError
from coregpt.engine.data import TokenSource
from coregpt.engine.data.batches import along
from coregpt.engine.data.judged import whole_documents
from coregpt.engine.data.mixing import cuts
from coregpt.lab.study.declaration import Arm
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Outline, Plan
from coregpt.lab.study.whereabouts import where_set

MOMENTS = 1000
"""Of a run at which weights of sources are looked at, to say how much of each is used."""
TOLD = 0.005
"""A share of the training tokens that is left out is told from here on."""
MANY_PASSES = 4
"""Over the same tokens, from which on repeated data are worth less than new ones (Muennighoff et al. 2023)."""


def refuse_unfit(outlined: Outline, sources: Mapping[str, TokenSource]) -> None:
    """Raises ConfigError, one line per mistake, where an arm cannot be trained or judged as declared."""
    study = outlined.study
    found = dict.fromkeys(
        f"{where_set(study, arm, *key)}: {text}"
        for arm in study.arms
        for key, text in _unfit(arm, max(_batches(outlined, arm)), sources[arm.name])
    )
    if found:
        raise ConfigError("\n".join(found))


def _batches(outlined: Outline, arm: Arm) -> Iterator[int]:
    """Tokens of a step, in every stage that a schedule makes."""
    yield arm.run.batch_tokens
    for stage in outlined.costs[arm.name].stages:
        yield stage.tokens // stage.steps


def _unfit(arm: Arm, batch: int, source: TokenSource) -> Iterator[tuple[tuple[str, ...], str]]:
    if (vocab := arm.run.model.vocab) < source.vocab:
        yield ("model", "vocab"), f"expected {source.vocab:,} or more, the token ids of {source.name}, got {vocab:,}"
    context, asked = arm.run.model.context, arm.run.eval_tokens
    if arm.run.data.document_mask and source.separator is None:
        yield ("data", "document_mask"), f"needs documents, and {source.name} has no separator between them"
    if not source.mixed and (len(source.train) - 1) // context < 1:
        text = f"a row of {context:,} tokens and its target do not fit into the training stream of {source.name}"
        yield ("model", "context"), f"{text}, {len(source.train):,} tokens"
        return
    try:
        rows = sum(cut.n_rows for cut in cuts(source, arm.run).values() if cut is not None)
    except DataError as error:
        yield ("data",), str(error)
        return
    if batch > rows * context:
        text = f"a batch of {batch:,} tokens is larger than all training data of {source.name}"
        yield ("batch_tokens",), f"{text}, {rows:,} rows of {context:,}: a step would see rows twice"
    streams = {"select": source.select, "held_out": source.held_out}
    if arm.run.eval_bytes is not None:
        for name, stream in streams.items():
            try:
                whole_documents(source, stream, arm.run.eval_bytes, name)
            except DataError as error:
                yield ("eval_bytes",), str(error)
    elif short := [f"{len(stream):,} in '{name}'" for name, stream in streams.items() if len(stream) <= asked]:
        text = f"{asked:,} tokens are to be evaluated (and one more is their last target), but {source.name} has only"
        yield ("eval_tokens",), f"{text} {' and '.join(short)}"


def passes(made: Plan) -> float:
    """How often the arm that repeats most goes over the training tokens of any of its sources."""
    return max(each.often for arm in made.study.arms for each in passed(made, arm))


def pass_tokens(made: Plan) -> int | None:
    """Tokens of one pass for the arm that repeats most; None where that is all training tokens, of every arm."""
    plain = DataConfig()
    used = [arm.run.data.model_copy(update={"source": plain.source, "document_mask": False}) for arm in made.study.arms]
    if all(data == plain for data in used) and len({made.source_of(arm.name).digest for arm in made.study.arms}) == 1:
        return None
    return round(max(cost.tokens for cost in made.costs.values()) / passes(made))


@dataclass(frozen=True)
class Passed:
    """What one arm takes from one source."""

    name: str
    """Of the source in a mixture, "" for that of the streams that losses are of."""
    tokens: int
    """Of one pass over it: without what rows leave out."""
    of: int
    """Its training tokens."""
    often: float
    """How many passes."""


def passed(made: Plan, arm: Arm) -> list[Passed]:
    """By source, without those of weight 0."""
    source, data, tokens = made.source_of(arm.name), arm.run.data, made.costs[arm.name].tokens
    whole = {"": source.train, **source.mixed}
    share = shares(data)
    return [
        Passed(name, cut.tokens, len(whole[name]), tokens * share[name] / cut.tokens)
        for name, cut in cuts(source, arm.run).items()
        if cut is not None
    ]


def shares(data: DataConfig) -> dict[str, float]:
    """By source, the part of a run's rows that its weight asks for; "" is `source` itself."""
    lines = {name: along(points, MOMENTS) for name, points in data.weights().items()}
    total = np.sum(list(lines.values()), axis=0)
    return {name: float(np.mean(line / total)) for name, line in lines.items()}


def pass_lines(made: Plan) -> list[str]:
    """What a plan says of them."""
    if foreign(made.baseline.run) is not None:
        return []
    often = passes(made)
    takes = {arm.name: "; ".join(_taken(made, arm, each) for each in passed(made, arm)) for arm in made.study.arms}
    if len(set(takes.values())) == 1:
        line = f"Each run goes {next(iter(takes.values()))}"
    else:
        line = "Runs go " + "; ".join(f"in {arm} {text}" for arm, text in takes.items())
    if often <= MANY_PASSES:
        return [f"{line}."]
    return [
        f"WARNING: {line[0].lower()}{line[1:]}: from {MANY_PASSES} times on these runs measure how a technique repeats "
        "data, not how it learns from new ones; train on fewer tokens, or bring more data."
    ]


def _taken(made: Plan, arm: Arm, each: Passed) -> str:
    """`0.5 times over 1,000 of the 1,000,000 training tokens of web`."""
    source = made.source_of(arm.name)
    name = arm.run.data.mixture[each.name].source if each.name else source.name
    some = f" of the {each.of:,}" if each.tokens <= (1 - TOLD) * each.of else ""
    return f"{each.often:.2g} times over {each.tokens:,}{some} training tokens of {name}"
