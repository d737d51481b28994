"""Whether Slurm takes a study's jobs, asked before anything of the study is written."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping

from coregpt.contract.errors import ConfigError
from coregpt.lab.slurm.job_states import command

SECONDS = 300
"""For an answer of sbatch, which itself tries again while the controller is busy."""


def check_commands() -> None:
    """Raises ConfigError if this is no login node, or submitit is not there."""
    lacking = [each for each in ("sbatch", "squeue", "scancel") if shutil.which(each) is None]
    if lacking:
        raise ConfigError(f"--on slurm needs Slurm's commands, and {lacking[0]} is not on PATH; is this a login node?")
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise ConfigError("--on slurm needs submitit: pip install 'coregpt[slurm]'") from None


def refuse_what_slurm_refuses(asked: Mapping[str, str], jobs: int) -> None:
    """Raises ConfigError, in the words of sbatch, if it would not take an array of so many jobs with these options.

    A test also fails where nodes are down, whose jobs would wait for them: then a real array, held and cancelled at
    once, has the last word.
    """
    options = [f"--{key}={value}" if value else f"--{key}" for key, value in asked.items()]
    array = ["sbatch", "--parsable", "--job-name=coregpt-test", "--output=/dev/null", *options, "--wrap=true"]
    if jobs > 1:  # as submitit does
        array.insert(1, f"--array=0-{jobs - 1}")
    if _answer([*array, "--test-only"])[0]:
        return
    accepted, answer = _answer([*array, "--hold"])
    if not accepted:
        raise ConfigError(f"Slurm refuses the jobs: {refusal(answer)}")
    command("scancel", answer.partition(";")[0].strip())


def refusal(text: str) -> str:
    """The lines in which sbatch says why, of all that submitit reports."""
    return "; ".join(dict.fromkeys(_errors(text))) or " ".join(text.split())


def _answer(words: list[str]) -> tuple[bool, str]:
    """Whether a command succeeds, and its output, or else its errors."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        return False, str(error)
    return done.returncode == 0, done.stderr if done.returncode else done.stdout


def _errors(text: str) -> Iterator[str]:
    for line in text.splitlines():
        _, found, why = line.partition("sbatch: ")
        if found:
            yield why.removeprefix("error: ").strip()
