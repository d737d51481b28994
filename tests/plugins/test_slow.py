"""The reference itself must agree with the bare core, and must be able to disagree."""

import pytest

from tests.plugins.slow import SlowGPT, assert_equals_slow_model


def test_the_slow_model_is_the_bare_core(build):
    assert_equals_slow_model(build(), SlowGPT)


def test_a_wrong_definition_is_noticed(build):
    class Wrong(SlowGPT):
        def score_factor(self):
            return 1.01 * super().score_factor()

    with pytest.raises(AssertionError):
        assert_equals_slow_model(build(), Wrong)
