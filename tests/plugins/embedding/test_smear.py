import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model

LAMBDA, GATE = "embedding.smear.lambda", "embedding.smear.gate.weight"


class SlowSmear(SlowGPT):
    """Loops over tokens and channels; the learned positions come after."""

    channels = 12

    def embed(self, tokens):
        own = [self.p["embedding.weight"][token] for token in tokens]
        rows = [own[0]]
        for t in range(1, len(own)):
            z = sum(self.p[GATE][0, j] * own[t][j] for j in range(self.channels))
            rows.append(own[t] + self.p[LAMBDA] / (1 + torch.exp(-z)) * own[t - 1])
        if "shared.positions.weight" in self.p:
            rows = [row + self.p["shared.positions.weight"][t] for t, row in enumerate(rows)]
        return torch.stack(rows)


class SlowFive(SlowSmear):
    channels = 5


@pytest.mark.parametrize(("options", "slow"), [({}, SlowSmear), ({"channels": 5}, SlowFive)])
def test_the_whole_model_equals_the_definition(build, options, slow):
    assert_equals_slow_model(build(smear=options), slow)


def test_it_starts_as_the_plain_model_to_the_bit_and_learns_from_the_first_step(build, batch):
    (tokens, targets), plain, run = batch(), build(), build(smear={})
    assert torch.equal(run.model.logits(tokens, run.dials.values), plain.model.logits(tokens, plain.dials.values))
    run.model(tokens, targets, run.dials.values)[0].backward()
    assert run.assembly.params[LAMBDA].grad != 0


def test_the_first_token_stays_and_nobody_sees_two_tokens_back(build):
    run = build(smear={"init": 0.5})
    embedding, tokens = run.model.embedding, torch.tensor([[3, 9, 4, 7]])
    table = run.assembly.params["embedding.weight"].detach()
    got = embedding(tokens, None).detach()[0]
    torch.testing.assert_close(got[0], table[3], rtol=0, atol=0)
    for t, (token, before) in enumerate([(9, 3), (4, 9), (7, 4)], start=1):
        torch.testing.assert_close(got[t], table[token] + 0.25 * table[before], rtol=1e-6, atol=1e-8)


def test_roles_rates_and_decay(build):
    run = build(smear={"lr": 5, "gate_lr": 0.01})
    assert run.assembly.infos[LAMBDA].role == "scalar"
    assert (run.assembly.infos[GATE].role, run.assembly.infos[GATE].shape) == ("gate", (1, 12))
    assert (run.assembly.rules[LAMBDA].lr, run.assembly.rules[GATE].lr) == (5, 0.01)
    assert run.assembly.rules[LAMBDA].weight_decay == run.assembly.rules[GATE].weight_decay == 0


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(PluginError, match=r"channels \(33\) exceeds model.dim \(32\)"):
        build(smear={"channels": 33})
    with pytest.raises(PluginError, match="'smear' and 'ngpt' conflict"):
        build(smear={}, ngpt={})
    with pytest.raises(ConfigError, match=r"plugins\.smear\.channels"):
        build(smear={"channels": 0})
