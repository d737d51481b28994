"""Counted pairs against masks written out, and counted FLOPs against what the CPU executes."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from coregpt.contract.context import Context
from coregpt.engine.accounting import count
from coregpt.engine.attention.attend import attend, build_mask
from coregpt.engine.attention.masks import SameDocument, SlidingWindow
from coregpt.engine.attention.pairs import Pairs, causal_pairs, counting
from coregpt.lab.laws.tools import executed_flops


def by_hand(seen: torch.Tensor) -> int:
    """Mean keys of a query in blocks of 128 x 128 with something in them; seen (T, T)."""
    length, pairs = len(seen), 0
    for q in range(0, length, 128):
        for k in range(0, length, 128):
            block = seen[q : q + 128, k : k + 128]
            pairs += block.numel() if block.any() else 0
    return round(pairs / length)


def context(length: int, documents: bool = False) -> Context:
    tokens = torch.zeros(2, length, dtype=torch.long, device="meta")
    return Context(tokens, {"window": torch.zeros((), device="meta"), "staged": 3}, tokens if documents else None)


@pytest.mark.parametrize("length", [1, 24, 128, 200, 1024])
def test_causal(length: int) -> None:
    assert causal_pairs(length).keys == by_hand(torch.ones(length, length, dtype=torch.bool).tril())


@pytest.mark.parametrize("length", [24, 200, 1024])
@pytest.mark.parametrize("window", [5, 128, 300])
def test_windows(length: int, window: int) -> None:
    rule = lambda b, h, q, k, ctx: q - k < ctx.dials["window"]  # noqa: E731
    gap = torch.arange(length)[:, None] - torch.arange(length)
    with counting({"window": window}):
        found = build_mask((rule,), context(length))
    assert found == Pairs(by_hand((gap >= 0) & (gap < window)))


def test_heads_count_on_average_and_documents_as_one() -> None:
    near = lambda b, h, q, k, ctx: (h == 0) | (q - k < 1)  # noqa: E731
    with counting({"window": 0.0}):
        found = build_mask((near, SameDocument()), context(1024, documents=True), heads=4)
    assert found == Pairs(round((causal_pairs(1024).keys + 3 * 128) / 4))


def test_tokens_that_stand_elsewhere() -> None:
    rule = lambda b, h, q, k, ctx: q - k < 64  # noqa: E731
    with counting({"window": 0.0}):
        found = build_mask((rule,), context(512), torch.arange(512).repeat_interleave(2))
    gap = torch.arange(512).repeat_interleave(2)
    seen = torch.ones(1024, 1024, dtype=torch.bool).tril() & (gap[:, None] - gap < 64)
    assert found == Pairs(by_hand(seen))


@pytest.mark.parametrize("window", [None, 128, 300])
@pytest.mark.parametrize("key_heads", [4, 1])
def test_counted_flops_are_those_the_cpu_executes(window: int | None, key_heads: int) -> None:
    """Forward and backward, a window of 128 keys of 1024 among them."""
    rules = () if window is None else (lambda b, h, q, k, ctx: q - k < ctx.dials["window"],)
    flops = []
    for device in ("meta", "cpu"):
        shapes = (1, 1024, 4, 16), (1, 1024, key_heads, 16), (1, 1024, key_heads, 24)
        given = [torch.randn(shape, device=device, dtype=torch.bfloat16, requires_grad=True) for shape in shapes]
        tokens = torch.zeros(1, 1024, dtype=torch.long, device=device)
        ctx = Context(tokens, {"window": torch.tensor(float(window or 0), device=device)})
        with counting({"window": float(window or 0)}):
            mask = build_mask(rules, ctx)
        step = lambda: attend(*given, mask).sum().backward()  # noqa: B023, E731
        if device == "cpu":
            flops.append(executed_flops(step))
        else:
            with FlopCounterMode(display=False) as counter:
                step()
            flops.append(counter.get_total_flops())
    counted, executed = flops
    if window == 300:  # the CPU leaves out keys by eights, a count by blocks of 128
        assert 0.85 * counted < executed < counted
    else:
        assert counted == pytest.approx(executed, rel=0.03)


def test_a_window_costs_less_than_none_and_a_moving_one_the_mean(catalogue) -> None:
    from coregpt.contract.config import ModelShape, RunConfig

    shape = ModelShape(vocab=61, dim=32, depth=2, heads=2, context=1024)

    def per_token(**options: object) -> float:
        plugins = {"window_warmup": options} if options else {}
        config = RunConfig(model=shape, batch_tokens=1024, tokens=100 * 1024, eval_tokens=1024, plugins=plugins)
        return count(config, catalogue.instances(plugins)).flops_per_token

    small, large, moving = per_token(start=8, final=8), per_token(start=512, final=512), per_token(start=8, final=512)
    assert small < moving < large < per_token()
    attention = 3 * 2 * 2 * 2 * shape.dim  # per key: forward and backward, two products, two layers
    assert per_token() - small == attention * (causal_pairs(1024).keys - by_hand_window(8))


def by_hand_window(window: int) -> int:
    gap = torch.arange(1024)[:, None] - torch.arange(1024)
    return by_hand((gap >= 0) & (gap <= window))


def test_a_rule_of_core_counts() -> None:
    with counting({"window": 20.0}):
        assert build_mask((SlidingWindow("window"),), context(256)) == Pairs(by_hand(torch.ones(256, 256).tril() > 0))
