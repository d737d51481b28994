"""Folders of runs that belong to somebody else: read where reading is enough, refused in one line where it is not."""

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coregpt.cli import main
from tests.lab.conftest import Lab

NOBODY = 65534
SUPERUSER = os.geteuid() == 0
OVERRIDING = (1, 2, 3)
"""Capabilities that let the superuser pass by permissions: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER."""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="permissions are told to the kernel of Linux")

Answer = tuple[int, str]


@pytest.fixture
def shared(executed: Lab) -> Iterator[Lab]:
    """The executed study in a folder that everybody may enter, as pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="coregpt-shared-"))
    folder.chmod(0o755)
    for part in (executed.runs, executed.data):
        shutil.copytree(part, folder / part.name)
    text = executed.study.read_text().replace(str(executed.data), str(folder / executed.data.name))
    (folder / "tiny.yaml").write_text(text)
    yield Lab(folder, folder / executed.data.name, folder / "tiny.yaml")
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        place.chmod(0o755)
    shutil.rmtree(folder)


def read_only(folder: Path) -> None:
    """As somebody else's folder is for whoever may only look."""
    for place in (folder, *folder.rglob("*")):
        place.chmod(0o555 if place.is_dir() else 0o444)
        if SUPERUSER:
            os.chown(place, NOBODY, NOBODY)


def bind() -> None:
    """From now on permissions bind this process and what it starts, even if the superuser began it."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in OVERRIDING:
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: no program gets it back
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    held = (ctypes.c_uint32 * 6)()
    libc.capget(header, held)
    for field in (0, 1, 2):  # effective, permitted, inheritable
        held[field] &= ~sum(1 << capability for capability in OVERRIDING)
    assert libc.capset(header, held) == 0


def as_other_user(call: Callable[[], int]) -> Answer:
    """The exit code of a call and all that it printed, in a process whom permissions bind."""
    with tempfile.TemporaryFile() as out:
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
                if SUPERUSER:
                    bind()
                sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
                sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
                code = call()
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        out.seek(0)
        return os.waitstatus_to_exitcode(status), out.read().decode()


def ablate(lab: Lab, reports: Path, *extra: str) -> Answer:
    command = ["ablate", str(lab.study), "--runs", str(lab.runs), "--reports", str(reports), "--no-mlflow", *extra]
    return as_other_user(lambda: main(command))


@pytest.fixture
def mine() -> Iterator[Path]:
    """A folder in which that other user may write."""
    with tempfile.TemporaryDirectory(prefix="coregpt-mine-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_a_complete_study_is_reported_again_from_a_folder_that_may_only_be_read(shared: Lab, mine: Path) -> None:
    read_only(shared.runs)
    before = (shared.runs / "ledger.jsonl").read_bytes()
    code, told = ablate(shared, mine)
    assert (code, "Traceback" in told) == (0, False), told
    assert "nothing to train" in told
    assert (mine / "tiny" / "report.json").exists()
    assert (shared.runs / "ledger.jsonl").read_bytes() == before


def test_a_study_with_missing_runs_says_that_it_cannot_train_there(shared: Lab, mine: Path) -> None:
    shutil.rmtree(next(path.parent for path in shared.runs.glob("*/result.json")))
    read_only(shared.runs)
    code, told = ablate(shared, mine)
    assert code == 2, told
    assert not {"Errno", "Traceback"} & set(told.replace("[", " ").split())
    assert "cannot write in the folder" in told
    assert "choose another one" in told


def test_files_of_another_user_are_named_with_their_owner(shared: Lab, mine: Path) -> None:
    shutil.rmtree(next(path.parent for path in shared.runs.glob("*/result.json")))
    read_only(shared.runs)
    shared.runs.chmod(0o777)  # a folder for all, in which each file is its owner's
    code, told = ablate(shared, mine)
    assert code == 2, told
    assert not {"Errno", "Traceback"} & set(told.replace("[", " ").split())
    assert f"{shared.runs}/" in told
    assert "ask for access" in told
    if SUPERUSER:
        assert "belongs to " in told


def test_what_may_not_even_be_read_is_no_reason_to_delete_it(shared: Lab, mine: Path) -> None:
    for path in shared.runs.glob("*/result.json"):
        path.chmod(0o000)
    code, told = ablate(shared, mine)
    assert code == 2, told
    assert "delete" not in told
    assert "ask for access" in told


def test_locks_are_for_the_group_where_the_umask_says_so(shared: Lab) -> None:
    from coregpt.lab.records.ledger import Ledger

    before = os.umask(0o002)
    try:
        (shared.runs / "ledger.lock").unlink()
        with Ledger.of(shared.runs).locked():
            assert (shared.runs / "ledger.lock").stat().st_mode & 0o777 == 0o664
    finally:
        os.umask(before)
