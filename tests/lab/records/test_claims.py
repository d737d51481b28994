"""A run has one process at a time: a lock that ends with whoever holds it."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from coregpt.lab.records.claims import claim
from coregpt.lab.records.store import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "abc")
    made.create({"id": "abc"}, {})
    return made


def test_one_process_at_a_time_has_a_run(folder: RunFolder) -> None:
    held = claim(folder)
    assert held is not None
    assert claim(folder) is None
    held.release()
    again = claim(folder)
    assert again is not None
    again.release()


def test_a_claim_held_for_an_instant_is_waited_for(folder: RunFolder) -> None:
    """A launcher that looks whether a run is free must not make another one put it off until a slot ends."""
    glance = claim(folder)
    assert glance is not None
    assert claim(folder) is None
    begun = time.monotonic()
    assert claim(folder, patience=0.02) is None
    assert time.monotonic() - begun >= 0.02
    threading.Timer(0.02, glance.release).start()
    held = claim(folder, patience=30)
    assert held is not None
    held.release()


def test_the_claim_of_a_killed_process_is_free(folder: RunFolder) -> None:
    code = (
        "import sys, time; from pathlib import Path; from coregpt.lab.records.claims import claim; "
        "from coregpt.lab.records.store import RunFolder; "
        f"held = claim(RunFolder(Path({str(folder.path)!r}))); print(held is not None, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert claim(folder) is None
        other.kill()
    held = claim(folder)
    assert held is not None
    held.release()
