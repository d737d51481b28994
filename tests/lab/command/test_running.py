"""A program executed once: its numbers, its end, and everything that it may do instead."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.contract.errors import ConfigError, RunError
from coregpt.lab.command import running, telling
from coregpt.lab.command.config import CommandRun
from coregpt.lab.command.output import HEAD_BYTES, TAIL_BYTES
from coregpt.lab.command.running import clone_of
from coregpt.lab.records.store import RunFolder

Make = Callable[..., CommandRun]
Execute = Callable[..., dict[str, Any]]
LINE = "step 1: train loss 2.0, val loss 1.5"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "runs" / "run")


def test_the_last_value_counts_and_the_curve_is_kept(command: Make, executed: Execute, folder: RunFolder) -> None:
    result = executed(command())
    rows = [row for row in folder.rows() if "val_loss" in row]
    assert result["status"] == "finished"
    assert [row["step"] for row in rows] == [0, 10, 20, 30, 40, 50]
    assert result["value"] == result["select"] == rows[-1]["val_loss"] == rows[-1]["select_loss"]
    assert rows[0]["train_loss"] == pytest.approx(rows[0]["val_loss"] - 0.1)
    assert (result["steps"], result["exit_code"]) == (50, 0)
    assert "Overriding: learning_rate = 0.001" in folder.log.read_text()


def test_the_lowest_value_counts_where_that_is_declared(command: Make, executed: Execute, folder: RunFolder) -> None:
    script = "for i, x in enumerate([3, 1, 2]): print(f'step {i}: train loss 0, val loss {x}')"
    metric = {"pattern": "step {step}: train loss {a}, val loss {val_loss}", "final": "lowest"}
    result = executed(command(script, metric=metric))
    assert result["value"] == 1.0 == folder.rows()[-1]["val_loss"]


def test_the_seed_and_settings_arrive_by_edit_command_and_environment(command: Make, executed: Execute) -> None:
    names = ("seed", "lr", "MORE", "out")
    script = f"import os, sys; print('at', sys.argv[1], *(os.environ[name] for name in {names}))\n"
    script += "open(os.environ['out'] + '/kept', 'w').write('x')\n"
    script += f"print('{LINE}')"
    run = command(script, seed=3, set={"lr": 0.5}, env={"MORE": "m{seed}"})
    executed(run)
    out = Path(run.aside.place).parent / "runs" / "run" / "out"
    assert f"at 3 3 0.5 m3 {out}" in (out.parent / "log.txt").read_text()
    assert (out / "kept").exists()


def test_json_lines_need_no_pattern_and_may_tell_sizes(command: Make, executed: Execute, folder: RunFolder) -> None:
    script = (
        "import json, os\n"
        "with open(os.environ['COREGPT_METRICS'], 'a') as f:\n"
        "    for step in range(3):\n"
        "        print(json.dumps({'step': step, 'val_loss': 3 - step, 'tokens': 100 * step, 'params': 7}), file=f)\n"
    )
    result = executed(command(script, metric={}))
    assert (result["value"], result["tokens"], result["reported"]) == (1.0, 200, {"params": 7.0, "tokens": 200.0})


@pytest.mark.parametrize(
    ("form", "lines"),
    [
        ("nanogpt", ["step 0: train loss 2, val loss 3", "iter 0: loss 9, time 1.00ms", LINE]),
        ("modded-nanogpt", ["step:0/10 val_loss:3.0 train_time:1ms", "step:10/10 val_loss:1.5000 train_time:9ms"]),
        ("jsonl", ['{"step": 0, "val/loss": 2.5}', '{"step": 1, "val/loss": 1.5}']),
        ("csv", ["step,val_loss", "0,2.5", "1,1.5"]),
    ],
)
def test_known_formats_need_no_pattern(command: Make, executed: Execute, form: str, lines: list[str]) -> None:
    assert executed(command("\n".join(f"print({line!r})" for line in lines), metric={"format": form}))["value"] == 1.5


def test_a_file_of_the_program_is_read(command: Make, executed: Execute) -> None:
    script = "import os; open(os.environ['out'] + '/log.csv', 'w').write('step,val_loss\\n0,2\\n1,1.5\\n')"
    assert executed(command(script, metric={"format": "csv", "file": "{out}/log.csv"}))["value"] == 1.5


def test_a_lost_run_has_diverged_also_where_the_program_fails_for_it(command: Make, executed: Execute) -> None:
    script = f"print('{LINE}'); print('step 2: train loss nan, val loss nan'); raise SystemExit(1)"
    result = executed(command(script))
    assert (result["status"], result["value"]) == ("diverged", None)
    assert "nan" in result["reason"]


def test_a_run_that_is_made_twice_says_whether_its_numbers_came_again(command: Make, executed: Execute) -> None:
    assert executed(command().twice())["repetition"]["same"] is True
    script = "import time; print(f'step 1: train loss 0, val loss {time.time_ns()}')"
    result = executed(command(script).twice())
    assert result["repetition"]["same"] is False
    assert result["repetition"]["value"] != result["value"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("print('hello')", "the nearest is"),
        ("pass", "it printed nothing"),
        (
            "print('step 1: validation 2')",
            "no line is like 'step {step}: train loss {train_loss}, val loss {val_loss}'",
        ),
        ("print('step 1: train loss 2, val loss abc')", "cannot be read as numbers (val_loss: 'abc')"),
    ],
)
def test_a_program_that_never_tells_its_metric(command: Make, executed: Execute, script: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        executed(command("print('step one, loss two')\n" + script if "nearest" in words else script))
    assert words in str(error.value)


def test_a_failing_program_is_told_with_its_last_lines(command: Make, executed: Execute, folder: RunFolder) -> None:
    with pytest.raises(RunError, match=r"exit code 3; its last lines: step 1.* \| boom"):
        executed(command(f"print('{LINE}'); print('boom'); raise SystemExit(3)"))
    assert folder.result() is None


def test_a_hanging_program_is_killed_with_all_its_processes(command: Make, executed: Execute, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = (
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(RunError, match="longer than its time limit"):
        executed(command(script, time_limit=2))
    assert not any(map(alive, pids.read_text().split()))


def test_a_daemon_does_not_outlive_its_run(command: Make, executed: Execute, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        f"        open({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        "        time.sleep(600)\n"
        "    os._exit(0)\n"
        f"while not os.path.exists({str(pid)!r}): time.sleep(0.01)\n"
        f"print('{LINE}')\n"
    )
    begun = time.monotonic()
    assert executed(command(script))["value"] == 1.5
    assert time.monotonic() - begun < 60
    assert not alive(pid.read_text())


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    "noise",
    [
        "for i in range(300_000): print('noise', i)",
        "for i in range(200_000): print(f'iter {i}: loss 1.0, time 1.00ms')",
        "import sys; sys.stdout.buffer.write(bytes(range(256)) * 20_000); print()",
        "print('x' * 5_000_000)",
    ],
)
def test_much_output_is_read_and_the_log_stays_small(
    command: Make, executed: Execute, folder: RunFolder, noise: str
) -> None:
    result = executed(command(f"{noise}\nprint('{LINE}')"))
    assert result["value"] == 1.5
    assert folder.log.stat().st_size < HEAD_BYTES + 2 * TAIL_BYTES + 100_000
    assert LINE in folder.log.read_text(errors="replace")[-200:]


def test_a_metric_told_without_end_keeps_few_rows(
    command: Make, executed: Execute, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "MOST_ROWS", 50)
    result = executed(command("for i in range(5001): print(f'step {i}: train loss 1, val loss {5001 - i}')"))
    assert result["value"] == 1.0
    assert len(folder.rows()) < 500
    assert folder.rows()[-1]["val_loss"] == 1.0


def test_inputs_are_linked_and_may_not_be_written_to(command: Make, executed: Execute, nano: Path) -> None:
    (nano / ".gitignore").write_text("data/*.bin\n")
    (nano / "data").mkdir()
    (nano / "data" / "train.bin").write_text("42")
    run = command(f"print(open('data/train.bin').read()); open('data/new', 'w'); print('{LINE}')", reads=["data"])
    assert executed(run)["value"] == 1.5
    assert sorted(path.name for path in (nano / "data").iterdir()) == ["train.bin"]
    run = command(f"print('{LINE}'); open('data/train.bin', 'a').write('spoiled')", reads=["data"])
    with pytest.raises(ConfigError, match=r"wrote to its input data/train\.bin"):
        executed(run)


def test_an_input_that_changed_since_it_was_planned_is_refused(command: Make, executed: Execute, nano: Path) -> None:
    (nano / ".gitignore").write_text("*.bin\n")
    (nano / "train.bin").write_text("42")
    run = command(f"print('{LINE}')", reads=["train.bin"])
    (nano / "train.bin").write_text("4242")
    with pytest.raises(RunError, match="has changed since"):
        executed(run)


def test_a_repository_that_is_gone_is_told(command: Make, executed: Execute, nano: Path) -> None:
    run = command()
    os.rename(nano, nano.with_name("elsewhere"))
    with pytest.raises(RunError, match="is not there any more"):
        executed(run)


def test_a_full_disk_ends_the_program_before_it_takes_the_study_along(
    command: Make, executed: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LEAST_FREE", 1 << 62)
    with pytest.raises(RunError, match="is full"):
        executed(command("import time; time.sleep(60)"))


def test_of_several_ranks_the_first_one_calls_the_program(
    command: Make, executed: Execute, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`torchrun` starts a worker for each GPU of a slot; the program has all of them, and starts its own processes."""
    monkeypatch.setenv("RANK", "1")
    executed(command(f"print('{LINE}')"))
    assert folder.result() is None
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    script = f"import os; print(os.environ.get('RANK'), os.environ['CUDA_VISIBLE_DEVICES']); print('{LINE}')"
    assert executed(command(script))["value"] == 1.5
    assert "None 2,3" in folder.log.read_text()


def test_a_stopped_run_has_no_result_and_begins_anew(command: Make, executed: Execute, folder: RunFolder) -> None:
    asked = iter([False, True])
    run = command(f"import time; print('{LINE}', flush=True); time.sleep(0.5); print('{LINE}')")
    assert executed(run, lambda: next(asked, True)) == {"status": "stopped"}
    assert folder.result() is None
    assert executed(run)["status"] == "finished"
    assert len([row for row in folder.rows() if "val_loss" in row]) == 2


def test_a_program_left_by_a_killed_worker_is_ended_first(command: Make, executed: Execute, folder: RunFolder) -> None:
    from coregpt.lab.command.processes import LEFT, start

    folder.path.mkdir(parents=True)
    left = start("sleep 600", folder.path, dict(os.environ), folder.path)
    assert (folder.path / LEFT).exists()
    executed(command())
    assert left.process.wait(10) != 0
    assert not (folder.path / LEFT).exists()


def test_the_users_repository_is_not_touched(command: Make, executed: Execute, nano: Path) -> None:
    (nano / "train.py").write_text((nano / "train.py").read_text() + "# mine\n")
    (nano / "new.py").write_text("pass\n")
    before = everything(nano)
    run = command(at="worktree")
    executed(run)
    assert everything(nano) == before
    assert clone_of(nano.parent / "runs" / "run").joinpath("new.py").exists()


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file, git's own included."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
