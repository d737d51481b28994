import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm


class SlowLanes(SlowGPT):
    """H (n, d) of one token at a time, coefficient by coefficient."""

    def coefficients(self, lanes, layer, branch):
        of = lambda name: self.p[f"blocks.{layer}.{branch}.connection.{name}"]  # noqa: E731
        n = len(lanes)
        m, r, b = (of(name).clone() for name in ("hyper_read", "hyper_mix", "hyper_write"))
        if f"blocks.{layer}.{branch}.connection.hyper_scale" in self.p:
            moved = [rms_norm(lane) for lane in lanes]
            s, s_b = of("hyper_scale"), of("hyper_write_scale")
            m = torch.stack([m[i] + s * torch.tanh(moved[i] @ of("hyper_read_of")) for i in range(n)])
            b = torch.stack([b[i] + s_b * torch.tanh(moved[i] @ of("hyper_write_of")) for i in range(n)])
            r = torch.stack([r[i] + s * torch.tanh(moved[i] @ of("hyper_mix_of")) for i in range(n)])
        return m, r, b

    def sublayer(self, states, layer, branch, f):
        found = [self.coefficients(lanes, layer, branch) for lanes in states]
        read = torch.stack(
            [sum(m[i] * lanes[i] for i in range(len(lanes))) for lanes, (m, _, _) in zip(states, found, strict=True)]
        )
        y = f(self.norm(read))
        return [
            [sum(r[i, j] * lanes[i] for i in range(len(lanes))) + b[j] * y[t] for j in range(len(lanes))]
            for t, (lanes, (_, r, b)) in enumerate(zip(states, found, strict=True))
        ]

    def row(self, tokens):
        n = len(self.p["blocks.0.attention.connection.hyper_read"])
        states = [[h] * n for h in self.embed(tokens)]
        for layer in range(self.shape.depth):
            states = self.sublayer(states, layer, "attention", lambda x, layer=layer: self.attention(x, tokens, layer))
            states = self.sublayer(states, layer, "mlp", lambda x, layer=layer: self.mlp(x, layer))
        h = torch.stack([sum(lanes) for lanes in states])
        return self.norm(h) @ self.p["head.out.weight"].T


@pytest.mark.parametrize(("lanes", "dynamic"), [(1, False), (3, False), (3, True)])
def test_the_whole_model_equals_the_definition(build, lanes, dynamic):
    run = build(hyper_connections={"lanes": lanes, "dynamic": dynamic}, shape={"depth": 2})
    assert_equals_slow_model(run, SlowLanes)


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_at_the_start_it_is_the_plain_model(build, batch, lanes):
    """The sum of n equal lanes is n times the plain stream, and the final norm takes the factor away."""
    tokens, _ = batch()
    run, plain = build(hyper_connections={"lanes": lanes}), build()
    torch.testing.assert_close(run.model.logits(tokens, {}), plain.model.logits(tokens, {}), rtol=1e-4, atol=1e-5)


def test_static_coefficients_start_as_published_and_are_not_decayed(build):
    run = build(hyper_connections={"lanes": 3})
    for layer in range(4):
        for number, branch in enumerate(("attention", "mlp")):
            at = f"blocks.{layer}.{branch}.connection."
            m, r, b = (run.assembly.params[at + name].detach() for name in ("hyper_read", "hyper_mix", "hyper_write"))
            assert m.tolist() == [float(i == (2 * layer + number) % 3) for i in range(3)]
            assert torch.equal(r, torch.eye(3))
            assert b.tolist() == [1, 1, 1]
            assert run.assembly.rules[at + "hyper_mix"].weight_decay == 0
            assert run.assembly.rules[at + "hyper_mix_of"].weight_decay == 1


def test_ngpt_has_connections_of_its_own(build):
    with pytest.raises(PluginError, match="'ngpt'"):
        build(hyper_connections={}, ngpt={})
