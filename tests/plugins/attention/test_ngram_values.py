import math

import pytest
import torch
from coregpt_plugins.attention.ngram_values import bucket, prime_up_to

from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.rules import ParamGroup
from tests.plugins.slow import SlowGPT, assert_equals_slow_model

TABLE = "shared.ngram_values.weight"
KEY = "attention.attend.ngram_values"
PRIMES = (1_000_003, 998_244_353, 911_382_323, 805_306_457)


def slow_bucket(tokens, t, order, salt, rows):
    """A Python integer, cut to 64 bits in two's complement."""
    found = 0
    for j in range(order):
        token = tokens[t - j] if t >= j else 0
        factor = PRIMES[0] + 2_654_435_761 * salt if j == 0 else PRIMES[j] + 40_503 * salt
        found += token * factor
    found &= 2**64 - 1
    return (found - 2**64 if found >= 2**63 else found) % rows


@pytest.mark.parametrize("vocab", [300, 50_304, 2_000_000])
def test_rows_are_those_of_integers_that_wrap_around(vocab):
    tokens = torch.randint(0, vocab, (2, 40), generator=torch.Generator().manual_seed(0))
    for order, salt, rows in ((2, 1, 79_999_987), (3, 7920 + 97, 1213), (1, 5, 2), (4, 1, 61)):
        wanted = [[slow_bucket(row, t, order, salt, rows) for t in range(40)] for row in tokens.tolist()]
        assert bucket(tokens, order, salt, rows).tolist() == wanted


def test_the_number_of_rows_is_a_prime():
    assert [prime_up_to(n) for n in (1, 2, 3, 4, 9, 305, 80_000_000)] == [2, 2, 3, 3, 7, 293, 79_999_987]


def slow_with(rows, layers, orders, hashes, channels):
    class SlowNgrams(SlowGPT):
        def values(self, v, x, tokens, layer, head):
            if layer not in layers or head != layers.index(layer) % self.shape.heads:
                return v
            table, number = self.p[TABLE], layers.index(layer)
            width = self.shape.head_dim // (len(orders) * hashes)
            weight, bias = self.layer(layer, f"{KEY}.gate.weight")[0], self.layer(layer, f"{KEY}.bias")
            found = []
            for t in range(len(tokens)):
                parts = [
                    table[slow_bucket(tokens, t, order, 1 + 97 * o + 7919 * w, rows)][number * width :][:width]
                    for o, order in enumerate(orders)
                    for w in range(hashes)
                ]
                e = torch.cat(parts)
                e = torch.cat((e, e.new_zeros(self.shape.head_dim - len(e))))
                z = sum(weight[i] * x[t, i] for i in range(channels)) / channels + bias
                found.append(v[t] + e / (1 + torch.exp(-z)))
            return torch.stack(found)

    return SlowNgrams


@pytest.mark.parametrize(
    ("layers", "orders", "hashes", "channels"), [((0, 2), (2, 3), 2, 12), ((0, 1, 3), (1, 3, 4), 1, 5)]
)
def test_the_whole_model_equals_the_definition(build, layers, orders, hashes, channels):
    options = {"layers": layers, "orders": orders, "hashes": hashes, "channels": channels, "rows": 2.5}
    run = build(ngram_values=options, shape={"depth": 4})
    rows = prime_up_to(round(2.5 * 61))
    width = run.config.model.head_dim // (len(orders) * hashes)
    assert run.assembly.params[TABLE].shape == (rows, len(layers) * width)
    assert_equals_slow_model(run, slow_with(rows, layers, orders, hashes, channels))


def slow_rows(table, gradients, layers, beta, decay, lr):
    """Tables after every step, row by row and layer by layer."""
    mean, found = {}, []
    table = [list(row) for row in table.tolist()]
    for g in gradients:
        for r, row in enumerate(g.tolist()):
            if not any(row):
                continue
            width = len(row) // layers
            for layer in range(layers):
                here = range(layer * width, (layer + 1) * width)
                square = sum(row[i] ** 2 for i in here) / width
                mean[r, layer] = beta * mean.get((r, layer), 0.0) + (1 - beta) * square
                for i in here:
                    table[r][i] = (1 - decay) * table[r][i] - lr * row[i] / (math.sqrt(mean[r, layer]) + 1e-8)
        found.append(torch.tensor(table, dtype=torch.float64))
    return found


@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_rows_that_were_looked_up_move_and_others_do_not(build, factor):
    """At a constant rate: what the schedule multiplies it by is taken out again."""
    options = {"layers": (0, 2), "lr": 0.3, "beta": 0.9, "decay": 0.05}
    hook = build(ngram_values=options, shape={"depth": 3}).assembly.hook
    model = build(shape={"depth": 3}).config.model
    group = ParamGroup("table", (5, 6), (TABLE,), "ngram_values", model=model)
    rule, decay = hook.make_update(group=group), hook.make_decay(group=group)
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(1, 5, 6, dtype=torch.float64, generator=generator)
    gradients = torch.randn(4, 1, 5, 6, dtype=torch.float64, generator=generator)
    for step, rows in enumerate(([0], [1, 3], [], [4])):
        gradients[step, 0, rows] = 0
    gradients[2, 0, 2, 3:] = 0  # looked up, but no gradient in the second layer
    wanted = slow_rows(p[0], gradients[:, 0], 2, 0.9, 0.05, 0.3)
    state, lr = rule.init(p), torch.full((1, 1, 1), rule.lr * factor, dtype=torch.float64)
    for step, g in enumerate(gradients):
        dials = {"step": step + 1, "lr": torch.tensor(factor, dtype=torch.float64)}
        update = rule.direction(p, g, state, dials)
        p = p - decay.amount(p, update, lr, 0 * lr, dials) - lr * update
        torch.testing.assert_close(p[0], wanted[step], rtol=1e-10, atol=1e-10)


def test_it_starts_as_the_plain_model_with_gates_nearly_closed(build, batch):
    (tokens, targets), plain, run = batch(), build(), build(ngram_values={})
    with torch.no_grad():
        got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-6)
    gates = [value for path, value in run.assembly.params.items() if path.endswith(f"{KEY}.gate.weight")]
    drawn = torch.cat([gate.flatten() for gate in gates])
    assert 0 <= float(drawn.min()) < 0.01 < float(drawn.max()) <= 0.02
    run.model(tokens, targets, run.dials.values)[0].backward()
    run.optimizer.step(1.0, run.dials.values)
    moved = run.assembly.params[TABLE].detach().ne(0).any(1)
    assert 0 < int(moved.sum()) < len(moved)


def test_the_source_s_layers(build):
    run = build(ngram_values={}, shape={"depth": 11})
    gates = [path for path in run.assembly.params if path.endswith(f"{KEY}.bias")]
    assert [int(path.split(".")[1]) for path in gates] == [1, 2, 4, 5, 7, 8, 9, 10]
    assert all(run.assembly.rules[path].weight_decay == 0 for path in gates)


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(PluginError, match="layer 9 of a model with 2 layers"):
        build(ngram_values={"layers": [9]}, shape={"depth": 2})
    with pytest.raises(PluginError, match="hashes and 12 channels"):
        build(ngram_values={"hashes": 99})
    with pytest.raises(ConfigError, match=r"plugins\.ngram_values\.orders"):
        build(ngram_values={"orders": [5]})
    with pytest.raises(PluginError, match="'ngram_values' and 'mixture_of_depths'"):
        build(ngram_values={}, mixture_of_depths={})
