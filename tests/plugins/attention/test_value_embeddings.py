import pytest
import torch
from coregpt_plugins.attention.value_embeddings import table_of

from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, shake

LAYOUTS = {
    ("full", 4): [0, 1, 2, 3],
    ("full", 1): [0],
    ("unet", 12): [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0],
    ("unet", 5): [0, 1, None, 1, 0],
    ("unet", 2): [0, 0],
    ("sparse", 12): [0, 1, 2, None, None, None, None, None, None, 0, 1, 2],
    ("sparse", 7): [0, 1, 2, None, 0, 1, 2],
    ("sparse", 6): [0, 1, 2, 0, 1, 2],
    ("sparse", 5): [0, 1, None, 0, 1],
    ("sparse", 4): [0, 1, 0, 1],
    ("sparse", 3): [0, None, 0],
    ("sparse", 2): [0, 0],
    ("none", 4): [None, None, None, None],
}

LAYOUTS_OF_FOUR = {"full": [0, 1, 2, 3], "unet": [0, 1, 1, 0], "sparse": [0, 1, 0, 1]}


def slow_with(tables: list[int | None], gate_inputs: int = 0) -> type[SlowGPT]:
    class SlowValueEmbeddings(SlowGPT):
        def values(self, v, x, tokens, layer, head):
            number = tables[layer]
            own = self.layer(layer, "attention.attend.value_embeddings.own")
            if number is None:
                return own * v
            width = self.shape.head_dim
            table = self.p[f"shared.value_embeddings.{number}.weight"]
            rows = []
            for t, token in enumerate(tokens):
                found = table[token, head * width : (head + 1) * width]
                if gate_inputs:
                    weights = self.layer(layer, "attention.attend.value_embeddings.gate.weight")[head]
                    z = sum(weights[j] * x[t, j] for j in range(gate_inputs))
                    found = 2 / (1 + torch.exp(-z)) * found
                share = self.layer(layer, "attention.attend.value_embeddings.table")
                rows.append(own * v[t] + share * found)
            return torch.stack(rows)

    return SlowValueEmbeddings


@pytest.mark.parametrize(("layout", "depth"), LAYOUTS)
def test_each_layer_reads_the_table_its_layout_says(build, layout, depth):
    run = build(value_embeddings={"layout": layout}, shape={"depth": depth})
    found = []
    for block in run.model.blocks:
        table = getattr(block.attention.inner.attend, "table", None)
        paths = [path for path, value in run.assembly.params.items() if table is not None and value is table.weight]
        found.append(int(paths[0].split(".")[2]) if paths else None)
    assert found == LAYOUTS[layout, depth]
    tables = {path for path, info in run.assembly.infos.items() if info.role == "table"}
    assert len(tables) == len({number for number in found if number is not None})
    assert all(run.assembly.params[path].shape == (61, 32) for path in tables)


@pytest.mark.parametrize("layout", ["full", "unet", "sparse"])
def test_the_whole_model_equals_the_definition(build, layout):
    assert_equals_slow_model(build(value_embeddings={"layout": layout}), slow_with(LAYOUTS_OF_FOUR[layout]))


def test_the_gated_model_equals_the_definition(build):
    run = build(value_embeddings={"layout": "unet", "gate_inputs": 5})
    assert_equals_slow_model(run, slow_with(LAYOUTS_OF_FOUR["unet"], gate_inputs=5))


@pytest.mark.parametrize("layout", ["unet", "sparse"])
def test_a_middle_layer_without_a_table_equals_the_definition(build, layout):
    run = build(value_embeddings={"layout": layout}, shape={"depth": 3})
    assert_equals_slow_model(run, slow_with([0, None, 0]))


def test_record_17_scales_values_in_every_layer_with_a_number_of_its_own(build):
    params = build(value_embeddings={}, shape={"depth": 12}).assembly.params
    site = "blocks.{}.attention.attend.value_embeddings.{}"
    assert [float(params[site.format(layer, "own")].detach()) for layer in range(12)] == [0.5] * 12
    with_table = [layer for layer in range(12) if site.format(layer, "table") in params]
    assert with_table == [0, 1, 2, 9, 10, 11]


@pytest.mark.parametrize("options", [{}, {"layout": "unet", "gate_inputs": 4}])
def test_nothing_of_it_decays_and_everything_else_does(build, options):
    run = build(value_embeddings=options, shape={"depth": 5})
    stacks = run.optimizer.stacks
    still = {path for stack in stacks for row, path in enumerate(stack.paths) if not stack.weight_decay[row]}
    assert still == {path for path in run.assembly.params if "value_embeddings." in path}
    assert len(still) == 2 + 5 + 4 * (2 if "gate_inputs" in options else 1)


def test_zero_tables_and_own_one_are_the_plain_model_to_the_bit(build, batch):
    """In evaluation: in training, a norm and the products that core's own attention makes of it round otherwise."""
    tokens, _ = batch()
    plain = build()
    for options in ({"own": 1, "std": 0}, {"own": 1, "std": 0, "gate_inputs": 12}, {"layout": "none"}):
        run = build(value_embeddings=options)
        with torch.no_grad():
            got, wanted = (each.model.logits(tokens, each.dials.values) for each in (run, plain))
        assert torch.equal(got, wanted)


def test_a_fresh_gate_multiplies_by_one(build, batch):
    tokens, _ = batch()
    plain, gated = (build(value_embeddings={"gate_inputs": n}) for n in (0, 12))
    gate = gated.assembly.params["blocks.0.attention.attend.value_embeddings.gate.weight"]
    assert gate.shape == (2, 12)
    assert gated.assembly.infos["blocks.0.attention.attend.value_embeddings.gate.weight"].role == "gate"
    assert torch.equal(gated.model.logits(tokens, gated.dials.values), plain.model.logits(tokens, plain.dials.values))


def test_only_rows_of_tokens_in_the_batch_get_a_gradient(build):
    run = shake(build(value_embeddings={"layout": "sparse"}))
    tokens = torch.tensor([[3, 7, 3, 9]])
    loss, _ = run.model(tokens, torch.tensor([[7, 3, 9, 1]]), run.dials.values)
    loss.backward()
    for number in (0, 1):
        rows = run.assembly.params[f"shared.value_embeddings.{number}.weight"].grad.abs().sum(1).nonzero().flatten()
        assert rows.tolist() == [3, 7, 9]


def test_initial_tables_and_shares(build):
    run = build(value_embeddings={"own": 1, "table": 0.25, "std": 0.5})
    table = run.assembly.params["shared.value_embeddings.0.weight"]
    assert float(table.detach().std()) == pytest.approx(0.5, rel=0.05)
    assert float(run.assembly.params["blocks.0.attention.attend.value_embeddings.own"].detach()) == 1
    assert float(run.assembly.params["blocks.0.attention.attend.value_embeddings.table"].detach()) == 0.25
    assert not build(value_embeddings={"std": 0}).assembly.params["shared.value_embeddings.1.weight"].any()


def test_the_learning_rate_multiplier_moves_tables_only(build):
    run = build(value_embeddings={"lr": 75})
    rates = {path: rule.lr for path, rule in run.assembly.rules.items() if rule.lr != 1}
    assert rates == {"shared.value_embeddings.0.weight": 75, "shared.value_embeddings.1.weight": 75}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "spars"}, r"plugins\.value_embeddings\.layout: .*'sparse'"),
        ({"table": 0, "std": 0}, "neither would ever get a gradient"),
        ({"std": -1}, r"plugins\.value_embeddings\.std"),
        ({"lr": 0}, r"plugins\.value_embeddings\.lr"),
    ],
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(value_embeddings=options)


def test_models_it_cannot_fit_are_refused(build):
    with pytest.raises(PluginError, match="needs at least 2 layers, got 1"):
        build(value_embeddings={}, shape={"depth": 1})
    with pytest.raises(PluginError, match=r"gate_inputs \(33\) exceeds model.dim \(32\)"):
        build(value_embeddings={"gate_inputs": 33})


def test_a_sparse_layout_has_as_many_tables_as_it_is_given():
    assert [table_of("sparse", 12, layer, 2) for layer in range(12)] == [0, 1, *[None] * 8, 0, 1]
    assert [table_of("sparse", 5, layer, 4) for layer in range(5)] == [0, 1, None, 0, 1]
