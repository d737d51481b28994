import math

import torch

from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowTanhGelu(SlowGPT):
    def mlp(self, x, layer):
        z = x @ self.layer(layer, "mlp.up.weight").T
        u = math.sqrt(2 / math.pi) * (z + 0.044715 * z * z * z)
        return (z / 2 * (2 - 2 / (torch.exp(2 * u) + 1))) @ self.layer(layer, "mlp.down.weight").T


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(tanh_gelu={}), SlowTanhGelu)


def test_it_is_close_to_the_exact_one_and_not_equal(build):
    act, exact = (build(**plugins).model.blocks[0].mlp.inner.activation for plugins in ({"tanh_gelu": {}}, {}))
    z = torch.linspace(-6, 6, 2001, dtype=torch.float64)
    apart = (act(z) - exact(z)).abs()
    assert 1e-4 < float(apart.max()) < 5e-4
