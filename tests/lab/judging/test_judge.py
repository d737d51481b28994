"""The loss that counts is the judge's, whatever a technique does to the process that trains it."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError, RunError
from coregpt.engine.data import eval_rows, open_source
from coregpt.engine.training.evaluate import total_loss
from coregpt.lab.execute.worker import COMPLETE, FAILED, main
from coregpt.lab.judging import judge, player, referee
from coregpt.lab.judging.side_process import CAN_FORK, SideProcess, forked
from coregpt.lab.records.store import RunFolder
from tests.lab.conftest import STUDY
from tests.lab.execute import test_worker
from tests.lab.judging.cheats import cheat

folder_of = test_worker.folder_of
SHORT = {"tokens": 64 * 12, "evals": 2}


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    yield from test_worker._signals.__wrapped__()  # type: ignore[attr-defined]


@pytest.fixture
def cheating(
    folder_of: Callable[..., RunFolder], tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], RunFolder]:
    """The folder of a run with a technique that cheats in some way; planning imports it here, so that is undone."""
    monkeypatch.setattr(torch.nn.functional, "cross_entropy", torch.nn.functional.cross_entropy)
    monkeypatch.setattr(judge, "refuse_leaks", judge.refuse_leaks)

    def make(kind: str) -> RunFolder:
        (tmp_path / "cheat.py").write_text(cheat(kind, data=shards))
        base = {**STUDY["base"], **SHORT}
        return folder_of(base=base, arms={"gelu": {}, "cheat": {"plugins": {"cheat": {}}}}, plugin_files=["cheat.py"])

    return make


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("imported", "torch.nn.functional.cross_entropy is another function"),
        ("evaluating", r"select_loss of the final weights is [\d.]+, but the training process measured"),
        ("rows", r"select_loss of the final weights is [\d.]+, but the training process measured"),
        ("louder", r"select_loss of the final weights is [\d.]+, but the training process measured"),
        ("precision", "the precision of fp32 products is medium, not highest"),
        ("precision inside", "began a pass, the precision of fp32 products is medium, not highest"),
        ("threads", "the number of threads is 2, not 1"),
        ("held_out", r"opened .*/val.bin while it was trained"),
        ("order of rows", "numpy.random.Philox is another function"),
        ("kernels", "kernels of products and losses is [0-9a-f]+, not"),
        ("defaults", "coregpt.engine.training.evaluate.total_loss executes other code"),
        ("another batch", "after a technique was shown a step's batch, the tokens of its batch are others"),
        ("mode around", "after a technique was evaluated, another mode stands between torch and its operators"),
        ("mode inside", "after a technique began a step, another mode stands between torch and its operators"),
        ("words", "json.dumps is another function"),
        ("constant", "coregpt.lab.guard.work.STEP is 'optimizer', not 'passes'"),
        ("hooks on all", "hooks on all modules is 1, not 0"),
        ("clock put back", "after a technique began a step, time.perf_counter is another function"),
        ("another process", r"began another process while it was trained \(subprocess.Popen\)"),
        ("unjudged", "its last evaluation did not wait for the judge"),
        ("leak check", "coregpt.lab.judging.judge.refuse_leaks is another function"),
    ],
)
@pytest.mark.skipif(not CAN_FORK, reason="a cheat is let loose in a fork")
def test_a_cheat_fails_its_run_and_is_named(cheating: Callable[[str], RunFolder], kind: str, told: str) -> None:
    folder = cheating(kind)
    pid = os.fork()  # or what a cheat leaves behind would meet the next test
    if not pid:
        os._exit(main([str(folder.path)]))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == FAILED
    error = folder.error()
    assert error is not None
    assert re.search(told, error["message"]), error["message"]
    assert error["must_repeat"]
    assert folder.result() is None


def as_on_a_gpu(module: str, *words: str) -> SideProcess:
    """Instead of a program, which would have forks on a CPU and larger passes: what this test has set is set there."""
    return forked(lambda line: sys.modules[module].main([str(line.end.fileno()), *words]))


@pytest.mark.skipif(not CAN_FORK, reason="a cheat is let loose in a fork")
@pytest.mark.parametrize("players", ["forks", "programs"])
def test_a_model_cannot_know_which_rows_are_compared(
    cheating: Callable[[str], RunFolder], monkeypatch: pytest.MonkeyPatch, players: str
) -> None:
    """It looks ahead in those that it was not shown before, and they are most."""
    monkeypatch.setitem(judge.PASS_TOKENS, "cpu", 64)
    if players == "programs":
        monkeypatch.setattr(player, "forks", lambda device: False)
        monkeypatch.setattr(referee, "started", as_on_a_gpu)
        monkeypatch.setattr(judge, "started", as_on_a_gpu)
    folder = cheating("remembering")
    pid = os.fork()
    if not pid:
        os._exit(main([str(folder.path)]))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == FAILED
    assert "sees what it must not" in (folder.error() or {})["message"]


@pytest.mark.skipif(not CAN_FORK, reason="elsewhere both are programs of their own")
def test_no_process_that_imports_a_technique_holds_what_it_is_judged_by(cheating: Callable[[str], RunFolder]) -> None:
    """A fork of the judge would: what a process does not give away, its memory still has."""
    folder = cheating("searching")
    command = [sys.executable, "-m", "coregpt.lab.execute.worker", str(folder.path)]  # this process has read it
    code = subprocess.run(command, check=False, capture_output=True).returncode
    assert code == COMPLETE, folder.error()


def test_the_result_is_the_loss_of_the_weights_it_left(folder_of: Callable[..., RunFolder]) -> None:
    folder = folder_of(base={**STUDY["base"], **SHORT})
    assert main([str(folder.path)]) == COMPLETE
    config = RunConfig.model_validate(folder.config()["config"])
    source, result = open_source(config.data.source), folder.result()
    assert result is not None
    model, _ = player.model_of(folder, source.separator)
    second = judge.sealed(config, source)
    assert second is not None
    texts = {
        "value": eval_rows(source.held_out, 16, 256),
        "select": eval_rows(source.select, 16, 256),
        "sealed": second,
    }
    for name, (inputs, targets) in texts.items():
        wide = torch.log_softmax(model(inputs).double(), -1)
        assert result[name] == pytest.approx(-float(wide.gather(-1, targets[..., None]).mean()), abs=1e-6)
    assert result["work"]["tokens"] == result["work"]["declared"] == 768
    steps = [step["step"] for step in result["work"]["steps"]]
    assert {0, 6, 11} < set(steps)
    assert steps == sorted(set(steps))
    assert all(step["passes"] > 0 for step in result["work"]["steps"])


@pytest.mark.skipif(not CAN_FORK, reason="a cheat is let loose in a fork")
@pytest.mark.parametrize("kind", ["bf16 inside", "in a thread"])
def test_what_is_no_function_and_no_product_is_counted(cheating: Callable[[str], RunFolder], kind: str) -> None:
    folder = cheating(kind)
    pid = os.fork()
    if not pid:
        os._exit(main([str(folder.path)]))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == COMPLETE, folder.error()
    work = (folder.result() or {})["work"]
    low = max(step["low"] / step["passes"] for step in work["steps"])
    beside = work["seconds"]["beside"] / work["seconds"]["own"]
    assert (low > 0.1, beside > 0.05) == (kind == "bf16 inside", kind == "in a thread")


@pytest.mark.skipif(not CAN_FORK, reason="a cheat is let loose in a fork")
@pytest.mark.parametrize("kind", ["before the first step", "between steps"])
def test_what_is_multiplied_outside_of_steps_is_counted(cheating: Callable[[str], RunFolder], kind: str) -> None:
    folder = cheating(kind)
    pid = os.fork()
    if not pid:
        os._exit(main([str(folder.path)]))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == COMPLETE, folder.error()
    work = (folder.result() or {})["work"]
    if kind == "between steps":
        # Around three evaluations and the saving of weights, and for three rows of the log.
        assert work["outside"] == 7 * 2 * 100 * 50 * 10
    else:
        assert work["outside"] > 4 * work["steps"][0]["passes"]


def test_the_second_text_is_neither_trained_on_nor_select(shards: Path) -> None:
    source = open_source(str(shards))
    config = RunConfig.model_validate({**STUDY["base"], "data": {"source": str(shards)}})
    stream = source.select.slice(0, len(source.select)).tolist()
    starts = set()
    for seed in range(20):
        rows = judge.sealed(config.model_copy(update={"seed": seed}), source)
        assert rows is not None
        assert judge.sealed_tokens(config, source) == rows[0].numel() == 128
        tokens = [*rows[0].flatten().tolist(), int(rows[1][-1, -1])]
        starts.add(next(i for i in range(len(stream)) if stream[i : i + len(tokens)] == tokens))
    assert min(starts) > 256
    assert len(starts) > 10
    assert judge.sealed(config.model_copy(update={"eval_tokens": 592}), source) is None


def test_without_forks_player_and_judge_are_programs(
    folder_of: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(base={**STUDY["base"], **SHORT})
    monkeypatch.setattr(player, "forks", lambda device: False)
    assert main([str(folder.path)]) == COMPLETE
    assert math.isfinite((folder.result() or {})["value"])


def test_total_loss_is_that_of_the_textbook_in_any_pieces() -> None:
    logits = 30 * torch.randn(7, 11, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(7)
    slow = sum(
        math.log(sum(math.exp(x - max(row)) for x in row)) + max(row) - row[target]
        for row, target in zip(logits.tolist(), targets.tolist(), strict=True)
    )
    for at_once in (1, 25, 1000):
        assert float(total_loss(logits, targets, at_once)) == pytest.approx(slow, rel=1e-12)


@pytest.mark.parametrize(("shift", "refused"), [(0.0, False), (1.0, True)])
def test_ids_that_a_model_rules_out_hide_no_leak(shift: float, refused: bool) -> None:
    """A logit of minus infinity is the largest there is, of which any leak is a small part."""
    logits = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    logits[..., 5] = -math.inf
    targets = torch.zeros(2, 6, dtype=torch.int64)
    before = logits.clone()
    seen = judge.Look([0, 1], [6, 3], torch.arange(8), targets, before, judge.each_loss(before, targets))
    seen.compare(0, logits + shift)  # softmax does not see a shift; what is said of a row moved all the same
    if refused:
        with pytest.raises(RunError, match="sees what it must not"):
            judge.refuse_leaks(seen)
    else:
        judge.refuse_leaks(seen)


def test_a_result_that_may_not_be_written_is_told_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is another user's is no RunError."""
    asked: list[dict[str, Any] | None] = [{"outcome": {}, "row": {}}, None]
    said: list[dict[str, Any]] = []

    class Fake:
        def receive(self) -> dict[str, Any] | None:
            return asked.pop(0)

        def send(self, **message: Any) -> None:
            said.append(message)

    def refuse(*_: Any) -> None:
        raise ConfigError("runs/x: Permission denied (it belongs to alice)")

    monkeypatch.setattr(judge.Judge, "decide", refuse)
    judge.Judge(None, None, None, 1, {}, []).serve(Fake())  # type: ignore[arg-type]
    assert said == [{"refused": "runs/x: Permission denied (it belongs to alice)", "repeats": False}]
