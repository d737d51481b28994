import torch


def test_it_is_two_maps_with_silu_between(build):
    run = build(draft={"width": 2.0})
    up, down = (run.assembly.params[f"blocks.0.mlp.{name}.weight"] for name in ("up", "down"))
    assert up.shape == (2 * run.config.model.dim, run.config.model.dim)
    x = torch.randn(2, 5, run.config.model.dim)
    hidden = x @ up.T
    expected = (hidden / (1 + torch.exp(-hidden))) @ down.T
    torch.testing.assert_close(run.model.blocks[0].mlp.inner(x, None), expected)
