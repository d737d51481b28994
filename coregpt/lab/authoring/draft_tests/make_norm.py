import torch


def test_each_channel_is_multiplied_by_its_gain(build):
    run = build(draft={})
    norm, x = run.model.final_norm, torch.randn(2, 5, run.config.model.dim)
    with torch.no_grad():
        norm.gain[3] = 10
    expected = x / x.square().mean(-1, keepdim=True).sqrt()
    expected[..., 3] *= 10
    torch.testing.assert_close(norm(x), expected, rtol=1e-4, atol=1e-5)
