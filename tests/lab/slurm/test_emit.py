"""Scripts for sbatch: what is in them, and what becomes of the runs in them on a real cluster."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.planning.load import load_family
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.ledger import Ledger
from tests.lab.conftest import Lab
from tests.lab.execute.test_launcher import planned, untimed
from tests.lab.slurm.cluster import (
    MINUTE,
    assert_gone_on,
    emitted,
    events,
    queue,
    said,
    sent,
    stop_each,
    wait_for,
    without_two,
)

SIZES = {"s": {"model": {"dim": 8}}, "m": {"model": {"dim": 16}}, "l": {"model": {"dim": 32}}}


def options_in(text: str) -> dict[str, str]:
    """What a script asks of sbatch."""
    return dict(line.removeprefix("#SBATCH --").partition("=")[::2] for line in text.splitlines() if "#SBATCH" in line)


def test_the_script_asks_for_what_the_options_say_and_bash_reads_it(lab: Callable[..., Lab]) -> None:
    here = lab()
    text = emitted(here, "--partition", "gpu", "--time", "90", "--max-jobs", "2", "--sbatch", "mem=2G")
    asked = options_in(text)
    assert re.fullmatch("coregpt-tiny-[0-9a-f]{8}", asked.pop("job-name"))
    assert asked == {
        "requeue": "",
        "array": "0-3%2",
        "output": f"{here.runs}/slurm/%A_%a.log",
        "open-mode": "append",
        "signal": "B:USR2@90",
        "nodes": "1",
        "ntasks-per-node": "1",
        "cpus-per-task": "1",
        "time": "90",
        "partition": "gpu",
        "mem": "2G",
    }
    for run in planned(here).runs:
        assert text.count(f"    {here.runs / run.id}\n") == 1
    subprocess.run(["bash", "-n", str(here.folder / "jobs.sh")], check=True)


def test_a_path_that_the_script_would_take_apart_is_refused_before_anything_is_entered(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab().with_runs_in(lab().folder / "two words")
    assert main(["plan", str(here.study), "--runs", str(here.runs), "--emit", "sbatch"]) == 2
    assert "a script cannot use a path with spaces" in capsys.readouterr().err
    assert not here.runs.exists()


def test_all_sizes_are_in_one_array(lab: Callable[..., Lab]) -> None:
    here = lab(sizes=SIZES)
    text = emitted(here)
    plans = [plan(outline(study)) for study in load_family(here.study)]
    assert options_in(text)["array"] == "0-11"
    for made in plans:
        assert f"{made.study.name} (preregistration {made.study.digest[:12]})" in text
        for run in made.runs:
            assert text.count(f"    {here.runs / run.id}\n") == 1
    assert events(here) == {"declared": 3, "started": 12}
    started = [(entry["study"], entry["run"]) for entry in Ledger.of(here.runs).read() if entry.event == "started"]
    assert sorted(started) == sorted((made.study.name, run.id) for made in plans for run in made.runs)


def test_a_script_on_a_cluster_goes_on_when_stopped_and_nobody_trains_its_runs_a_second_time(
    longer: Lab, tmp_path: Path, on_slurm: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    here = without_two(longer, tmp_path)
    text = emitted(here)
    order = re.findall(r"^    \S+/(\w+)$", text, flags=re.M)
    assert len(order) == 2
    array = said("sbatch", "--parsable", "--hold", str(tmp_path / "jobs.sh")).strip()
    assert main(here.command("--no-mlflow")) == 2
    err = capsys.readouterr().err
    assert f"2 of these runs are jobs of Slurm ({array}_0 PENDING, " in err
    assert err.endswith(f"or cancel them first: scancel {array}\n")
    command = ["plan", str(here.study), "--runs", str(here.runs), "--emit", "sbatch"]
    assert main(command) == 0
    assert "nothing to submit" in capsys.readouterr().err
    said("scontrol", "release", array)
    with sent(here, (*on_slurm, "--no-mlflow")) as process:
        own = the_one_with_the_id_of_all(array)
        other = 1 - own
        ways = {
            order[own]: lambda: said("scancel", "--batch", "--signal=USR2", f"{array}_{own}"),
            order[other]: lambda: said("scancel", "--signal=TERM", f"{array}_{other}"),
        }
        found = stop_each(here, ways)
        output, _ = process.communicate(timeout=3 * MINUTE)
    assert process.returncode == 0, output
    assert untimed(here) == untimed(longer)
    assert set(states_of(array).values()) == {"COMPLETED"}
    assert "retry" not in output
    assert events(here)["ended"] == 4 + 2
    assert_gone_on(here, found)


def states_of(array: str) -> dict[str, str]:
    return {job: state for job, state in queue().items() if job.startswith(f"{array}_")}


def the_one_with_the_id_of_all(array: str) -> int:
    """The task that Slurm gave the array's own id: what names it by that names all."""
    found: list[str] = []

    def one() -> bool:
        shown = said("squeue", "--noheader", f"--jobs={array}", "--states=RUNNING", "--format=%A %K").splitlines()
        found[:] = [task for job, task in map(str.split, shown) if job == array]
        return len(found) == 1 and found[0].isdigit()

    wait_for(one)
    return int(found[0])
