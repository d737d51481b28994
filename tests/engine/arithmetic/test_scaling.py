"""The loss scale against torch's own GradScaler, and runs in fp16: skipped steps, resuming, ranks, the end."""

import random
from pathlib import Path

import pytest
import torch

from coregpt.contract.companion import Companion
from coregpt.contract.rules import Clock
from coregpt.engine.arithmetic.scaling import LossScale
from coregpt.engine.attention.attend import attend
from coregpt.engine.training.outcome import Outcome
from coregpt.engine.training.trainer import Trainer, never, train
from coregpt.engine.training.world import World
from coregpt.lab.laws.law_case import LawCase
from coregpt.lab.laws.tools import Rows, stop_after, tiny_source
from coregpt.lab.study.registry import Catalogue
from tests import sampled

FP16 = {"precision": "fp16"}


@pytest.mark.parametrize("interval", [1, 3, 2000])
def test_the_scale_moves_as_torchs_own_does(interval: int, monkeypatch) -> None:
    monkeypatch.setattr(LossScale, "growth_interval", interval)
    ours, theirs = LossScale(), torch.amp.GradScaler("cpu", growth_interval=interval)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    theirs.scale(weight.sum())  # makes its tensors
    luck = random.Random(0)
    for step in range(300):
        bad = luck.random() < 0.2
        weight.grad = torch.tensor([float("inf") if bad else 1.0])
        theirs.step(optimizer)
        theirs.update()
        ours.update(not bad)
        assert ours.scale == theirs.get_scale(), step
        ours.failed = False  # torch's goes on below 1
    assert ours.skipped > 30


def test_it_starts_at_two_to_the_sixteen_and_doubles_after_two_thousand_good_steps() -> None:
    scale = LossScale()
    for _ in range(1999):
        scale.update(True)
    assert scale.scale == 2.0**16
    scale.update(True)
    assert (scale.scale, scale.good) == (2.0**17, 0)


@pytest.mark.parametrize("bad", [float("inf"), -float("inf"), float("nan")])
def test_dividing_is_exact_and_one_bad_number_is_found(bad: float) -> None:
    gradients = [torch.randn(5, 7), torch.randn(3)]
    scaled = [gradient * 2.0**16 for gradient in gradients]
    assert LossScale().unscale(scaled)
    assert all(map(torch.equal, scaled, gradients))
    scaled[1][2] = bad
    assert not LossScale().unscale(scaled)


def finish(run, path: Path, **options) -> tuple[Outcome, Rows]:
    rows = Rows()
    return train(run, tiny_source(), rows, path, **options), rows


def weights(run) -> dict[str, torch.Tensor]:
    return {name: param.detach() for name, param in run.assembly.params.items()}


def test_fp16_trains_close_to_fp32(build, tmp_path) -> None:
    full, half = build(), build(config=FP16)
    a, (b, rows) = finish(full, tmp_path / "a.pt")[0], finish(half, tmp_path / "b.pt")
    assert a.value != b.value
    assert b.value == pytest.approx(a.value, abs=0.02)
    assert b.notes == ()
    assert all(param.dtype == torch.float32 for param in half.assembly.params.values())
    assert [row["loss_scale"] for row in rows.rows if "select_loss" in row][-1] == 2.0**16


def test_small_gradients_do_not_vanish(build, batch) -> None:
    """Of a loss of 1e-6 fp16 would hold nearly none; scaled, they are those of fp32 to fp16's rounding."""
    tokens, targets = batch()
    found = {}
    for precision in ("fp32", "fp16"):
        run = build(config={"precision": precision})
        trainer = Trainer(run, tiny_source(), Rows(), Path(), never, 60.0)
        with trainer.train_step.autocast():
            loss, _ = run.model(tokens, targets, run.dials.values)
        trainer.train_step.backward(loss * 1e-6)
        assert trainer.train_step.unscaled()
        found[precision] = torch.cat([param.grad.flatten() for param in run.assembly.params.values()])
    exact, half = found["fp32"].double(), found["fp16"].double()
    assert (half - exact).norm() < 0.01 * exact.norm()


class Overflows(Companion):
    """Lets the gradients of chosen steps overflow; remembers which steps were taken."""

    def __init__(self, run, steps: set[int]):
        self.run, self.steps, self.taken = run, steps, []

    def before_step(self, clock: Clock) -> None:
        if clock.step in self.steps:
            self.run.optimizer.stacks[-1].grad[0].fill_(float("inf"))

    def after_update(self, clock: Clock) -> None:
        self.taken.append(clock.step)


def trainer_of(run, path: Path, rows: Rows, overflows: set[int], stop=never) -> Trainer:
    run.companions.append(Overflows(run, overflows))
    run.owners.append("overflows")
    return Trainer(run, tiny_source(), rows, path, stop, 60.0)


def test_a_step_that_overflows_is_skipped_counted_and_told(build, tmp_path) -> None:
    run, rows = build(config=FP16), Rows()
    outcome = trainer_of(run, tmp_path / "a.pt", rows, {2, 3, 7}).go()
    assert outcome.status == "finished"
    assert outcome.notes == ("3 of 10 steps were skipped: their gradients did not fit in fp16",)
    assert run.companions[0].taken == [0, 1, 4, 5, 6, 8, 9]
    assert run.optimizer.steps == 7  # AdamW's bias correction does not see them, as with torch's GradScaler
    last = [row for row in rows.rows if "select_loss" in row][-1]
    assert last["skipped_steps"] == 3
    assert last["loss_scale"] == 2.0**13
    assert [row["step"] for row in rows.rows if "loss" in row] == list(range(1, 11))


def test_a_skipped_step_moves_nothing(build, tmp_path) -> None:
    run = build(config=FP16)
    before = {name: value.clone() for name, value in weights(run).items()}
    trainer_of(run, tmp_path / "a.pt", Rows(), set(range(10))).go()
    assert all(torch.equal(value, before[name]) for name, value in weights(run).items())
    assert not any(stack.grad.any() for stack in run.optimizer.stacks)


def test_a_resumed_run_has_the_scale_and_the_count_it_stopped_with(build, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(LossScale, "growth_interval", 3)
    whole, straight = build(config=FP16), Rows()
    trainer_of(whole, tmp_path / "a.pt", straight, {2}).go()
    broken = Rows()
    trainer_of(build(config=FP16), tmp_path / "b.pt", broken, {2}, stop_after(5)).go()
    resumed = build(config=FP16)
    trainer = trainer_of(resumed, tmp_path / "b.pt", broken, {2})
    outcome = trainer.go()
    assert trainer.train_step.scale.skipped == 1
    assert outcome.notes == ("1 of 10 steps were skipped: their gradients did not fit in fp16",)
    assert straight.without_times() == broken.without_times()
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())


def test_an_overflow_on_one_rank_is_skipped_by_all(build, tmp_path) -> None:
    """A world of two whose other rank always sends the same gradients, now and then with one that is not finite."""

    class Other(World):
        sent: float = 0.0

        def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
            return tensor.add_(Other.sent)

        def all_gather(self, whole: torch.Tensor, mine: torch.Tensor) -> None: ...

    run = build(config=FP16)
    run.optimizer.world = Other()
    trainer = Trainer(run, tiny_source(), Rows(), tmp_path / "a.pt", never, 60.0)
    trainer.train_step.calls = type("Calls", (), {"forward": run.model})()
    for sent in (0.0, float("nan"), 0.0, float("inf")):
        Other.sent = sent
        trainer.train_step(0)
    assert (trainer.train_step.scale.skipped, trainer.train_step.scale.scale, run.optimizer.steps) == (2, 2.0**14, 2)


def test_gradients_that_overflow_unscaled_end_the_run(build, tmp_path) -> None:
    run = build(config={**FP16, "tokens": 30 * 4 * 24})
    normal = run.model.forward

    def steep(*args):
        loss, logged = normal(*args)
        return loss + run.assembly.params["head.out.weight"].sum() * float("inf") * (loss * 0 + 1), logged

    run.model.forward = steep
    outcome, rows = finish(run, tmp_path / "a.pt")
    assert (outcome.status, outcome.value) == ("diverged", None)
    assert outcome.reason == "gradients are not finite at step 17, even unscaled"
    assert [row["step"] for row in rows.rows if "loss" in row] == list(range(1, 18))


CATALOGUE = Catalogue()


@pytest.mark.parametrize("name", sampled.each("fp16", 3, CATALOGUE.names()))
def test_every_technique_trains_in_fp16(name: str, tmp_path) -> None:
    case = LawCase(CATALOGUE, name)
    run = case.run(case.config(steps=3, evals=1, **FP16))
    outcome, _ = finish(run, tmp_path / "a.pt")
    assert outcome.status == "finished", outcome.reason
    assert all(param.isfinite().all() for param in run.assembly.params.values())


@pytest.mark.parametrize("masked", [False, True])
def test_attention_in_fp16_is_that_of_float64_to_fp16s_rounding(masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v, up = (torch.randn(2, 37, 3, 8, generator=generator, dtype=torch.float64) for _ in range(4))
    seen = torch.ones(37, 37, dtype=torch.bool).tril()
    mask = seen.triu(-9) if masked else None
    exact = [t.clone().requires_grad_() for t in (q, k, v)]
    scores = torch.einsum("bqhd,bkhd->bhqk", *exact[:2]) / 8**0.5
    probs = scores.masked_fill(~(seen if mask is None else mask), -torch.inf).softmax(-1)
    wanted = torch.einsum("bhqk,bkhd->bqhd", probs, exact[2])
    wanted.backward(up)
    half = [t.half().requires_grad_() for t in (q, k, v)]
    found = attend(*half, None if mask is None else mask[None, None])
    found.backward(up.half())
    assert (found.double() - wanted).abs().max() < 4e-3
    for mine, theirs in zip(half, exact, strict=True):
        assert (mine.grad.double() - theirs.grad).abs().max() < 1e-2
