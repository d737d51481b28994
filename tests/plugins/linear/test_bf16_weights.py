import math
import struct

import pytest
import torch

from tests.plugins.slow import SlowGPT, assert_equals_slow_model


def cut(value):
    """A number without the lower two of its four bytes."""
    return struct.unpack(">f", struct.pack(">f", value)[:2] + b"\0\0")[0]


class SlowCut(SlowGPT):
    def layer(self, layer, name):
        weight = super().layer(layer, name)
        upper = torch.tensor([[cut(value) for value in row] for row in weight.tolist()]).double()
        return weight + (upper - weight).detach()


def test_matrices_act_without_their_lower_bits(build):
    assert_equals_slow_model(build(bf16_weights={}), SlowCut)


def test_embedding_and_head_keep_all_bits(build, batch):
    run, plain = build(bf16_weights={}), build()
    (tokens, _) = batch()
    embedded = [each.model.embedding(tokens, None) for each in (run, plain)]
    assert torch.equal(*embedded)
    assert torch.equal(*(each.model.head(embedded[0]) for each in (run, plain)))


def steps(run, count, size):
    """The weight's first number after updates of this size each, of which AdamW's is the learning rate."""
    weight = run.assembly.params["blocks.0.mlp.up.weight"]
    with torch.no_grad():
        weight.fill_(1.0)
    for _ in range(count):
        weight.grad.fill_(1e-3)
        run.optimizer.step(size, run.dials.values)
        for companion in run.companions:
            companion.after_update(run.timeline.clock(0))
    return float(weight.detach()[0, 0])


@pytest.mark.parametrize("master", [True, False])
def test_small_steps_add_up_with_all_bits_and_are_lost_without(build, master):
    """A hundred steps of 1e-4; the neighbour of 1 in bf16 is 1 - 1/256."""
    run = build(bf16_weights={"master": master}, config={"optim": {"lr": 1e-4, "weight_decay": 0, "grad_clip": 0}})
    found = steps(run, 100, 1.0)
    assert found == (1.0 if not master else pytest.approx(1 - 100 * 1e-4, abs=1e-5))


def test_without_master_no_weight_ever_has_more_than_16_bits(build):
    run = build(bf16_weights={"master": False})
    value = run.assembly.params["blocks.2.attention.v.weight"].detach()
    assert torch.equal(value, value.bfloat16().float())
    assert not math.isclose(float(value.abs().max()), 0.0)
    head = run.assembly.params["head.out.weight"].detach()
    assert not torch.equal(head, head.bfloat16().float())


def test_it_finds_the_map_inside_of_others(build, batch):
    run = build(bf16_weights={}, linear_bias={})
    (tokens, targets) = batch()
    loss, _ = run.model(tokens, targets, run.dials.values)
    loss.backward()
    assert all(value.grad is not None for value in run.assembly.params.values())
    assert sum(type(part).__name__ == "InUpperBits" for part in run.model.modules()) == 4 * 6


def test_products_of_8_bits_are_of_cut_weights(build):
    """Beside `fp8`, which goes outside: it rounds what acts."""
    run = build(bf16_weights={}, fp8={"of": ["mlp"]})
    only = build(fp8={"of": ["mlp"]})
    weight = only.assembly.params["blocks.1.mlp.up.weight"]
    with torch.no_grad():
        weight.copy_(torch.tensor([[cut(value) for value in row] for row in weight.tolist()]))
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(*(each.model.blocks[1].mlp.inner.up(x) for each in (run, only)))
    run.model.blocks[1].mlp.inner.up(x).sum().backward()
    assert run.assembly.params["blocks.1.mlp.up.weight"].grad.any()
