"""Logs of other programs, line by line and as whole files."""

import json
import math
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.lab.logs.formats import json_line, nanogpt
from coregpt.lab.logs.lines import read_line
from coregpt.lab.logs.parse import parse

LOSSES = {0: 4.0, 100: 3.5, 200: 3.25}
NANOGPT = "".join(
    f"step {s}: train loss {v - 0.1:.4f}, val loss {v:.4f}\niter {s}: loss 3.9, time 23.1ms, mfu 9%\n"
    for s, v in LOSSES.items()
)
SPEEDRUN = "".join(f"step:{s}/200 val_loss:{v} train_time:{s}ms step_avg:1ms\n" for s, v in LOSSES.items())
JSONL = "".join(
    json.dumps({"_step": s, "val/loss": v, "train_seconds": s / 10, "note": "x"}) + "\n" for s, v in LOSSES.items()
)
CSV = "Step,val_loss,train_time_ms\n" + "".join(f"{s},{v},{s}\n" for s, v in LOSSES.items())


def labelled(text: str) -> str:
    """As `srun --label` prints two ranks, the second with other numbers."""
    return "".join(f"0: {line}\n1: {line.replace('val_loss:3', 'val_loss:9')}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", NANOGPT),
        ("a.jsonl", JSONL),
        ("a.csv", CSV),
        ("a.csv", CSV.replace("\n", "\r\n")),
        ("a.out", labelled(SPEEDRUN)),
        ("a.out", labelled(NANOGPT)),
        ("a.log", "0: loading\n" + JSONL),
    ],
)
def test_each_format_gives_the_same_curve(name: str, text: str) -> None:
    (run,) = parse(text, name)
    assert run.curve("val_loss") == LOSSES
    assert run.unread == ()


def test_training_loss_and_seconds_come_along() -> None:
    (run,) = parse(JSONL, "a.jsonl")
    assert run.seconds == {0: 0.0, 100: 10.0, 200: 20.0}
    (run,) = parse(CSV, "a.csv")
    assert run.seconds[200] == pytest.approx(0.2)
    (run,) = parse(NANOGPT, "a.txt")
    assert run.curve("train_loss")[100] == pytest.approx(3.4)


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("a.txt", SPEEDRUN.replace("val_loss:3.5", "val_loss:3,5"), 2, "val_loss: '3,5'"),
        ("a.txt", NANOGPT.replace("val loss 3.5000", "val loss 3.5.0"), 3, "val_loss: '3.5.0'"),
        ("a.jsonl", JSONL.replace('"val/loss": 3.5', '"val/loss": "3,5"'), 2, "val/loss: '3,5'"),
        ("a.csv", CSV.replace("100,3.5", "100,n/a"), 3, "val_loss: 'n/a'"),
        ("a.out", labelled(SPEEDRUN).replace("0: step:100/200 val_loss:3.5", "0: step:100/200 val_loss:?"), 3, "'?'"),
    ],
)
def test_a_metric_line_that_cannot_be_read_is_named(name: str, text: str, line: int, said: str) -> None:
    (run,) = parse(text, name)
    assert len(run.unread) == 1
    assert run.unread[0].startswith(f"{line}: ")
    assert said in run.unread[0]
    assert 100 not in run.curve("val_loss")


@pytest.mark.parametrize(
    "line",
    [
        "step:10/20 val_loss:{val_loss:.4f}",
        '{"val_loss": 3.5}',
        '{"step": 1.5, "val_loss": 3.5}',
        '{"step": 3, "name": "loss of words"}',
        "[1, 2]",
        "{not json}",
        "step 10 of 20",
    ],
)
def test_what_is_no_metric_line_stays_none(line: str) -> None:
    assert read_line(line) is None


def test_a_lost_run_says_nan_in_json_too() -> None:
    found = read_line('{"step": 3, "val_loss": NaN}')
    assert found is not None
    assert found.values["val_loss"] != found.values["val_loss"]


def test_a_table_without_steps_is_refused_with_its_columns() -> None:
    with pytest.raises(ConfigError, match=r"a\.csv:1: expected a column step, .*got epoch, val_loss"):
        parse("epoch,val_loss\n1,3\n", "a.csv")


def test_a_mixture_of_formats_is_compared_and_a_loss_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        for arm, text, ending, shift in (("plain", CSV, "csv", 0.0), ("other", JSONL, "jsonl", 0.1)):
            folder = tmp_path / "logs" / arm
            folder.mkdir(parents=True, exist_ok=True)
            for value in LOSSES.values():
                text = text.replace(f"{value}", f"{value + shift + 0.001 * seed:.4f}")
            (folder / f"seed{seed}.{ending}").write_text(text)
    assert main(["import", "logs"]) == 0
    bad = tmp_path / "logs/plain/seed0.csv"
    bad.write_text(bad.read_text().replace("100,3.5000", "100,oops"))
    assert main(["import", "logs", "--name", "second"]) == 2
    words = "logs/plain/seed0.csv:3: val_loss: 'oops' cannot be read as a number: write nan if the run was lost"
    assert words in capsys.readouterr().err
    assert not (tmp_path / "runs/reports/second").exists()


@pytest.mark.parametrize(
    "told", ["-nan(ind)", "1.#QNAN", "-1.#IND00", "tensor(nan)", "tensor(nan, device='cuda:0')", "inf", "-nan", "NaN"]
)
def test_a_loss_that_was_lost_is_so_however_it_is_spelled(told: str) -> None:
    for line in (
        f"step:1000/1000 val_loss:{told} train_time:1ms",
        f"s:1000 tel:{told}",
        f"step 1000: train loss 3.1, val loss {told}" if " " not in told else f"s:1000 tel:{told}",
        json.dumps({"step": 1000, "val_loss": told}),
    ):
        found = read_line(line)
        assert found is not None, line
        assert not math.isfinite(found.values["val_loss"]), line


def test_a_tensor_that_holds_a_number_is_that_number() -> None:
    found = read_line("step:1000/1000 val_loss:tensor(3.25) train_time:1ms")
    assert found is not None
    assert found.values["val_loss"] == 3.25


@pytest.mark.parametrize(
    "line",
    [
        "step:1000/1000 val_loss:None train_time:1ms",
        "step:1000/1000 val_loss:",
        "step:1000/1000 val_loss: oops train_time:1ms",
        "step:1000/1000 train_time:1ms val_loss: --",
        "s:1000 tel:",
    ],
)
def test_a_line_that_is_one_of_metrics_but_for_its_number_is_no_other_line(line: str) -> None:
    with pytest.raises(ValueError, match=r"(val_loss|tel): "):
        read_line(line)
    assert parse(f"step:500/1000 val_loss:3.5\n{line}\n", "a.txt")[0].unread


def test_a_row_without_its_loss_says_that_the_run_came_so_far() -> None:
    (run,) = parse('{"step": 500, "val_loss": 3.5}\n{"step": 1000, "val_loss": null}\n', "a.jsonl")
    assert (run.curve("val_loss"), run.last_step) == ({500: 3.5}, 1000)
    (run,) = parse("step,val_loss\n500,3.5\n1000,\n", "a.csv")
    assert (run.curve("val_loss"), run.last_step) == ({500: 3.5}, 1000)


@pytest.mark.parametrize("told", ["nan", "-nan(ind)", "1.#QNAN", "-NaN", "tensor(nan)"])
def test_a_line_of_json_with_a_lost_value_that_json_does_not_know_is_read(told: str) -> None:
    found = json_line(f'{{"step": 100, "val_loss": {told}, "note": "a: nan, b"}}')
    assert found is not None
    assert found[0] == 100
    assert math.isnan(found[1]["val_loss"])


def test_nanogpts_lines_may_go_on_behind_what_is_known() -> None:
    found = nanogpt("step 100: train loss nan, val loss nan, lr 0.1, mfu 3%")
    assert found is not None
    assert math.isnan(found[1]["val_loss"])
    assert nanogpt("iter 100: loss 3.9, time 12.00ms, mfu 3%, lr 0.1") == (100, {"train_loss": 3.9}, None)
