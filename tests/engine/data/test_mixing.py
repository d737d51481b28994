"""Orders and mixtures of sources against loops that follow the words of `DataConfig`, one row at a time."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from coregpt.contract.config import DataConfig, ModelShape, RunConfig
from coregpt.contract.errors import DataError
from coregpt.engine.data import RowOrder, TokenSource, TokenStream, mixed, row_order
from coregpt.engine.data.batches import along

T = 8
RISING = [[0.0, 0.2], [0.5, 0.2], [0.5, 1.0], [0.9, 3.0]]


def source(name: str, first: int, tokens: int = 600, **other) -> TokenSource:
    """Ids tell source and place: `first` + 0, 1, 2, ..., and a separator 0 in front of every 50."""
    ids = first + np.arange(tokens)
    ids[::50] = 0
    train = TokenStream([ids.astype(np.uint16)])
    apart = TokenStream([np.arange(200, dtype=np.uint16)])
    return TokenSource(name, "token", 60_000, train, apart, apart, 0, digest=name, **other)


WEB, CODE, BOOKS = source("web", 1000), source("code", 20_000, 450), source("books", 40_000)


def config(seed: int = 3, **data) -> RunConfig:
    shape = ModelShape(vocab=60_000, dim=8, heads=2, depth=1, context=T)
    return RunConfig(model=shape, data=DataConfig(source="web", **data), data_seed=seed, eval_tokens=T)


def mixture(**weights) -> dict[str, object]:
    return {name: {"source": name, "weight": weight} for name, weight in weights.items()}


def weight_by_hand(points: object, share: float) -> float:
    """Walks along the line, segment by segment; at a jump the later value counts."""
    if not isinstance(points, list):
        return points
    value = points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if share >= x1:
            value = y1
        elif share >= x0:
            value = y0 + (y1 - y0) * (share - x0) / (x1 - x0)
    return value if share >= points[0][0] else points[0][1]


def by_hand(sources, weights, total: int, seed: int):
    """One row after the other: which source its draw falls on, then that source's next row."""
    draws = np.random.Philox(np.random.SeedSequence([seed, 0, 5])).random_raw(total)
    used = [0] * len(sources)
    for row in range(total):
        now = [weight_by_hand(each, row / total) for each in weights]
        place, which = int(draws[row] >> np.uint64(11)) / 2**53 * sum(now), 0
        while place >= now[which]:
            place -= now[which]
            which += 1
        tokens = sources[which].train.slice(0, len(sources[which].train))
        count = (len(tokens) - 1) // T
        epoch, at = divmod(used[which], count)
        entropy = [seed, epoch, 0, *([which] if which else [])]
        raw = np.random.Philox(np.random.SeedSequence(entropy)).random_raw(count)
        number = sorted(range(count), key=lambda n, raw=raw: int(raw[n]))[at]
        used[which] += 1
        yield which, tokens[number * T : number * T + T + 1].tolist()


@pytest.mark.parametrize("own", [1, 0, 0.5, [[0.2, 1.0], [1.0, 0.0]]])
@pytest.mark.parametrize("code", [0.3, RISING])
def test_a_mixture_is_that_of_a_loop_over_rows(own, code):
    whole = mixed(WEB, {"code": CODE, "books": BOOKS})
    made = config(weight=own, mixture=mixture(code=code, books=0.4))
    inputs, targets = row_order(whole, made, 200).rows(0, 200)
    expected = list(by_hand([WEB, BOOKS, CODE], [own, 0.4, code], 200, 3))  # in the order of names
    assert inputs.tolist() == [row[:-1] for _, row in expected]
    assert targets.tolist() == [row[1:] for _, row in expected]
    assert len({which for which, _ in expected}) == (2 if own == 0 else 3)


def test_weights_are_the_shares_of_rows():
    whole = mixed(WEB, {"code": CODE})
    made = config(weight=3, mixture=mixture(code=1))
    order = row_order(whole, made, 4000)
    share = float((order.chosen == 1).mean())
    assert abs(share - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5
    assert along(((0.0, 2.0), (1.0, 0.0)), 4).tolist() == [2.0, 1.5, 1.0, 0.5]


def test_a_mixture_of_one_source_alone_is_the_order_without_a_mixture():
    whole = mixed(WEB, {"code": CODE})
    alone = row_order(WEB, config(), 150).rows(0, 150)
    with_it = row_order(whole, config(mixture=mixture(code=0)), 150).rows(0, 150)
    assert all(torch.equal(*pair) for pair in zip(alone, with_it, strict=True))


def test_equal_weights_at_a_row_draw_the_same_source_in_two_mixtures():
    whole = mixed(WEB, {"code": CODE})
    steady, later = (row_order(whole, config(mixture=mixture(code=w)), 100) for w in (1.0, [[0, 1], [0.5, 1], [1, 9]]))
    first, second = steady.rows(0, 50), later.rows(0, 50)
    assert torch.equal(first[0], second[0])
    assert not torch.equal(steady.rows(50, 50)[0], later.rows(50, 50)[0])


OPTIONS = [
    {},
    {"order": "same"},
    {"order": "stream"},
    {"rows": "documents", "max_document": 20},
    {"rows": "documents", "order": "stream"},
    {"unique_tokens": 300},
    {"mixture": mixture(code=0.5, books=RISING), "rows": "documents", "order": "same"},
]


@pytest.mark.parametrize("data", OPTIONS, ids=str)
def test_an_order_does_not_depend_on_how_or_by_how_many_it_is_read(data):
    whole = mixed(WEB, {"code": CODE, "books": BOOKS}) if "mixture" in data else WEB
    once = row_order(whole, config(**data), 240).rows(0, 240)
    for piece in (1, 7, 64):
        reader = row_order(whole, config(**data), 240)
        parts = [reader.rows(first, min(piece, 240 - first)) for first in range(0, 240, piece)]
        assert all(torch.equal(torch.cat([part[i] for part in parts]), once[i]) for i in range(2))
    ranks = [row_order(whole, config(**data), 240) for _ in range(3)]
    shares = [rank.rows(24 * step + 8 * k, 8)[0] for step in range(10) for k, rank in enumerate(ranks)]
    assert torch.equal(torch.cat(shares), once[0])
    backwards = row_order(whole, config(**data), 240)
    assert torch.equal(torch.cat([backwards.rows(i, 1)[0] for i in reversed(range(240))]), once[0].flip(0))


@pytest.mark.parametrize("data", OPTIONS, ids=str)
def test_another_seed_is_another_order(data):
    whole = mixed(WEB, {"code": CODE, "books": BOOKS}) if "mixture" in data else WEB
    orders = {str(row_order(whole, config(seed, **data), 60).rows(0, 60)[0].tolist()) for seed in range(4)}
    assert len(orders) >= 3  # a stream of few rows may begin at the same one twice


def test_a_stream_is_read_as_it_lies_from_a_row_of_the_seed_on_and_round():
    order = row_order(WEB, config(order="stream"), 200)
    rows = (order.rows(0, 200)[0][:, 1] - 1001) // T
    start, count = int(rows[0]), (600 - 1) // T
    assert rows.tolist() == [(start + i) % count for i in range(200)]


def test_the_same_order_comes_again_in_every_epoch():
    count = (600 - 1) // T
    same, new = (row_order(WEB, config(order=each), 200).rows(0, 2 * count)[0] for each in ("same", "shuffled"))
    assert torch.equal(same[:count], same[count:])
    assert not torch.equal(new[:count], new[count:])
    assert torch.equal(same[:count], new[:count])


def test_unique_tokens_are_the_first_ones_and_are_repeated():
    order = row_order(WEB, config(unique_tokens=81), 40)
    inputs = order.rows(0, 40)[0]
    assert int(inputs.max()) < 1081
    assert len({tuple(row) for row in inputs.tolist()}) == 10
    with pytest.raises(DataError, match="unique_tokens is 601, but there are 600"):
        row_order(WEB, config(unique_tokens=601), 40)


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (replace(CODE, vocab=50), "data.mixture.code: code has vocab 50, but web has 60000"),
        (replace(CODE, separator=1), "code has separator 1, but web has 0"),
        (replace(CODE, unit="byte"), "code has unit byte, but web has token"),
        (source("code", 1, about={"tokenizer_sha256": "b"}), "code has a tokenizer of sha256 b, but web has a"),
    ],
)
def test_sources_of_other_tokens_are_not_mixed(other, text):
    with pytest.raises(DataError, match=text):
        mixed(source("web", 1000, about={"tokenizer_sha256": "a"}), {"code": other})


def test_the_digest_is_of_all_sources_and_not_of_their_names():
    alone, one, other = (mixed(WEB, others).digest for others in ({}, {"a": CODE}, {"a": BOOKS}))
    assert alone == "web"
    assert len({alone, one, other}) == 3
    assert one == mixed(WEB, {"b": CODE}).digest


def test_a_source_that_is_only_judged_by_may_be_short():
    short = replace(WEB, train=WEB.train.part(0, 5))
    with pytest.raises(DataError, match="do not fit in 5 training tokens"):
        row_order(short, config(), 40)
    whole = mixed(short, {"code": CODE})
    assert int(row_order(whole, config(weight=0, mixture=mixture(code=1)), 40).rows(0, 40)[0].max()) >= 20_000


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"max_document": 9}, "max_document needs rows: documents"),
        ({"max_document": 1, "rows": "documents"}, "must be at least 2"),
        ({"weight": 2}, "weight needs a mixture"),
        ({"weight": 0, "mixture": mixture(code=0)}, "all 0 at 0 of the run"),
        ({"weight": [[0, 1], [0.7, 0]], "mixture": mixture(code=[[0, 1], [0.6, 0]])}, "all 0 at 0.7 of the run"),
        ({"mixture": mixture(code=[[0.5, 1], [0.4, 1]])}, "must rise"),
        ({"mixture": mixture(code=-1)}, "greater than or equal to 0"),
    ],
)
def test_options_that_say_nothing_are_refused(data, text):
    with pytest.raises(ValueError, match=text):
        DataConfig(**data)


def test_what_is_not_used_is_left_out_of_what_is_hashed():
    assert DataConfig().model_dump() == {"source": "pydocs", "document_mask": False}
    assert "eval_bytes" not in RunConfig().model_dump()
    again = RunConfig.model_validate(config(order="same", mixture=mixture(code=RISING)).model_dump(mode="json"))
    assert again == config(order="same", mixture=mixture(code=RISING))


def test_the_default_order_is_the_one_it_always_was():
    stream = TokenStream(list(np.array_split(np.arange(601, dtype=np.uint16), 3)))
    plain = replace(WEB, train=stream)
    order = row_order(plain, config(7), 150)
    assert isinstance(order, RowOrder)
    raw = np.random.Philox(np.random.SeedSequence([7, 1, 0])).random_raw(75)
    second = sorted(range(75), key=lambda row: int(raw[row]))
    assert (order.rows(75, 75)[0][:, 0] // T).tolist() == second
