import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from coregpt.contract.rules import Clock
from tests.plugins.slow import shake

FOUR = {"dim": 32, "heads": 4}


def scores(run, tokens, layer=0):
    """Largest score of every head of a layer, by hand in float64."""
    found, heads, width = [], run.config.model.heads, run.config.model.head_dim
    inputs = []
    handle = run.model.blocks[layer].attention.inner.register_forward_hook(lambda m, i, o: inputs.append(i[0].double()))
    with torch.no_grad():
        run.model.eval().logits(tokens, run.dials.values)
    run.model.train()
    handle.remove()
    q, k = (inputs[0] @ run.assembly.params[f"blocks.{layer}.attention.{n}.weight"].double().T for n in "qk")
    group = q.shape[-1] // k.shape[-1]
    for head in range(heads):
        mine, theirs = (
            slice(head * width, (head + 1) * width),
            slice(head // group * width, (head // group + 1) * width),
        )
        rows = [
            (q[b, i, mine] @ k[b, j, theirs]) / math.sqrt(width)
            for b in range(len(tokens))
            for i in range(tokens.shape[1])
            for j in range(i + 1)
        ]
        found.append(float(torch.stack(rows).detach().max()))
    return found


def step(run, *batches):
    for tokens, targets in batches:
        run.model(tokens, targets, run.dials.values)[0].backward()
    for companion in run.companions:
        companion.after_update(Clock(0, 10))


@pytest.mark.parametrize("plugins", [{}, {"gqa": {"kv_heads": 2}}], ids=["", "grouped"])
def test_the_same_batch_would_score_at_most_tau_and_other_heads_stay(build, batch, plugins):
    run = shake(build(shape=FOUR, qk_clip={"tau": 1.0}, **plugins), seed=3)
    tokens, targets = batch(2, 6)
    before = scores(run, tokens)
    weights = {n: run.assembly.params[f"blocks.0.attention.{n}.weight"].detach().clone() for n in "qk"}
    tau = sorted(before)[1] * 1.01  # two heads of four lie above
    run.companions[0].tau = tau
    step(run, (tokens, targets))
    wanted = [min(s, tau) for s in before]
    assert scores(run, tokens) == pytest.approx(wanted, rel=1e-4)
    for name in "qk":
        after = run.assembly.params[f"blocks.0.attention.{name}.weight"].detach()
        heads = weights[name].shape[0] // 8
        factors = (after / weights[name]).view(heads, -1).mean(1).tolist()
        gammas = [w / s for w, s in zip(wanted, before, strict=True)]
        shared = {"q": gammas, "k": [1.0, 1.0]} if plugins else {n: [math.sqrt(g) for g in gammas] for n in "qk"}
        assert factors == pytest.approx(shared[name], rel=1e-4)


def test_all_passes_of_a_step_count_and_no_step_before(build, batch):
    run = shake(build(qk_clip={"tau": 1e6}))
    first, second = batch(2, 6, seed=0), batch(2, 6, seed=1)
    step(run, first, second)
    watched = run.model.blocks[0].attention.inner.attend
    assert not watched.top.any()
    both = [max(pair) for pair in zip(scores(run, first[0]), scores(run, second[0]), strict=True)]
    for tokens, targets in (first, second):
        run.model(tokens, targets, run.dials.values)[0].backward()
    assert watched.top.tolist() == pytest.approx([max(0, value) for value in both], rel=1e-4)


def test_evaluation_is_not_watched(build, batch):
    run = shake(build(qk_clip={}))
    run.model.eval().logits(batch()[0], run.dials.values)
    assert not run.model.blocks[0].attention.inner.attend.top.any()


def test_ranks_clip_by_the_largest_of_all(build, batch):
    run = shake(build(qk_clip={"tau": 1.0}))
    elsewhere = torch.full((8,), 4.0)
    run.companions[0].all_max = lambda tops: tops.copy_(elsewhere)
    before = run.assembly.params["blocks.0.attention.q.weight"].detach().clone()
    step(run, batch())
    assert torch.equal(run.assembly.params["blocks.0.attention.q.weight"].detach(), before / 2)


@pytest.mark.parametrize("other", ["qk_norm", "ngpt"])
def test_what_undoes_it_is_refused(build, other):
    with pytest.raises(PluginError, match=f"qk_clip.*{other}|{other}.*qk_clip"):
        build(qk_clip={}, **{other: {}})
