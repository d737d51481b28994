"""What the second edition of the contract hands to parts, losses, rules and companions."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coregpt.api import AdamW, Companion, Context, ParamGroup, ParamRule, Plugin, PluginError, Site, hookimpl
from coregpt.contract.config import DataConfig, ModelShape, OptimConfig, RunConfig
from coregpt.engine.build import Run, build
from coregpt.engine.trainer import train
from coregpt.lab.laws.tools import Rows, tiny_source
from coregpt.lab.study.registry import Catalogue

SHAPE = ModelShape(vocab=61, dim=32, depth=3, heads=2, context=16)
CONFIG = RunConfig(model=SHAPE, tokens=640, batch_tokens=64, eval_tokens=32, optim=OptimConfig(lr=0.01))
TOKENS = torch.arange(64).view(4, 16) % 61


def made(*plugins: Plugin, **changes: Any) -> Run:
    config = CONFIG.model_copy(update=changes)
    return build(config, [(f"p{i}", plugin) for i, plugin in enumerate(plugins)])


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


class Labels(Plugin):
    @hookimpl
    def add_param_rules(self, param: Any) -> ParamRule | None:
        name = param.path.rsplit(".", 2)[-2]
        if name not in ("q", "k"):
            return None
        assert param.model == SHAPE
        return ParamRule(label=name, betas=(0.5, 0.75) if name == "q" else None, eps=1e-3 if name == "k" else None)


def test_labels_betas_and_eps_split_groups_and_reach_adamw() -> None:
    stacks = {stack.group.label: stack for stack in made(Labels(), seed=5).optimizer.stacks if stack.group.label}
    assert set(stacks) == {"q", "k"}
    q, k = stacks["q"], stacks["k"]
    assert q.paths == tuple(f"blocks.{layer}.attention.q.weight" for layer in range(3))
    assert q.group.layers == (0, 1, 2)
    assert (q.group.model, q.group.seed, q.group.name) == (SHAPE, 5, "matrix 'q' (32, 32)")
    assert (q.rule.beta1, q.rule.beta2, q.rule.eps) == (0.5, 0.75, 1e-8)
    assert (k.rule.beta1, k.rule.beta2, k.rule.eps) == (0.9, 0.95, 1e-3)
    assert isinstance(q.rule, AdamW)


class OtherBetas(Plugin):
    @hookimpl
    def add_param_rules(self, param: Any) -> ParamRule:
        return ParamRule(betas=(0.1, 0.2))


class OddRole(Plugin):
    @hookimpl
    def add_param_rules(self, param: Any) -> ParamRule:
        return ParamRule(role="conv")  # type: ignore[arg-type]


def test_two_words_on_betas_clash_and_unknown_roles_are_refused() -> None:
    with pytest.raises(PluginError, match="different betas"):
        made(Labels(), OtherBetas())
    with pytest.raises(PluginError, match=r"role one of matrix, embedding, .*label.*, not 'conv'"):
        made(OddRole())


class Shrink(Plugin):
    """A decay that reads a dial, and a rule that reads the numbers of its parameters."""

    @hookimpl
    def add_schedules(self) -> dict[str, Any]:
        return {"shrink": lambda clock: 0.25}

    @hookimpl
    def make_decay(self, group: ParamGroup) -> Any:
        class Decay:
            def amount(self, p: Tensor, update: Tensor, lr: Tensor, weight_decay: Tensor, dials: Any) -> Tensor:
                assert dials["rows"].tolist() == list(range(len(p)))
                return p * dials["shrink"] + update * lr  # cancels the update

        return Decay()


def test_decay_reads_dials_and_rows() -> None:
    run = made(Shrink())
    run.dials.set(run.timeline.clock(0))
    before = {path: param.detach().clone() for path, param in run.assembly.params.items()}
    run.model(TOKENS, TOKENS, run.dials.values)[0].backward()
    for stack in run.optimizer.stacks:
        stack.rule = type(
            "Still",
            (),
            {"lr": 0.0, "weight_decay": 0.0, "direction": staticmethod(lambda p, g, state, dials: torch.zeros_like(p))},
        )()
    run.optimizer.step(1.0, run.dials.values)
    for path, param in run.assembly.params.items():
        assert torch.allclose(param, 0.75 * before[path])


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


class Twice(Plugin):
    """A loop: two of three blocks, each passed twice."""

    @hookimpl
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> nn.Module:
        class Loop(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = nn.ModuleList((block(0), block(2)))

            def forward(self, x: Tensor, ctx: Context) -> Tensor:
                for _ in range(2):
                    for layer in self.inner:
                        x = layer(x, ctx)
                return x

        return Loop()


def test_a_stack_builds_the_blocks_it_wants() -> None:
    run = made(Twice())
    assert {path.split(".")[1] for path in run.assembly.params if path.startswith("blocks.")} == {"0", "2"}
    plain, x = made(), torch.randn(2, 16, 32)
    ctx = plain.model._context(TOKENS[:2], {})
    wanted = x
    for layer in (0, 2, 0, 2):
        wanted = plain.model.blocks[layer](wanted, ctx)
    assert torch.equal(run.model.stack(x, run.model._context(TOKENS[:2], {})), wanted)


class Greedy(Plugin):
    @hookimpl
    def make_stack(self, block: Callable[[int], nn.Module]) -> nn.Module:
        return nn.Sequential(block(1), block(1))


def test_a_block_is_built_once() -> None:
    with pytest.raises(PluginError, match=r"block\(1\) of a model with 3 layers, each built once"):
        made(Greedy())


class Ascent(Companion):
    """Sharpness-aware minimisation by the letter, and what it saw on the way."""

    def __init__(self, params: Any):
        self.params, self.seen = params, []

    def sees_batch(self, clock: Any, tokens: Tensor, targets: Tensor) -> None:
        self.seen.append((tokens.clone(), targets.clone()))

    def wants_pass(self, clock: Any) -> bool:
        return clock.step % 2 == 0

    def before_pass(self, clock: Any) -> None:
        self.kept = {path: param.detach().clone() for path, param in self.params.items()}
        norm = torch.stack([param.grad.square().sum() for param in self.params.values()]).sum().sqrt()
        for param in self.params.values():
            param.add_(0.05 * param.grad / norm)

    def after_pass(self, clock: Any) -> None:
        for path, param in self.params.items():
            param.copy_(self.kept[path])

    def before_update(self, clock: Any) -> None:
        self.gradient = {path: param.grad.clone() for path, param in self.params.items()}


class Sam(Plugin):
    @hookimpl
    def add_companions(self, run: Any) -> Companion:
        return Ascent(run.params)


def test_a_second_pass_gives_the_gradient_at_the_moved_weights(tmp_path) -> None:
    run = made(Sam(), tokens=64, micro_rows=2)
    train(run, tiny_source(), Rows(), tmp_path / "a.pt")
    tokens, targets = run.companions[0].seen[0]
    hand = made(tokens=64)
    params = hand.assembly.params

    def gradient() -> dict[str, Tensor]:
        hand.optimizer.clear()
        hand.model(tokens, targets, hand.dials.values)[0].backward()
        return {path: param.grad.clone() for path, param in params.items()}

    first = gradient()
    norm = torch.stack([g.square().sum() for g in first.values()]).sum().sqrt()
    with torch.no_grad():
        for path, param in params.items():
            param.add_(0.05 * first[path] / norm)
    second = gradient()
    for path, wanted in second.items():
        assert torch.allclose(run.companions[0].gradient[path], wanted, rtol=1e-4, atol=1e-6), path
        assert not torch.allclose(first[path], wanted, rtol=1e-4, atol=1e-6), path


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


def gives(**losses: nn.Module) -> Plugin:
    class Extra(Plugin):
        @hookimpl
        def add_losses(self) -> dict[str, nn.Module]:
            return losses

    return Extra()


def test_two_losses_of_one_name_are_both_named() -> None:
    with pytest.raises(PluginError, match="'extra' is given by 'p0' and by 'p1'"):
        made(gives(extra=Prefix()), gives(extra=Prefix(), more=Prefix()))


def test_two_stacks_are_both_named() -> None:
    with pytest.raises(PluginError, match=r"make_stack at 'stack': claimed by 'p[01]' and 'p[01]'"):
        made(Twice(), type("Again", (Twice,), {"__module__": __name__})())


class Shares(Plugin):
    where: str

    @hookimpl(wrapper=True)
    def make_mlp(self, at: Site) -> Any:
        inner = yield
        make = lambda site: nn.Identity()  # noqa: E731
        make.__module__ = self.where
        at.shared("table", make)
        return inner


def test_one_key_of_two_modules_is_refused() -> None:
    made(Shares(where="a"), type("Same", (Shares,), {"__module__": __name__})(where="a"))
    with pytest.raises(PluginError, match="shared part 'table' is made in a and in b"):
        made(Shares(where="a"), Shares(where="b"))


class Scalar(Plugin):
    @hookimpl
    def make_update(self, group: ParamGroup) -> Any:
        class Sum:
            lr, weight_decay = 1.0, 0.0

            def init(self, p: Tensor) -> dict[str, Tensor]:
                return {}

            def direction(self, p: Tensor, g: Tensor, state: Any, dials: Any) -> Tensor:
                return g.sum()

        return Sum()


def test_a_direction_of_another_shape_is_refused() -> None:
    run = made(Scalar())
    with pytest.raises(PluginError, match=r"Sum\.direction \(.*\) of embedding .*expected a direction"):
        run.optimizer.step(1.0, {})
