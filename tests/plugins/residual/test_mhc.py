import pytest
import torch
from coregpt_plugins.residual.mhc import sinkhorn

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm


def slow_with(n: int, rounds: int) -> type[SlowGPT]:
    class SlowMhc(SlowGPT):
        """Loops over lanes; coefficients of all tokens of a row at once."""

        def row(self, tokens):
            lanes = [self.embed(tokens)] * n
            for layer in range(self.shape.depth):
                for kind in ("attention", "mlp"):
                    m, b, r = self.coefficients(lanes, f"blocks.{layer}.{kind}.connection")
                    u = self.norm(sum(m[:, i, None] * lanes[i] for i in range(n)))
                    y = self.attention(u, tokens, layer) if kind == "attention" else self.mlp(u, layer)
                    lanes = [sum(r[:, i, j, None] * lanes[j] for j in range(n)) + b[:, i, None] * y for i in range(n)]
            return self.norm(sum(lanes)) @ self.p["head.out.weight"].T

        def coefficients(self, lanes, site):
            made = rms_norm(torch.cat(lanes, 1)) @ self.p[f"{site}.mhc_of"]
            s_m, s_b, s_r = self.p[f"{site}.mhc_scales"]
            m = 1 / (1 + torch.exp(-s_m * made[:, :n] - self.p[f"{site}.mhc_read"]))
            b = 2 / (1 + torch.exp(-s_b * made[:, n : 2 * n] - self.p[f"{site}.mhc_write"]))
            r = torch.exp(s_r * made[:, 2 * n :].reshape(-1, n, n) + self.p[f"{site}.mhc_mix"])
            for _ in range(rounds):
                r = r / r.sum(2, keepdim=True)
                r = r / r.sum(1, keepdim=True)
            return m, b, r

    return SlowMhc


@pytest.mark.parametrize(("options", "slow"), [({}, slow_with(4, 20)), ({"lanes": 2, "rounds": 3}, slow_with(2, 3))])
def test_the_whole_model_equals_the_definition(build, options, slow):
    assert_equals_slow_model(build(mhc=options, shape={"depth": 2}), slow)


def test_mixing_is_doubly_stochastic_and_keeps_a_signal_in_size():
    r = sinkhorn(torch.randn(50, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64), 100)
    torch.testing.assert_close(r.sum(-2), torch.ones(50, 4, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(r.sum(-1), torch.ones(50, 4, dtype=torch.float64), rtol=0, atol=1e-9)
    assert float(torch.linalg.matrix_norm(r, 2).max()) < 1 + 1e-9


def test_it_starts_nearly_as_the_plain_model_and_lanes_part(build, batch):
    (tokens, targets), plain, run = batch(), build(), build(mhc={})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    assert float((got - wanted).norm() / wanted.norm()) < 0.02
    run.model(tokens, targets, run.dials.values)[0].backward()
    gradient = run.assembly.params["blocks.1.mlp.connection.mhc_write"].grad
    assert float((gradient - gradient.mean()).norm() / gradient.norm()) > 1e-3


def test_coefficients_that_do_not_depend_on_tokens_do_not_decay(build):
    rules = build(mhc={}).assembly.rules
    still = {path.rpartition(".")[2] for path, rule in rules.items() if rule.weight_decay == 0}
    assert still == {"mhc_read", "mhc_write", "mhc_mix", "mhc_scales"}


def test_other_connections_are_refused(build):
    for other in ("hyper_connections", "partitioned_hc", "ngpt"):
        with pytest.raises(PluginError, match=f"'{other}'"):
            build(mhc={}, **{other: {}})
