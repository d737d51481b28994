"""Bytes as a program prints them, whole lines as they are read, a log that stays small."""

from pathlib import Path

import pytest

from coregpt.lab.command import output
from coregpt.lab.command.output import Growing, Output


def test_lines_come_whole_however_they_are_cut(tmp_path: Path) -> None:
    out = Output(tmp_path / "log")
    parts = [b"one\ntw", b"o\r\nthr", b"ee", b"\n\nfour"]
    assert [line for part in parts for line in out.take(part)] == ["one", "two", "three"]
    assert list(out.close()) == ["four"]
    assert (tmp_path / "log").read_bytes() == b"".join(parts)


def test_a_line_without_end_is_cut_and_the_next_one_is_read(tmp_path: Path) -> None:
    out = Output(tmp_path / "log")
    found = [*out.take(b"x" * 10_000), *out.take(b"y" * 10_000), *out.take(b"\nnext\n")]
    assert found == ["x" * output.LONGEST, "next"]


def test_the_log_has_a_beginning_and_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "HEAD_BYTES", 20)
    monkeypatch.setattr(output, "TAIL_BYTES", 20)
    out = Output(tmp_path / "log")
    whole = [b"%06d\n" % number for number in range(100)]
    for line in whole:
        list(out.take(line))
    list(out.close())
    text = (tmp_path / "log").read_bytes()
    assert text.startswith(b"".join(whole)[:20])
    assert text.endswith(b"".join(whole)[-20:])
    left = int(text.split(b"[")[1].split(b" ")[0])
    assert left + len(text) - len(b"\n[%d bytes left out]\n" % left) == 700


def test_a_growing_file_is_read_from_where_it_was_left(tmp_path: Path) -> None:
    file = Growing(tmp_path / "metrics")
    assert list(file.lines()) == []
    file.path.write_text("a\nb")
    assert list(file.lines()) == ["a"]
    with file.path.open("a") as more:
        more.write("c\nd")
    assert list(file.lines()) == ["bc"]
    assert list(file.lines(last=True)) == ["d"]
    file.path.write_text("e\n")
    assert list(file.lines()) == ["e"]
