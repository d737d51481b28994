"""`gpus_per_run: auto`: how many GPUs each run of a study gets, decided by a measurement before the first run.

More GPUs make a run faster and let fewer runs go at a time; only a measurement tells which ends the study sooner. The
heaviest arm trains a few steps with 1, 2, 4 and 8 GPUs, in workers like those of the runs, one after the other on an
otherwise idle machine. What was found goes into the ledger, and every later call takes it from there. The batch and
the maths are the same whatever the split, so that it is no part of what makes a run that run.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from signal import SIGKILL

from coregpt.contract.errors import ConfigError
from coregpt.engine.training.outcome import SELECT
from coregpt.lab.execute.children import spawn
from coregpt.lab.execute.slots import Slot, find_slots
from coregpt.lab.progress import duration
from coregpt.lab.records.claims import claim
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import PROBE, RunFolder
from coregpt.lab.study.identity import run_id
from coregpt.lab.study.outline import Plan, PlannedRun

COUNTS = (1, 2, 4, 8)
STEPS = 10
"""Steps that are timed, after as many that are not; each part ends with an evaluation, which is not timed."""
PATIENCE_SECONDS = 900.0
"""How long one measurement may take, its start and compilation included."""
POLL_SECONDS = 0.05
ACCELERATORS = ("cuda",)
"""Devices of which a run may have several."""


@dataclass(frozen=True)
class Trial:
    """What was measured with one number of GPUs."""

    gpus: int
    """Per run."""
    seconds: float | None
    """Per training step; None if it did not train."""
    why: str = ""
    """It did not."""

    def study_seconds(self, steps: int, runs: int, at_once: int) -> float:
        """Until the last of `runs` runs of `steps` steps ends, in whole waves of `at_once`."""
        return float("inf") if self.seconds is None else -(-runs // at_once) * steps * self.seconds


@dataclass(frozen=True)
class Split:
    """The decision, and what it follows from."""

    gpus: int
    """Per run."""
    visible: int
    """GPUs of the machine that decided."""
    at_once: int | None
    """How many runs the command allowed at a time; None for as many as there are places."""
    arm: str
    steps: int
    runs: int
    trials: tuple[Trial, ...] = ()
    """Empty where there was nothing to choose."""

    def places(self, gpus: int) -> int:
        """Runs that go at a time with so many GPUs each."""
        return min(self.visible // gpus, self.at_once or self.visible)

    def lines(self) -> list[str]:
        """For people: the decision, then each measurement."""
        if not self.trials:
            return [f"GPUs per run: {self.gpus}, the only way to share {self.visible} by this study's batches"]
        first = f"GPUs per run: {self.gpus} of {self.visible}, measured with {self.arm} for {self.runs} runs"
        return [first, *(f"  {trial.gpus}: {self.told(trial)}" for trial in self.trials)]

    def told(self, trial: Trial) -> str:
        if trial.seconds is None:
            return f"cannot train: {trial.why}"
        whole = trial.study_seconds(self.steps, self.runs, self.places(trial.gpus))
        return f"{trial.seconds:.4g} s a step, {self.places(trial.gpus)} at a time: about {duration(whole)}"


def with_split(plan: Plan, store: Path) -> tuple[Plan, Split | None]:
    """The plan with the number of GPUs on record, and the record; as it is, with None, where nothing was decided."""
    found = on_record(plan, store)
    return (plan, None) if found is None else (_with(plan, found.gpus), found)


def settled(plan: Plan, store: Path, jobs: int | None) -> tuple[Plan, Split | None]:
    """As `with_split`, but measured, and recorded, where the study asks for it and nothing is on record.

    Without GPUs a run has one core, and there is nothing to decide. Raises ConfigError where no number trains.
    """
    device = plan.runs[0].config.device
    if not plan.study.splits or device not in ACCELERATORS:
        return plan, None
    plan, found = with_split(plan, store)
    if found is None:
        found = decide(plan, store, len(find_slots(device, 1, None)), jobs)
        entry = {"gpus_per_run": found.gpus, "measured": asdict(found)}
        Ledger.of(store).append("split", study=plan.study.name, digest=plan.study.digest, **entry)
    return _with(plan, found.gpus), found


def on_record(plan: Plan, store: Path) -> Split | None:
    """What an earlier call decided for the same declaration."""
    study = plan.study
    if not study.splits:
        return None
    found = [
        entry["measured"]
        for entry in Ledger.of(store).read()
        if entry.event == "split" and (entry["study"], entry["digest"]) == (study.name, study.digest)
    ]
    return Split(**{**found[-1], "trials": tuple(Trial(**each) for each in found[-1]["trials"])}) if found else None


def decide(plan: Plan, store: Path, visible: int, jobs: int | None) -> Split:
    """Measure what there is to choose between, and choose."""
    run = heaviest(plan)
    runs = len(plan.runs) + len(plan.trunks)
    split = Split(1, visible, jobs, run.arm, plan.cost(run.arm).steps, runs)
    counts = possible(plan, visible)
    if counts == [1]:
        return split
    trials = measured(run, split.steps, {count: find_slots(run.config.device, count, 1)[0] for count in counts}, store)
    split = replace(split, trials=tuple(trials))
    return replace(split, gpus=choose(split, plan.study.path))


def possible(plan: Plan, visible: int) -> list[int]:
    """Numbers of GPUs that leave none over and share every arm's batch alike."""
    rows = {batch for cost in plan.costs.values() for batch in cost.batch_rows}
    return [count for count in COUNTS if visible % count == 0 and all(batch % count == 0 for batch in rows)]


def heaviest(plan: Plan) -> PlannedRun:
    """A run of the arm whose steps have the most FLOPs."""
    return max(plan.runs, key=lambda run: plan.cost(run.arm).flops / plan.cost(run.arm).steps)


def choose(split: Split, where: Path) -> int:
    """The number with which the whole study ends soonest, of equal ones the smallest.

    Raises ConfigError if no number trains.
    """
    ends = {
        trial.gpus: trial.study_seconds(split.steps, split.runs, split.places(trial.gpus))
        for trial in split.trials
        if trial.seconds is not None
    }
    if not ends:
        each = "; ".join(f"with {trial.gpus}: {trial.why}" for trial in split.trials)
        raise ConfigError(f"{where}: gpus_per_run: auto: the study trains with no number of GPUs ({each})")
    return min(ends, key=lambda gpus: (ends[gpus], gpus))


# -- measuring -------------------------------------------------------------------------------------------------


def measured(run: PlannedRun, steps: int, slots: Mapping[int, Slot], store: Path) -> list[Trial]:
    """Each number of GPUs in its slot, one after the other."""
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store, prefix=PROBE) as place:
        held = claim(RunFolder(Path(place)))  # whoever tidies up sees that somebody measures
        try:
            return [trial(run, steps, count, slot, Path(place) / str(count)) for count, slot in slots.items()]
        finally:
            if held:
                held.release()


def trial(run: PlannedRun, steps: int, gpus: int, slot: Slot, place: Path) -> Trial:
    """Train the first steps of `run` in folders under `place`, until memory is enough or nothing helps."""
    # An evaluation waits for the device, so that the seconds beside it are true.
    config = run.config.model_copy(update={"evals": -(-steps // STEPS)})
    id_ = run_id(config, run.record["plugins"], run.record["data"])
    kept = {key: run.record[key] for key in ("engine", "plugins", "data")}
    folder = RunFolder(place / id_)
    folder.create({"id": id_, "config": config.model_dump(mode="json"), **kept}, run.plugin_files)
    deadline = time.monotonic() + PATIENCE_SECONDS
    again = True
    while again:
        if not _trained(slot, folder, deadline):
            return Trial(gpus, None, f"it took more than {duration(PATIENCE_SECONDS)}")
        again = bool((folder.error() or {}).get("again"))
    error = folder.error()
    if error is not None:
        return Trial(gpus, None, str(error["message"]))
    seconds = _per_step([(int(row["step"]), row["seconds"]) for row in folder.rows() if SELECT in row])
    return Trial(gpus, seconds, "" if seconds else folder.log_tail(1) or "it ended before it had trained")


def _trained(slot: Slot, folder: RunFolder, deadline: float) -> bool:
    """Execute the first steps; whether the worker ended by itself."""
    held = claim(folder)
    if held is None:
        raise ConfigError(f"{folder.path} is in use by another process")
    child = spawn(slot, folder.path, 2 * STEPS, folder.log, held.descriptor)
    held.release()
    try:
        while child.poll() is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
    finally:
        child.signal(SIGKILL)
        child.disown()
    return True


def _per_step(marks: Sequence[tuple[int, float]]) -> float | None:
    """Between the last two (step, seconds); a start is slower than what follows. None without two."""
    if len(marks) < 2:
        return None
    (before, begun), (after, ended) = marks[-2:]
    return (ended - begun) / (after - before)


def _with(plan: Plan, gpus: int) -> Plan:
    return replace(plan, study=replace(plan.study, gpus_per_run=gpus))
