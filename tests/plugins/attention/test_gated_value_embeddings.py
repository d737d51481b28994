import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model

KEY = "attention.attend.gated_value_embeddings.gate.weight"


def slow_with(tables, channels, table_channels):
    class SlowGated(SlowGPT):
        def values(self, v, x, tokens, layer, head):
            numbers = [n for n, layers in enumerate(tables) if layer in layers]
            if not numbers:
                return v
            table, width = self.p[f"shared.gated_value_embeddings.{numbers[0]}.weight"], self.shape.head_dim
            rows = []
            for t, token in enumerate(tokens):
                factor = 1.0
                if channels + table_channels:
                    u = [*x[t, :channels], *table[token, :table_channels]]
                    z = sum(w * each for w, each in zip(self.layer(layer, KEY)[head], u, strict=True))
                    factor = 2 / (1 + torch.exp(-z))
                rows.append(v[t] + factor * table[token, head * width : (head + 1) * width])
            return torch.stack(rows)

    return SlowGated


@pytest.mark.parametrize(("channels", "table_channels"), [(5, 3), (7, 0), (0, 4), (0, 0)])
def test_the_whole_model_equals_the_definition(build, channels, table_channels):
    tables = ((0, 3), (2,))
    options = {"tables": tables, "channels": channels, "table_channels": table_channels, "std": 0.5}
    run = build(gated_value_embeddings=options, shape={"depth": 4})
    assert_equals_slow_model(run, slow_with(tables, channels, table_channels))


def test_the_record_reads_five_tables_in_its_layers(build):
    run = build(gated_value_embeddings={}, shape={"depth": 11})
    gates = [path for path in run.assembly.params if path.endswith(KEY)]
    assert [int(path.split(".")[1]) for path in gates] == [1, 2, 8, 9, 10]
    assert sum(info.role == "table" for info in run.assembly.infos.values()) == 5


def test_the_gate_starts_at_one_and_tables_have_their_rate(build):
    run, plain = build(gated_value_embeddings={"lr": 75, "decay": 5, "std": 0}), build()
    tokens = torch.arange(12).view(1, -1)
    torch.testing.assert_close(
        run.model.logits(tokens, run.dials.values), plain.model.logits(tokens, plain.dials.values)
    )
    stack = next(stack for stack in run.optimizer.stacks if stack.group.role == "table")
    head = next(stack for stack in run.optimizer.stacks if stack.group.role == "head")
    assert float(stack.lr[0] / head.lr[0]) == pytest.approx(75)
    assert float(stack.weight_decay[0] / head.weight_decay[0]) == pytest.approx(5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tables": [[9]]}, "layer 9 of a model with 2 layers"),
        ({"tables": [[0], [0, 1]]}, "layer 0 reads two tables"),
        ({"channels": 999}, "asked for 999 and 6"),
    ],
)
def test_mistakes_are_told(build, options, message):
    with pytest.raises(PluginError, match=message):
        build(gated_value_embeddings=options, shape={"depth": 2})
