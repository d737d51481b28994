import math
import sys

import pytest
import torch

from coregpt.contract.config import ModelShape, RunConfig
from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.rules import Clock, ParamInfo
from coregpt.contract.runview import RunView
from coregpt.engine.build import build as engine_build
from tests.plugins.position.test_rope import SlowPublished, plain_speeds, slow_rope
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, gelu, shake

CLOCK = Clock(0, 10)
PUBLISHED = 162_201_600
READS = ("embedding", "head.out", "attention.q", "attention.k", "attention.v", "mlp.up", "mlp.gate")
WRITES = ("attention.out", "mlp.down")


def to_sphere(x):
    return torch.stack([row / torch.sqrt(torch.dot(row, row)) for row in x])


class SlowNgpt(SlowGPT):
    """The replication's nGPT with core's GELU MLP and learned positions."""

    rate = 0.25

    def used(self, path, init, scale):
        return self.p[path] * (init / scale)

    def embed(self, tokens):
        return to_sphere(super().embed(tokens))

    def norm(self, x):
        return x

    def score_factor(self):
        return math.sqrt(self.shape.head_dim)

    def s_qk(self, layer, head):
        return self.used(f"blocks.{layer}.attention.position.s_qk", 1, 1 / math.sqrt(self.shape.dim))

    def position(self, q, k, layer, head):
        s = self.s_qk(layer, head)
        return super().position(s * to_sphere(q), s * to_sphere(k), layer, head)

    def mlp(self, x, layer):
        s_u = self.used(f"blocks.{layer}.mlp.activation.s_u", 1, 1)
        up = math.sqrt(self.shape.dim) * s_u * (x @ self.layer(layer, "mlp.up.weight").T)
        return gelu(up) @ self.layer(layer, "mlp.down.weight").T

    def connect(self, h, y, layer, branch):
        alpha = self.used(f"blocks.{layer}.{branch}.connection.alpha", self.rate, 1 / math.sqrt(self.shape.dim))
        return to_sphere(h + torch.abs(alpha) * (to_sphere(y) - h))

    def finish(self, logits):
        return self.used("logits.s_z", 1, 1 / math.sqrt(self.shape.dim)) * logits


class SlowSwigluNgpt(SlowNgpt):
    both_branches = False

    def mlp(self, x, layer):
        s_u, s_v = (self.used(f"blocks.{layer}.mlp.activation.{name}", 1, 1) for name in ("s_u", "s_v"))
        u = s_u * (x @ self.layer(layer, "mlp.up.weight").T)
        v = math.sqrt(self.shape.dim) * s_v * (x @ self.layer(layer, "mlp.gate.weight").T)
        if self.both_branches:
            u = math.sqrt(self.shape.dim) * u
        return (u * v / (1 + torch.exp(-v))) @ self.layer(layer, "mlp.down.weight").T


ROPE = slow_rope(plain_speeds(16, 10_000))


class SlowReplication(SlowSwigluNgpt, ROPE):
    """Rows of the embedding are unit already; s before the rotation."""

    def embed(self, tokens):
        return SlowGPT.embed(self, tokens)


class SlowNvidia(SlowReplication):
    """Rotation, norm, scale by s (H, D); sqrt(d) on both branches; alpha starts at 0.05."""

    rate = 0.05
    both_branches = True

    def position(self, q, k, layer, head):
        q, k = ROPE.position(self, q, k, layer, head)
        s = self.used(f"blocks.{layer}.attention.position.s_qk", 1, 1 / math.sqrt(self.shape.dim))[head]
        return s * to_sphere(q), s * to_sphere(k)


def full(build, **options):
    return build(ngpt=options, rope={}, swiglu={})


def off_unit(run):
    """Largest distance from length 1 over the vectors that must have it, by the paper's list of axes."""
    worst = 0.0
    for path, value in run.assembly.params.items():
        name = path.removesuffix(".weight")
        if not name.endswith(READS + WRITES):
            continue
        lengths = value.double().norm(dim=0 if name.endswith(WRITES) else 1)
        worst = max(worst, float((lengths - 1).abs().max().detach()))
    return worst


def one_step(run, batch):
    tokens, targets = batch()
    loss, _ = run.model(tokens, targets, run.dials.values)
    loss.backward()
    run.optimizer.step(1.0, run.dials.values)
    moved = off_unit(run)
    for companion in run.companions:
        companion.after_update(CLOCK)
    return moved


def test_with_gelu_and_learned_positions_the_model_equals_the_definition(build):
    assert_equals_slow_model(build(ngpt={}), SlowNgpt)


def test_the_replication_with_rope_and_swiglu_equals_the_definition(build):
    assert_equals_slow_model(full(build), SlowReplication)


def test_the_nvidia_variant_equals_the_definition(build):
    assert_equals_slow_model(full(build, variant="nvidia", rate=0.05), SlowNvidia)


class SlowPublishedNvidia(SlowNvidia):
    """NVIDIA's code as published: its own position function, and the stream normalised again before each step."""

    def position(self, q, k, layer, head):
        q, k = SlowPublished.position(self, q, k, layer, head)
        s = self.used(f"blocks.{layer}.attention.position.s_qk", 1, 1 / math.sqrt(self.shape.dim))[head]
        return s * to_sphere(q), s * to_sphere(k)

    def connect(self, h, y, layer, branch):
        return super().connect(to_sphere(h), y, layer, branch)


def test_nvidias_published_code_equals_the_definition(build):
    run = build(ngpt={"variant": "nvidia", "rate": 0.05, "renormalise": True}, rope={"form": "nvidia"}, swiglu={})
    assert_equals_slow_model(run, SlowPublishedNvidia)


@pytest.mark.parametrize("renormalise", [False, True])
def test_normalising_again_takes_the_outward_part_from_the_gradient_of_a_step(build, renormalise):
    step = full(build, renormalise=renormalise).model.blocks[1].mlp.connection
    h, y, up = torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(0))
    h = (h / h.norm(dim=-1, keepdim=True)).requires_grad_()
    step.write(h, y, None).backward(up)
    outward = (h.grad * h).sum(-1).norm() / h.grad.norm()
    assert (float(outward.detach()) < 1e-6) == renormalise


def test_the_variants_are_told_apart(build):
    with pytest.raises(AssertionError):
        assert_equals_slow_model(full(build, rate=0.05), SlowNvidia)


def test_weights_are_unit_after_building_and_after_every_step(build, batch):
    run = full(build)
    assert off_unit(run) < 1e-6
    for _ in range(3):
        assert one_step(run, batch) > 1e-3
        assert off_unit(run) < 1e-6


def test_projecting_twice_changes_nothing(build):
    run = shake(full(build))
    before = {path: value.clone() for path, value in run.assembly.params.items()}
    run.companions[0].after_update(CLOCK)
    for path, value in run.assembly.params.items():
        torch.testing.assert_close(value, before[path], rtol=1e-6, atol=1e-7)


def test_tables_gates_and_scalars_are_left_alone(build):
    run = build(ngpt={}, rope={}, value_embeddings={"gate_inputs": 8})
    with torch.no_grad():
        for value in run.assembly.params.values():
            value.mul_(3).add_(0.1)
    free = {
        path: value.clone()
        for path, value in run.assembly.params.items()
        if run.assembly.infos[path].role in ("table", "gate", "scalar")
    }
    assert {run.assembly.infos[path].role for path in free} == {"table", "gate", "scalar"}
    run.companions[0].after_update(CLOCK)
    assert off_unit(run) < 1e-6
    for path, value in free.items():
        assert torch.equal(run.assembly.params[path], value)


def test_stacks_of_experts_are_projected_one_by_one(catalogue):
    generator = torch.Generator().manual_seed(0)
    shapes = {"up": (3, 5, 8), "down": (3, 8, 5)}
    params = {name: torch.nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in shapes.items()}
    infos = {name: ParamInfo(name, shape, "matrix", name == "down", 0) for name, shape in shapes.items()}
    before = {name: value.detach().double().clone() for name, value in params.items()}
    shape = ModelShape(vocab=8, dim=8, depth=1, heads=2, context=8)
    catalogue.cls("ngpt")().add_companions(run=RunView(shape, 64, 8, params=params, infos=infos))
    for expert in range(3):
        for i in range(5):
            up, down = before["up"][expert, i], before["down"][expert, :, i]
            torch.testing.assert_close(params["up"][expert, i].double(), up / up.norm(), rtol=1e-6, atol=1e-7)
            torch.testing.assert_close(params["down"][expert, :, i].double(), down / down.norm(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("plugins", [{}, {"rope": {}, "swiglu": {}}])
def test_every_hidden_state_has_length_one(build, batch, plugins):
    run = shake(build(ngpt={}, **plugins))
    states = []
    for block in run.model.blocks:
        inner = getattr(block, "inner", block)
        for branch in (inner.attention, inner.mlp):
            branch.register_forward_pre_hook(lambda module, given: states.append(given[0]))
    run.model.head.register_forward_pre_hook(lambda module, given: states.append(given[0]))
    run.model.logits(batch()[0], run.dials.values)
    assert len(states) == 9
    for h in states:
        torch.testing.assert_close(h.norm(dim=-1), torch.ones(4, 24), rtol=0, atol=1e-6)


def test_alpha_zero_stays_and_alpha_one_goes_all_the_way(build):
    run = full(build)
    step = run.model.blocks[1].mlp.connection
    generator = torch.Generator().manual_seed(0)
    h, y = torch.randn(2, 3, 5, 32, dtype=torch.float32, generator=generator)
    h = h / h.norm(dim=-1, keepdim=True)
    for alpha, wanted in ((0.0, h), (1.0, y / y.norm(dim=-1, keepdim=True)), (-1.0, y / y.norm(dim=-1, keepdim=True))):
        with torch.no_grad():
            step.alpha.stored.fill_(alpha / step.alpha.factor)
        torch.testing.assert_close(step.write(h, y, None), wanted, rtol=1e-6, atol=1e-6)


def test_scalers_start_at_their_initial_value_and_are_stored_at_their_scale(build):
    run = full(build)
    d = 32**-0.5
    stored = {path: value for path, value in run.assembly.params.items() if not path.endswith("weight")}
    expected = {"alpha": (d, 1 / 4), "s_qk": (d, 1), "s_u": (1, 1), "s_v": (1, 1), "s_z": (d, 1)}
    shapes = {"alpha": (32,), "s_qk": (16,), "s_u": (85,), "s_v": (85,), "s_z": (61,)}
    seen = set()
    for module in run.model.modules():
        if type(module).__name__ == "Scaler":
            path = next(path for path, value in stored.items() if value is module.stored)
            scale, init = expected[path.rsplit(".", 1)[-1]]
            torch.testing.assert_close(module.stored.detach(), torch.full_like(module.stored, scale), rtol=1e-7, atol=0)
            torch.testing.assert_close(module().detach(), torch.full_like(module.stored, init), rtol=2e-7, atol=0)
            assert module.stored.shape == shapes[path.rsplit(".", 1)[-1]]
            assert run.assembly.infos[path].role == "scalar"
            seen.add(path)
    assert seen == set(stored)
    assert len(seen) == 4 * 5 + 1
    nvidia = full(build, variant="nvidia", rate=0.05)
    assert nvidia.assembly.params["blocks.0.attention.position.s_qk"].shape == (2, 16)
    assert nvidia.model.blocks[0].mlp.connection.alpha().detach()[0] == pytest.approx(0.05)


def test_nothing_decays(build):
    run = build(ngpt={}, rope={}, value_embeddings={})
    assert all(not stack.weight_decay.any() for stack in run.optimizer.stacks)
    assert any(stack.weight_decay.any() for stack in build(rope={}).optimizer.stacks)


@pytest.mark.parametrize(
    ("ngpt", "parameters"), [(False, PUBLISHED), (True, PUBLISHED + 12 * (2 * 768 + 64 + 2 * 2048) + 50_304)]
)
def test_parameters_of_the_published_162m_models(catalogue, ngpt, parameters):
    shape = ModelShape(vocab=50_304, dim=768, depth=12, heads=12, context=1024)
    plugins = {"rope": {}, "swiglu": {}, **({"ngpt": {}} if ngpt else {})}
    config = RunConfig(model=shape, plugins=plugins, tokens=524_288, batch_tokens=524_288)
    run = engine_build(config, catalogue.instances(plugins), device="meta")
    assert sum(math.prod(info.shape) for info in run.assembly.infos.values()) == parameters


def test_under_bfloat16_autocast_the_stream_stays_fp32_and_the_loss_close(build, batch):
    run = full(build)
    tokens, targets = batch()
    loss, _ = run.model(tokens, targets, run.dials.values)
    kinds = []
    run.model.blocks[2].register_forward_hook(lambda module, given, x: kinds.append(x.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = run.model(tokens, targets, run.dials.values)
    assert kinds == [torch.float32]
    assert float(rough.detach()) == pytest.approx(float(loss.detach()), rel=1e-2)


@pytest.mark.parametrize("other", ["qk_norm", "softcap", "zero_init"])
def test_techniques_that_make_no_sense_beside_it_are_refused(build, other):
    with pytest.raises(PluginError, match=f"'ngpt' and '{other}' conflict"):
        build(ngpt={}, **{other: {}})


@pytest.mark.parametrize(
    ("options", "message"),
    [({"rate": 0}, r"plugins\.ngpt\.rate"), ({"variant": "nvida"}, "'replication' or 'nvidia'")],
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(ngpt=options)


def test_scales_stay_beside_the_activation_where_the_projections_are_not_cores_own(build, monkeypatch):
    module = sys.modules["coregpt_plugins.recipes.ngpt"]
    assert any(isinstance(part, module.Rows) for part in full(build).model.modules())
    monkeypatch.setattr(module, "Linear", type("AnotherLinear", (), {}))
    run = full(build)
    assert not any(isinstance(part, module.Rows) for part in run.model.modules())
    assert_equals_slow_model(run, SlowReplication)


def test_shared_key_heads_go_with_one_s_qk_for_all_heads_only(build, batch):
    run = build(ngpt={}, gqa={})
    assert torch.isfinite(run.model(*batch(), run.dials.values)[0])
    with pytest.raises(PluginError, match="key heads may not be shared"):
        build(ngpt={"variant": "nvidia"}, gqa={})
