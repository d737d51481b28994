import torch


def test_a_share_of_zero_leaves_the_stream_as_it_is(build):
    run = build(draft={"share": 0.0})
    x = torch.randn(2, 5, run.config.model.dim)
    run.model.blocks[0].inner.forward = lambda x, ctx: x + 7
    assert torch.equal(run.model.blocks[0](x, None), x)


def test_half_of_a_change_is_made(build):
    run = build(draft={"share": 0.5})
    x = torch.randn(2, 5, run.config.model.dim)
    run.model.blocks[0].inner.forward = lambda x, ctx: x + 2
    torch.testing.assert_close(run.model.blocks[0](x, None), x + 1)
