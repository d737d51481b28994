import torch


def test_it_is_the_channel_times_its_sigmoid(build):
    activation = build(draft={"sharpness": 2.0}).model.blocks[0].mlp.inner.activation
    hidden = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(activation(hidden), hidden / (1 + torch.exp(-2 * hidden)))
