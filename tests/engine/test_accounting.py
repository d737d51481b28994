"""Counts against formulas written out by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from coregpt.api import Clock, Companion, Context, Plugin, RunView, Schedule, Site, Stages, hookimpl
from coregpt.contract.config import ModelShape, RunConfig
from coregpt.engine import accounting
from coregpt.engine.accounting import count, kinds
from coregpt.engine.build import build


def hand_flops(shape: ModelShape, mlp_weights: int) -> float:
    """Forward + backward = 3 x forward; 2 FLOPs per multiply-add; scores and mixing over all T keys."""
    weights = shape.depth * (4 * shape.dim**2 + mlp_weights) + shape.dim * shape.vocab
    attention = shape.depth * 2 * shape.context * shape.dim
    return 3 * 2 * (weights + attention)


@pytest.mark.parametrize(
    ("plugins", "hidden", "mlp"),
    [({}, None, 2 * 64 * 256), ({"rope": {}, "swiglu": {}}, None, 3 * 64 * 170), ({"relu2": {}}, 100, 2 * 64 * 100)],
)
def test_flops_equal_the_formula(catalogue, plugins, hidden, mlp) -> None:
    shape = ModelShape(vocab=97, dim=64, depth=3, heads=4, context=40, hidden=hidden)
    config = RunConfig(model=shape, plugins=plugins, batch_tokens=80, eval_tokens=40)
    cost = count(config, catalogue.instances(plugins))
    assert cost.flops_per_token == pytest.approx(hand_flops(shape, mlp), rel=1e-9)
    assert cost.flops == cost.flops_per_token * cost.tokens


def test_parameters_by_role_add_up(catalogue) -> None:
    shape = ModelShape(vocab=97, dim=64, depth=3, heads=4, context=40)
    cost = count(RunConfig(model=shape, batch_tokens=80, eval_tokens=40), [])
    matrices = 3 * (4 * 64**2 + 2 * 64 * 256)
    assert cost.parameters_by_role == {"embedding": (97 + 40) * 64, "matrix": matrices, "head": 97 * 64}
    assert cost.parameters == sum(cost.parameters_by_role.values())


SHAPE = ModelShape(vocab=97, dim=64, depth=3, heads=4, context=40)


def sized(**changes: object) -> RunConfig:
    return RunConfig(**{"model": SHAPE, "batch_tokens": 80, "eval_tokens": 40, "tokens": 8000, **changes})


def by_hand(length: int) -> float:
    return hand_flops(SHAPE.model_copy(update={"context": length}), 2 * 64 * 256)


def test_a_staged_length_is_weighted_by_the_tokens_of_its_stage(catalogue) -> None:
    """Rows of 40: two of 17, then one of 40; a third and two thirds of the steps."""
    cost = count(sized(), catalogue.instances({"seq_len_schedule": {"length": [0.425, 1]}}))
    short, whole = cost.stages
    assert (short.length, whole.length) == (17, 40)
    assert (short.tokens, whole.tokens) == (short.steps * 2 * 34, whole.steps * 80)
    assert short.flops_per_token == pytest.approx(by_hand(17), rel=1e-12)
    assert whole.flops_per_token == pytest.approx(by_hand(40), rel=1e-12)
    assert cost.flops == pytest.approx(short.tokens * by_hand(17) + whole.tokens * by_hand(40), rel=1e-12)
    assert short.steps + whole.steps == cost.steps
    assert short.tokens + whole.tokens == cost.tokens <= 8000


def test_a_constant_run_is_one_stage(catalogue) -> None:
    cost = count(sized(), [])
    assert [(s.steps, s.tokens, s.length) for s in cost.stages] == [(100, 8000, 40)]
    assert cost.stages[0].flops_per_token == cost.flops_per_token


class Deeper(Plugin):
    """A staged dial that doubles what every block computes from step 30 of 100 on."""

    @hookimpl
    def add_schedules(self, run: RunView) -> dict[str, Schedule]:
        return {"times": Stages((0.3, 1), (1, 2))}

    @hookimpl(wrapper=True)
    def make_block(self, at: Site):  # type: ignore[no-untyped-def]
        return Twice((yield))


def test_steps_that_compute_alike_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A count is a pass of the whole model: most of the time of a plan goes there."""
    counted: list[list[int]] = []

    def stage(run: object, steps: list[int]) -> object:
        counted.append(steps)
        return once(run, steps)

    once = accounting._stage
    monkeypatch.setattr(accounting, "_stage", stage)
    count(
        RunConfig(model=ModelShape(vocab=97, dim=64, depth=1, heads=4, context=40), batch_tokens=80, eval_tokens=40), []
    )
    assert len(counted) == 1


def test_a_staged_dial_is_counted_at_each_of_its_values() -> None:
    cost = count(sized(), [("deeper", Deeper())])
    head = 3 * 2 * SHAPE.dim * SHAPE.vocab
    blocks = by_hand(40) - head
    assert [(s.steps, s.flops_per_token) for s in cost.stages] == [(30, blocks + head), (70, 2 * blocks + head)]
    assert cost.flops_per_token == pytest.approx(1.7 * blocks + head, rel=1e-12)


class Twice(nn.Module):
    def __init__(self, block: nn.Module):
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        for _ in range(int(ctx.dials["times"])):
            x = self.block(x, ctx)
        return x


class Again(Plugin):
    """A second pass in every fourth step, over the first half of the micro-batch."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion:
        return Halves()


class Halves(Companion):
    def wants_pass(self, clock: Clock) -> bool:
        return clock.step % 4 == 3

    def pass_loss(self, loss: Callable[[Tensor, Tensor], Tensor], tokens: Tensor, targets: Tensor) -> Tensor:
        half = len(tokens) // 2
        return loss(tokens[:half], targets[:half])


class LooksFirst(Companion):
    """Makes a pass without gradients before the one that is differentiated."""

    def __init__(self, run: RunView):
        self.run = run

    def wants_pass(self, clock: Clock) -> bool:
        return True

    def pass_loss(self, loss: Callable[[Tensor, Tensor], Tensor], tokens: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            found = self.run.model.logits(tokens, self.run.dials).argmax(-1)  # type: ignore[union-attr, operator]
        return loss(tokens, found)


class Looking(Plugin):
    @hookimpl
    def add_companions(self, run: RunView) -> Companion:
        return LooksFirst(run)


def test_a_pass_without_gradients_in_a_second_pass_is_counted_too() -> None:
    cost = count(sized(), [("looking", Looking())])
    assert cost.flops_per_token == pytest.approx(by_hand(40) * (1 + 4 / 3), rel=1e-12)


@pytest.mark.parametrize("micro", [None, 2])
def test_a_second_pass_is_counted_in_the_steps_that_want_it(micro: int | None) -> None:
    cost = count(sized(batch_tokens=160, tokens=16_000, micro_rows=micro), [("again", Again())])
    assert [(s.steps, s.flops_per_token / by_hand(40)) for s in cost.stages] == [(75, 1.0), (25, 1.5)]
    assert cost.flops_per_token == pytest.approx((0.75 + 0.25 * 1.5) * by_hand(40), rel=1e-12)


def test_smooth_dials_cut_a_run_in_parts_where_masks_read_them(catalogue) -> None:
    def parts(**plugins: object) -> list[list[int]]:
        config = sized(plugins=plugins)
        return [list(map(len, kind)) for kind in kinds(build(config, catalogue.instances(plugins), device="meta"))]

    assert parts(window_warmup={}) == [[13, 12, 13, 12, 13, 12, 13, 12]]
    assert parts(mtp={}, cosine={}) == [[100]]
    assert parts(seq_len_schedule={}, window_warmup={}) == [[14, 13, 8], [5, 13, 13, 13, 13, 13]]  # of 105 steps


def test_a_moving_window_is_counted_at_eight_moments(catalogue) -> None:
    """By hand: 40 steps in 8 parts, each with the window of its third step; blocks of 128 x 128 count if seen."""
    shape = SHAPE.model_copy(update={"context": 512})
    plugins = catalogue.instances({"window_warmup": {"step": 64}})
    cost = count(sized(model=shape, batch_tokens=512, eval_tokens=512, tokens=512 * 40), plugins)

    def keys(step: int) -> float:
        window = 64 * math.ceil(max(64, step / 40 * 512) / 64)
        return sum(128 / 4 for i in range(4) for j in range(i + 1) if j == i or 128 * (i - j) - 127 <= window)

    each = [hand_flops(shape.model_copy(update={"context": keys(5 * part + 2)}), 2 * 64 * 256) for part in range(8)]
    assert cost.flops_per_token == pytest.approx(sum(each) / 8, rel=1e-12)
    assert len(cost.stages) == len(set(each)) == 3
    assert sum(stage.steps for stage in cost.stages) == 40


def test_a_tied_head_is_computed_but_not_counted_as_parameters() -> None:
    own, tied = (count(sized(model=SHAPE.model_copy(update={"tied": tied})), []) for tied in (False, True))
    assert own.parameters - tied.parameters == 97 * 64
    assert "head" not in tied.parameters_by_role
    assert tied.flops_per_token == own.flops_per_token
