import torch

from tests.plugins.slow import SlowGPT, assert_equals_slow_model, gelu


class SlowBiased(SlowGPT):
    """Every product written out; one head's rows of a projection have that head's part of its bias."""

    head = False

    def row(self, tokens):
        logits = super().row(tokens)
        return logits + self.p["head.out.linear_bias"] if self.head else logits

    def mlp(self, x, layer):
        up = x @ self.layer(layer, "mlp.up.weight").T + self.layer(layer, "mlp.up.linear_bias")
        return gelu(up) @ self.layer(layer, "mlp.down.weight").T + self.layer(layer, "mlp.down.linear_bias")

    def attention(self, x, tokens, layer):
        width, outputs = self.shape.head_dim, []
        for head in range(self.shape.heads):
            rows = slice(head * width, (head + 1) * width)
            q, k, v = (
                x @ self.layer(layer, f"attention.{name}.weight")[rows].T
                + self.layer(layer, f"attention.{name}.linear_bias")[rows]
                for name in "qkv"
            )
            scores = (q @ k.T / width**0.5).exp().tril()
            outputs.append(scores / scores.sum(-1, keepdim=True) @ v)
        out = torch.cat(outputs, 1) @ self.layer(layer, "attention.out.weight").T
        return out + self.layer(layer, "attention.out.linear_bias")


class SlowBiasedHead(SlowBiased):
    head = True


def test_the_whole_model_equals_the_definition(build):
    shape = {"depth": 2}
    assert_equals_slow_model(build(linear_bias={}, shape=shape), SlowBiased)
    assert_equals_slow_model(build(linear_bias={"head": True}, shape=shape), SlowBiasedHead)


def test_it_starts_as_the_plain_model(build, batch):
    (tokens, _), plain, run = batch(), build(), build(linear_bias={"head": True})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    assert torch.equal(got, wanted)


def test_gates_keep_to_what_they_are_and_biases_do_not_decay(build):
    run = build(linear_bias={}, smear={}, shape={"depth": 1})
    biases = [path for path in run.assembly.params if path.endswith("linear_bias")]
    assert len(biases) == 6
    assert not any("gate" in path or "head" in path for path in biases)
    assert all(run.assembly.rules[path].weight_decay == 0 for path in biases)
    assert {run.assembly.infos[path].role for path in biases} == {"scalar"}


def test_they_decay_where_that_is_wanted(build):
    run = build(linear_bias={"decay": True})
    biases = [path for path in run.assembly.params if path.endswith("linear_bias")]
    assert biases
    assert all(run.assembly.rules[path].weight_decay == 1 for path in biases)
