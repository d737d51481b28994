import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm


class SlowNormed(SlowGPT):
    def embed(self, tokens):
        return rms_norm(super().embed(tokens))


@pytest.mark.parametrize("others", [{}, {"rope": {}}])
def test_what_enters_the_first_block_is_normalised(build, others):
    if others:  # rotations are another test's: one token has position 0, which turns nothing
        run = build(norm_after_embed={}, **others)
        assert_equals_slow_model(run, SlowNormed, length=1)
    else:
        assert_equals_slow_model(build(norm_after_embed={}), SlowNormed)


def test_the_length_of_a_tokens_row_does_not_matter(build, batch):
    (tokens, _), run = batch(), build(norm_after_embed={}, rope={}, shape={"init_std": 1.0})
    before = run.model.logits(tokens, run.dials.values)
    with torch.no_grad():
        run.assembly.params["embedding.weight"][int(tokens[0, 0])] *= 5
    torch.testing.assert_close(run.model.logits(tokens, run.dials.values), before, rtol=1e-4, atol=1e-4)


def test_ngpt_claims_the_place_too(build):
    with pytest.raises(PluginError, match="'ngpt' and 'norm_after_embed'"):
        build(norm_after_embed={}, ngpt={})
