"""From a run's settings to the order of its rows; several sources as one."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

from coregpt.contract.config import RunConfig
from coregpt.contract.data_config import DataConfig
from coregpt.contract.errors import DataError
from coregpt.engine.data.batches import Mixture, Order, RowOrder
from coregpt.engine.data.cutting import ContiguousRows, Cut, DocumentRows
from coregpt.engine.data.shards import TokenStream
from coregpt.engine.data.source import TokenSource


def mixed(source: TokenSource, others: Mapping[str, TokenSource]) -> TokenSource:
    """`source` with the training tokens of others beside its own. Raises DataError where ids mean something else."""
    if not others:
        return source
    for name, other in others.items():
        for what, theirs, own in _meanings(source, other):
            if theirs != own:
                raise DataError(
                    f"data.mixture.{name}: {other.name} has {what} {theirs}, but {source.name} has {own}; sources that "
                    "are mixed must be of the same tokenizer"
                )
    names = sorted(others)
    whole = json.dumps([source.digest, [others[name].digest for name in names]])
    streams = {name: others[name].train for name in names}
    return replace(source, mixed=streams, digest=hashlib.sha256(whole.encode()).hexdigest())


def _meanings(source: TokenSource, other: TokenSource) -> Iterator[tuple[str, object, object]]:
    for what in ("unit", "vocab", "separator"):
        yield what, getattr(other, what), getattr(source, what)
    theirs, own = (each.about.get("tokenizer_sha256") for each in (other, source))
    if theirs and own:
        yield "a tokenizer of sha256", theirs, own
    elif other.token_bytes and source.token_bytes and [*other.token_bytes] != [*source.token_bytes]:
        yield "tokens", "of other bytes", "its own"


def row_order(source: TokenSource, config: RunConfig, total: int) -> Order:
    """The order of a run of `total` rows. Raises DataError where the data are too few for one row."""
    data, context = config.data, config.model.context
    orders = [
        None if cut is None else RowOrder(source.train, context, config.data_seed, cut=cut, order=data.order, which=n)
        for n, cut in enumerate(cuts(source, config).values())
    ]
    if len(orders) == 1 and orders[0] is not None:
        return orders[0]
    return Mixture(orders, list(data.weights().values()), total, config.data_seed)


def cuts(source: TokenSource, config: RunConfig) -> dict[str, Cut | None]:
    """The rows of one epoch, of `source` as "" and of each source mixed in; None where the weight is always 0."""
    streams = {"": source.train, **source.mixed}
    return {
        name: _cut(streams[name], source, config) if any(value for _, value in points) else None
        for name, points in config.data.weights().items()
    }


def _cut(stream: TokenStream, source: TokenSource, config: RunConfig) -> Cut:
    data, context = config.data, config.model.context
    used = _unique(stream, data)
    if data.rows == "contiguous":
        return ContiguousRows(used, context)
    if source.separator is None:
        raise DataError(f"data.rows: documents needs documents, and {source.name} has no separator between them")
    return DocumentRows(used, context, source.separator, data.max_document)


def _unique(stream: TokenStream, data: DataConfig) -> TokenStream:
    if data.unique_tokens is None:
        return stream
    if data.unique_tokens > len(stream):
        raise DataError(f"data.unique_tokens is {data.unique_tokens:,}, but there are {len(stream):,} training tokens")
    return stream.part(0, data.unique_tokens)
