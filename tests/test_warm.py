"""A forked program is what `python -m` would have been: words, pipes, exit code, signals, environment, folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coregpt.lab.execute.pool import CAN_FORK
from tests.warm import Program

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="programs are forked on Linux only")

TOLD = """
import os, sys
print(sys.argv[1:], __name__, os.getcwd(), os.environ.get("SAID"), os.environ.get("HOME"), sys.path[0], sep="|")
print(sys.stdin.read(), file=sys.stderr)
print(sorted(os.listdir("/proc/self/fd")), os.getsid(0) == os.getpid(), "torch" in sys.modules)
sys.exit(int(sys.argv[1]))
"""
Kind = type["subprocess.Popen[str]"]


@pytest.fixture(params=[subprocess.Popen, Program], ids=["real", "forked"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    (tmp_path / "told.py").write_text(TOLD)
    (tmp_path / "waits.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(600)\n")
    (tmp_path / "fails.py").write_text("raise ValueError('no')\n")
    return request.param


@pytest.mark.parametrize("alone", [False, True])
def test_it_hears_and_says_what_a_program_does(kind: Kind, tmp_path: Path, alone: bool) -> None:
    with kind(
        [sys.executable, "-m", "told", "3", "ä"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={"SAID": "here", "LANG": "C.UTF-8"},
        start_new_session=alone,
    ) as process:
        out, err = process.communicate("spoken", timeout=60)
    words, open_files = out.splitlines()
    assert words == f"['3', 'ä']|__main__|{tmp_path}|here|None|{tmp_path}"
    assert err == "spoken\n"
    assert process.returncode == 3
    assert open_files.startswith("['0', '1', '2', '3'] ")  # 3 lists the folder
    assert open_files.split()[4:5] == [str(alone)]


def test_a_signal_ends_it_and_is_its_exit_code(kind: Kind, tmp_path: Path) -> None:
    with kind([sys.executable, "-m", "waits"], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_an_exception_is_printed_and_ends_it_with_one(kind: Kind, tmp_path: Path) -> None:
    with kind([sys.executable, "-m", "fails"], stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert "ValueError: no" in process.communicate(timeout=60)[1]
    assert process.returncode == 1


def test_files_that_are_passed_keep_their_numbers(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "writes.py").write_text("import os, sys\nos.write(int(sys.argv[1]), b'through')\n")
    ours, theirs = os.pipe()
    with kind([sys.executable, "-m", "writes", str(theirs)], pass_fds=(theirs,), cwd=tmp_path) as process:
        os.close(theirs)
        assert process.wait(60) == 0
    assert os.read(ours, 64) == b"through"
    assert os.read(ours, 64) == b""  # nobody holds the other end
    os.close(ours)


LENDS = """
import os, sys
sys.path.append(sys.argv[1])
from tests.warm import lend
lent, (status, theirs) = lend(), os.pipe()
request = {"words": ["told", "3"], "cwd": os.getcwd(), "environment": {}, "session": True, "fds": []}
lent.fork(request, [theirs, 0, 1, 2])
os.close(theirs)
print(os.waitstatus_to_exitcode(int(os.read(status, 64))))
lent.close()
print(os.waitpid(lent.pid, 0)[0] == lent.pid)
"""


def test_what_a_program_is_lent_forks_others_and_ends_with_it(kind: Kind, tmp_path: Path) -> None:
    (tmp_path / "lends.py").write_text(LENDS)
    words, pipe = [sys.executable, "-m", "lends", str(Path(__file__).parent.parent)], subprocess.PIPE
    with kind(words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path) as process:
        out, err = process.communicate(timeout=60)
    told, open_files, code, ended = out.splitlines()
    assert told.startswith("['3']|__main__"), err
    assert open_files.startswith("['0', '1', '2', '3'] True")
    assert (code, ended) == ("3", "True")
