"""`gpus_per_run: auto`: what a measurement leads to, the measurement itself with real ranks, and that it is kept."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.cli.studies import training
from coregpt.contract.errors import ConfigError
from coregpt.lab.execute.slots import Slot
from coregpt.lab.planning import split
from coregpt.lab.planning.load import load
from coregpt.lab.planning.measured import measured
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.split import Split, Trial, choose
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STEPS, STUDY, Lab
from tests.lab.execute.test_trouble import HUNGRY
from tests.lab.execute.test_worker import BROKEN

NO_MEMORY = Trial(1, None, "out of memory")
HERE = Path("study.yaml")


def chosen(runs: int, seconds: dict[int, float | None], visible: int = 8, at_once: int | None = None) -> int:
    trials = tuple(Trial(gpus, each, "" if each else "out of memory") for gpus, each in seconds.items())
    return choose(Split(1, visible, at_once, "gpt", 100, runs, trials), HERE)


@pytest.mark.parametrize(
    ("runs", "seconds", "expected"),
    [
        (8, {1: 8.0, 2: 4.2, 4: 2.2, 8: 1.3}, 1),  # one full wave
        (64, {1: 8.0, 2: 4.1, 4: 2.1, 8: 1.1}, 1),  # ranks never gain quite what they cost
        (1, {1: 8.0, 2: 4.2, 4: 2.2, 8: 1.3}, 8),  # seven GPUs would stand idle
        (2, {1: 8.0, 2: 4.2, 4: 2.2, 8: 1.3}, 4),
        (4, {1: 8.0, 2: 4.2, 4: 2.2, 8: 1.3}, 2),
        (9, {1: 8.0, 2: 4.2, 4: 2.2, 8: 1.3}, 4),  # 2 x 8.0, 3 x 4.2, 5 x 2.2, 9 x 1.3
        (9, {1: 8.0, 2: 5.5, 4: 4.0, 8: 3.0}, 1),  # ranks that hardly help
        (8, {1: 8.0, 2: 4.0, 4: 2.0, 8: 1.0}, 1),  # ties go to fewer
        (1, {1: 1.0, 2: 1.0, 4: 1.2, 8: 1.5}, 1),  # more is not faster
        (8, {1: None, 2: 4.2, 4: 2.2, 8: 1.3}, 2),  # one does not fit
        (64, {1: None, 2: None, 4: 2.2, 8: 1.0}, 8),
        (64, {1: 8.0, 2: None, 4: None, 8: None}, 1),
    ],
)
def test_the_study_that_ends_soonest_is_chosen(runs: int, seconds: dict[int, float | None], expected: int) -> None:
    assert chosen(runs, seconds) == expected


def test_a_limit_on_runs_at_a_time_counts() -> None:
    assert chosen(8, {1: 8.0, 2: 4.2, 4: 2.2, 8: 1.3}, at_once=1) == 8


def test_what_never_trains_is_refused_with_every_reason() -> None:
    with pytest.raises(ConfigError, match=r"study.yaml: gpus_per_run: auto: .* \(with 1: out of memory; with 2: out"):
        chosen(8, {1: None, 2: None})


@pytest.fixture
def made(lab: Callable[..., Lab]) -> Plan:
    arms = {"gelu": {}, "deep": {"model": {"depth": 2}}}
    return plan(outline(load(lab(gpus_per_run="auto", arms=arms).study)))


def test_only_numbers_that_share_gpus_and_batches_alike_are_tried(made: Plan, lab: Callable[..., Lab]) -> None:
    assert split.possible(made, 8) == [1, 2, 4]  # a batch has 4 rows
    assert split.possible(made, 6) == [1, 2]
    assert split.possible(made, 3) == [1]
    odd = lab("odd", gpus_per_run="auto", base={**STUDY["base"], "batch_tokens": 48, "tokens": 48 * STEPS})
    assert split.possible(plan(outline(load(odd.study))), 8) == [1]


def test_the_arm_with_the_largest_steps_is_timed(made: Plan) -> None:
    assert split.heaviest(made).arm == "deep"


def test_one_way_needs_no_measurement(made: Plan, tmp_path: Path) -> None:
    found = split.decide(made, tmp_path, 1, None)
    assert (found.gpus, found.trials) == (1, ())
    assert found.lines() == ["GPUs per run: 1, the only way to share 1 by this study's batches"]


def test_real_steps_are_timed_and_nothing_stays(made: Plan, tmp_path: Path) -> None:
    (found,) = split.measured(split.heaviest(made), STEPS, {1: Slot(())}, tmp_path / "runs")
    assert found.seconds is not None, found.why
    assert 1e-4 < found.seconds < 1
    assert not list((tmp_path / "runs").iterdir())


def test_a_measurement_that_fails_says_why(lab: Callable[..., Lab], tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    arms = {"gelu": {}, "broken": {"plugins": {"broken": {}}}}
    broken = plan(outline(load(lab(gpus_per_run="auto", arms=arms, plugin_files=["broken.py"]).study)))
    run = next(run for run in broken.runs if run.arm == "broken")
    (found,) = split.measured(run, STEPS, {1: Slot(())}, tmp_path / "runs")
    assert (found.gpus, found.seconds) == (1, None)
    assert re.fullmatch(r"plugin code at .*broken\.py:12: ValueError: sprung", found.why)


def test_where_memory_is_short_smaller_passes_are_measured(lab: Callable[..., Lab], tmp_path: Path) -> None:
    (tmp_path / "hungry.py").write_text(HUNGRY)
    arms = {"gelu": {}, "hungry": {"plugins": {"hungry": {}}}}
    base = {**STUDY["base"], "batch_tokens": 128, "tokens": 128 * STEPS}
    hungry = plan(outline(load(lab(arms=arms, base=base, plugin_files=["hungry.py"]).study)))
    run = next(run for run in hungry.runs if run.arm == "hungry")
    (found,) = split.measured(run, STEPS, {1: Slot(())}, tmp_path / "runs")
    assert found.seconds is not None, found.why


def test_a_measurement_that_hangs_is_ended(made: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "PATIENCE_SECONDS", 0.2)
    (found,) = split.measured(split.heaviest(made), STEPS, {1: Slot(())}, tmp_path)
    assert found == Trial(1, None, "it took more than 0 s")


def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores stand for two GPUs, with real ranks over gloo."""

    def slots(device: str, each: int, jobs: int | None) -> list[Slot]:
        return [Slot((), each)] * min(2 // each, jobs or 2)

    monkeypatch.setattr(split, "ACCELERATORS", ("cpu",))
    for module in (split, training):
        monkeypatch.setattr(module, "find_slots", slots)


def measuring(*found: Trial) -> Callable[..., list[Trial]]:
    return lambda run, steps, slots, store: [trial for trial in found if trial.gpus in slots]


def decisions(here: Lab) -> list[dict[str, Any]]:
    return [entry.payload for entry in Ledger.of(here.runs).read() if entry.event == "split"]


def test_the_decision_is_printed_recorded_and_never_made_again(
    lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab(gpus_per_run="auto")
    two_gpus(monkeypatch)
    monkeypatch.setattr(split, "measured", measuring(Trial(1, 0.5), Trial(2, 0.4)))
    assert main(here.command("--no-mlflow")) == 0
    out = capsys.readouterr().out
    assert "GPUs per run: 1 of 2, measured with gelu for 4 runs" in out
    assert "  1: 0.5 s a step, 2 at a time: about 2 min" in out
    (found,) = decisions(here)
    assert (found["gpus_per_run"], found["digest"]) == (1, load(here.study).digest)
    assert [each["seconds"] for each in found["measured"]["trials"]] == [0.5, 0.4]
    values = [run["run_id"] for run in here.report()["runs"]]
    (here.runs / values[0] / "result.json").unlink()
    monkeypatch.setattr(split, "measured", measuring(Trial(1, None, "would be measured again"), Trial(2, 0.1)))
    assert main(here.command("--no-mlflow")) == 0
    assert "GPUs per run: 1 of 2" in capsys.readouterr().out
    assert decisions(here) == [found]
    assert [run["run_id"] for run in here.report()["runs"]] == values


def test_a_run_is_the_same_run_however_it_is_shared(lab: Callable[..., Lab]) -> None:
    ids = [
        [run.id for run in plan(outline(load(lab(f"s{gpus}", gpus_per_run=gpus).study))).runs]
        for gpus in (1, 2, "auto")
    ]
    assert ids[0] == ids[1] == ids[2]


def test_a_plan_says_that_it_will_be_measured_and_then_what_was(
    lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab(gpus_per_run="auto")
    asked = ["plan", str(here.study), "--runs", str(here.runs)]
    assert main(asked) == 0
    assert "GPUs per run: auto, and there is no GPU: a run has one core." in capsys.readouterr().out
    two_gpus(monkeypatch)
    monkeypatch.setattr("coregpt.lab.planning.forecast.tokens_per_second", lambda *_: 1e4)
    assert main(asked) == 0
    assert "GPUs per run: auto; `coregpt ablate` measures before the first run" in capsys.readouterr().out
    monkeypatch.setattr(split, "measured", measuring(Trial(1, 0.5), Trial(2, 0.1)))
    split.settled(plan(outline(load(here.study))), here.runs, None)
    assert main(asked) == 0
    assert "GPUs per run: 2 of 2, measured with gelu for 4 runs" in capsys.readouterr().out


def test_without_gpus_a_run_has_one_core(made: Plan, tmp_path: Path) -> None:
    assert split.settled(made, tmp_path, None) == (made, None)


@pytest.mark.parametrize("command", [["ablate", "--on", "slurm"], ["plan", "--emit", "sbatch"]])
def test_a_cluster_needs_a_number(
    lab: Callable[..., Lab], command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab(gpus_per_run="auto")
    name, *options = command
    assert main([name, str(here.study), "--runs", str(here.runs), *options]) == 2
    assert "tiny.yaml: gpus_per_run: auto is measured on this machine's GPUs" in capsys.readouterr().err
    assert not here.runs.exists()


@pytest.mark.parametrize("wrong", ["many", 0, True, 2.0])
def test_anything_else_is_refused_with_its_line(lab: Callable[..., Lab], wrong: object) -> None:
    with pytest.raises(ConfigError, match=r"tiny.yaml:\d+: gpus_per_run"):
        load(lab(gpus_per_run=wrong).study)
    with pytest.raises(ConfigError, match=r"tiny.yaml:\d+: scales.s.gpus_per_run: expected a number of GPUs, or auto"):
        load(lab(scales={"s": {"gpus_per_run": wrong}}).study)


def test_tokens_from_measured_speeds_need_one_gpu(lab: Callable[..., Lab], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it needs 'gpus_per_run: 1'"):
        measured([load(lab(match="seconds", gpus_per_run="auto").study)], tmp_path)


@pytest.mark.slow
def test_two_real_ranks_are_measured_and_train_the_study(
    lab: Callable[..., Lab], executed: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab(gpus_per_run="auto")
    two_gpus(monkeypatch)
    real = split.measured

    def too_large_for_one(*arguments: Any) -> list[Trial]:
        found = real(*arguments)
        assert all(trial.seconds for trial in found), found
        return [NO_MEMORY, replace(found[1])]

    monkeypatch.setattr(split, "measured", too_large_for_one)
    assert main(here.command("--no-mlflow")) == 0
    out = capsys.readouterr().out
    assert "GPUs per run: 2 of 2" in out
    assert "  1: cannot train: out of memory" in out
    for run in here.report()["runs"]:
        ours, theirs = RunFolder(here.runs / run["run_id"]), RunFolder(executed.runs / run["run_id"])
        assert ours.environment()["ranks"] == "2"
        assert (ours.result() or {})["value"] == pytest.approx((theirs.result() or {})["value"], abs=1e-4)


def test_a_batch_that_gpus_cannot_share_is_refused_before_anything_runs(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab(gpus_per_run=3)
    for command in ("plan", "ablate"):
        assert main([command, str(here.study), "--runs", str(here.runs)]) == 2
        told = capsys.readouterr().err
        assert ": arms.gelu: gpus_per_run is 3, which cannot share a batch of 4 rows alike" in told
    assert not here.runs.exists()
