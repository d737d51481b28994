"""Losses of our runs as bits per byte of text, where `test.metric` says so, and how much text arms are given."""

import math
from collections.abc import Mapping

from coregpt.engine.data import TokenSource
from coregpt.engine.data.judged import whole_documents
from coregpt.lab.study.declaration import OUR_METRIC, Arm, Stream, Study
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Plan

BITS = "bits_per_byte"
METRICS = (OUR_METRIC, BITS)
"""Of our trainer's runs."""
STREAMS: tuple[Stream, ...] = ("held_out", "select")


def in_bits(study: Study) -> bool:
    """Whether losses of our runs are told per byte; a program's metric of this name is its own affair."""
    return study.criterion.metric == BITS and foreign(study.arms[0].run) is None


def scales_of(study: Study, sources: Mapping[str, TokenSource]) -> dict[str, dict[Stream, float]]:
    """By arm and stream, bits per byte of one nat per token; nothing for a study whose metric is a loss."""
    if not in_bits(study):
        return {}
    return {arm.name: {stream: _scale(sources[arm.name], arm, stream) for stream in STREAMS} for arm in study.arms}


def _scale(source: TokenSource, arm: Arm, stream: Stream) -> float:
    return 1 / per_token(source, arm, stream) / math.log(2)


def evaluated(source: TokenSource, arm: Arm, stream: Stream) -> tuple[int, int | None]:
    """How many tokens an arm is evaluated on in one stream, and how many bytes of text they are, if known."""
    read = source.held_out if stream == "held_out" else source.select
    if arm.run.eval_bytes is None:
        return arm.run.eval_tokens, source.bytes_of(read.slice(1, arm.run.eval_tokens))
    first, end = whole_documents(source, read, arm.run.eval_bytes, stream)
    return end - first - 1, source.bytes_of(read.slice(first + 1, end - first - 1))


def per_token(source: TokenSource, arm: Arm, stream: Stream) -> float:
    """Bytes of text that a token stands for."""
    tokens, size = evaluated(source, arm, stream)
    assert size  # where bytes are not known, there is no whole document of so many
    return size / tokens


def trained_bytes(plan: Plan) -> dict[str, float]:
    """By arm about how much text it is trained on; nothing for a study whose metric is a loss."""
    if not in_bits(plan.study):
        return {}
    arms = plan.study.compared
    return {
        arm.name: plan.costs[arm.name].tokens * per_token(plan.source_of(arm.name), arm, "held_out") for arm in arms
    }
