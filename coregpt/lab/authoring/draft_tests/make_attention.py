import torch


def test_a_fresh_gate_is_open_and_one_far_below_zero_is_shut(build):
    run = build(draft={})
    attention, x = run.model.blocks[0].attention.inner, torch.rand(2, 5, run.config.model.dim) + 1
    attention.inner.forward = lambda x, ctx: torch.ones_like(x)
    assert torch.equal(attention(x, None), torch.ones_like(x))
    with torch.no_grad():
        run.assembly.params["blocks.0.attention.gate.weight"].fill_(-100)
    assert not attention(x, None).any()
