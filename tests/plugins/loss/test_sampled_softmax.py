import math

import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError


def loss_of(run, tokens, targets, starts=None):
    run.model.train()
    return run.model(tokens, targets, run.dials.values, starts)[0]


def drawn(run, rows, starts=None):
    """Which ids each row has, in the words of the contract."""
    from coregpt.contract.randomness import uniform

    places = torch.arange(rows) * 24 if starts is None else starts
    return uniform(run.model.loss.noise, places, (rows, 61)) < run.model.loss.share


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_loss_is_that_of_the_ids_that_were_drawn(build, batch, share):
    run, (tokens, targets) = build(sampled_softmax={"share": share}, shape={"init_std": 0.3}), batch()
    logits = run.model.logits(tokens, run.dials.values).detach().double().tolist()
    inside, losses = drawn(run, 4).tolist(), []
    for b in range(4):
        for t in range(24):
            z, y = logits[b][t], int(targets[b, t])
            others = sum(math.exp(z[v]) for v in range(61) if inside[b][v] and v != y)
            losses.append(math.log(math.exp(z[y]) + others / share) - z[y])
    assert float(loss_of(run, tokens, targets).detach()) == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert len(set(map(tuple, inside))) == 4


def test_ids_that_were_not_drawn_get_no_gradient(build, batch):
    run, (tokens, targets) = build(sampled_softmax={"share": 0.2}), batch()
    logits = torch.randn(4, 24, 61, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ctx = run.model._context(tokens, run.dials.values)
    ctx.training = True
    run.model.loss(logits, targets, ctx).backward()
    moved = logits.grad != 0
    own = torch.nn.functional.one_hot(targets, 61).bool()
    assert torch.equal(moved, own | drawn(run, 4)[:, None].expand_as(own))


def test_sums_are_right_on_average(build):
    """Over many rows the exponentials of the loss agree with the whole vocabulary's within three standard errors."""
    run = build(sampled_softmax={"share": 0.5})
    logits = torch.randn(1, 1, 61, generator=torch.Generator().manual_seed(0)).expand(4000, 1, 61)
    targets = torch.zeros(4000, 1, dtype=torch.long)
    ctx = run.model._context(targets, run.dials.values, torch.arange(4000) * 24)
    ctx.training = True
    sums = [
        float(run.model.loss(logits[i : i + 1], targets[i : i + 1], single(ctx, i)).exp()) for i in range(0, 4000, 8)
    ]
    mean = sum(sums) / len(sums)
    spread = math.sqrt(sum((each - mean) ** 2 for each in sums) / (len(sums) - 1) / len(sums))
    wanted = float((logits[0, 0].double() - logits[0, 0, 0].double()).exp().sum())
    assert abs(mean - wanted) < 3 * spread
    assert spread < wanted / 20


def single(ctx, row):
    """The context of one row."""
    import dataclasses

    return dataclasses.replace(ctx, starts=ctx.starts[row : row + 1], tokens=ctx.tokens[row : row + 1])


def test_evaluation_and_options(build, batch):
    run, plain, (tokens, _) = build(sampled_softmax={}), build(), batch()
    assert torch.equal(*(each.model.logits(tokens, each.dials.values) for each in (run, plain)))
    with pytest.raises(ConfigError, match=r"plugins\.sampled_softmax\.share"):
        build(sampled_softmax={"share": 0.0})
    with pytest.raises(PluginError, match=r"'mtp' and 'sampled_softmax'|'sampled_softmax' and 'mtp'"):
        build(sampled_softmax={}, mtp={})
