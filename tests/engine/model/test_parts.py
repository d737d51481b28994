"""The bare core against a forward pass written out by hand in float64."""

import itertools
import math
from collections.abc import Generator
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import PluginError
from coregpt.contract.heads import Heads
from coregpt.contract.plugin import Plugin, hookimpl
from coregpt.contract.site import Site, Watched
from coregpt.engine.build import Run
from coregpt.engine.build import build as engine_build
from coregpt.engine.model import parts
from coregpt.engine.model.parts import Attention
from tests.plugins.slow import shake


def gpt_by_hand(weights: dict[str, Tensor], tokens: Tensor, depth: int, heads: int) -> Tensor:
    """Logits (T, V) of one row: learned positions, pre-RMSNorm, GELU; float64, loops over heads and queries."""
    w = {name: value.double() for name, value in weights.items()}
    eps = torch.finfo(torch.float32).eps

    def rms(x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()

    x = torch.stack([w["embedding.weight"][t] + w["shared.positions.weight"][i] for i, t in enumerate(tokens.tolist())])
    for layer in range(depth):
        a = f"blocks.{layer}.attention"
        h = rms(x)
        q, k, v = (h @ w[f"{a}.{name}.weight"].T for name in "qkv")
        width = q.shape[1] // heads
        out = torch.zeros_like(q)
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            for t in range(len(tokens)):
                scores = k[: t + 1, own] @ q[t, own] / math.sqrt(width)
                weight = scores.exp() / scores.exp().sum()
                out[t, own] = weight @ v[: t + 1, own]
        x = x + out @ w[f"{a}.out.weight"].T
        m = f"blocks.{layer}.mlp"
        u = rms(x) @ w[f"{m}.up.weight"].T
        x = x + (0.5 * u * (1 + torch.erf(u / math.sqrt(2)))) @ w[f"{m}.down.weight"].T
    return rms(x) @ w["head.out.weight"].T


def test_logits_equal_the_hand_written_model(build, batch) -> None:
    run = build(shape={"init_std": 0.2})
    tokens, _ = batch(2)
    shape = run.config.model
    with torch.no_grad():
        got = run.model.logits(tokens, run.dials.values)
    for row in range(2):
        want = gpt_by_hand(run.assembly.params, tokens[row], shape.depth, shape.heads)
        assert (got[row] - want).abs().max() < 2e-5 * want.abs().max()


def test_the_position_table_exists_only_while_a_layer_relies_on_it(build) -> None:
    assert "shared.positions.weight" in build().assembly.params
    assert "shared.positions.weight" not in build(rope={}).assembly.params


def test_initial_loss_is_near_log_vocab(build, batch) -> None:
    run = build()
    loss, logged = run.model(*batch(), run.dials.values)
    assert loss.item() == pytest.approx(math.log(61), abs=0.05)
    assert logged["loss"] == loss


def test_heads_must_divide_dim() -> None:
    from coregpt.contract.config import ModelShape

    with pytest.raises(ValueError, match="30 is not a multiple of 4"):
        ModelShape(dim=30, heads=4)


@pytest.mark.parametrize(("plugins", "parameters"), [({"rope": {}, "swiglu": {}}, 162_201_600)])
def test_the_replication_baseline_has_its_published_size(catalogue, plugins, parameters) -> None:
    from coregpt.contract.config import ModelShape, RunConfig
    from coregpt.engine.accounting import count

    shape = ModelShape(vocab=50304, dim=768, depth=12, heads=12, context=1024)
    config = RunConfig(model=shape, plugins=plugins, tokens=2**20, batch_tokens=2**19, eval_tokens=2**20)
    assert count(config, catalogue.instances(plugins)).parameters == parameters


# -- attention of other sizes, score rules and what is watched -----------------------------------------------------


class Latent(Plugin):
    """Attention whose values have another width than its keys, as in multi-head latent attention."""

    @hookimpl
    def make_attention(self, at: Site) -> nn.Module:
        return Attention(at, kv_heads=2, head_dim=12, value_dim=4)


class Listener(nn.Module):
    """Adds what it asked for to what it heard."""

    def __init__(self, at: Site, inner: nn.Module, what: Watched):
        super().__init__()
        self.inner, self.key = inner, at.watch(what)
        self.found = list[Tensor]()

    def forward(self, *given: Any) -> Tensor:
        y: Tensor = self.inner(*given)
        self.found.append(given[-1].saved[self.key])
        return y


class Listening(Plugin):
    what: Literal["lse", "top"] = "lse"
    """Which."""

    @hookimpl(wrapper=True)
    def make_attend(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        return Listener(at, (yield), self.what)


class Deaf(Plugin):
    """Attention that gives nothing else."""

    @hookimpl
    def make_attend(self) -> nn.Module:
        return nn.Identity()


class Twice(Plugin):
    """A rule with a parameter of its own, given as a module, and one that is a function."""

    @hookimpl
    def add_score_rules(self, at: Site, heads: Heads) -> nn.Module:
        assert heads == Heads(4, 4, 8, 8)
        return Times(at)


class Times(nn.Module):
    def __init__(self, at: Site):
        super().__init__()
        self.factor = at.scale("factor", (at.shape.heads,), 2.0)

    def forward(self, score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Any) -> Tensor:
        return score * self.factor[h]


class Wrong(Plugin):
    @hookimpl
    def add_score_rules(self) -> int:
        return 3


SHAPE = {"vocab": 61, "dim": 32, "depth": 2, "heads": 4, "context": 24}


def made(*plugins: Plugin, **changes: Any) -> Run:
    config = RunConfig(model=SHAPE, tokens=960, batch_tokens=96, eval_tokens=48, **changes)
    return engine_build(config, [(f"p{i}", plugin) for i, plugin in enumerate(plugins)], separator=0)


@pytest.mark.parametrize("documents", [False, True])
def test_values_of_another_width_train_under_windows_and_documents_in_bf16(batch, catalogue, documents: bool) -> None:
    window = catalogue.instances({"window_warmup": {"step": 4}, "rope": {}})
    run = made(Latent(), *(plugin for _, plugin in window), data={"document_mask": documents})
    shapes = {name: run.assembly.params[f"blocks.0.attention.{name}.weight"].shape for name in ("q", "k", "v", "out")}
    assert shapes == {"q": (48, 32), "k": (24, 32), "v": (8, 32), "out": (32, 16)}
    tokens, targets = batch()
    losses = []
    for bf16 in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss, _ = run.model(tokens, targets, run.dials.values)
        loss.backward()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


@pytest.mark.parametrize(
    "hooked", ["mlp.inner.activation", "mlp.inner.down", "attention.inner.attend", "attention.inner"]
)
def test_a_branch_is_one_operation_unless_somebody_watches_a_part(build, batch, monkeypatch, hooked: str) -> None:
    """The same numbers to the rounding of bf16 either way, and who watches is told."""
    whole: list[str] = []
    for name in ("attention_branch", "mlp_branch"):
        own = getattr(parts, name)
        monkeypatch.setattr(parts, name, lambda *args, own=own, name=name: whole.append(name) or own(*args))
    told: list[Tensor] = []
    found = []
    for watched in (False, True):
        run = build(shape={"init_std": 0.2})
        for block in run.model.blocks if watched else ():
            block.get_submodule(hooked).register_forward_hook(lambda module, args, out: told.append(out))
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = run.model(*batch(3), run.dials.values)
        loss.backward()
        found.append((float(loss.detach()), [param.grad.clone() for param in run.assembly.params.values()]))
        depth = run.config.model.depth
        assert len(told) == depth * watched
        missing = {"attention": "attention_branch", "mlp": "mlp_branch"}[hooked.split(".")[0]] if watched else ""
        assert {name: whole.count(name) for name in ("attention_branch", "mlp_branch")} == {
            name: 0 if name == missing else depth for name in ("attention_branch", "mlp_branch")
        }
        whole.clear()
    assert found[0][0] == pytest.approx(found[1][0], rel=5e-3)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert (one - other).norm() < 0.03 * (other.norm() + 1e-3)


def test_what_is_watched_is_left_under_its_key(batch) -> None:
    run = made(Listening(what="lse"), Listening(what="top"), Twice())
    run.model(*batch(3, 5), run.dials.values)
    tops = run.model.blocks[1].attention.inner.attend
    sums = tops.inner
    assert {tops.key, sums.key} == {f"blocks.1.attention.attend.{what}" for what in ("lse", "top")}
    assert sorted(tuple(part.found[0].shape) for part in (tops, sums)) == [(3, 5, 4), (4,)]


def test_a_rule_with_a_parameter_learns_it(batch) -> None:
    run = made(Twice())
    run.model(*batch(), run.dials.values)[0].backward()
    gradient = run.assembly.params["blocks.0.attention.attend.factor"].grad
    assert gradient is not None
    assert (gradient != 0).all()


def test_a_rule_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(PluginError, match=r"add_score_rules at .*attention.attend': expected a callable, got int"):
        made(Wrong())


def test_watching_what_nobody_serves_is_refused() -> None:
    with pytest.raises(PluginError, match=r"plugin '\w+' .*watches top at 'blocks.0.attention.attend', but no"):
        made(Deaf(), Listening(what="top"))


def test_some_tokens_of_a_row_keep_their_distances_and_masks(batch, catalogue) -> None:
    """A part of the row, as mixture of depths selects it, against the whole row with the others hidden."""
    names = {"alibi": {}, "window_warmup": {"step": 8}}
    run = shake(made(*(plugin for _, plugin in catalogue.instances(names))))
    attention, (tokens, _) = run.model.blocks[0].attention.inner, batch(2, 24)
    ctx = run.model._context(tokens, run.dials.values)
    index = torch.tensor([[1, 4, 5, 11, 20], [0, 2, 4, 9, 11]])
    some = ctx.select(index)
    q, k, v = (torch.randn(2, 24, 4, 8, generator=torch.Generator().manual_seed(n)) for n in range(3))
    parts = [torch.stack([t[row, at] for row, at in enumerate(index)]) for t in (q, k, v)]
    got = attention.attend(*parts, None, some)
    for row, head, i in itertools.product(range(2), range(4), range(5)):
        at = index[row, i]
        seen = [int(j) for j in index[row, : i + 1] if at - j < 8]
        slope = 2.0 ** (-2 * (head + 1))
        scores = torch.stack([q[row, at, head] @ k[row, j, head] / math.sqrt(8) - slope * (at - j) for j in seen])
        wanted = torch.softmax(scores, 0) @ v[row, seen, head]
        assert torch.allclose(got[row, i, head], wanted, atol=1e-6)
