import math
from dataclasses import replace

import pytest
import torch

from coregpt.contract.context import Context
from coregpt.contract.errors import ConfigError
from coregpt.engine.accounting import count
from coregpt.engine.build import build as engine_build
from coregpt.lab.study.registry import Catalogue
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, gelu, shake

SMALL = {"experts": 5, "active": 3}


def parts(run):
    return [block.mlp.inner for block in run.model.blocks if hasattr(block.mlp.inner, "router")]


def set_bias(run, seed=3, size=0.3):
    for part in parts(run):
        part.bias.copy_(torch.randn(part.bias.shape, generator=torch.Generator().manual_seed(seed)) * size)
    return run


def slow_moe(run_options, activation, layers=(1, 3)):
    """One token at a time, experts chosen by sorting, each expert a plain MLP."""
    experts, active = run_options["experts"], run_options["active"]
    routing = run_options.get("routing", "hard")

    class SlowMoE(SlowGPT):
        def __init__(self, run):
            super().__init__(run)
            self.biases = {
                layer: run.model.blocks[layer].mlp.inner.bias.tolist() for layer in layers if layer < self.shape.depth
            }

        def expert(self, x, layer, number):
            up = self.layer(layer, "mlp.up.weight")[number] @ x
            if f"blocks.{layer}.mlp.gate.weight" in self.p:
                gate = self.layer(layer, "mlp.gate.weight")[number] @ x
                hidden = up * gate * torch.sigmoid(gate)
            else:
                hidden = activation(up)
            return self.layer(layer, "mlp.down.weight")[number] @ hidden

        def mlp(self, x, layer):
            if layer not in layers:
                return super().mlp(x, layer)
            return torch.stack([self.token(row, layer) for row in x])

        def token(self, x, layer):
            logits = self.layer(layer, "mlp.router.weight") @ x
            p = torch.exp(logits) / torch.exp(logits).sum()
            y = self.expert(x, layer, 0) / active
            if routing == "soft_mixture":
                return y + sum((active - 1) / active * p[i] * self.expert(x, layer, i + 1) for i in range(experts - 1))
            seen = [float(p[i].detach()) + self.biases[layer][i] for i in range(experts - 1)]
            chosen = sorted(range(experts - 1), key=lambda i: -seen[i])[: active - 1]
            total = sum(p[i] for i in chosen)
            for i in chosen:
                y = y + p[i] / total * (active - 1) / active * self.expert(x, layer, i + 1)
            return y

    return SlowMoE


@pytest.mark.parametrize("routing", ["hard", "soft_dense", "soft_mixture"])
def test_the_whole_model_equals_the_definition(build, routing):
    options = {**SMALL, "routing": routing}
    run = set_bias(build(moe=options, shape={"dim": 16, "vocab": 17}))
    assert_equals_slow_model(run, slow_moe(options, gelu))


def test_other_activations_and_all_layers_compose(build):
    layers = (0, 1, 2)
    for plugin, activation in (("relu2", lambda z: z.clamp(min=0) ** 2), ("swiglu", None)):
        run = build(moe={**SMALL, "layers": "all"}, shape={"dim": 16, "vocab": 17, "depth": 3}, **{plugin: {}})
        assert len(parts(run)) == 3
        assert_equals_slow_model(set_bias(run), slow_moe(SMALL, activation, layers))


@pytest.mark.parametrize("experts", [8, 32])
def test_hard_equals_soft_dense(build, batch, experts):
    tokens, targets = batch()
    seen = []
    for routing in ("hard", "soft_dense"):
        run = set_bias(shake(build(moe={"experts": experts, "active": 4, "routing": routing}), 0.05), size=0.01)
        loss, metrics = run.model(tokens, targets, run.dials.values)
        loss.backward()
        grads = {path: p.grad.clone() for path, p in run.assembly.params.items()}
        seen.append((run.model.logits(tokens, run.dials.values).detach(), metrics, grads))
    torch.testing.assert_close(seen[0][0], seen[1][0], rtol=0, atol=1e-5)
    assert seen[0][1].keys() == seen[1][1].keys()
    for path, grad in seen[0][2].items():
        torch.testing.assert_close(grad, seen[1][2][path], rtol=1e-3, atol=1e-6, msg=path)


def double_part(build, **options):
    run = shake(build(moe=options))
    part = parts(run)[0].double()
    x = torch.randn(2, 6, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return part, x


def ctx():
    return Context(torch.zeros(2, 6, dtype=torch.long), {})


def test_with_every_expert_active_hard_is_the_dense_mixture(build):
    outputs = []
    for routing in ("hard", "soft_dense", "soft_mixture"):
        part, x = double_part(build, experts=5, active=5, routing=routing)
        outputs.append(part(x, ctx()))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(outputs[0], outputs[2], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("routing", ["hard", "soft_dense", "soft_mixture"])
def test_identical_routed_experts_are_one_expert(build, routing):
    """Because the weights sum to one, whatever the router says."""
    part, x = double_part(build, **SMALL, routing=routing)
    with torch.no_grad():
        for stack in (part.up, part.down):
            stack[1:] = stack[1]
    first, other = (gelu(x @ part.up[e].T) @ part.down[e].T for e in (0, 1))
    torch.testing.assert_close(part(x, ctx()), first / 3 + other * 2 / 3, rtol=1e-10, atol=1e-10)


def test_the_bias_chooses_and_never_weighs(build):
    part, x = double_part(build, **SMALL)
    before = part(x, ctx())
    part.bias.add_(7.0)
    assert torch.equal(part(x, ctx()), before)
    part.bias.zero_()
    part.bias[:2] = 100.0
    p = torch.softmax(x @ part.router.weight.T, -1)[..., :2]
    wanted = gelu(x @ part.up[0].T) @ part.down[0].T / 3
    for i in range(2):
        share = p[..., i : i + 1] / p.sum(-1, keepdim=True) * 2 / 3
        wanted = wanted + share * (gelu(x @ part.up[i + 1].T) @ part.down[i + 1].T)
    torch.testing.assert_close(part(x, ctx()), wanted, rtol=1e-10, atol=1e-10)


def test_hard_never_touches_an_expert_nobody_chose_and_gives_it_a_zero_gradient(build):
    part, x = double_part(build, **SMALL)
    part.bias[1] = -100.0
    with torch.no_grad():
        part.up[2] = float("nan")
        part.down[2] = float("nan")
    y = part(x, ctx())
    assert torch.isfinite(y).all()
    y.sum().backward()
    assert not part.up.grad[2].any()
    assert not part.down.grad[2].any()
    assert part.up.grad[[0, 1, 3, 4]].flatten(1).any(1).all()


def test_hard_multiplies_k_rows_per_token_and_the_count_says_so(build, monkeypatch):
    part, x = double_part(build, experts=8, active=3)
    rows, mm = [], torch.mm

    def counting(left, right, out):
        rows.append(left.shape[0] * left.shape[1] * right.shape[1])
        return mm(left, right, out=out)

    monkeypatch.setattr(torch, "mm", counting)
    part(x.requires_grad_(), ctx()).sum().backward()
    monkeypatch.undo()
    products = 2 * 6 * 3 * 32 * 128
    assert sum(rows) == 2 * 3 * products  # up and down, each forward and twice backward
    costs = {}
    for options in ({"active": 3}, {"active": 4}, {"active": 3, "routing": "soft_dense"}):
        config = build(moe={"experts": 8, **options}, shape={"depth": 2}).config
        key = options.get("routing", options["active"])
        costs[key] = count(config, Catalogue().instances(config.plugins)).flops_per_token
    assert costs[4] - costs[3] == 2 * 3 * 2 * 32 * 128
    assert costs["soft_dense"] - costs[3] == 5 * 2 * 3 * 2 * 32 * 128


def test_the_sorted_product_has_the_gradient_of_finite_differences():
    Catalogue().cls("moe")
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(7, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.randn(4, 2, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    ends = torch.tensor([2, 2, 6, 7], dtype=torch.int32)
    product = torch.ops.coregpt.expert_matmul
    wanted = [rows[i] @ weight[e].T for i, e in enumerate([0, 0, 2, 2, 2, 2, 3])]
    torch.testing.assert_close(product(rows, weight, ends), torch.stack(wanted), rtol=1e-12, atol=0)
    assert torch.autograd.gradcheck(lambda r, w: product(r, w, ends), (rows, weight))
    torch.library.opcheck(product, (rows, weight, ends))


def test_overloaded_experts_lose_bias_and_idle_ones_gain(build, batch):
    run = build(moe={"experts": 5, "active": 2, "rate": 0.01})
    part, (balance,) = parts(run)[0], run.companions
    tokens, targets = batch(rows=8)
    part.bias.copy_(torch.tensor([5.0, 0.0, 0.0, 0.0]))
    for step in range(4):
        for half in (slice(0, 4), slice(4, 8)):
            run.model(tokens[half], targets[half], run.dials.values)
        assert part.load.tolist() == [8 * 24, 0, 0, 0]
        run.model.eval()
        run.model.logits(tokens, run.dials.values)
        run.model.train()
        assert part.load.sum() == 8 * 24
        balance.after_update(run.timeline.clock(step))
        assert not part.load.any()
    torch.testing.assert_close(part.bias, torch.tensor([5 - 0.04, 0.04, 0.04, 0.04]))


def test_the_bias_is_saved_and_the_load_is_not(build):
    kept = build(moe={}).model.state_dict()
    assert sum(name.endswith("mlp.inner.bias") for name in kept) == 2
    assert not any(name.endswith("load") for name in kept)


def test_the_log_shows_the_largest_share(build, batch):
    run, (tokens, targets) = build(moe={"experts": 5, "active": 2}), batch()
    for part in parts(run):
        part.bias[2] = 5.0
    _, logged = run.model(tokens, targets, run.dials.values)
    assert float(logged["blocks.1.mlp.max_load"]) == 1.0
    run = build(moe={"experts": 5, "active": 5})
    assert float(run.model(tokens, targets, run.dials.values)[1]["blocks.3.mlp.max_load"]) == 0.25


def test_parameters_have_the_right_roles_shapes_and_initial_sizes(build):
    run = build(moe={"experts": 8, "active": 2})
    infos, params = run.assembly.infos, run.assembly.params
    up, down, router = (infos[f"blocks.1.mlp.{name}.weight"] for name in ("up", "down", "router"))
    assert (up.role, up.shape, up.writes) == ("matrix", (8, 128, 32), False)
    assert (down.role, down.shape, down.writes) == ("matrix", (8, 32, 128), True)
    assert (router.role, router.shape) == ("gate", (7, 32))
    assert float(params[up.path].detach().std()) == pytest.approx(0.02, rel=0.05)
    assert float(params[down.path].detach().std()) == pytest.approx(0.02 / math.sqrt(8), rel=0.05)
    assert infos["blocks.0.mlp.up.weight"].shape == (128, 32)


def test_the_plain_start_of_down_is_that_of_nanopoor(build):
    params = build(moe={"experts": 8, "down_init": "plain"}, shape={"dim": 64, "depth": 12}).assembly.params
    stacks = [value for path, value in params.items() if path.endswith("mlp.down.weight") and value.dim() == 3]
    assert len(stacks) == 6
    assert float(torch.stack(stacks).detach().std()) == pytest.approx(0.02, rel=0.01)


def test_noise_acts_in_training_only_and_within_its_bounds(build, batch):
    tokens, _ = batch()
    run = shake(build(moe={**SMALL, "noise": 0.2}))
    run.model.eval()
    still = [run.model.logits(tokens, run.dials.values) for _ in range(2)]
    assert torch.equal(*still)
    run.model.train()
    assert not torch.equal(run.model.logits(tokens, run.dials.values), still[0])
    assert torch.equal(*(run.model.logits(tokens, run.dials.values) for _ in range(2)))  # drawn by place, not by call
    part = parts(run)[0]
    x = torch.randn(4, 125, 32, generator=torch.Generator().manual_seed(0))
    where = Context(torch.zeros(4, 125, dtype=torch.long), {}, training=True)
    with torch.no_grad():
        ratio = part.logits(x, where).view(4, 125, 4) / part.router(x)
        again = part.logits(x[2:], replace(where, tokens=where.tokens[2:], starts=torch.tensor([250, 375])))
    assert 0.8 - 1e-4 < float(ratio.min()) < 0.81
    assert 1.19 < float(ratio.max()) < 1.2 + 1e-4
    assert float(ratio.mean()) == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(again.view(2, 125, 4) / part.router(x[2:]), ratio[2:])


def test_bfloat16_training_stays_close_to_fp32(build, batch):
    tokens, targets = batch()
    run = set_bias(shake(build(moe={**SMALL}), 0.05), size=10.0)  # the bias alone chooses: rounding cannot
    exact, _ = run.model(tokens, targets, run.dials.values)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = run.model(tokens, targets, run.dials.values)
        hidden = torch.ops.coregpt.expert_matmul(torch.ones(2, 3), torch.ones(1, 4, 3), torch.tensor([2]).int())
    assert hidden.dtype == torch.bfloat16
    rounded.backward()
    assert float(rounded.detach()) == pytest.approx(float(exact.detach()), rel=2e-2)
    assert all(torch.isfinite(p.grad).all() for p in run.assembly.params.values())


def test_the_file_can_be_loaded_a_second_time(build, catalogue, batch):
    """As a run does that froze its own copy of the plugin."""
    again = Catalogue(files=[catalogue.source("moe")])
    again.found["moe"] = [found for found in again.found["moe"] if found.package == "file"]
    tokens, _ = batch()
    logits = []
    for source in (catalogue, again):
        config = build(moe={}).config
        run = engine_build(config, source.instances(config.plugins), separator=0)
        logits.append(run.model.logits(tokens, run.dials.values))
    assert torch.equal(*logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"experts": 4, "active": 5}, r"active \(5\) may not exceed experts \(4\)"),
        ({"active": 1}, r"plugins\.moe\.active"),
        ({"routing": "soft"}, r"plugins\.moe\.routing"),
        ({"noise": 1}, r"plugins\.moe\.noise"),
        ({"layers": "odd"}, r"plugins\.moe\.layers"),
    ],
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(moe=options)
