import pytest
import torch

from coregpt.contract.errors import PluginError
from coregpt.contract.randomness import Noise, uniform

SHAPE = {"depth": 6, "dim": 48, "heads": 3}


def gains(run, branch):
    return [run.assembly.params[f"blocks.{layer}.{branch}.pre.norm_gain"].detach() for layer in range(6)]


def slow_signs(seed, layer, first):
    """By the card: counts of +1 block by block, then the channels with the smallest numbers."""

    def numbers(n):
        noise = Noise.of(seed, f"cgi_rademacher_gains.{n}")
        return uniform(noise, torch.zeros(1, dtype=torch.long), (1, 48))[0].tolist()

    own = numbers(layer)
    if layer < first:
        return [1 if number < 0.5 else -1 for number in own]
    leads = (layer - first) % 2 == 0
    signs = []
    for block in range(3):
        inside = slice(16 * block, 16 * block + 16)
        count = sum(number < 0.5 for number in numbers(layer if leads else layer - 1)[inside])
        shrunk = 8 + int((count - 8) / 2)  # towards 8
        plus = shrunk if leads else 16 - shrunk
        chosen = sorted(own[inside])[:plus]
        signs += [1 if number in chosen else -1 for number in own[inside]]
    return signs


@pytest.mark.parametrize("seed", [0, 3])
def test_gains_are_what_the_card_says(build, seed):
    run = build(
        rmsnorm_gain={}, cgi_rademacher_gains={"size": 0.14, "pairs_from": 2}, shape=SHAPE, config={"seed": seed}
    )
    for layer in range(6):
        s = torch.tensor(slow_signs(seed, layer, 2))
        torch.testing.assert_close(gains(run, "attention")[layer], 1 - 0.14 * s)
        torch.testing.assert_close(gains(run, "mlp")[layer], 1 + 0.14 * s)
    assert torch.equal(run.assembly.params["final_norm.norm_gain"], torch.ones(48))


def test_two_layers_of_a_pair_cancel_in_every_block_and_differ(build):
    run = build(rmsnorm_gain={}, cgi_rademacher_gains={}, shape=SHAPE)
    signs = [torch.sign(gain - 1) for gain in gains(run, "mlp")]
    assert all(set(each.tolist()) == {-1.0, 1.0} for each in signs)
    blocks = (signs[3] + signs[4]).view(3, 16)
    assert torch.equal(blocks.sum(1), torch.zeros(3))
    assert blocks.any()
    assert not torch.equal(signs[0], signs[1])


def test_signs_follow_the_seed_and_the_rest_of_the_model_does_not_notice(build):
    first, other, plain = (
        build(rmsnorm_gain={}, **plugins, shape=SHAPE, config={"seed": seed})
        for plugins, seed in (({"cgi_rademacher_gains": {}}, 0), ({"cgi_rademacher_gains": {}}, 1), ({}, 0))
    )
    assert not torch.equal(gains(first, "mlp")[0], gains(other, "mlp")[0])
    for path, value in plain.assembly.params.items():
        assert torch.equal(value, first.assembly.params[path]) or path.endswith("pre.norm_gain")


def test_an_odd_layer_at_the_end_draws_alone(build):
    run = build(rmsnorm_gain={}, cgi_rademacher_gains={"pairs_from": 5}, shape=SHAPE)
    s = torch.tensor(slow_signs(0, 5, 6))
    torch.testing.assert_close(gains(run, "mlp")[5], 1 + 0.125 * s)


def test_without_gains_there_is_nothing_to_start(build):
    with pytest.raises(PluginError, match=r"'cgi_rademacher_gains'.*'rmsnorm_gain'"):
        build(cgi_rademacher_gains={})
