"""A program ends with its worker, whichever way that can be arranged here."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coregpt.lab.command import processes
from tests.lab.command.test_running import alive

WORKER = """
import os, sys, time
from pathlib import Path
from coregpt.lab.command import processes
{change}
program = processes.start("echo $$ > pid; sleep 600 & wait", Path("."), dict(os.environ), Path("."))
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asked of Linux's kernel")
@pytest.mark.parametrize("change", ["", "processes.follower = lambda: None"])
def test_a_killed_worker_takes_its_program_along(tmp_path: Path, change: str) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER.format(change=change)], cwd=tmp_path)
    pid = tmp_path / "pid"
    until = time.monotonic() + 60
    while not (pid.exists() and pid.read_text().strip()) and time.monotonic() < until:
        time.sleep(0.02)
    try:
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        while alive(pid.read_text().strip()) and time.monotonic() < until:
            time.sleep(0.02)
        assert not alive(pid.read_text().strip())
    finally:
        processes.end_left(tmp_path)


@pytest.mark.parametrize("tool", [None, "false"])
def test_a_tool_that_is_not_there_or_too_old_is_not_called(monkeypatch: pytest.MonkeyPatch, tool: str | None) -> None:
    monkeypatch.setattr(processes.shutil, "which", lambda name: tool)
    assert not processes.follower()
