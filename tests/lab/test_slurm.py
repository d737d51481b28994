"""Runs as jobs of Slurm: what is decided without a cluster, and all of it on a real one on this machine's loopback."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.lab import slurm
from coregpt.lab.atomic import read_json
from coregpt.lab.children import Child
from coregpt.lab.config import load
from coregpt.lab.jobs import Policy
from coregpt.lab.launch import Launcher
from coregpt.lab.ledger import Ledger
from coregpt.lab.machine import Machine
from coregpt.lab.progress import Display
from coregpt.lab.remote import Execute
from coregpt.lab.slots import Slot
from coregpt.lab.slurm import SlurmChild, SlurmOptions, cluster
from coregpt.lab.squeue import GONE, Queue, parse_states
from coregpt.lab.store import Claim, RunFolder, claim
from coregpt.lab.study import outline, plan
from tests.lab.conftest import STUDY, Lab, write_study
from tests.lab.test_launch import planned, untimed, wait_for_training

SCRIPT = Path(__file__).parent.parent.parent / ".ci" / "slurm"
MINUTE = 60.0

# -- without a cluster -------------------------------------------------------------------------------------------


def test_states_are_read_from_squeue_and_from_sacct() -> None:
    # Printed by Slurm 22.05: squeue --array --format=%i|%T, then sacct --parsable2 of a cancelled job.
    assert parse_states("1|COMPLETED\n2_0|RUNNING\n2_1|PENDING\n") == {
        "1": "COMPLETED",
        "2_0": "RUNNING",
        "2_1": "PENDING",
    }
    assert parse_states("7_1|CANCELLED by 1000\n") == {"7_1": "CANCELLED"}
    assert parse_states("") == {}


@pytest.mark.parametrize(
    ("gpus", "options", "layout"),
    [
        (1, SlurmOptions(gpus_per_node=8), (1, 1)),
        (8, SlurmOptions(gpus_per_node=8), (1, 8)),
        (16, SlurmOptions(gpus_per_node=8), (2, 8)),
        (12, SlurmOptions(gpus_per_node=8), (2, 6)),
        (8, SlurmOptions(gpus_per_node=8, nodes=4), (4, 2)),
    ],
)
def test_the_gpus_of_a_run_are_shared_alike_by_nodes(gpus: int, options: SlurmOptions, layout: tuple[int, int]) -> None:
    assert options.layout("cuda", gpus) == layout


def test_gpus_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ConfigError, match="gpus_per_run is 9"):
        SlurmOptions(gpus_per_node=8).layout("cuda", 9)
    with pytest.raises(ConfigError, match="gpus_per_run is 16"):
        SlurmOptions(gpus_per_node=4, nodes=2).layout("cuda", 16)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """`commands("squeue", "echo '1|RUNNING'")` puts a program of that name first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(name: str, body: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)

    for name in ("sbatch", "squeue", "scancel", "sacct"):
        write(name, "exit 1")
    return write


def test_a_job_is_gone_only_once_slurm_has_answered_without_it(commands: Callable[[str, str], None]) -> None:
    queue = Queue(0.0)
    assert queue.state("5", queue.looks) == "PENDING"  # squeue fails: nothing is known
    commands("squeue", "echo '5|RUNNING'")
    assert queue.state("5", 0) == "RUNNING"
    commands("squeue", "exit 1")
    assert queue.state("5", 0) == "RUNNING"
    commands("squeue", "echo '6|RUNNING'")
    assert queue.state("5", 0) == GONE
    assert queue.last_state("5") == GONE
    commands("sacct", "echo '5|TIMEOUT'")
    assert queue.last_state("5") == "TIMEOUT"


@pytest.fixture
def child(executed: Lab, tmp_path: Path, commands: Callable[[str, str], None]) -> SlurmChild:
    """A job 5 of a run that has a folder and nothing in it."""
    made = planned(executed)
    folder = RunFolder(tmp_path / "runs" / made.runs[0].id)
    folder.create(made.runs[0].record, {})
    _, machine = cluster(SlurmOptions(poll_seconds=0.01), tmp_path / "runs", "cpu", 1, 1)
    machine.queue.refresh_seconds = 0.0
    return SlurmChild(machine, folder, None, job="5")


def looked(child: SlurmChild, times: int = slurm.SETTLE + 1) -> int | None:
    return [child.poll() for _ in range(times)][-1]


@pytest.mark.parametrize("state", ["FAILED", "TIMEOUT", "NODE_FAIL", "CANCELLED", "OUT_OF_MEMORY", "COMPLETED"])
def test_a_job_that_ended_without_a_result_is_told_by_state_and_log(
    child: SlurmChild, commands: Callable[[str, str], None], state: str
) -> None:
    commands("squeue", f"echo '5|{state}'")
    child.machine.logs.mkdir()
    (child.machine.logs / "5_0_log.out").write_text("starting\nthe node caught fire\n")
    assert child.poll() is None, "what it wrote may not be visible yet"
    code = looked(child)
    assert code == -signal.SIGKILL, "the launcher tries again what was ended from outside"
    told = child.machine.meaning(child, -signal.SIGKILL)
    assert told.startswith(f"job 5 is {state}: the node caught fire (")


def test_files_say_how_a_run_ended_and_a_claim_that_it_has_not(
    child: SlurmChild, commands: Callable[[str, str], None]
) -> None:
    commands("squeue", "echo '5|COMPLETED'")
    held = claim(child.folder)
    assert held is not None
    assert looked(child) is None
    held.release()
    assert looked(child) == -signal.SIGKILL
    child.folder.write_error("sprung", "")
    assert looked(child) == 1
    child.folder.write_result({"status": "finished", "value": 1.0})
    assert looked(child) == 0


def test_a_requeued_job_is_alive_again(child: SlurmChild, commands: Callable[[str, str], None]) -> None:
    for state in ("RUNNING", "NODE_FAIL", "PENDING", "RUNNING"):
        commands("squeue", f"echo '5|{state}'")
        assert child.poll() is None
    assert child.end == ""


def test_runs_for_gpu_nodes_are_planned_on_a_login_node_without(executed: Lab, tmp_path: Path) -> None:
    base = {key: value for key, value in STUDY["base"].items() if key not in ("device", "precision", "compile")}
    outlined = outline(load(write_study(tmp_path / "auto.yaml", executed.data, base=base)))
    here, there = plan(outlined), plan(outlined, "cuda")
    config = there.runs[0].config
    assert (config.device, config.precision, config.compile) == ("cuda", "bf16", True)
    assert there.study.digest == here.study.digest
    declared = outline(load(executed.study))
    assert plan(declared, "cuda").runs == plan(declared).runs, "what the study declares stays"


def test_a_run_that_does_not_move_is_not_requeued_for_ever(executed: Lab, tmp_path: Path) -> None:
    made = planned(executed)
    folder = RunFolder(tmp_path / made.runs[0].id)
    folder.create(made.runs[0].record, {})
    first = Execute(folder.path)
    second = first.checkpoint().function
    third = second.checkpoint().function
    assert third.checkpoint() is None
    folder.write_rows([{"step": 3, "loss": 2.0}])
    moved = third.checkpoint().function
    assert (moved.step, moved.idle) == (3, 0)


@dataclass
class Patient:
    """A child that ends with the run of another folder, and takes note of signals."""

    folder: RunFolder
    source: RunFolder
    ready: float
    signals: list[int] = field(default_factory=list)

    def poll(self) -> int | None:
        if time.monotonic() < self.ready:
            return None
        for name in ("metrics.jsonl", "env.json", "result.json"):
            (self.folder.path / name).write_bytes((self.source.path / name).read_bytes())
        return 0

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def disown(self) -> None:
        """Nothing to close."""


def test_a_run_in_the_queue_is_not_taken_to_be_stuck(executed: Lab, tmp_path: Path) -> None:
    children = []

    class Busy(Machine):
        def begin(self, slot: Slot, folder: RunFolder, until: int | None, held: Claim) -> Child:
            source = RunFolder(executed.runs / folder.id)
            children.append(Patient(folder, source, time.monotonic() + 0.5))
            return children[-1]

        def queued(self, child: Child) -> bool:
            return True

    policy = Policy(hang_seconds=0.1, watch_seconds=0.05)
    tally = Launcher(planned(executed), tmp_path, [Slot(())] * 4, Display(), policy, Busy(Slot(()))).execute()
    assert len(tally.trained) == 4
    assert [each.signals for each in children] == [[]] * 4


def test_options_of_slurm_are_not_silently_ignored(executed: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(executed.command("--gpus-per-node", "8")) == 2
    assert "--gpus-per-node is for Slurm: add --on slurm" in capsys.readouterr().err
    assert main(["plan", str(executed.study), "--time", "5"]) == 2
    assert "--time is for Slurm: add --emit sbatch" in capsys.readouterr().err
    assert main(executed.command("--on", "slurm", "--sbatch", "mem")) == 2
    assert "--sbatch mem: expected KEY=VALUE" in capsys.readouterr().err


def test_without_slurm_or_submitit_nothing_is_begun(
    executed: Lab,
    tmp_path: Path,
    commands: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = executed.with_runs_in(tmp_path / "here")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "submitit", None)
        assert main(here.command("--on", "slurm")) == 2
    assert "pip install 'coregpt[slurm]'" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(here.command("--on", "slurm")) == 2
    assert "sbatch is not on PATH" in capsys.readouterr().err
    assert not list(here.folder.rglob("config.json"))


def emitted(lab: Lab, *extra: str) -> str:
    """The script that the plan command writes."""
    out = lab.folder / "jobs.sh"
    command = ["plan", str(lab.study), "--runs", str(lab.runs), "--emit", "sbatch", "--out", str(out), *extra]
    assert main(command) == 0
    return out.read_text()


def test_the_script_asks_for_what_the_options_say_and_bash_reads_it(lab: Callable[..., Lab]) -> None:
    here = lab()
    text = emitted(here, "--partition", "gpu", "--time", "90", "--max-jobs", "2", "--sbatch", "mem=2G")
    asked = dict(line.removeprefix("#SBATCH --").partition("=")[::2] for line in text.splitlines() if "#SBATCH" in line)
    assert asked == {
        "requeue": "",
        "job-name": "coregpt-tiny",
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


# -- on a cluster ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def slurm_conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The configuration of a cluster of two nodes that lives as long as the tests."""
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run([SCRIPT, "start", folder, str(os.getpid())], capture_output=True, text=True)
    if started.returncode:
        subprocess.run([SCRIPT, "stop", folder], check=True)
        pytest.skip(f"no Slurm here: {started.stdout.strip() or started.stderr.strip()}")
    yield str(folder / "slurm.conf")
    subprocess.run([SCRIPT, "stop", folder], check=True)


@pytest.fixture
def on_slurm(slurm_conf: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, ...]]:
    """Arguments that send a study to the cluster; what a test leaves in the queue is cancelled."""
    monkeypatch.setenv("SLURM_CONF", slurm_conf)
    yield ("--no-mlflow", "--on", "slurm", "--poll", "0.3")
    subprocess.run(["scancel", f"--user={os.getuid()}"], check=True)


@pytest.fixture(scope="session")
def longer(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Lab:
    """A study of a few seconds a run, trained here in peace."""
    folder = tmp_path_factory.mktemp("longer")
    base = {**STUDY["base"], "tokens": 64 * 1000}
    done = Lab(folder, shards, write_study(folder / "longer.yaml", shards, base=base))
    assert main(done.command("--no-mlflow")) == 0
    return done


def queue() -> dict[str, str]:
    """State by job id."""
    command = ["squeue", "--array", "--states=all", "--noheader", "--format=%i|%T"]
    return parse_states(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def jobs_of(lab: Lab) -> dict[str, str]:
    """Job by run id."""
    found = {path.parent.name: read_json(path) for path in lab.runs.glob("*/slurm.json")}
    return {run: (record or {})["job"] for run, record in found.items()}


def sent(lab: Lab, on_slurm: tuple[str, ...]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "coregpt.cli", *lab.command(*on_slurm)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def events(lab: Lab) -> Counter[str]:
    return Counter(entry.event for entry in Ledger.of(lab.runs).read())


def test_a_study_on_slurm_has_the_report_of_one_trained_here(
    executed: Lab, tmp_path: Path, on_slurm: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    here = executed.with_runs_in(tmp_path)
    assert main(here.command(*on_slurm)) == 0
    assert "4 runs to train, 4 at a time on Slurm (cpu, fp32)" in capsys.readouterr().out
    assert untimed(here) == untimed(executed)
    arrays = {job.partition("_")[0] for job in jobs_of(here).values()}
    assert len(arrays) == 1, "one array"
    assert events(here) == {"declared": 1, "started": 4, "ended": 4}
    assert main(here.command(*on_slurm)) == 0
    assert "nothing to train" in capsys.readouterr().out


def test_a_job_requeued_at_its_time_limit_and_one_cancelled_change_nothing(
    longer: Lab, tmp_path: Path, on_slurm: tuple[str, ...]
) -> None:
    here = longer.with_runs_in(tmp_path)
    with sent(here, on_slurm) as process:
        wait_for_training(here)
        before = jobs_of(here)
        first, second, *_ = [job for job in before.values() if queue()[job] == "RUNNING"]
        subprocess.run(["scancel", "--signal=USR2", first], check=True)  # what Slurm sends near a time limit
        subprocess.run(["scancel", second], check=True)
        output, _ = process.communicate(timeout=2 * MINUTE)
    assert process.returncode == 0, output
    assert untimed(here) == untimed(longer)
    assert f"job {second} is CANCELLED" in output
    assert "retry 1 of 2" in output
    after = jobs_of(here)
    assert [before[run] for run in before if before[run] != after[run]] == [second], "the other one kept its job"
    assert "Requeued job" in (here.runs / "slurm" / f"{first}_0_log.out").read_text()


def test_jobs_outlive_the_login_process_and_are_attached_to(
    longer: Lab, tmp_path: Path, on_slurm: tuple[str, ...]
) -> None:
    here = longer.with_runs_in(tmp_path)
    with sent(here, (*on_slurm, "--max-jobs", "3")) as process:
        wait_for_training(here)
        process.kill()
    before = jobs_of(here)
    assert len(before) == 3, "the fourth waits for a place in the queue"
    with sent(here, on_slurm) as process:
        wait_for(lambda: len(jobs_of(here)) == 4)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=MINUTE)
    assert process.returncode == 130
    assert "jobs go on in Slurm, and the same command attaches to them; to cancel them: scancel " in output
    assert jobs_of(here).items() > before.items()
    every = jobs_of(here)
    assert main(here.command(*on_slurm)) == 0
    assert jobs_of(here) == every
    assert untimed(here) == untimed(longer)


def test_an_emitted_script_goes_on_after_a_time_limit_and_is_reported(
    longer: Lab, tmp_path: Path, on_slurm: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    here = longer.with_runs_in(tmp_path)
    emitted(here, "--time", "5")
    submitted = subprocess.run(["sbatch", tmp_path / "jobs.sh"], check=True, capture_output=True, text=True)
    array = submitted.stdout.split()[-1]
    wait_for_training(here)
    mine = [job for job, state in queue().items() if job.startswith(f"{array}_") and state == "RUNNING"]
    subprocess.run(["scancel", "--batch", "--signal=USR2", mine[0]], check=True)
    wait_for(lambda: queue()[mine[0]] == "PENDING")
    wait_for(lambda: all(state == "COMPLETED" for job, state in queue().items() if job.startswith(f"{array}_")))
    assert main(here.command("--no-mlflow")) == 0
    assert "all 4 runs are complete; nothing to train" in capsys.readouterr().out
    assert untimed(here) == untimed(longer)
    assert "found" not in events(here), "its runs do not come from elsewhere"


def test_a_run_on_two_nodes_gives_the_value_of_one(executed: Lab, tmp_path: Path, on_slurm: tuple[str, ...]) -> None:
    made = planned(executed)
    made = replace(made, runs=made.runs[:1])
    slots, machine = cluster(SlurmOptions(nodes=2, poll_seconds=0.3), tmp_path, "cpu", 1, 1)
    tally = Launcher(made, tmp_path, slots, Display(), machine=machine).execute()
    assert not tally.failed
    ours, theirs = RunFolder(tmp_path / made.runs[0].id), RunFolder(executed.runs / made.runs[0].id)
    assert ours.environment()["ranks"] == "2"
    assert (ours.result() or {})["value"] == pytest.approx((theirs.result() or {})["value"], abs=1e-4)


def test_what_slurm_refuses_is_told_in_its_words(
    executed: Lab, tmp_path: Path, on_slurm: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    here = executed.with_runs_in(tmp_path)
    assert main(here.command(*on_slurm, "--partition", "nowhere")) == 2
    err = capsys.readouterr().err
    assert "coregpt: error: Slurm refuses the jobs: invalid partition specified: nowhere" in err


@pytest.mark.slow
def test_a_study_that_needs_several_time_limits_has_the_report_of_one_trained_here(
    executed: Lab, tmp_path: Path, on_slurm: tuple[str, ...]
) -> None:
    base = {**STUDY["base"], "tokens": 64 * 3000}
    study = write_study(tmp_path / "s.yaml", executed.data, base=base)
    whole, cut = Lab(tmp_path / "whole", executed.data, study), Lab(tmp_path / "cut", executed.data, study)
    assert main(whole.command("--no-mlflow")) == 0
    assert main(cut.command(*on_slurm, "--time", "1")) == 0
    assert untimed(cut) == untimed(whole)
    assert any("Requeued job" in log.read_text() for log in (cut.runs / "slurm").glob("*_log.out"))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MINUTE
    while not condition():
        assert time.monotonic() < deadline, queue()
        time.sleep(0.05)
