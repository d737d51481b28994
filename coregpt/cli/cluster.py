"""The options of commands that train, most of them for a Slurm cluster. Imports nothing heavy: help shows them."""

import argparse
from typing import TYPE_CHECKING

from coregpt.contract.errors import ConfigError

if TYPE_CHECKING:
    from coregpt.lab.slurm.cluster import SlurmOptions


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Slurm")
    group.add_argument("--partition", metavar="P", help="where the jobs run (the site's default)")
    group.add_argument("--account", metavar="A", help="who pays for them")
    group.add_argument("--qos", metavar="Q", help="their quality of service")
    group.add_argument("--time", type=_positive, metavar="MINUTES", help="of one job (60); a run may need several")
    group.add_argument("--gpus-per-node", type=_positive, metavar="N", help="GPUs of a node (nodes without)")
    group.add_argument("--nodes", type=_positive, metavar="N", help="nodes per run (as many as gpus_per_run needs)")
    group.add_argument("--max-jobs", type=_positive, metavar="N", help="jobs in the queue at once (all)")
    group.add_argument("--sbatch", action="append", metavar="KEY=VALUE", help="another option of sbatch; repeat")
    group.add_argument("--poll", type=float, metavar="SECONDS", help="between two looks at the queue (10)")


def add_training(parser: argparse.ArgumentParser) -> None:
    """How a command trains several runs, and where."""
    parser.add_argument("--fail-fast", action="store_true", help="stop at the first run that fails")
    parser.add_argument("--retries", type=int, default=2, metavar="N", help="for a run ended from outside (2)")
    silent = "a run silent for so long is stuck (1800)"
    parser.add_argument("--hang-seconds", type=_positive, default=1800, metavar="S", help=silent)
    add_place(parser)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Where a command trains."""
    parser.add_argument("--on", choices=["slurm"], help="train on a cluster; this process waits for it")
    add_options(parser)


def slurm_options(options: argparse.Namespace, wanted: bool, switch: str) -> "SlurmOptions | None":
    """What the command line asks of Slurm; None if it does not ask for Slurm (`wanted`, said by `switch`).

    Raises ConfigError for an option that would go unheard or makes no sense.
    """
    names = {"time": "minutes", "poll": "poll_seconds", "sbatch": "extra"}
    keys = ("partition", "account", "qos", "time", "gpus_per_node", "nodes", "max_jobs", "sbatch", "poll")
    given = {key: getattr(options, key) for key in keys if getattr(options, key) is not None}
    if not wanted:
        if given:
            raise ConfigError(f"--{next(iter(given)).replace('_', '-')} is for Slurm: add {switch}")
        return None
    from coregpt.lab.slurm.cluster import SlurmOptions

    if given.get("poll", 1.0) <= 0:
        raise ConfigError(f"--poll {given['poll']}: expected seconds above 0")
    if "sbatch" in given:
        given["sbatch"] = tuple(_pair(text) for text in given["sbatch"])
    return SlurmOptions(**{names.get(key, key): value for key, value in given.items()})


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.removeprefix("--").partition("=")
    if not (key and equals):
        raise ConfigError(f"--sbatch {text}: expected KEY=VALUE, such as --sbatch mem=32G")
    return key, value


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("expected a number from 1 on")
    return int(text)
