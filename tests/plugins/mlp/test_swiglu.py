import math

import torch

from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowSwiglu(SlowGPT):
    def mlp(self, x, layer):
        up = x @ self.layer(layer, "mlp.up.weight").T
        gate = x @ self.layer(layer, "mlp.gate.weight").T
        return (up * gate / (1 + torch.exp(-gate))) @ self.layer(layer, "mlp.down.weight").T


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(swiglu={}), SlowSwiglu)


def test_the_gate_multiplies_number_by_number(build):
    activation = build(swiglu={}).model.blocks[0].mlp.inner.activation
    up, gate = torch.randn(2, 3, 5, 85, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    got = activation(up, gate).flatten().tolist()
    for u, g, y in zip(up.flatten().tolist(), gate.flatten().tolist(), got, strict=True):
        assert math.isclose(y, u * g / (1 + math.exp(-g)), rel_tol=1e-10, abs_tol=1e-12)


def test_width_is_two_thirds_unless_given(build):
    for dim, width in ((32, 85), (768, 2048), (36, 96)):
        assert int(8 * dim / 3) == width
        run = build(swiglu={}, shape={"dim": dim, "depth": 1, "vocab": 8})
        sizes = {path: tuple(p.shape) for path, p in run.assembly.params.items() if ".mlp." in path}
        assert sizes == {
            "blocks.0.mlp.up.weight": (width, dim),
            "blocks.0.mlp.gate.weight": (width, dim),
            "blocks.0.mlp.down.weight": (dim, width),
        }
    given = build(swiglu={}, shape={"hidden": 48}).assembly.params
    assert given["blocks.1.mlp.gate.weight"].shape == (48, 32)
