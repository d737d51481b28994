"""The command line: `commands` lists what there is, this reads the words, runs one and tells how it ended."""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from coregpt import __version__
from coregpt.cli.commands import COMMANDS
from coregpt.contract.errors import CoreGPTError

INTERRUPTED = 130
READER_GONE = 141
"""What a shell reports of a process ended by SIGPIPE; 0 would say that the work is done."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 runs failed, 2 wrong input, 130 interrupted."""
    options = parser().parse_args(argv)
    if sys.stdout is None:  # started with standard output closed
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    try:
        code: int = options.execute(options)
        sys.stdout.flush()
    except CoreGPTError as error:
        print(f"coregpt: error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except BrokenPipeError:  # `coregpt plan ... | head`: whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except OSError as error:  # a full disk, a vanished folder
        print(f"coregpt: error: {_blamed(error) or error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("coregpt: interrupted", file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except Exception as error:
        if (line := _blamed(error)) is None:
            raise
        print(f"coregpt: error: {line}", file=sys.stderr)  # noqa: T201
        return 2
    return code


def _blamed(error: Exception) -> str | None:
    """What to say of an error in a plugin's code; None for any other."""
    from coregpt.lab.study.code.blame import told  # what went well does not wait for it

    return told(error)


class Parser(argparse.ArgumentParser):
    """Mistakes are told in one line, as all others are, instead of after half a page of usage."""

    def error(self, message: str) -> NoReturn:
        given, *names = re.findall(r"'([^']*)'", message) or [""]
        near = difflib.get_close_matches(given, names, n=1)
        if near:
            message = f"{message.partition(' (choose from')[0]}; did you mean '{near[0]}'?"
        self.exit(2, f"coregpt: error: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="coregpt",
        description="Does this pre-training technique help, by how much, and how sure are we?",
        epilog="Start with: coregpt plan ablations/ngpt_vs_gpt.yaml",
    )
    top.add_argument("--version", action="version", version=f"coregpt {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for declare in COMMANDS:
        declare(commands)
    return top
