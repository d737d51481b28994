import math

import pytest
import torch

from coregpt.contract.errors import ConfigError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model

CURVES = {
    "tanh": lambda z, cap: cap * (1 - 2 / (math.exp(2 * z / cap) + 1)),
    "isru": lambda z, cap: cap * z / math.sqrt(z * z + cap * cap),
}


class SlowTanh(SlowGPT):
    def finish(self, logits):
        e = torch.exp(2 * logits / 0.7)
        return 0.7 * (e - 1) / (e + 1)


class SlowIsru(SlowGPT):
    def finish(self, logits):
        return 0.7 * logits / torch.sqrt(logits**2 + 0.49)


def cap_of(build, **options):
    return build(softcap=options).model.transforms[0]


@pytest.mark.parametrize(("shape", "slow"), [("tanh", SlowTanh), ("isru", SlowIsru)])
def test_the_whole_model_equals_the_definition(build, shape, slow):
    assert_equals_slow_model(build(softcap={"shape": shape, "cap": 0.7}), slow)


@pytest.mark.parametrize("shape", ["tanh", "isru"])
def test_the_curve_number_by_number(build, shape):
    z = torch.linspace(-90, 90, 1801, dtype=torch.float64)
    got = cap_of(build, shape=shape, cap=15)(z, None)
    wanted = torch.tensor([CURVES[shape](value, 15.0) for value in z.tolist()], dtype=torch.float64)
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)
    assert got.abs().max() < 15
    assert torch.equal(cap_of(build, shape=shape, cap=15)(-z, None), -got)
    assert (got.diff() >= 0).all()


@pytest.mark.parametrize("shape", ["tanh", "isru"])
def test_slope_one_at_zero(build, shape):
    z = torch.zeros((), requires_grad=True)
    cap_of(build, shape=shape, cap=30)(z, None).backward()
    assert float(z.grad) == 1


def test_the_two_shapes_at_the_cap(build):
    z = torch.tensor(15.0)
    assert float(cap_of(build, shape="isru", cap=15)(z, None)) == pytest.approx(10.61, abs=0.005)
    assert float(cap_of(build, shape="tanh", cap=15)(z, None)) == pytest.approx(11.42, abs=0.005)


def test_huge_logits_stay_finite(build):
    z = torch.tensor([-1e15, 1e15])
    for shape in ("tanh", "isru"):
        got = cap_of(build, shape=shape, cap=15)(z, None)
        assert got.tolist() == pytest.approx([-15, 15])


@pytest.mark.parametrize(
    ("options", "message"), [({"cap": 0}, r"plugins\.softcap\.cap"), ({"shape": "tan"}, "'tanh' or 'isru'")]
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(softcap=options)
