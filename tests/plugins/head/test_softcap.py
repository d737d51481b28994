import math

import pytest
import torch

from coregpt.contract.errors import ConfigError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, shake

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


RECORD_54 = {"shape": "sigmoid", "cap": 23, "shift": 5, "width": 7.5}


class SlowRecord54(SlowGPT):
    def finish(self, logits):
        return 23 / (1 + torch.exp(-(logits + 5) / 7.5))


class SlowRecord22(SlowGPT):
    def finish(self, logits):
        return 30 / (1 + torch.exp(-logits / (7.5 * math.sqrt(self.shape.dim))))


def test_record_54(build):
    assert_equals_slow_model(build(softcap=RECORD_54), SlowRecord54)
    z = torch.tensor([0.0, -1e9, 1e9, 2.5, -12.5], dtype=torch.float64)
    got = cap_of(build, **RECORD_54)(z, None).tolist()
    assert got == pytest.approx([15.197, 0, 23, 23 / (1 + math.exp(-1)), 23 / (1 + math.e)], abs=5e-4)


def test_records_22_to_27_divide_by_the_root_of_the_width(build):
    assert_equals_slow_model(build(softcap={"shape": "sigmoid", "cap": 30, "root_dim": True}), SlowRecord22)


def test_the_sigmoid_of_record_19_is_tanh_with_half_the_cap_up_to_a_constant(build, batch):
    z = torch.linspace(-90, 90, 1801, dtype=torch.float64)
    tanh, sigmoid = cap_of(build, cap=15), cap_of(build, shape="sigmoid", cap=30)
    torch.testing.assert_close(sigmoid(z, None), tanh(z, None) + 15, rtol=1e-12, atol=1e-12)
    assert torch.equal(cap_of(build, shape="sigmoid", cap=30, width=7.5)(z, None), sigmoid(z, None))
    losses = [
        run.model(*batch(), run.dials.values)[0].item()
        for run in (shake(build(softcap=options)) for options in ({"cap": 15}, {"shape": "sigmoid", "cap": 30}))
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cap": 0}, r"plugins\.softcap\.cap"),
        ({"shape": "tan"}, "'tanh', 'isru' or 'sigmoid'"),
        ({"shift": 5}, "shift, width and root_dim belong to shape 'sigmoid', not to 'tanh'"),
        ({"shape": "isru", "width": 7.5}, "not to 'isru'"),
        ({"shape": "sigmoid", "width": 0}, r"plugins\.softcap\.width"),
    ],
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(softcap=options)
