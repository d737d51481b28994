import pytest
import torch

from coregpt.contract.errors import PluginError
from coregpt.contract.rules import Clock
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm


def slow_with(ahead: int, weight: float) -> type[SlowGPT]:
    class SlowModules(SlowGPT):
        """Each module sees the positions that have a token to join and one to predict; nothing stands in for others."""

        def loss(self, tokens, targets):
            total = super().loss(tokens, targets)
            for row, next_tokens in zip(tokens.tolist(), targets.tolist(), strict=True):
                text = [*row, next_tokens[-1]]
                for k, own in self.modules(row, text).items():
                    total = total + weight / ahead * own / len(tokens) / (len(row) - k)
            return total

        def modules(self, row, text):
            h, found = self.hidden(row), {}
            for k in range(1, ahead + 1):
                site, known = f"losses.deepseek_mtp.next_{k}", len(row) - k
                e = torch.stack([self.p["embedding.weight"][text[t + k]] for t in range(known)])
                joined = torch.cat((rms_norm(h[:known]), rms_norm(e)), 1) @ self.p[f"{site}.join.weight"].T
                h = self.block(joined, row[:known], site)
                logits = rms_norm(h) @ self.p["head.out.weight"].T
                found[k] = sum(torch.log(torch.exp(logits[t]).sum()) - logits[t, text[t + k + 1]] for t in range(known))
            return found

        def hidden(self, row):
            h = self.embed(row)
            for layer in range(self.shape.depth):
                h = h + self.attention(self.norm(h), row, layer)
                h = h + self.mlp(self.norm(h), layer)
            return self.norm(h)

        def block(self, h, row, site):
            inside = f"{site}.block."
            moved = {path.replace(inside, "blocks.99."): p for path, p in self.p.items() if path.startswith(inside)}
            self.p.update(moved)
            h = h + self.attention(self.norm(h), row, 99)
            h = h + self.mlp(self.norm(h), 99)
            for path in moved:
                del self.p[path]
            return h

    return SlowModules


@pytest.mark.parametrize("ahead", [1, 2])
def test_the_whole_model_equals_the_definition(build, ahead):
    run = build(deepseek_mtp={"ahead": ahead, "weight": 0.7}, shape={"depth": 1})
    assert_equals_slow_model(run, slow_with(ahead, 0.7))


def test_evaluation_and_what_the_plain_model_has_are_untouched(build, batch):
    (tokens, _), plain, run = batch(), build(), build(deepseek_mtp={})
    with torch.no_grad():
        assert torch.equal(*(each.model.logits(tokens, each.dials.values) for each in (run, plain)))


def test_the_weight_falls_once(build):
    run = build(deepseek_mtp={"switch": 0.5})
    found = []
    for step in (0, 19, 20, 39):
        run.dials.set(Clock(step, 40))
        found.append(float(run.dials.values["deepseek_mtp.weight"]))
    assert found == pytest.approx([0.3, 0.3, 0.1, 0.1])


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(PluginError, match="24 tokens ahead do not fit in a context of 24"):
        build(deepseek_mtp={"ahead": 24})
    for other in ("mtp", "hyper_connections"):
        with pytest.raises(PluginError, match=f"'{other}'"):
            build(deepseek_mtp={}, **{other: {}})
