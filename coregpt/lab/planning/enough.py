"""Whether data and arms fit, and can carry a verdict: refused where not, told where data are gone over often."""

from collections.abc import Iterator

from coregpt.contract.errors import ConfigError
from coregpt.engine.data import TokenSource
from coregpt.lab.study.declaration import Arm
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Outline, Plan
from coregpt.lab.study.whereabouts import where_set

MANY_PASSES = 4
"""Over the same tokens, from which on repeated data are worth less than new ones (Muennighoff et al. 2023)."""


def refuse_unfit(outlined: Outline, source: TokenSource) -> None:
    """Raises ConfigError, one line per mistake, where an arm cannot be trained or judged as declared."""
    study = outlined.study
    found = dict.fromkeys(
        f"{where_set(study, arm, *key)}: {text}"
        for arm in study.arms
        for key, text in _unfit(arm, max(_batches(outlined, arm)), source)
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
    rows = (len(source.train) - 1) // context
    if rows < 1:
        text = f"a row of {context:,} tokens and its target do not fit into the training stream of {source.name}"
        yield ("model", "context"), f"{text}, {len(source.train):,} tokens"
        return
    if batch > rows * context:
        text = f"a batch of {batch:,} tokens is larger than all training data of {source.name}"
        yield ("batch_tokens",), f"{text}, {rows:,} rows of {context:,}: a step would see rows twice"
    streams = {"select": source.select, "held_out": source.held_out}
    if short := [f"{len(stream):,} in '{name}'" for name, stream in streams.items() if len(stream) <= asked]:
        text = f"{asked:,} tokens are to be evaluated (and one more is their last target), but {source.name} has only"
        yield ("eval_tokens",), f"{text} {' and '.join(short)}"


def passes(made: Plan) -> float:
    """How often the arm that trains longest goes over the training tokens."""
    return max(cost.tokens for cost in made.costs.values()) / len(made.source.train)


def pass_lines(made: Plan) -> list[str]:
    """What a plan says of them."""
    if foreign(made.baseline.run) is not None:
        return []
    often = passes(made)
    line = f"Each run goes {often:.2g} times over {len(made.source.train):,} training tokens of {made.source.name}"
    if often <= MANY_PASSES:
        return [f"{line}."]
    return [
        f"WARNING: {line[0].lower()}{line[1:]}: from {MANY_PASSES} times on these runs measure how a technique repeats "
        "data, not how it learns from new ones; train on fewer tokens, or bring more data."
    ]
