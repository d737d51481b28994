import math

import pytest
import torch

from coregpt.contract.errors import PluginError


def test_without_noise_the_product_is_minus_the_identity(build):
    params = build(mimetic_vo_init={"beta": 0.09, "noise": 0}).assembly.params
    for layer in range(4):
        v, out = (params[f"blocks.{layer}.attention.{name}.weight"].detach() for name in ("v", "out"))
        torch.testing.assert_close(out @ v, -0.09 * torch.eye(32), rtol=0, atol=1e-7)


@pytest.mark.parametrize("others", [{}, {"uniform_init": {}}])
def test_noise_has_its_standard_deviation_and_nothing_else_changes(build, others):
    run, plain = build(mimetic_vo_init={}, **others), build(**others)
    for path, value in run.assembly.params.items():
        if path.endswith(("attention.v.weight", "attention.out.weight")):
            sign = 1 if ".v." in path else -1
            noise = value.detach() - sign * math.sqrt(0.05) * torch.eye(32)
            assert float(noise.std()) == pytest.approx(0.01, rel=0.05)
        else:
            assert torch.equal(value, plain.assembly.params[path])


def test_other_widths_and_other_starts_are_refused(build):
    for other in ("gqa", "mla", "zero_init", "ngpt", "mup"):
        with pytest.raises(PluginError, match=f"'{other}'"):
            build(mimetic_vo_init={}, **{other: {}})
