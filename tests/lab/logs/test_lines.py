"""One metric line, in every format, and the lines that only look like one."""

import math

import pytest

from coregpt.lab.logs.lines import read_line, without_torn_end


def test_seconds_and_milliseconds_are_told_apart() -> None:
    slow = read_line("step:1750/3250 val_loss:3.45678 train_time:123.456s step_avg:95.12ms")
    fast = read_line("step:250/2315 val_loss:4.1234 train_time:15036ms step_avg:60.14ms\r")
    assert slow is not None
    assert fast is not None
    assert (slow.step, slow.planned, slow.values, slow.seconds) == (1750, 3250, {"val_loss": 3.45678}, 123.456)
    assert (fast.step, fast.planned, fast.values, fast.seconds) == (250, 2315, {"val_loss": 4.1234}, 15.036)


def test_the_old_format_has_the_new_names() -> None:
    valid, train = read_line("s:250 tel:6.5023"), read_line("s:250 trl:6.6")
    assert valid is not None
    assert train is not None
    assert (valid.step, valid.planned, valid.values) == (250, None, {"val_loss": 6.5023})
    assert train.values == {"train_loss": 6.6}


def test_a_second_readout_and_a_training_line() -> None:
    both = read_line("step:10/20 val_loss:3.5 val_ema_loss:3.4 train_time:10ms step_avg:1.00ms")
    timed = read_line("step:10/20 train_time:0ms step_avg:nanms")
    assert both is not None
    assert timed is not None
    assert both.values == {"val_loss": 3.5, "val_ema_loss": 3.4}
    assert (timed.values, timed.seconds) == ({}, 0.0)


def test_a_lost_run_says_nan() -> None:
    lost = read_line("step:10/20 val_loss:nan train_time:10ms")
    assert lost is not None
    assert math.isnan(lost.values["val_loss"])


@pytest.mark.parametrize("line", ["step:10/20 val_loss:3.1s train_time:10ms", "s:10 tel:3.1ms"])
def test_a_loss_in_seconds_is_none(line: str) -> None:
    with pytest.raises(ValueError, match=r"3\.1m?s"):
        read_line(line)


@pytest.mark.parametrize(
    ("lines", "torn"),
    [
        (["step:5/10 val_loss:3.4567 train_time:1ms", "step:10/10 val_loss:3.2"], True),
        (["step:5/10 val_loss:3.4567 train_time:1ms", "step:10/10 val_loss:3"], True),
        (["s:5 tel:3.4567", "s:10 tel:3.4512"], False),
        (["s:5 tel:3.4567", "s:10 tel:3.45"], True),
        (["s:5 tel:3.4567", "s:10 tel:3.45", ""], False),  # a line break: it was written so
        (["step 5: train loss 3.9021, val loss 4.0123", "step 10: train loss 3.9021, val loss 4.0"], True),
        (["step:5/10 val_loss:3.4567 train_time:10ms", "step:10/10 val_loss:3.4512 train_time:1"], False),
        (["step:10/10 val_loss:3.2"], False),  # nothing to tell by
    ],
)
def test_a_log_that_ends_inside_of_a_loss_loses_that_line(lines: list[str], torn: bool) -> None:
    assert list(without_torn_end(lines)) == (lines[:-1] if torn else lines)


@pytest.mark.parametrize(
    "line",
    [
        'print0(f"step:{step}/{train_steps} val_loss:{val_loss:.4f}")',
        "    step:10/20 val_loss:3.5",
        "# step:10/20 val_loss:3.5",
        "step:{step}/{steps} val_loss:{val_loss:.4f}",
        "step:10/20 val_loss:{val_loss:.4f}",
        "step: 10 val_loss: 3.5",
        "steps:10 tel:3",
        "",
    ],
)
def test_lines_that_are_no_readings(line: str) -> None:
    assert read_line(line) is None
