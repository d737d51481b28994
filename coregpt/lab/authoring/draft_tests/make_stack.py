import torch


def test_every_block_reads_a_share_of_the_first_stream(build):
    run = build(draft={"share": 0.5}, shape={"depth": 2})
    for block in run.model.stack.blocks:
        block.forward = lambda x, ctx: 2 * x
    x = torch.randn(2, 5, run.config.model.dim)
    torch.testing.assert_close(run.model.stack(x, None), 2 * (2 * 1.5 * x + 0.5 * x))
