import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from coregpt.engine.accounting import count
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, gelu


def slow_with(run, options):
    """One token and one expert at a time; what is chosen by sorting."""
    experts, active, shared = (
        options.get(name, plain) for name, plain in (("experts", 16), ("active", 3), ("shared", 1))
    )

    class SlowFine(SlowGPT):
        def __init__(self, run):
            super().__init__(run)
            self.biases = [block.mlp.inner.bias.tolist() for block in run.model.blocks]
            self.unbalanced = []

        def expert(self, x, layer, kind, number):
            up = self.layer(layer, f"mlp.{kind}.up.weight")[number] @ x
            hidden = gelu(up)
            if f"blocks.{layer}.mlp.{kind}.gate.weight" in self.p:
                gate = self.layer(layer, f"mlp.{kind}.gate.weight")[number] @ x
                hidden = up * gate * torch.sigmoid(gate)
            return self.layer(layer, f"mlp.{kind}.down.weight")[number] @ hidden

        def mlp(self, x, layer):
            out, taken, shares = [], [0] * experts, []
            for row in x:
                logits = self.layer(layer, "mlp.router.weight") @ row
                s = 1 / (1 + torch.exp(-logits)) if options.get("scores") != "softmax" else torch.softmax(logits, 0)
                seen = [float(s[i].detach()) + self.biases[layer][i] for i in range(experts)]
                chosen = sorted(range(experts), key=lambda i, seen=seen: -seen[i])[:active]
                total = sum(s[i] for i in chosen)
                y = sum(s[i] / total * self.expert(row, layer, "routed", i) for i in chosen)
                out.append(y + self.expert(row, layer, "shared", 0) if shared else y)
                shares.append(s / s.sum())
                for i in chosen:
                    taken[i] += 1
            mean = sum(shares) / len(shares)
            f = [n * experts / (active * len(x)) for n in taken]
            self.unbalanced.append(sum(f[i] * mean[i] for i in range(experts)))
            return torch.stack(out)

        def loss(self, tokens, targets):
            self.unbalanced = []
            total = super().loss(tokens, targets)
            return total + options.get("balance", 1e-4) * sum(self.unbalanced) / len(tokens)

    return SlowFine(run)


@pytest.mark.parametrize(
    "options",
    [
        {"experts": 5, "active": 2, "balance": 0.3},
        {"experts": 6, "active": 3, "shared": 2, "scores": "softmax", "balance": 0.2},
        {"experts": 4, "active": 1, "shared": 0, "balance": 0.0},
    ],
)
@pytest.mark.parametrize("others", [{}, {"swiglu": {}}])
def test_the_whole_model_equals_the_definition(build, options, others):
    run = build(fine_moe=options, **others, shape={"depth": 2})
    for block in run.model.blocks:
        bias = block.mlp.inner.bias
        bias.copy_(torch.randn(bias.shape, generator=torch.Generator().manual_seed(3)) * 0.3)
    assert_equals_slow_model(run, lambda r: slow_with(r, options))


def test_flops_stay_and_parameters_grow(build):
    run, plain = build(fine_moe={"experts": 8, "active": 3}), build()
    ours, theirs = (count(each.config, [*catalogue(each)]) for each in (run, plain))
    router = 2 * 32 * 8 * 4
    assert ours.flops_per_token == pytest.approx(theirs.flops_per_token + 3 * router, rel=0.01)
    assert ours.parameters > 1.7 * theirs.parameters


def catalogue(run):
    from coregpt.lab.study.registry import Catalogue

    return Catalogue().instances(run.config.plugins)


def test_a_loaded_expert_is_asked_less(build):
    run = build(fine_moe={"experts": 4, "active": 1, "rate": 0.01})
    part, (companion,) = run.model.blocks[0].mlp.inner, run.companions
    part.load.copy_(torch.tensor([8.0, 0.0, 2.0, 2.0]))
    companion.after_update(run.timeline.clock(0))
    torch.testing.assert_close(part.bias, torch.tensor([-0.01, 0.01, 0.01, 0.01]))
    assert not part.load.any()
    assert not build(fine_moe={"rate": 0.0}).companions


def test_options_and_clashes(build):
    with pytest.raises(ConfigError, match="may not exceed experts"):
        build(fine_moe={"experts": 2, "active": 3})
    with pytest.raises(PluginError, match="made by 'fine_moe' and by 'moe'"):
        build(fine_moe={}, moe={"layers": "all"})
    run = build(fine_moe={"layers": "alternate", "width": 7})
    assert run.assembly.params["blocks.1.mlp.routed.up.weight"].shape == (16, 7, 32)
    assert "blocks.0.mlp.up.weight" in run.assembly.params
