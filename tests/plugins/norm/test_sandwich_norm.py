import pytest

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm


class SlowSandwich(SlowGPT):
    def connect(self, h, y, layer, branch):
        return h + rms_norm(y)


class WithoutTheFirst(SlowSandwich):
    def norm(self, x):
        return x


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(sandwich_norm={}), SlowSandwich)
    with pytest.raises(AssertionError):
        assert_equals_slow_model(build(sandwich_norm={}), WithoutTheFirst)


@pytest.mark.parametrize("other", ["zero_init", "post_norm", "ngpt"])
def test_what_it_does_not_go_with_is_named(build, other):
    with pytest.raises(PluginError, match=f"'{other}'"):
        build(sandwich_norm={}, **{other: {}})
