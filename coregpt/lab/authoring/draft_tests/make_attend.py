import torch


def test_a_gain_of_zero_silences_its_head_and_no_other(build):
    run = build(draft={})
    attend, heads = run.model.blocks[0].attention.inner.attend, run.config.model.heads
    attend.inner.forward = lambda q, k, v, x, ctx: v
    v = torch.randn(2, 5, heads, run.config.model.head_dim)
    with torch.no_grad():
        attend.gain[0] = 0
    found = attend(v, v, v, None, None)
    assert not found[:, :, 0].any()
    assert torch.equal(found[:, :, 1:], v[:, :, 1:])
