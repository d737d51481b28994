import pytest

from coregpt.contract.errors import PluginError
from tests.plugins.attention.test_score_softcap import SlowRules
from tests.plugins.slow import assert_equals_slow_model

EIGHT = [0.5**n for n in range(1, 9)]
OF_SIXTEEN = [0.5 ** (n / 2) for n in range(1, 17)]


class SlowAlibi(SlowRules):
    """Two heads: slopes 2^-4 and 2^-8."""

    def score(self, s, head, i, j):
        return s - (1 / 16, 1 / 256)[head] * (i - j)


class SlowOfThree(SlowRules):
    """Three heads: those of two, and the first of four."""

    def score(self, s, head, i, j):
        return s - (1 / 16, 1 / 256, 1 / 4)[head] * (i - j)


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(alibi={}), SlowAlibi)


def test_a_number_of_heads_that_is_no_power_of_two(build):
    assert_equals_slow_model(build(shape={"dim": 30, "heads": 3}, alibi={}), SlowOfThree)


@pytest.mark.parametrize(("heads", "wanted"), [(8, EIGHT), (16, OF_SIXTEEN), (12, EIGHT + OF_SIXTEEN[0:8:2])])
def test_published_slopes(build, heads, wanted):
    run = build(shape={"dim": 8 * heads, "heads": heads}, alibi={})
    assert run.model.blocks[0].attention.inner.attend.scores[0].slopes.tolist() == pytest.approx(wanted)


def test_there_is_no_learned_table_and_no_second_position(build):
    assert "shared.positions.weight" not in build(alibi={}).assembly.params
    with pytest.raises(PluginError, match="'alibi' and 'rope'"):
        build(alibi={}, rope={})
