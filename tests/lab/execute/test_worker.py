"""One run in one process: finished, diverged, failed, stopped and resumed, refused."""

import hashlib
import os
import platform
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from coregpt.contract.config import RunConfig
from coregpt.engine.build import build
from coregpt.engine.data import eval_rows, open_source
from coregpt.engine.training.evaluate import evaluate
from coregpt.engine.weights import Weights, read, write
from coregpt.lab.execute.worker import COMPLETE, FAILED, STOPPED, SWITCHES, TAKEN, main, processor, stop_requested
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.claims import claim
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.registry import Catalogue
from tests.lab.conftest import Lab

BROKEN = '''"""Raises while training.

Source: none.
"""

from coregpt.api import Clock, Companion, Plugin, RunView, hookimpl


class Trap(Companion):
    def before_step(self, clock: Clock) -> None:
        if clock.step == 3:
            raise ValueError("sprung")


class Broken(Plugin):
    @hookimpl
    def add_companions(self, run: RunView) -> Companion:
        return Trap()
'''


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def folder_of(lab: Callable[..., Lab]) -> Callable[..., RunFolder]:
    """The folder of the second arm's first run, planned and not yet executed."""

    def make(**changes: Any) -> RunFolder:
        here = lab(**changes)
        run = next(run for run in plan(outline(load(here.study))).runs if run.arm != "gelu")
        folder = RunFolder(here.runs / run.id)
        folder.create(run.record, run.plugin_files)
        return folder

    return make


def test_a_run_ends_with_a_result_and_says_what_it_ran_on(
    folder_of: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    folder = folder_of()
    assert main([str(folder.path)]) == COMPLETE
    result = folder.result()
    assert result is not None
    assert (result["status"], result["steps"], result["tokens"]) == ("finished", 120, 7_680)
    assert 1.0 < result["value"] < 2.8  # ln 3 = 1.0986 is what the data allow, ln 16 = 2.77 is knowing nothing
    evaluated = [row for row in folder.rows() if "select_loss" in row]
    assert [row["step"] for row in evaluated] == [0, 24, 48, 72, 96, 120]
    assert [(row["select_loss"], row["val_loss"]) for row in evaluated[-1:]] == [(result["select"], result["value"])]
    assert not any("val_loss" in row for row in evaluated[:-1])
    assert folder.environment().keys() >= {"torch", "device", "precision", "python"}
    assert folder.environment()["processor"] == processor()
    assert folder.environment()["variables"] == "DNNL_MAX_CPU_ISA=AVX2"
    assert not folder.checkpoint.exists()


def test_the_processor_is_named_wherever_it_is_known(tmp_path: Path) -> None:
    """Losses of one run differ in their last digits between types of processor."""
    vectors = torch.backends.cpu.get_cpu_capability()
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Some CPU 9654 @ 2.4GHz\n\nprocessor\t: 1\nmodel name\t: Other\n")
    assert processor(told) == f"Some CPU 9654 @ 2.4GHz, {vectors}"
    told.write_text("processor\t: 0\nCPU part\t: 0xd0c\n")
    assert processor(told) == processor(tmp_path / "absent")
    assert processor(told).removesuffix(f", {vectors}") in (platform.processor(), platform.machine())


def test_a_run_that_blows_up_is_a_result_and_not_a_failure(folder_of: Callable[..., RunFolder]) -> None:
    folder = folder_of(arms={"gelu": {}, "wild": {"optim": {"lr": 1e30}}})
    assert main([str(folder.path)]) == COMPLETE
    result = folder.result()
    assert result is not None
    assert (result["status"], result["value"]) == ("diverged", None)
    assert "not finite" in result["reason"]


def test_an_exception_is_told_in_one_line_and_kept_in_full(
    folder_of: Callable[..., RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    arms = {"gelu": {}, "broken": {"plugins": {"broken": {}}}}
    folder = folder_of(arms=arms, plugin_files=["broken.py"])
    assert main([str(folder.path)]) == FAILED
    error = folder.error()
    assert error is not None
    assert error["message"] == f"plugin code at {folder.path}/plugins/broken.py:12: ValueError: sprung"
    assert "before_step" in error["traceback"]
    assert folder.result() is None
    assert capsys.readouterr().err == error["traceback"] + error["message"] + "\n"


def test_the_frozen_copy_of_a_plugin_file_is_what_runs(folder_of: Callable[..., RunFolder], tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(BROKEN.replace("clock.step == 3", "False"))
    arms = {"gelu": {}, "mine": {"plugins": {"mine": {}}}}
    folder = folder_of(arms=arms, plugin_files=["mine.py"])
    mine.write_text("raise RuntimeError('edited after planning')")
    assert main([str(folder.path)]) == COMPLETE


def test_changed_sources_are_refused(folder_of: Callable[..., RunFolder], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BROKEN)
    arms = {"gelu": {}, "mine": {"plugins": {"mine": {}}}}
    folder = folder_of(arms=arms, plugin_files=["mine.py"])
    copy = folder.plugins / "mine.py"
    copy.write_text(copy.read_text().replace("3", "4"))
    assert main([str(folder.path)]) == FAILED
    error = folder.error()
    assert error is not None
    assert "was planned with other sources or data" in error["message"]


def test_a_stopped_run_continues_to_the_same_numbers(
    folder_of: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of()
    assert main([str(folder.path)]) == COMPLETE
    whole, value = [row for row in folder.rows() if "loss" in row], folder.result()
    (folder.path / "result.json").unlink()
    (folder.path / "metrics.jsonl").unlink()
    calls: list[int] = []

    def interrupt(launched: bool) -> Callable[[], bool]:
        return lambda: bool(calls.append(0)) or len(calls) == 100

    with monkeypatch.context() as patch:
        patch.setattr("coregpt.lab.execute.worker.stop_requested", interrupt)
        assert main([str(folder.path)]) == STOPPED
    assert folder.result() is None
    assert folder.checkpoint.exists()
    assert main([str(folder.path)]) == COMPLETE
    again, second = [row for row in folder.rows() if "loss" in row], folder.result()
    assert [(r["step"], r["loss"]) for r in again] == [(r["step"], r["loss"]) for r in whole]
    assert value is not None
    assert second is not None
    assert second["value"] == value["value"]


def test_a_signal_asks_for_a_stop() -> None:
    stop = stop_requested(launched=False)
    assert not stop()
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop()


def test_a_run_that_another_process_has_is_left_alone(folder_of: Callable[..., RunFolder]) -> None:
    folder = folder_of()
    held = claim(folder)
    assert held is not None
    assert main([str(folder.path)]) == TAKEN
    held.release()


# -- final weights ------------------------------------------------------------------------------------------------


def test_a_finished_run_leaves_the_weights_that_gave_its_result(folder_of: Callable[..., RunFolder]) -> None:
    folder = folder_of(arms={"gelu": {}, "averaged": {"plugins": {"ema": {}}}})
    assert main([str(folder.path)]) == COMPLETE
    found, record = read(folder.weights), folder.config()
    assert found.record == {key: record[key] for key in ("id", "config", "engine", "plugins", "data")}
    config = RunConfig.model_validate(record["config"])
    source = open_source(config.data.source)
    run = build(config, Catalogue().instances(config.plugins), separator=source.separator)
    with torch.no_grad():
        for path, param in run.assembly.params.items():
            param.copy_(found.params[path])
    inputs, targets = eval_rows(source.held_out, config.model.context, config.eval_tokens)
    value = evaluate(run.model, run.model.logits, inputs, targets, run.dials.values, rows=128)
    result = folder.result()
    assert result is not None
    assert float(value) == pytest.approx(result["value"], abs=1e-6)


def test_a_diverged_run_and_one_that_keeps_nothing_leave_none(folder_of: Callable[..., RunFolder]) -> None:
    diverged = folder_of(arms={"gelu": {}, "wild": {"optim": {"lr": 1e30}}})
    assert main([str(diverged.path)]) == COMPLETE
    assert not diverged.weights.exists()
    kept, silent = folder_of(), folder_of(keep="nothing")
    assert kept.id == silent.id
    assert kept.keeps_weights()  # made first with weights; a study that needs none does not take them away
    silent = RunFolder(silent.path.with_name("silent") / silent.id)
    silent.create({**kept.config(), "keep": "nothing"}, {})
    assert main([str(silent.path)]) == COMPLETE
    assert not silent.weights.exists()
    silent.create(kept.config(), {})
    assert silent.keeps_weights()


def test_killed_between_weights_and_result_it_writes_the_same_bytes_again(
    folder_of: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of()
    calls: list[int] = []

    def interrupt(launched: bool) -> Callable[[], bool]:
        return lambda: bool(calls.append(0)) or len(calls) == 100

    with monkeypatch.context() as patch:
        patch.setattr("coregpt.lab.execute.worker.stop_requested", interrupt)
        assert main([str(folder.path)]) == STOPPED
    assert not folder.weights.exists()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_result", killed)
        assert main([str(folder.path)]) == FAILED
    first = folder.weights.read_bytes()
    assert folder.result() is None
    assert folder.checkpoint.exists()
    assert main([str(folder.path)]) == COMPLETE
    assert folder.weights.read_bytes() == first
    whole = RunFolder(folder.path.with_name("whole") / folder.id)
    whole.create(folder.config(), {})
    assert main([str(whole.path)]) == COMPLETE
    assert whole.weights.read_bytes() == first


def test_a_full_disk_is_told_and_costs_no_result(
    folder_of: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("coregpt.engine.weights.write", full)
        assert main([str(folder.path)]) == FAILED
    error = folder.error()
    assert error is not None
    assert "weights.pt cannot be written (No space left on device)" in error["message"]
    assert main([str(folder.path)]) == COMPLETE
    assert folder.weights.exists()


# -- inputs -------------------------------------------------------------------------------------------------------


@pytest.fixture
def pupil(folder_of: Callable[..., RunFolder], lab: Callable[..., Lab]) -> tuple[RunFolder, RunFolder]:
    """A finished teacher, and the folder of a run that is to be taught by it."""
    teacher = folder_of()
    assert main([str(teacher.path)]) == COMPLETE
    arms = {"gelu": {}, "taught": {"plugins": {"distillation": {}}, "inputs": {"teacher": {"run": teacher.id}}}}
    here = lab("taught", arms=arms)
    run = plan(outline(load(here.study, store=here.runs))).runs[-1]
    folder = RunFolder(here.runs / run.id)
    folder.create(run.record, run.plugin_files)
    return teacher, folder


def test_a_run_with_a_teacher_goes_on_to_the_same_bits(
    pupil: tuple[RunFolder, RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, folder = pupil
    before = teacher.weights.read_bytes()
    assert main([str(folder.path)]) == COMPLETE
    straight = folder.weights.read_bytes()
    rows = [row for row in folder.rows() if "distilled" in row]
    assert folder.given() == {"teacher": hashlib.sha256(before).hexdigest()}
    for name in ("result.json", "metrics.jsonl", "weights.pt"):
        (folder.path / name).unlink()
    calls: list[int] = []

    def interrupt(launched: bool) -> Callable[[], bool]:
        return lambda: bool(calls.append(0)) or len(calls) == 100

    with monkeypatch.context() as patch:
        patch.setattr("coregpt.lab.execute.worker.stop_requested", interrupt)
        assert main([str(folder.path)]) == STOPPED
    assert main([str(folder.path)]) == COMPLETE
    assert folder.weights.read_bytes() == straight
    again = [row for row in folder.rows() if "distilled" in row]
    assert [row["distilled"] for row in again] == [row["distilled"] for row in rows]
    assert teacher.weights.read_bytes() == before


def test_a_teacher_that_changes_while_a_run_is_stopped_is_refused(
    pupil: tuple[RunFolder, RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, folder = pupil
    monkeypatch.setattr("coregpt.lab.execute.worker.stop_requested", lambda launched: lambda: True)
    assert main([str(folder.path)]) == STOPPED
    weights = read(teacher.weights)
    write(teacher.weights, Weights({k: v + 1 for k, v in weights.params.items()}, {}, weights.record))
    assert main([str(folder.path)]) == FAILED
    assert "has changed since this run began" in (folder.error() or {})["message"]
    teacher.weights.unlink()
    assert main([str(folder.path)]) == FAILED
    assert f"run {teacher.id} has no weights" in (folder.error() or {})["message"]
    folder.checkpoint.unlink()


def test_a_file_that_is_not_what_was_planned_is_refused(
    pupil: tuple[RunFolder, RunFolder], lab: Callable[..., Lab], tmp_path: Path
) -> None:
    file = tmp_path / "teacher.pt"
    file.write_bytes(pupil[0].weights.read_bytes())
    arms = {"gelu": {}, "taught": {"plugins": {"distillation": {}}, "inputs": {"teacher": {"file": "teacher.pt"}}}}
    here = lab("filed", arms=arms)
    run = plan(outline(load(here.study, store=here.runs))).runs[-1]
    folder = RunFolder(here.runs / run.id)
    folder.create(run.record, run.plugin_files)
    weights = read(file)
    write(file, Weights({k: v + 1 for k, v in weights.params.items()}, {}, weights.record))
    assert main([str(folder.path)]) == FAILED
    assert "teacher.pt has changed since this run was planned" in (folder.error() or {})["message"]
