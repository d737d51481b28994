"""The command line: `commands` lists what there is, this reads the words, runs one and tells how it ended."""

import argparse
import errno
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from coregpt import __version__
from coregpt.cli.commands import COMMANDS
from coregpt.cli.encoding import lenient
from coregpt.cli.programs import cut_short, ended, failed, listening
from coregpt.contract.errors import CoreGPTError
from coregpt.report.verdicts.exit_codes import BAD_INPUT, FAILED, INTERRUPTED, READER_GONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, one of `report.verdicts.exit_codes`."""
    words = sys.argv[1:] if argv is None else argv
    if sys.stdout is None:  # started with standard output closed
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    lenient(sys.stdout)
    out = sys.stdout
    try:
        options = parser().parse_args(argv)
    except UsageError as error:
        sys.exit(failed(str(error), BAD_INPUT, out, words))
    try:
        with listening(options) as listener:
            code = ended(options, listener, options.execute(options))
        sys.stdout.flush()
    except CoreGPTError as error:
        return failed(str(error), error.exit_code, out, words)
    except BrokenPipeError:  # `coregpt plan ... | head`: whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except PermissionError as error:  # somebody else's
        return failed(_blamed(error) or _denied(error), BAD_INPUT, out, words)
    except OSError as error:  # a full disk, a vanished folder
        return failed(_blamed(error) or _full(error) or str(error), FAILED, out, words)
    except KeyboardInterrupt:
        print("coregpt: interrupted", file=sys.stderr)  # noqa: T201
        return cut_short("interrupted", INTERRUPTED, out, words)
    except Exception as error:
        if (line := _blamed(error)) is None:
            raise
        return failed(line, BAD_INPUT, out, words)
    return code


def _blamed(error: Exception) -> str | None:
    """What to say of an error in a plugin's code; None for any other."""
    from coregpt.lab.study.code.blame import told  # what went well does not wait for it

    return told(error)


def _full(error: OSError) -> str | None:
    """What to say of a full disk; None for any other error."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    return f"{where}no space is left on the disk; what is complete is kept: make room, and the same command goes on"


def _denied(error: PermissionError) -> str:
    """What to say of a file that is another user's; where the system named none, what it said."""
    from pathlib import Path

    from coregpt.lab.atomic import denied

    return str(denied(Path(os.fsdecode(error.filename)), error) if error.filename else error)


class UsageError(Exception):
    """The words of a command are wrong."""


class Parser(argparse.ArgumentParser):
    """Mistakes are told in one line, as all others are, instead of after half a page of usage."""

    def error(self, message: str) -> NoReturn:
        import difflib  # nobody who made no mistake waits for it

        given, *names = re.findall(r"'([^']*)'", message) or [""]
        near = difflib.get_close_matches(given, names, n=1)
        if near:
            message = f"{message.partition(' (choose from')[0]}; did you mean '{near[0]}'?"
        raise UsageError(f"{message} (see {self.prog} --help)")


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
