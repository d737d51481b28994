"""A terminal without UTF-8 costs letters, never the end of a study."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coregpt.cli.encoding import lenient
from tests.lab.conftest import Lab

PLAIN = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def test_a_finished_study_is_told_where_the_terminal_has_only_ascii(executed: Lab, tmp_path: Path) -> None:
    report = executed.reports / "tiny" / "report.json"
    command = [sys.executable, "-m", "coregpt.cli", "report", str(report), "--out", str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, **PLAIN}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"margin +-0.02" in done.stdout
    done.stdout.decode("ascii")


@pytest.mark.parametrize(
    ("encoding", "text", "printed"),
    [
        ("ascii", "±3 × é 漢", b"+-3 x \\xe9 \\u6f22"),
        ("latin-1", "±3 → é", b"\xb13 -> \xe9"),
        ("ascii", "runs/\udce9", b"runs/\xe9"),  # a file's name as the system has it
        ("utf-8", "±é", "±é".encode()),
    ],
)
def test_letters_that_an_encoding_lacks_are_spelled(encoding: str, text: str, printed: bytes) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    lenient(stream)
    stream.write(text)
    stream.flush()
    assert raw.getvalue() == printed
