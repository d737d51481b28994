"""What a pass hands to parts and losses: random numbers by the place of a row, hidden states, the head, some tokens."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coregpt.api import Context, Plugin, PluginError, Site, hookimpl
from coregpt.contract.config import DataConfig
from coregpt.engine.build import build
from coregpt.engine.training.trainer import train
from coregpt.lab.laws.tools import Rows, tiny_source
from coregpt.lab.study.registry import Catalogue
from tests.made import CONFIG, TOKENS, made


class Noisy(nn.Module):
    """Keeps what it drew."""

    def __init__(self, at: Site):
        super().__init__()
        self.noise, self.live = at.random("drop"), at.live
        self.drawn: list[Tensor | None] = []

    def forward(self, x: Tensor) -> Tensor:
        assert self.live.ctx is not None
        self.drawn.append(self.live.ctx.random(self.noise, tuple(x.shape)))
        return x


class NoisyNorm(Plugin):
    @hookimpl
    def make_norm(self, at: Site, dim: int) -> nn.Module | None:
        return Noisy(at) if at.name == "final_norm" else None


def test_a_norm_sees_the_context_and_draws_by_the_place_of_its_rows() -> None:
    run = made(NoisyNorm())
    starts = torch.arange(4) * 16 + 640
    for rows in (slice(0, 4), slice(1, 3)):
        run.model(TOKENS[rows], TOKENS[rows], run.dials.values, starts[rows])
    whole, part = run.model.final_norm.drawn
    assert torch.equal(whole[1:3], part)
    assert run.model.live.ctx is None


def test_nothing_is_random_in_evaluation() -> None:
    run = made(NoisyNorm())
    run.model.eval()
    run.model.logits(TOKENS, run.dials.values)
    assert run.model.final_norm.drawn == [None]


def test_micro_batches_and_ranks_draw_the_same_numbers(tmp_path) -> None:
    drawn = []
    for micro in (None, 1):
        run = made(NoisyNorm(), micro_rows=micro)
        train(run, tiny_source(), Rows(), tmp_path / f"{micro}.pt")
        drawn.append(torch.cat([u for u in run.model.final_norm.drawn if u is not None]))
    assert torch.equal(*drawn)
    assert len(drawn[0].unique(dim=0)) == len(drawn[0])  # no two rows of a run are alike


class TwoStreamsOfOneName(Plugin):
    @hookimpl
    def make_norm(self, at: Site) -> None:
        if at.name == "final_norm":
            at.random("x")
            at.random("x")


def test_one_name_is_one_stream() -> None:
    with pytest.raises(PluginError, match=r"random numbers 'final_norm\.x' are asked for twice"):
        made(TwoStreamsOfOneName())


class Prefix(nn.Module):
    needs_logits = False

    def forward(self, logits: Tensor | None, targets: Tensor, ctx: Context) -> Tensor:
        assert logits is None
        assert ctx.hidden is not None
        assert ctx.embed(targets).shape == ctx.hidden.shape
        first = ctx.head(ctx.hidden[:, :4])
        return nn.functional.cross_entropy(first.flatten(0, 1), targets[:, :4].flatten())


class PrefixLoss(Plugin):
    @hookimpl
    def make_loss(self, at: Site) -> nn.Module:
        return Prefix()


def test_a_loss_that_needs_no_logits_reads_hidden_states_and_the_head() -> None:
    run = made(PrefixLoss())
    loss, _ = run.model(TOKENS, TOKENS, run.dials.values)
    logits = run.model.logits(TOKENS, run.dials.values)[:, :4]
    assert torch.equal(loss, nn.functional.cross_entropy(logits.flatten(0, 1), TOKENS[:, :4].flatten()))


class OddOnes(Plugin):
    """The last block sees every other token only; the rest passes by."""

    @hookimpl(wrapper=True)
    def make_block(self, at: Site) -> Any:
        inner = yield

        class Half(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = inner

            def forward(self, x: Tensor, ctx: Context) -> Tensor:
                index = torch.arange(0, x.shape[1], 2).expand(len(x), -1)
                some = index.unsqueeze(-1).expand(-1, -1, x.shape[-1])
                return x.scatter(1, some, self.inner(x.gather(1, some), ctx.select(index)))

        return Half() if at.layer == 2 else inner


def test_selected_tokens_keep_their_places_and_their_masks() -> None:
    """Against the same block on the whole row, from which the tokens left out are hidden."""
    catalogue = Catalogue()
    others: dict[str, dict[str, Any]] = {"rope": {}, "window_warmup": {"start": 6, "final": 6, "step": 1}}
    named = catalogue.instances(others)
    config = CONFIG.model_copy(update={"plugins": others, "data": DataConfig(document_mask=True)})
    run = build(config, [*named, ("odd", OddOnes())], separator=0)
    plain = build(config, named, separator=0)
    run.dials.set(run.timeline.clock(0))
    tokens = torch.randint(0, 61, (3, 16), generator=torch.Generator().manual_seed(0))
    x = torch.randn(3, 16, 32, generator=torch.Generator().manual_seed(1))
    ctx = plain.model._context(tokens, run.dials.values)
    hidden = torch.arange(16) % 2 == 1
    ctx.masks = {key: mask & ~hidden for key, mask in ctx.masks.items()}
    wanted = plain.model.blocks[2](x, ctx)[:, ::2]
    found = run.model.blocks[2](x, run.model._context(tokens, run.dials.values))
    torch.testing.assert_close(found[:, ::2], wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(found[:, 1::2], x[:, 1::2])
