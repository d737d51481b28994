import torch


def test_queries_get_a_bias_and_the_output_none(build):
    run = build(draft={"start": 0.5})
    attention, x = run.model.blocks[0].attention.inner, torch.randn(2, 5, run.config.model.dim)
    weight = run.assembly.params["blocks.0.attention.q.weight"]
    torch.testing.assert_close(attention.q(x), x @ weight.T + 0.5)
    assert "blocks.0.attention.out.bias" not in run.assembly.params
