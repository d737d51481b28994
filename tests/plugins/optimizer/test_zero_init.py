import math

import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


def values(run):
    return run.assembly.params


def test_projections_into_the_stream_start_at_zero_and_nothing_else_changes(build):
    zeroed, plain = values(build(zero_init={})), values(build())
    projections = {path for path in plain if path.endswith(("attention.out.weight", "mlp.down.weight"))}
    assert len(projections) == 8
    for path, value in zeroed.items():
        if path in projections:
            assert not value.any()
        else:
            assert torch.equal(value, plain[path])


def test_first_logits_are_head_of_normalised_embedding(build, batch):
    run, (tokens, _) = build(zero_init={}, rope={}), batch()
    table = values(run)["embedding.weight"].double()
    h = table[tokens]
    h = h / (h.square().mean(-1, keepdim=True) + 1.1920928955078125e-07).sqrt()
    wanted = h @ values(run)["head.out.weight"].double().T
    torch.testing.assert_close(run.model.logits(tokens, run.dials.values).double(), wanted, rtol=1e-5, atol=1e-6)


def test_with_a_zero_head_the_first_loss_is_log_of_the_vocabulary(build, batch):
    run = build(zero_init={"head": True})
    tokens, targets = batch()
    loss, _ = run.model(tokens, targets, run.dials.values)
    assert float(loss.detach()) == pytest.approx(math.log(61), abs=1e-5)
    assert not values(run)["head.out.weight"].any()


def test_only_the_start_differs_not_the_model(build):
    assert_equals_slow_model(build(zero_init={"head": True}), SlowGPT)


def test_a_step_moves_the_projections_away_from_zero(build, batch):
    run = build(zero_init={})
    tokens, targets = batch()
    loss, _ = run.model(tokens, targets, run.dials.values)
    loss.backward()
    run.optimizer.step(1.0, run.dials.values)
    assert all(values(run)[f"blocks.{layer}.mlp.down.weight"].any() for layer in range(4))


def test_bad_options_and_ngpt_are_refused(build):
    with pytest.raises(ConfigError, match=r"plugins\.zero_init\.head"):
        build(zero_init={"head": "maybe"})
    with pytest.raises(PluginError, match="'ngpt' and 'zero_init' conflict"):
        build(zero_init={}, ngpt={})
