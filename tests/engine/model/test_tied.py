"""One table for embedding and head: against the formula in float64, counted once, and never silently two."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coregpt.api import Context, Linear, Plugin, PluginError, Site, hookimpl
from coregpt.contract.config import ModelShape, RunConfig
from coregpt.engine.build import build as engine_build
from coregpt.engine.training.trainer import train
from coregpt.lab.laws.laws import LawCase
from coregpt.lab.laws.tools import Rows, stop_after, tiny_source

TIED = {"tied": True}


def test_the_table_gets_both_gradients_summed(build, batch) -> None:
    """A model of no blocks, where all is known: z = W n(W[token] + p), and its gradient in float64 by autograd."""
    run = build(shape={**TIED, "depth": 1})
    for name in ("attention.out", "mlp.down"):
        run.assembly.params[f"blocks.0.{name}.weight"].data.zero_()  # the block adds nothing
    tokens, targets = batch()
    loss, _ = run.model(tokens, targets, run.dials.values)
    loss.backward()
    table = run.assembly.params["embedding.weight"].detach().double().requires_grad_()
    place = run.assembly.params["shared.positions.weight"].detach().double()
    x = table[tokens] + place
    x = x / (x.square().mean(-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt()
    wanted = F.cross_entropy((x @ table.T).flatten(0, 1), targets.flatten())
    wanted.backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    gap = run.assembly.params["embedding.weight"].grad.double() - table.grad
    assert gap.abs().max() < 1e-6 * table.grad.abs().max() + 1e-8


def test_it_is_one_parameter_of_the_embeddings_role(build) -> None:
    own, tied = build(), build(shape=TIED)
    assert set(own.assembly.params) - set(tied.assembly.params) == {"head.out.weight"}
    assert tied.assembly.infos["embedding.weight"].role == "embedding"
    assert tied.model.head.out.weight is tied.assembly.params["embedding.weight"]
    assert [path for stack in tied.optimizer.stacks for path in stack.paths].count("embedding.weight") == 1
    assert torch.equal(own.assembly.params["embedding.weight"], tied.assembly.params["embedding.weight"])


@pytest.mark.parametrize("name", ["rope", "ngpt", "muon", "softcap", "mtp", "value_embeddings", "ema", "zero_init"])
def test_techniques_train_with_a_tied_head_and_resume_to_the_bit(catalogue, tmp_path, name: str) -> None:
    case = LawCase(catalogue, name)
    config = case.config(model=ModelShape(**{**case.config().model.model_dump(), **TIED}))
    runs = [case.run(config) for _ in range(3)]
    outcome = train(runs[0], tiny_source(), Rows(), tmp_path / "a.pt")
    train(runs[1], tiny_source(), Rows(), tmp_path / "b.pt", stop_after(3))
    train(runs[2], tiny_source(), Rows(), tmp_path / "b.pt")
    assert outcome.status == "finished"
    for path, value in runs[0].assembly.params.items():
        assert torch.equal(value, runs[2].assembly.params[path]), path
    assert runs[0].model.head.out.weight.data_ptr() == runs[0].assembly.params["embedding.weight"].data_ptr()


def test_ngpt_keeps_the_rows_of_the_shared_table_on_the_sphere(build, tmp_path) -> None:
    run = build(shape=TIED, ngpt={})
    train(run, tiny_source(), Rows(), tmp_path / "a.pt")
    assert run.assembly.params["embedding.weight"].norm(dim=-1).sub(1).abs().max() < 1e-6


def test_a_zero_head_needs_a_head(build) -> None:
    with pytest.raises(PluginError, match=r"zero_init: 'head' needs a head of its own, but model\.tied is true"):
        build(shape=TIED, zero_init={"head": True})


class Narrow(nn.Module):
    def __init__(self, at: Site):
        super().__init__()
        self.weight = at.weight("weight", (at.shape.vocab, 4), "embedding")
        self.wide = at.linear("wide", 4, at.shape.dim)

    def forward(self, tokens: Tensor, ctx: Context) -> Tensor:
        return self.wide(F.embedding(tokens, self.weight))


class Own(nn.Module):
    def __init__(self, at: Site):
        super().__init__()
        self.out = at.linear("mine", at.shape.dim, at.shape.vocab, role="head")

    def forward(self, x: Tensor) -> Tensor:
        return self.out(x)


class Factors(nn.Module):
    def __init__(self, at: Site, d_in: int, d_out: int):
        super().__init__()
        self.a, self.b = at.weight("a", (4, d_in)), at.weight("b", (d_out, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.a.T @ self.b.T


class Factorised(Plugin):
    @hookimpl
    def make_embedding(self, at: Site) -> nn.Module:
        return Narrow(at)


class OwnHead(Plugin):
    @hookimpl
    def make_head(self, at: Site) -> nn.Module:
        return Own(at)


class LowRank(Plugin):
    @hookimpl
    def make_linear(self, at: Site, d_in: int, d_out: int) -> nn.Module | None:
        return Factors(at, d_in, d_out) if at.role == "head" else None


class Wrapping(Plugin):
    @hookimpl(wrapper=True)
    def make_head(self, at: Site) -> Any:
        yield
        return Own(at)


class Doubled(Plugin):
    """Claims the head's linear map with one of core's, which is then made of the shared table."""

    @hookimpl
    def make_linear(self, at: Site, d_in: int, d_out: int) -> nn.Module | None:
        return nn.Sequential(Linear(at, d_in, d_out)) if at.role == "head" else None


def with_plugin(plugin: Plugin, tied: bool = True) -> Any:
    shape = ModelShape(vocab=61, dim=32, depth=1, heads=2, context=24, tied=tied)
    return engine_build(RunConfig(model=shape, batch_tokens=48, eval_tokens=24), [("odd", plugin)])


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (Factorised(), "'odd' answers make_embedding"),
        (OwnHead(), "'odd' answers make_head"),
        (LowRank(), "'odd' answers make_linear"),
        (Wrapping(), "'odd' answers make_head"),
    ],
)
def test_a_plugin_that_leaves_nothing_to_tie_is_named(plugin: Plugin, said: str) -> None:
    with_plugin(plugin, tied=False)
    with pytest.raises(PluginError, match=rf"model\.tied: .* do not use one table of 61 x 32: {said}; leave out"):
        with_plugin(plugin)


def test_another_linear_map_for_the_head_is_tied_too() -> None:
    run = with_plugin(Doubled())
    assert run.model.head.out[0].weight is run.assembly.params["embedding.weight"]
