"""A terminal sees a table that is redrawn in place, a log sees plain lines and never long silence."""

import io
import os
import re

import pytest

from coregpt.lab.progress import QUIET_SECONDS, Display, Line, duration, in_words, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((40, 12)))


def screen(written: str, columns: int) -> list[str]:
    """What a terminal shows: the few control codes that are used, carried out one by one."""
    rows, row, column = [""], 0, 0
    for code, lines, text in re.findall(r"(\x1b\[(\d*)[AJ])|(.)", written, flags=re.S):
        if code.endswith("A"):
            row = max(0, row - int(lines))
        elif code.endswith("J"):
            rows[row:] = [rows[row][:column]]
        elif text == "\r":
            column = 0
        elif text == "\n" or column == columns:
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        if text and text not in "\r\n":
            rows[row] = rows[row][:column].ljust(column) + text + rows[row][column + 1 :]
            column += 1
    return rows


RUNNING = Line("gpt", 1, "running", 120, 400, 0.3, 1.82312, 21_000.4, 95.0)
DONE = Line("gpt", 0, "done", 400, 400, 1.0, 1.5)


@pytest.mark.usefixtures("size")
def test_a_terminal_shows_the_newest_table_under_every_event() -> None:
    stream = Terminal()
    display = Display(stream)
    display.status("one", [RUNNING])
    display.event("gpt seed 0 done")
    display.status("two", [DONE, RUNNING])
    display.status("three", [RUNNING])
    assert screen(stream.getvalue(), 40) == [
        "gpt seed 0 done",
        "arm  seed  state    step     left",
        "gpt  1     running  120/400  1 min 35 s",
        "three",
    ]
    display.clear()
    assert screen(stream.getvalue(), 40) == ["gpt seed 0 done", ""]


def test_a_terminal_that_became_narrower_is_still_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    columns = [60]
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns[0], 24)))
    stream = Terminal()
    display = Display(stream)
    display.event("event")
    display.status("x" * 55)
    columns[0] = 30  # the 55 characters are two rows now
    display.status("y")
    assert screen(stream.getvalue(), 30) == ["event", "y"]


def test_a_table_shows_what_there_is_room_for() -> None:
    lines = [DONE, RUNNING, Line("gpt", 2, "waiting")]
    assert table(lines, 79, 10) == [
        "arm  seed  state    step     loss    tokens/s  left",
        "gpt  0     done     400/400  1.5000",
        "gpt  1     running  120/400  1.8231  21,000    1 min 35 s",
        "gpt  2     waiting",
    ]
    assert table(lines, 39, 10)[0].split() == ["arm", "seed", "state", "step", "left"]
    assert table(lines, 20, 10)[0].split() == ["arm", "seed", "state"]


def test_more_runs_than_rows_are_told_per_arm() -> None:
    lines = [
        Line(arm, seed, "done" if seed else "running", share=1.0 if seed else 0.5) for arm in "ab" for seed in (0, 1)
    ]
    assert table(lines, 79, 4) == [
        "arm  done  runs",
        "a    75%   1 running, 1 done",
        "b    75%   1 running, 1 done",
    ]
    more = [*lines, Line("c", 0, "waiting"), Line("d", 0, "waiting")]
    assert table(more, 79, 4)[1:] == ["a    75%   1 running, 1 done", "b    75%   1 running, 1 done", "and 2 more arms"]
    assert table(lines, 79, 1) == []


@pytest.mark.parametrize("width", [5, 11, 24, 39, 79, 200])
@pytest.mark.parametrize("height", [0, 1, 2, 3, 7, 22, 100])
def test_no_table_is_wider_or_taller_than_the_terminal(width: int, height: int) -> None:
    names = [f"an_arm_with_a_very_long_name_{i}" for i in range(9)]
    lines = [Line(name, seed, "running", 7, None, 0.1, 12.3, 1e6, 1e5) for name in names for seed in range(3)]
    shown = table(lines, width, height)
    assert len(shown) <= height
    assert all(len(line) <= width for line in shown)


def test_a_log_names_what_is_executing() -> None:
    begun = Line("gpt", 4, "running", 0, None, 0.0, 5.5)
    lines = [DONE, RUNNING, Line("gpt", 2, "running"), begun, Line("gpt", 3, "elsewhere", 5)]
    assert in_words(lines) == [
        "gpt seed 1: step 120/400, loss 1.8231",
        "gpt seed 2: starting",
        "gpt seed 4: step 0, loss 5.5000",
        "1 in another process",
    ]


def test_a_log_gets_events_at_once_and_the_status_after_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = io.StringIO()
    display = Display(stream)
    display.status("too early")
    display.event("done")
    now[0] += QUIET_SECONDS
    display.status("still here")
    display.status("too early again")
    assert stream.getvalue() == "done\nstill here\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.6, "5 s"), (59.9, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text
