import torch

from coregpt.contract.context import Context
from tests.plugins.position.test_rope import plain_speeds, slow_rope
from tests.plugins.slow import FP32_EPS, SlowGPT, assert_equals_slow_model


def normed(x):
    return torch.stack([row / torch.sqrt(torch.dot(row, row) / len(row) + FP32_EPS) for row in x])


class SlowQkNorm(SlowGPT):
    def position(self, q, k, layer, head):
        return normed(q), normed(k)


class SlowQkNormRope(slow_rope(plain_speeds(16, 10_000))):
    def position(self, q, k, layer, head):
        return super().position(normed(q), normed(k), layer, head)


def part(run):
    return run.model.blocks[0].attention.inner.position


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(qk_norm={}), SlowQkNorm)


def test_with_rope_the_norm_comes_first(build):
    assert_equals_slow_model(build(qk_norm={}, rope={}), SlowQkNormRope)


def test_every_head_vector_has_length_root_d(build):
    q, k = torch.randn(2, 3, 24, 2, 16, generator=torch.Generator().manual_seed(0))
    for x in part(build(qk_norm={}, rope={}))(q, 50 * k, Context(torch.zeros(1, 1, dtype=torch.long), {})):
        torch.testing.assert_close(x.norm(dim=-1), torch.full((3, 24, 2), 4.0), rtol=1e-5, atol=0)


def test_logits_do_not_see_the_size_of_query_and_key_weights(build, batch):
    run, (tokens, _) = build(qk_norm={}), batch()
    before = run.model.logits(tokens, run.dials.values)
    with torch.no_grad():
        for path, value in run.assembly.params.items():
            if path.endswith(("attention.q.weight", "attention.k.weight")):
                value.mul_(30)
    after = run.model.logits(tokens, run.dials.values)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_it_adds_no_parameter_and_keeps_the_precision_of_heads(build):
    assert build(qk_norm={}).assembly.params.keys() == build().assembly.params.keys()
    x = torch.randn(1, 24, 2, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    y, _ = part(build(qk_norm={}))(x, x, Context(torch.zeros(1, 1, dtype=torch.long), {}))
    assert y.dtype == torch.bfloat16
    wanted = x.double() / (x.double().square().mean(-1, keepdim=True) + FP32_EPS).sqrt()
    assert torch.equal(y, wanted.bfloat16())
