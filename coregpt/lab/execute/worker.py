"""One process, one run: `python -m coregpt.lab.execute.worker RUN_DIR`, alone or as a rank under torchrun.

Exit codes: 0 complete (finished or diverged), 1 failed (error.json says why), 3 stopped with a checkpoint,
4 another process has the run.
"""

import argparse
import os
import platform
import select
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch

from coregpt import __version__
from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError, DataError, PluginError, RunError
from coregpt.engine import weights
from coregpt.engine.arithmetic.platform import set_up_cpu
from coregpt.engine.build import Run, build
from coregpt.engine.data import TokenSource, TokenStream, open_data
from coregpt.engine.data.judged import whole_documents
from coregpt.engine.inputs import Stored
from coregpt.engine.training.trainer import train
from coregpt.engine.training.world import World, join, leave
from coregpt.lab.atomic import unwritable
from coregpt.lab.guard.bound import Bound
from coregpt.lab.guard.landlock import close_to_reading
from coregpt.lab.guard.opened import forbidden, refuse_opened
from coregpt.lab.guard.switches import SWITCHES
from coregpt.lab.guard.work import OUTSIDE, Work, built, taken_again
from coregpt.lab.judging.explaining import explain, out_of_memory, whole_story
from coregpt.lab.judging.player import STORES, standing_by
from coregpt.lab.judging.referee import HeldBack, Referee
from coregpt.lab.kinds import config_of
from coregpt.lab.records import trunk as trunks
from coregpt.lab.records.claims import claim
from coregpt.lab.records.store import MetricsLog, Row, RunFolder, Unrecorded
from coregpt.lab.study.identity import plugin_digests, run_id
from coregpt.lab.study.inputs import digests, inputs_of
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.part import RunPart
from coregpt.lab.study.registry import Catalogue

COMPLETE, FAILED, STOPPED, TAKEN = 0, 1, 3, 4
OF_THE_MODEL = ("id", "config", "engine", "plugins", "data", "until", "branch")
"""What of a run's record goes with its weights: which model they are of, and nothing about who planned it."""


class MovedError(RunError):
    """Code or data are others than those of the plan; so they are for all its runs."""


def main(argv: Sequence[str] | None = None, *, dedicated: bool = False) -> int:
    """`dedicated`: this process does nothing else after the run."""
    parser = argparse.ArgumentParser(prog="python -m coregpt.lab.execute.worker", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="a folder made by coregpt ablate")
    parser.add_argument(
        "--launched", action="store_true", help="the launcher holds the claim, and its death closes standard input"
    )
    parser.add_argument("--until", type=int, metavar="STEP", help="pause with a checkpoint after this step")
    options = parser.parse_args(argv)
    folder = RunFolder(options.run_dir.resolve())
    held = None if options.launched else claim(folder)
    if not options.launched and held is None:
        print(f"{folder.id} is being run by another process", file=sys.stderr)  # noqa: T201
        return TAKEN
    try:
        outcome = execute(folder, stop_requested(options.launched), options.until, dedicated)
    except BaseException as error:
        rows = fewer_rows(folder) if out_of_memory(error) else None
        message = explain(error) + (f"; it starts over with {rows} rows per forward pass" if rows else "")
        repeats = isinstance(error, ConfigError | DataError | PluginError | MovedError)
        folder.write_error(message, trace := traceback.format_exc(), again=rows is not None, must_repeat=repeats)
        if rows:
            folder.write_micro_rows(rows)
        print(message if whole_story(error) else f"{trace}{message}", file=sys.stderr)  # noqa: T201
        return FAILED
    finally:
        if held is not None:
            held.release()
    return STOPPED if outcome["status"] == "stopped" else COMPLETE


def execute(
    folder: RunFolder, stop: Callable[[], bool], until: int | None = None, dedicated: bool = False
) -> dict[str, Any]:
    """Train the run in `folder`, or go on with it, to step `until` at most; how it ended, as a result says it.

    `dedicated` says that this process ends with the run, so that the kernel may close files to it for good. Raises
    CoreGPTError for anything a user can mend.
    """
    config = config_of(folder.config())
    if (kind := foreign(config)) is not None:
        return kind.execute(folder.path, stop)
    part = RunPart.of(folder.config())
    until = part.until if part.is_trunk else until
    if config.device == "cpu":
        set_up_cpu()
        processor()  # where it has to ask another program, Python remembers the answer; later none may be asked
    with standing_by(folder, config.device) as stage:
        source = open_data(config.data)
        # Compilers, and what a GPU is set up with, begin processes of their own.
        alone = config.device == "cpu" and not config.compile
        with Referee(folder, config, source, stage) as referee, forbidden(source.held_out_files, alone):
            source = for_training(source, config)  # nothing here holds the whole one from now on
            bound = Bound.now()
            sandbox = closed(config, source.held_out_files, dedicated)
            ended, row = train_run(folder, config, source, stop, until, bound, sandbox)
            if row is not None:
                return referee.decide(ended, row)
    return ended


def train_run(
    folder: RunFolder,
    config: RunConfig,
    source: TokenSource,
    stop: Callable[[], bool],
    until: int | None,
    bound: Bound,
    sandbox: str,
) -> tuple[dict[str, Any], Row | None]:
    """How the training ended, and the last row of the log where the judge has to complete both."""
    catalogue = folder.catalogue(folder.path.parents[:STORES])
    refuse_if_moved(folder, config, catalogue, source)
    inputs, given = inputs_for(folder, config, catalogue)
    config = config.model_copy(update={"micro_rows": folder.micro_rows() or config.micro_rows})
    torch.manual_seed(config.seed)
    world = join(config.device)
    try:
        plugins = catalogue.instances(config.plugins)
        make = partial(build, config, plugins, inputs=inputs, separator=source.separator, world=world)
        run, spent = built(make)
        bound.refuse_changes("was imported and asked")
        refuse_opened()
        work = Work(run, bound.refuse_in_step)
        first = world.rank == 0
        if first:
            folder.clear_error()
            folder.write_environment(environment(config, world) | {"files of held_out closed by": sandbox})
            if given:
                folder.write_given(given)
        trunk = trunks.trunk_of(folder)
        if first and trunk:
            trunks.begin(folder, trunk)
        sink = HeldBack(MetricsLog(folder), run.timeline.steps) if first else Unrecorded()
        outcome = trunks.ended(trunk) if trunk else None
        if outcome is None:
            start = trunk.checkpoint if trunk else None
            with work:
                outcome = train(run, source, sink, folder.checkpoint, stop, until=until, trunk=start)
        refuse_opened()
        bound.refuse_changes("was trained")
        if outcome.status == "finished":
            leave_weights(folder, run)
        ended = asdict(outcome)
        if isinstance(sink, HeldBack):
            row = sink.close(outcome.status == "finished")
            if outcome.status == "finished" and row is None:
                raise PluginError(
                    "its last evaluation did not wait for the judge: a technique has changed what a run writes, and "
                    "this run cannot count"
                )
            if row is not None:
                counted = (taken_again(run, source, explain) if config.compile else work.facts()) or {}
                if spent:
                    counted[OUTSIDE] = spent + counted.get(OUTSIDE, 0.0)
                return ended | {"work": counted}, row
            if outcome.status != "stopped":
                folder.write_result(ended)
            elif until is not None and outcome.steps >= until:
                trunks.seal(folder)
                folder.write_paused(outcome.steps)
    finally:
        leave()
    return ended, None


def for_training(source: TokenSource, config: RunConfig) -> TokenSource:
    """What a training process may see: without `held_out`, or with the tokens of it that a target's curve reads."""
    if not config.held_out_curve:
        return source.without_held_out()
    end = config.eval_tokens + 1
    if config.eval_bytes is not None:
        end = whole_documents(source, source.held_out, config.eval_bytes, "held_out")[1] + 1
    tokens = source.held_out.slice(0, min(end, len(source.held_out)))
    return replace(source, held_out=TokenStream([tokens]))


def closed(config: RunConfig, files: Sequence[Path], dedicated: bool) -> str:
    """Close files to this process for good; what did so, or why nothing did."""
    if not dedicated:
        return "Python alone: the process goes on after the run"
    if config.compile or not files:  # compilers make folders beside the data, which nobody could read then
        return "Python alone: the run is compiled" if config.compile else "nothing: it lies in no files"
    return close_to_reading(files)


def refuse_if_moved(folder: RunFolder, config: RunConfig, catalogue: Catalogue, source: TokenSource) -> None:
    """Raises MovedError: code or data that changed since the plan would give numbers that belong to another run."""
    part = RunPart.of(folder.config())
    now = run_id(config, plugin_digests(catalogue, config.plugins), source.digest, part)
    if now != folder.id:
        raise MovedError(
            f"run {folder.id} was planned with other sources or data (now they give {now}); "
            "call coregpt ablate again to plan it anew"
        )


def inputs_for(folder: RunFolder, config: RunConfig, catalogue: Catalogue) -> tuple[dict[str, Stored], dict[str, str]]:
    """Inputs of a run and the digests of their weights.

    Raises ConfigError for what is not there, and RunError for weights other than those that the run is named by or has
    begun with.
    """
    inputs = inputs_of(config, catalogue)
    given = digests(inputs)
    begun = folder.given() if folder.checkpoint.exists() else {}
    for name, digest in given.items():
        wanted = config.inputs[name].sha256 or begun.get(name, digest)
        if digest != wanted:
            raise RunError(
                f"input '{name}': {inputs[name].path} has changed since this run "
                f"{'began' if name in begun else 'was planned'}; plan it anew, or start it over with coregpt rerun"
            )
    return inputs, given


def leave_weights(folder: RunFolder, run: Run) -> None:
    """Before the result, so that a run with a result has its weights."""
    record = folder.config()
    try:
        weights.save(folder.weights, run, {key: record[key] for key in OF_THE_MODEL if key in record})
    except OSError as error:
        raise unwritable(folder.weights, error) from error


def environment(config: RunConfig, world: World) -> dict[str, str]:
    """What this run was computed with."""
    device = torch.cuda.get_device_name() if config.device == "cuda" else f"CPU {platform.machine()}"
    by_processor = {"processor": processor()} if config.device == "cpu" else {}
    return {
        "coregpt": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "system": platform.system(),
        "device": device,
        **by_processor,
        "ranks": str(world.size),
        "threads": str(torch.get_num_threads()),
        "precision": config.precision,
        "compile": "yes" if config.compile else "no",
        "rows per pass": str(config.micro_rows or "all of a rank"),
        "variables": ", ".join(f"{name}={os.environ[name]}" for name in SWITCHES if name in os.environ) or "none set",
    }


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """`AMD EPYC 9654, AVX512`: model and the widest vectors that torch uses there; both decide how sums are rounded."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = next(filter(None, named), None) or platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def stop_requested(launched: bool) -> Callable[[], bool]:
    """True once a signal asked to stop, or once the launcher is gone: then its pipe to us is at its end."""
    asked: list[int] = []

    def ask(number: int, _: Any) -> None:
        asked.append(number)

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)

    def stop() -> bool:
        if launched and not asked and select.select([0], [], [], 0)[0] and not os.read(0, 1):
            asked.append(0)
        return bool(asked)

    return stop


def fewer_rows(folder: RunFolder) -> int | None:
    """Half of the rows that one forward pass had; None if it had one. The sum over a batch stays the same."""
    config = RunConfig.model_validate(folder.config()["config"])
    share = config.batch_tokens // config.model.context // int(os.environ.get("WORLD_SIZE", "1"))
    rows = min(folder.micro_rows() or config.micro_rows or share, share)
    return rows // 2 or None


if __name__ == "__main__":
    sys.exit(main(dedicated=True))
