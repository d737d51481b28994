import cmath

import pytest
import torch

from coregpt.contract.context import Context
from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm, shake


class SlowOffset(SlowGPT):
    """Of four layers 1 and 3; widths of 16: 0 to 3 and 8 to 11 turn, 4 to 7 and 12 to 15 are the token before's."""

    speeds = ()

    def turned(self, x, t):
        out = list(x)
        for i, speed in enumerate(self.speeds):
            w = cmath.exp(-1j * t * speed)
            out[i], out[i + 8] = x[i] * w.real - x[i + 8] * w.imag, x[i] * w.imag + x[i + 8] * w.real
        return torch.stack(out)

    def position(self, q, k, layer, head):
        q, k = ([self.turned(row, t) for t, row in enumerate(x)] for x in (q, k))
        if layer not in (1, 3):
            return torch.stack(q), torch.stack(k)
        keys = [k[0]]
        for t in range(1, len(k)):
            numbers = [k[t - 1][i] if i in (4, 5, 6, 7, 12, 13, 14, 15) else k[t][i] for i in range(16)]
            keys.append(torch.stack(numbers))
        return torch.stack(q), torch.stack(keys)


class SlowTruncated(SlowOffset):
    speeds = tuple(1024 ** (-j / 3) for j in range(4))


class SlowNormed(SlowTruncated):
    def position(self, q, k, layer, head):
        return super().position(rms_norm(q), rms_norm(k), layer, head)


ROPE = {"truncate": True, "base": 1024}


@pytest.mark.parametrize(
    ("options", "slow"),
    [({}, SlowOffset), ({"rope": ROPE}, SlowTruncated), ({"rope": ROPE, "qk_norm": {}}, SlowNormed)],
    ids=["alone", "rope", "qk_norm"],
)
def test_the_whole_model_equals_the_definition(build, options, slow):
    assert_equals_slow_model(build(partial_key_offset={}, **options), slow)


def test_turning_dimensions_and_the_first_key_are_what_they_were(build):
    plain, run = build(rope=ROPE), build(rope=ROPE, partial_key_offset={})
    q, k = torch.randn(2, 2, 24, 2, 16, generator=torch.Generator().manual_seed(0))
    here = Context(torch.zeros(2, 24, dtype=torch.long), {})
    (q1, k1), (q2, k2) = (each.model.blocks[3].attention.inner.position(q, k, here) for each in (plain, run))
    assert torch.equal(q1, q2)
    assert torch.equal(k1[:, 0], k2[:, 0])
    turning = [*range(4), *range(8, 12)]
    assert torch.equal(k1[..., turning], k2[..., turning])
    assert (k1[:, 1:, :, 4:8] != k2[:, 1:, :, 4:8]).all()


@pytest.mark.parametrize("across", [False, True])
def test_a_document_begins_with_its_own_key_unless_told_otherwise(build, across):
    run = shake(build(rope=ROPE, partial_key_offset={"across": across}, config={"data": {"document_mask": True}}))
    first, second = (run.model.logits(torch.tensor([[5, 9, before, 0, 3, 4]]), run.dials.values) for before in (7, 8))
    assert torch.equal(first[:, 3:], second[:, 3:]) is not across


def test_not_where_heads_are_paired(build):
    with pytest.raises(PluginError, match="'partial_key_offset' and 'paired_head_attention' are both in layer 1"):
        build(rope=ROPE, partial_key_offset={"layers": [0, 1]}, paired_head_attention={"layers": [1]})
    with pytest.raises(PluginError, match="layer 9 of a model with 4 layers"):
        build(partial_key_offset={"layers": [9]})
