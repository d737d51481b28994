"""A finished run as an input of another: the same model to the bit, never trained, counted or saved."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from coregpt.contract.companion import Companion
from coregpt.contract.config import InputSource, ModelShape, RunConfig
from coregpt.contract.errors import PluginError
from coregpt.contract.plugin import Plugin, hookimpl
from coregpt.contract.runview import RunView
from coregpt.contract.site import Site
from coregpt.engine import weights
from coregpt.engine.accounting import count
from coregpt.engine.build import Run, build
from coregpt.engine.inputs import Stored
from coregpt.engine.model.parts import NextToken
from coregpt.engine.training import checkpoint
from coregpt.lab.study.registry import Catalogue

SHAPE = ModelShape(vocab=61, dim=32, depth=2, heads=2, context=16)
SIZES: dict[str, Any] = {"model": SHAPE, "tokens": 640, "batch_tokens": 64, "eval_tokens": 32}
CONFIG = RunConfig(**SIZES)
TOKENS = torch.arange(32).view(2, 16) * 7 % 61
TEACHER = {"wsd": {}, "softcap": {"cap": 5.0}, "rope": {}, "value_embeddings": {}, "ema": {}}
GIVEN = CONFIG.model_copy(update={"inputs": {"teacher": InputSource(run="0123456789ab")}})


class Gap(nn.Module):
    """Cross-entropy, and the mean square of the teacher's logits beside it."""

    def __init__(self, teacher: Any):
        super().__init__()
        self.teacher, self.inner = teacher, NextToken()

    def forward(self, logits: Tensor, targets: Tensor, ctx: Any) -> Tensor:
        loss: Tensor = self.inner(logits, targets, ctx)
        return loss + (self.teacher.logits(ctx.tokens) - logits).square().mean()


class Taught(Plugin):
    """A test's plugin."""

    @hookimpl
    def make_loss(self, at: Site) -> nn.Module:
        return Gap(at.input("teacher"))


class Reader(Plugin):
    """Reads weights from a companion."""

    @hookimpl
    def add_companions(self, run: RunView) -> Companion | None:
        assert run.inputs["teacher"].weights["w"].sum() == 3
        return None


def finished(config: RunConfig = CONFIG, plugins: dict[str, dict[str, Any]] | None = None) -> Run:
    """A run whose weights and dials are not those of its start."""
    run = build(config, Catalogue().instances(plugins or {}), separator=0)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for param in run.assembly.params.values():
            param.add_(torch.randn(param.shape, generator=generator), alpha=0.1)
    run.dials.set(run.timeline.clock(run.timeline.steps - 1))
    return run


@pytest.fixture
def teacher(tmp_path: Path) -> tuple[Run, Stored]:
    """With techniques, among them a dial, a table that is recomputed and companions."""
    config = CONFIG.model_copy(update={"plugins": TEACHER, "seed": 4})
    run = finished(config, TEACHER)
    weights.save(tmp_path / "weights.pt", run, {})
    return run, Stored(tmp_path / "weights.pt", config, Catalogue().instances(TEACHER))


def student(stored: Stored, **more: Any) -> Run:
    return build(GIVEN, [("taught", Taught())], inputs={"teacher": stored}, separator=0, **more)


def test_it_gives_the_logits_that_evaluation_saw(teacher: tuple[Run, Stored]) -> None:
    source, stored = teacher
    run = student(stored)
    source.model.eval()
    with torch.no_grad():
        wanted = source.model.logits(TOKENS, source.dials.values)
    given = run.inputs["teacher"]
    found = given.logits(TOKENS)
    assert torch.equal(found, wanted)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert given.config == stored.config
    for path, value in given.weights.items():
        assert torch.equal(value, source.assembly.params[path])


def test_training_the_student_leaves_the_teacher_as_it_is(teacher: tuple[Run, Stored], tmp_path: Path) -> None:
    run = student(teacher[1])
    before = run.inputs["teacher"].logits(TOKENS)
    random = torch.get_rng_state()
    run.model.train()
    loss, _ = run.model(TOKENS, TOKENS, run.dials.values)
    loss.backward()
    run.optimizer.step(1.0, run.dials.values)
    assert torch.equal(run.inputs["teacher"].logits(TOKENS), before)
    assert torch.equal(torch.get_rng_state(), random)
    plain = build(CONFIG, [], separator=0)
    assert run.assembly.params.keys() == plain.assembly.params.keys()
    assert checkpoint.contents(run) == checkpoint.contents(plain)
    assert run.model.state_dict().keys() == plain.model.state_dict().keys()


def test_its_forward_pass_is_counted_where_the_loss_uses_it(teacher: tuple[Run, Stored]) -> None:
    _, stored = teacher
    alone = count(CONFIG, [])
    with_teacher = count(GIVEN, [("taught", Taught())], {"teacher": stored})
    of_teacher = count(stored.config or CONFIG, stored.plugins)
    assert with_teacher.parameters == alone.parameters
    forward = (with_teacher.flops_per_token - alone.flops_per_token) / of_teacher.flops_per_token
    assert forward == pytest.approx(1 / 3, rel=0.02)


def test_without_memory_and_on_shapes_alone_it_has_its_sizes(teacher: tuple[Run, Stored]) -> None:
    _, stored = teacher
    meta = student(stored, device="meta")
    assert meta.inputs["teacher"].logits(TOKENS.to("meta")).shape == (2, 16, 61)
    assert all(value.is_meta for value in meta.inputs["teacher"].weights.values())
    hollow = stored.hollow()
    with FakeTensorMode():
        run = student(hollow)
        tokens = torch.zeros(2, 16, dtype=torch.long)
        assert run.inputs["teacher"].logits(tokens).shape == (2, 16, 61)
        held = run.inputs["teacher"].held()
    assert sum(each.numel() for each in held) >= sum(p.numel() for p in teacher[0].assembly.params.values())


def test_precision_is_that_of_the_pass_that_asks(teacher: tuple[Run, Stored]) -> None:
    given = student(teacher[1]).inputs["teacher"]
    exact = given.logits(TOKENS)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = given.logits(TOKENS)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).abs().max() < 0.2


def test_a_file_has_weights_and_no_logits(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "w.pt")
    config = CONFIG.model_copy(update={"inputs": {"teacher": InputSource(file=str(tmp_path / "w.pt"))}})
    run = build(config, [("reader", Reader())])
    assert run.inputs["teacher"].config is None
    with pytest.raises(PluginError, match=r"'teacher' \(.*w.pt\) has weights and no model: it holds weights and no"):
        run.inputs["teacher"].logits(TOKENS)


def test_a_file_of_a_run_without_techniques_needs_nothing_else(tmp_path: Path) -> None:
    source = finished()
    weights.save(tmp_path / "w.pt", source, {"config": CONFIG.model_dump(mode="json")})
    config = CONFIG.model_copy(update={"inputs": {"teacher": InputSource(file=str(tmp_path / "w.pt"))}})
    run = build(config, [("taught", Taught())])
    with torch.no_grad():
        assert torch.equal(run.inputs["teacher"].logits(TOKENS), source.model.logits(TOKENS, source.dials.values))


def test_weights_of_another_model_are_refused(teacher: tuple[Run, Stored], tmp_path: Path) -> None:
    for changes in ({"depth": 3}, {"hidden": 40}):
        shape = ModelShape(**{**SHAPE.model_dump(), **changes})
        other = CONFIG.model_copy(update={"model": shape, "plugins": TEACHER})
        with pytest.raises(PluginError, match="not those of the model that their settings make: '"):
            student(Stored(teacher[1].path, other, teacher[1].plugins))


def test_an_input_that_is_missing_or_not_used_is_refused_and_told_how_to_write(teacher: tuple[Run, Stored]) -> None:
    with pytest.raises(PluginError, match=r"at 'loss' for the input 'teacher'.*inputs: \{teacher: \{run: ID\}\}"):
        build(CONFIG, [("taught", Taught())])
    with pytest.raises(PluginError, match=r"for the input 'teacher'.*write inputs"):
        build(CONFIG, [("reader", Reader())])
    with pytest.raises(PluginError, match=r"inputs\.teacher: no plugin of this run asks for it"):
        build(GIVEN, [], inputs={"teacher": teacher[1]})
    with pytest.raises(PluginError, match="nobody says where its weights lie"):
        build(GIVEN, [("taught", Taught())])


def test_a_teacher_that_had_a_teacher_needs_only_its_own_weights(
    teacher: tuple[Run, Stored], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    middle = student(teacher[1])
    weights.save(tmp_path / "middle.pt", middle, {})
    stored = Stored(tmp_path / "middle.pt", GIVEN, [("taught", Taught())], {"teacher": teacher[1]})
    opened: list[Path] = []
    read = weights.read
    monkeypatch.setattr(weights, "read", lambda path, *rest: opened.append(path) or read(path, *rest))
    run = student(stored)
    with torch.no_grad():
        assert torch.equal(run.inputs["teacher"].logits(TOKENS), middle.model.logits(TOKENS, middle.dials.values))
    assert set(opened) == {tmp_path / "middle.pt"}


def test_building_with_an_input_draws_nothing_from_the_global_generator(teacher: tuple[Run, Stored]) -> None:
    before = torch.get_rng_state()
    student(teacher[1])
    assert torch.equal(torch.get_rng_state(), before)
