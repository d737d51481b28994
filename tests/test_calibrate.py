"""`coregpt calibrate` prints every promise and fails if one is broken."""

import io

import pytest

from coregpt.cli import main
from coregpt.cli.tools import calibrate


def test_the_exit_code_says_whether_every_promise_was_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(calibrate, "QUICK", 50)
    code = main(["calibrate", "--quick", "--seed", "1"])
    printed = capsys.readouterr().out
    assert "blocked Dunnett, 6 arms, n = 5" in printed
    assert "report, 4 arms, 5 seeds, paired" in printed
    assert code == int(any(line.endswith("NOT OK") for line in printed.splitlines()))


def test_a_broken_promise_is_named_and_exits_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    row = calibrate.Row("some test", "false positives", "normal", 0.01, 0.05, 0.001, 10_000)
    monkeypatch.setattr(calibrate, "calibrate", lambda replicates, seed: iter([row]))
    for name in ("null_studies", "null_chains"):
        monkeypatch.setattr(calibrate, name, lambda replicates, seed: iter(()))
    assert main(["calibrate"]) == 1
    assert " NOT OK\n" in capsys.readouterr().out


def test_a_line_without_a_promise_is_shown_and_not_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    row = calibrate.Row("picked seeds", "no promise", "normal", 0.05, 0.67, 0.001, 10_000)
    kept = calibrate.Row("some test", "false positives", "normal", 0.05, 0.04, 0.001, 10_000)
    monkeypatch.setattr(calibrate, "calibrate", lambda replicates, seed: iter([row, kept]))
    for name in ("null_studies", "null_chains"):
        monkeypatch.setattr(calibrate, name, lambda replicates, seed: iter(()))
    assert main(["calibrate"]) == 0
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if "picked seeds" in line]
    assert line.split()[-3:] == ["0.6700", "0.0010", "-"]
    assert "1 of 1 promises kept." in printed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_newest_line_is_shown_while_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    row = calibrate.Row("some test", "false positives", "normal", 0.05, 0.04, 0.001, 10_000)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", shown := Terminal())
    assert calibrate.told([row], [row]) == [row, row]
    assert "2 lines measured, the last: some test, normal noise 0.0400" in shown.getvalue()
    assert shown.getvalue().endswith("\x1b[J")
