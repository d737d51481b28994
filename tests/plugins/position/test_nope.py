import cmath

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm


class SlowSome(SlowGPT):
    """Layers 1 and 3 of 4 do not turn anything."""

    without = (1, 3)

    def position(self, q, k, layer, head):
        if layer in self.without:
            return q, k
        return tuple(torch.stack([turn(row, t) for t, row in enumerate(x)]) for x in (q, k))


class SlowNone(SlowSome):
    without = (0, 1, 2, 3)


class SlowNormed(SlowSome):
    def position(self, q, k, layer, head):
        return super().position(rms_norm(q), rms_norm(k), layer, head)


def turn(x, t):
    half, out = len(x) // 2, list(x)
    for i in range(half):
        w = cmath.exp(-1j * t * 10_000 ** (-i / half))
        out[i], out[i + half] = x[i] * w.real - x[i + half] * w.imag, x[i] * w.imag + x[i + half] * w.real
    return torch.stack(out)


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(rope={}, nope={"every": 2}), SlowSome)


def test_chosen_layers(build):
    assert_equals_slow_model(build(rope={}, nope={"layers": [3, 1]}), SlowSome)


def test_queries_and_keys_are_normalised_all_the_same(build):
    assert_equals_slow_model(build(rope={}, qk_norm={}, nope={"every": 2}), SlowNormed)


def test_without_any_position_there_is_no_table_either(build):
    run = build(rope={}, nope={"every": 1})
    assert "shared.positions.weight" not in run.assembly.params
    assert_equals_slow_model(run, SlowNone)


def test_a_layer_there_is_not_is_refused(build):
    with pytest.raises(PluginError, match="nope: layer 4 of a model with 4 layers"):
        build(rope={}, nope={"layers": [4]})


def test_not_where_heads_are_paired(build):
    with pytest.raises(PluginError, match="'nope' and 'paired_head_attention' are both in layer 2"):
        build(rope={}, nope={"layers": [2]}, paired_head_attention={})


def test_rope_is_needed_and_alibi_is_not_undone(build):
    with pytest.raises(PluginError, match="plugin 'nope' needs 'rope'"):
        build(nope={})
    with pytest.raises(PluginError, match="'nope' and 'alibi' conflict"):
        build(nope={}, alibi={}, rope={})
