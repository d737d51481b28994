import torch

from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowReLU2(SlowGPT):
    def mlp(self, x, layer):
        z = x @ self.layer(layer, "mlp.up.weight").T
        return torch.where(z > 0, z * z, 0.0) @ self.layer(layer, "mlp.down.weight").T


def activation(build):
    return build(relu2={}).model.blocks[0].mlp.inner.activation


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(relu2={}), SlowReLU2)


def test_value_and_derivative_number_by_number(build):
    act = activation(build)
    for z in (-3.0, -1e-9, 0.0, 0.25, 7.5):
        x = torch.tensor(z, dtype=torch.float64, requires_grad=True)
        y = act(x)
        y.backward()
        assert abs(float(y.detach()) - max(z, 0.0) ** 2) < 1e-10
        assert abs(float(x.grad) - 2 * max(z, 0.0)) < 1e-10


def test_the_gradient_equals_finite_differences(build):
    x = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(activation(build), (x,))


def test_doubling_the_input_quadruples_the_output(build):
    x = torch.randn(40, generator=torch.Generator().manual_seed(0))
    act = activation(build)
    assert torch.equal(act(2 * x), 4 * act(x))


def test_the_width_stays_that_of_an_ungated_mlp(build):
    assert build(relu2={}).assembly.params["blocks.0.mlp.up.weight"].shape == (128, 32)
