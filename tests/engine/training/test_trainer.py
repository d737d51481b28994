"""The loop: accumulation, ranks, stages, divergence, bf16, second passes, compilation with a fallback that says why."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from coregpt.api import Companion, Plugin, hookimpl
from coregpt.contract.errors import ConfigError, DataError, RunError
from coregpt.engine.arithmetic import compiling
from coregpt.engine.training import trainer
from coregpt.engine.training.outcome import Outcome
from coregpt.engine.training.trainer import train
from coregpt.lab.laws.tools import Rows, stop_after, tiny_source
from tests.made import made


def finish(run, tmp_path: Path, **options) -> tuple[Outcome, Rows]:
    rows = Rows()
    return train(run, tiny_source(), rows, tmp_path / "checkpoint.pt", **options), rows


def weights(run) -> dict[str, torch.Tensor]:
    return {name: param.detach() for name, param in run.assembly.params.items()}


def test_a_run_finishes_and_logs_every_step(build, tmp_path) -> None:
    run = build(config={"evals": 2})
    outcome, rows = finish(run, tmp_path)
    assert (outcome.status, outcome.steps, outcome.tokens) == ("finished", 10, 960)
    assert [row["step"] for row in rows.rows if "loss" in row] == list(range(1, 11))
    watched = {row["step"]: row["select_loss"] for row in rows.rows if "select_loss" in row}
    assert list(watched) == [0, 5, 10]
    assert outcome.select == watched[10] < watched[0]


def test_held_out_is_read_once_and_at_the_end(build, tmp_path) -> None:
    outcome, rows = finish(build(config={"evals": 2}), tmp_path)
    assert {row["step"]: row["val_loss"] for row in rows.rows if "val_loss" in row} == {10: outcome.value}
    assert outcome.value != outcome.select


def test_a_run_that_declares_it_evaluates_held_out_all_along_and_is_otherwise_the_same(build, tmp_path) -> None:
    plain, rows = finish(build(config={"evals": 2}), tmp_path / "a")
    curved, more = finish(build(config={"evals": 2, "held_out_curve": True}), tmp_path / "b")
    held_out = {row["step"]: row["val_loss"] for row in more.rows if "val_loss" in row}
    assert list(held_out) == [0, 5, 10]
    assert (curved.value, curved.select, held_out[10]) == (plain.value, plain.select, plain.value)
    others = [
        [{k: v for k, v in row.items() if k not in ("seconds", "val_loss")} for row in each.rows]
        for each in (rows, more)
    ]
    assert others[0] == others[1]


@pytest.mark.parametrize(("lost", "status"), [(2, "finished"), (10, "diverged")])
def test_only_the_last_evaluation_decides_whether_a_run_diverged(build, tmp_path, monkeypatch, lost, status) -> None:
    """How often a run is looked at is no part of its identity, so no look on the way may end it."""
    measured = trainer.Trainer.loss

    def infinite(self, *data: Tensor) -> float:
        return float("inf") if self.progress.step == lost else measured(self, *data)

    monkeypatch.setattr(trainer.Trainer, "loss", infinite)
    outcome, rows = finish(build(config={"evals": 5}), tmp_path)
    assert outcome.status == status
    assert [row["step"] for row in rows.rows if row.get("select_loss") == float("inf")] == [lost]


@pytest.mark.parametrize("stream", ["select", "held_out"])
def test_each_loss_is_the_mean_over_its_own_stream(build, tmp_path, stream) -> None:
    run = build()
    outcome, _ = finish(run, tmp_path)
    tokens = getattr(tiny_source(), stream).slice(0, run.config.eval_tokens + 1)
    rows = torch.from_numpy(tokens)
    x, y = rows[:-1].view(-1, run.config.model.context), rows[1:]
    with torch.no_grad():
        logits = run.model.eval().logits(x, run.dials.values).double().flatten(0, 1)
    expected = torch.logsumexp(logits, -1) - logits.gather(-1, y[:, None])[:, 0]
    found = {"select": outcome.select, "held_out": outcome.value}[stream]
    assert found == pytest.approx(expected.mean().item(), abs=1e-5)


@pytest.mark.parametrize("stream", ["select", "held_out"])
def test_a_stream_too_short_for_what_is_evaluated_is_named(build, tmp_path, stream) -> None:
    source = replace(tiny_source(), **{stream: tiny_source().held_out.part(0, 48)})
    with pytest.raises(DataError, match=f"48 tokens needs 49, but the stream '{stream}' has 48; lower eval_tokens"):
        train(build(), source, Rows(), tmp_path / "checkpoint.pt")


def test_accumulated_micro_batches_equal_one_batch(build, tmp_path) -> None:
    whole, parts = build(), build(config={"micro_rows": 1})
    finish(whole, tmp_path / "a")
    finish(parts, tmp_path / "b")
    for name, value in weights(whole).items():
        assert (value - weights(parts)[name]).abs().max() < 2e-5


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()


def test_equal_seeds_give_equal_bits_and_seeds_matter(build, tmp_path) -> None:
    runs = [build(config={"seed": s, "data_seed": d}) for s, d in ((1, 1), (1, 1), (2, 1), (1, 2))]
    values = []
    for i, run in enumerate(runs):
        (tmp_path / f"{i}").mkdir()
        values.append(finish(run, tmp_path / f"{i}")[0].value)
    assert values[0] == values[1]
    assert len(set(values)) == 3


def test_a_nan_is_a_diverged_run_with_its_step(build, tmp_path) -> None:
    run = build()
    normal = run.model.forward

    def poisoned(*given):
        loss, logged = normal(*given)
        return (
            (loss * float("nan"), {**logged, "loss": logged["loss"] * float("nan")})
            if poisoned.calls >= 2
            else (loss, logged)
        )

    def counted(*args):
        result = poisoned(*args)
        poisoned.calls += 1
        return result

    poisoned.calls = 0
    run.model.forward = counted
    outcome, rows = finish(run, tmp_path)
    assert outcome.status == "diverged"
    assert outcome.value is None
    assert "step 3" in outcome.reason
    assert rows.rows[-1]["step"] == 3


def test_bf16_trains_close_to_fp32(build, tmp_path) -> None:
    full, half = build(), build(config={"precision": "bf16"})
    values = [finish(full, tmp_path / "a")[0].value, finish(half, tmp_path / "b")[0].value]
    assert values[0] != values[1]
    assert values[0] == pytest.approx(values[1], abs=0.02)
    assert all(param.dtype == torch.float32 for param in half.assembly.params.values())


def test_stages_reshape_batches_without_losing_rows(build, tmp_path) -> None:
    run = build(batch_schedule={"batch": [1, 2], "lr": [1, 1]})
    outcome, rows = finish(run, tmp_path)
    assert outcome.tokens == sum(run.timeline.batches)
    seen = [row["tokens"] for row in rows.rows if "loss" in row]
    assert [b - a for a, b in zip([0, *seen], seen, strict=False)] == list(run.timeline.batches)


def test_a_damaged_checkpoint_is_named(build, tmp_path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(RunError, match=r"checkpoint.pt is not a checkpoint of this run"):
        finish(build(), tmp_path)


def test_a_stopped_run_says_where(build, tmp_path) -> None:
    outcome, _ = finish(build(), tmp_path, stop=stop_after(4))
    assert (outcome.status, outcome.steps) == ("stopped", 4)
    assert (tmp_path / "checkpoint.pt").exists()


def test_what_a_gpu_has_not_yet_told_is_written_before_a_run_stops(build, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(trainer.FLUSH, "cpu", 32)  # as on a GPU, where losses are read every few steps
    _, rows = finish(build(), tmp_path, stop=stop_after(4))
    assert [row["step"] for row in rows.rows if "loss" in row] == [1, 2, 3, 4]


def test_a_vocabulary_too_small_for_the_data_is_refused(build, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"model.vocab is 40"):
        finish(build(shape={"vocab": 40}), tmp_path)


def test_a_compiler_that_fails_is_a_note_and_not_a_failure(build, tmp_path, monkeypatch) -> None:
    def broken(*args, **kwargs):
        def call(*inputs):
            raise RuntimeError("no C++ compiler found")

        return call

    monkeypatch.setattr(compiling.torch, "compile", broken)
    plain, fallen = build(), build(config={"compile": True})
    value = finish(plain, tmp_path / "a")[0].value
    outcome, _ = finish(fallen, tmp_path / "b")
    assert outcome.notes == ("not compiled: no C++ compiler found",)
    assert outcome.value == value


@pytest.mark.slow
def test_a_compiled_run_equals_the_plain_one(build, tmp_path) -> None:
    plain, fast = build(rope={}, moe={}), build(rope={}, moe={}, config={"compile": True})
    a, _ = finish(plain, tmp_path / "a")
    b, _ = finish(fast, tmp_path / "b")
    assert b.notes == ()
    assert b.value == pytest.approx(a.value, abs=1e-4)
    assert b.compile_seconds > 0


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
