"""What a program that calls hears: one JSON object at the end, one JSON line for each event, or an exit code.

`--json` and `--events` leave standard output to the program; all that is for people goes to standard error. Events are
JSON Lines (https://jsonlines.org): every entry that this process adds to the ledger, by the ledger's names, as it is
added, then one `verdict` for each report, and at last `end`.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from coregpt.cli.encoding import speaks_utf8
from coregpt.cli.mistakes import as_data
from coregpt.report.verdicts.exit_codes import DONE, FAILED, UNDECIDED, WORST_FIRST

if TYPE_CHECKING:
    from coregpt.lab.records.ledger import Entry
    from coregpt.report.facts.model import Report

LEFT_OUT = ("declaration", "previous", "hash")
"""Of a ledger's entry: what is long, and what only a chain needs."""


class Listener:
    """A program that waits for what one command comes to. No dataclass: those import half of what help waits for."""

    def __init__(self, out: TextIO, as_json: bool = False, as_events: bool = False) -> None:
        self.out = out
        self.as_json = as_json
        self.as_events = as_events
        self.outcomes: list[dict[str, Any]] = []
        """What was found, in that order, each of a `kind`: of a study its `verdict.json`, and where its files are."""

    def event(self, name: str, /, **facts: Any) -> None:
        if self.as_events:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            print_json(self.out, {"event": name, "time": now, **facts})

    def entry(self, entry: "Entry") -> None:
        """Something was put on record."""
        facts = {key: value for key, value in entry.payload.items() if key not in LEFT_OUT}
        if self.as_events:
            print_json(self.out, {"event": entry.event, "time": entry.time, "n": entry.n, **facts})

    def answer(self, kind: str, facts: Mapping[str, Any]) -> None:
        self.outcomes.append({"kind": kind, **facts})
        self.event(kind, **facts)

    def ended(self, code: int) -> None:
        """The one object of `--json`."""
        self.event("end", exit_code=code)
        if self.as_json:
            print_json(self.out, {"exit_code": code, "results": self.outcomes}, indent=1)

    def verdict(self, code: int) -> int:
        """With `--exit-verdict`: the worst news of all reports; without one, or where it was stopped, its own code."""
        codes = {outcome["exit_code"] for outcome in self.outcomes if "exit_code" in outcome}
        if code not in (DONE, FAILED) or not codes:
            return code
        return next((worst for worst in WORST_FIRST if worst in codes), UNDECIDED)


_listeners: list[Listener] = []


@contextlib.contextmanager
def listening(options: argparse.Namespace) -> Iterator[Listener]:
    """Until the command ends, as its options ask; people's lines go to standard error where a program reads."""
    hears = getattr(options, "program", False)
    as_json, as_events = hears and options.as_json, hears and getattr(options, "events", False)
    listener = Listener(sys.stdout, as_json, as_events)
    with contextlib.ExitStack() as stack:
        _listeners.append(listener)
        stack.callback(_listeners.remove, listener)
        if as_json or as_events:
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        if as_events:
            from coregpt.lab.records.ledger import told_to

            stack.enter_context(told_to(listener.entry))
        yield listener


def ended(options: argparse.Namespace, listener: Listener, code: int) -> int:
    """The command's exit code, once the program has been told all."""
    code = listener.verdict(code) if getattr(options, "exit_verdict", False) else code
    listener.ended(code)
    return code


def failed(message: str, code: int, out: TextIO, words: Sequence[str]) -> int:
    """The code of a command that ended with a mistake, told to people and, where they asked for it, to programs."""
    print(f"coregpt: error: {message}", file=sys.stderr)  # noqa: T201
    return _told(as_data(message), code, out, words)


def cut_short(message: str, code: int, out: TextIO, words: Sequence[str]) -> int:
    """The code of a command that did not come to its end and made no mistake, told to programs where they asked."""
    return _told({"message": message, "problems": []}, code, out, words)


def _told(error: Mapping[str, Any], code: int, out: TextIO, words: Sequence[str]) -> int:
    if "--events" in words:
        listener = Listener(out, as_events=True)
        listener.event("error", exit_code=code, **error)
        listener.ended(code)
    elif "--json" in words:
        print_json(out, {"exit_code": code, "error": error}, indent=1)
    return code


def add_program(parser: argparse.ArgumentParser, *, trains: bool = True, judges: bool = False) -> None:
    """Options for programs that call: every command's `--json`, and what there is to hear while one trains."""
    how = parser.add_mutually_exclusive_group() if trains else parser
    how.add_argument("--json", dest="as_json", action="store_true", help="for programs: one JSON object at the end")
    if trains:
        how.add_argument("--events", action="store_true", help="for programs: a line of JSON for each event")
    if judges:
        add_exit_verdict(parser)
    parser.set_defaults(program=True)


def add_exit_verdict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--exit-verdict", action="store_true", help="the exit code says the verdict (docs/agents.md)")


def answer(kind: str, facts: Mapping[str, Any]) -> None:
    """What a command came to, for programs; people are told in words."""
    for listener in _listeners:
        listener.answer(kind, facts)


def answer_alone(kind: str, facts: Mapping[str, Any]) -> None:
    """What a command came to by several studies, in place of what each of them did."""
    for listener in _listeners:
        listener.outcomes.clear()
        listener.answer(kind, facts)


def reported(report: "Report", folder: Path, files: Sequence[str]) -> None:
    """A report was written: programs hear its verdict."""
    if _listeners:
        from coregpt.report.pages.verdict_file import verdict_json

        answer("verdict", {**json.loads(verdict_json(report)), "files": [str(folder / name) for name in files]})


def print_json(out: TextIO, data: Any, indent: int | None = None) -> None:
    """Letters that the stream lacks are escaped, as JSON can."""
    out.write(json.dumps(data, indent=indent, ensure_ascii=not speaks_utf8(out), default=str) + "\n")
    out.flush()
