"""A study under attack ends with the report of a study left in peace: see CONTRIBUTING for how to run it.

Fifty strikes of every kind, in an order and at moments drawn with a fixed seed: 21 at workers, 25 at whatever else
keeps a study going, 4 at MLflow's database once there is something to mirror. One arm runs out of memory in every run,
one diverges in every run, and at times two launchers share the study.
"""

import random
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from tests.lab.conftest import STUDY, Lab, write_study
from tests.lab.execute.fault_injection import DECK, Siege
from tests.lab.execute.test_launcher import untimed
from tests.lab.execute.test_trouble import HUNGRY

STEPS, SEEDS = 4500, 6
DATABASE = ("locked", "damaged", "gone", "gone")
"""What befalls it, each time before the complete study is mirrored."""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="strikes are aimed through /proc")]


def test_the_deck_has_fifty_strikes_and_a_fair_share_of_workers() -> None:
    assert sum(DECK.values()) + len(DATABASE) == 50
    assert sum(number for kind, number in DECK.items() if kind.endswith("worker")) >= 20


@pytest.fixture(scope="module")
def peace(executed: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The study left in peace. An arm diverges, and one runs out of memory."""
    folder = tmp_path_factory.mktemp("peace")
    (folder / "hungry.py").write_text(HUNGRY)
    arms = {"gelu": {}, "hungry": {"plugins": {"hungry": {}}}, "wild": {"optim": {"lr": 1e30}}}
    base = {**STUDY["base"], "batch_tokens": 128, "tokens": 128 * STEPS}
    study = write_study(folder / "s.yaml", executed.data, arms=arms, base=base, seeds=SEEDS, plugin_files=["hungry.py"])
    made = Lab(folder, executed.data, study)
    begun = time.monotonic()
    assert main(made.command("--no-mlflow")) == 0
    print(f"in peace: {time.monotonic() - begun:.0f} s")  # noqa: T201
    return made


@pytest.mark.parametrize("seed", [0, 1])
def test_fifty_strikes_change_nothing(peace: Lab, tmp_path: Path, seed: int) -> None:
    war, begun = peace.with_runs_in(tmp_path), time.monotonic()
    siege = Siege(war, random.Random(seed))
    try:
        siege.lay()
    finally:
        siege.lift()
    out = siege.out.read_text()
    siege_seconds = time.monotonic() - begun
    assert main(war.command("--no-mlflow", "--hang-seconds", "4")) == 0
    for blow in DATABASE:
        siege.struck[f"database {blow}"] += 1
        mirror_after(blow, war)
    told = dict(sorted(siege.struck.items()))
    print(f"seed {seed}: {sum(told.values())} strikes, {told}")  # noqa: T201
    slowest = f"stopped in {max(siege.stopping):.2f} s, started again in {max(siege.requeued):.2f} s at most"
    print(f"siege {siege_seconds:.0f} s; SIGTERM: {slowest}; two launchers {siege.pairs} times")  # noqa: T201
    every_run_once(war)
    every_kind_was_felt(war, siege)
    assert untimed(war) == untimed(peace)
    assert "Traceback" not in out, out[out.index("Traceback") - 200 :][:3000]


def mirror_after(blow: str, war: Lab) -> None:
    """Whatever the database has suffered, the study stays complete."""
    database, before = war.runs / "mlflow.db", untimed(war)
    if blow == "locked":
        with closing(sqlite3.connect(database)) as held:
            held.execute("BEGIN EXCLUSIVE")
            assert main(war.command()) == 0
    else:
        database.unlink(missing_ok=True)
        if blow == "damaged":
            database.write_bytes(b"no database" * 1000)
        assert main(war.command()) == 0
        if blow == "damaged":
            database.unlink()
    assert untimed(war) == before


def every_run_once(war: Lab) -> None:
    runs = {run["run_id"]: run for run in war.report()["runs"]}
    entries = Ledger.of(war.runs).read()
    ended = Counter(entry["run"] for entry in entries if entry.event in ("ended", "found"))
    assert sorted(ended) == sorted(runs), "a run was lost"
    assert set(ended.values()) == {1}, "a run was repeated"
    last = {entry["run"]: entry.event for entry in entries if entry.event in ("started", "failed", "ended", "found")}
    assert set(last.values()) <= {"ended", "found"}, "a complete run was trained again"
    assert all(runs[run]["status"] == "diverged" for run in runs if runs[run]["arm"] == "wild")


def every_kind_was_felt(war: Lab, siege: Siege) -> None:
    """A strike that changes nothing because it missed would prove nothing."""
    entries = Ledger.of(war.runs).read()
    reasons = " ".join(entry["reason"] for entry in entries if entry.event == "failed")
    for sign in ("SIGKILL", "asked to stop", "wrote nothing", "out of memory", "File too large"):
        assert sign in reasons, f"no run ever failed by '{sign}': {reasons}"
    assert len({entry.time[:13] for entry in entries}) > 3, "the clock did not jump"
    assert siege.pairs > 3
    assert siege.requeued
    hungry = [run["run_id"] for run in war.report()["runs"] if run["arm"] == "hungry"]
    assert {RunFolder(war.runs / run).micro_rows() for run in hungry} == {4}
