"""What `coregpt judge` came to: a verdict for a program in less than two kilobytes, and one line for its log."""

import json
import time
from dataclasses import dataclass
from typing import Any, Literal

from coregpt.report.drawing.numbers import signed
from coregpt.report.drawing.units import with_unit
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.facts.verdict_file import BYTES
from coregpt.report.verdicts.exit_codes import BETTER, BROKEN, CANDIDATE, UNDECIDED

Word = Literal["candidate", "no sign", "confirmed", "not confirmed", "broken", "out of budget"]

CODES: dict[Word, int] = {
    "confirmed": BETTER,
    "candidate": CANDIDATE,
    "no sign": UNDECIDED,
    "not confirmed": UNDECIDED,
    "out of budget": UNDECIDED,
    "broken": BROKEN,
}
NEXT: dict[Word, str] = {
    "confirmed": "Make the candidate the baseline; its chain goes on.",
    "candidate": "Call again with --confirm: fresh seeds decide, and the baseline runs on them anew.",
    "no sign": "Try another idea.",
    "not confirmed": "Leave it: on fresh seeds the gain was not there, or too small for the level that was left.",
    "out of budget": "The same command with more --budget goes on from here.",
    "broken": "Mend what failed; the same command tries again.",
}
DIGITS = 5
ROUGHLY = 6
"""Significant digits of a p-value."""


@dataclass(frozen=True)
class Seen:
    """One study's say of the candidate. A gain is the baseline's metric minus the candidate's: above 0 is better."""

    study: str
    seeds: int
    """That both arms have."""
    planned: int
    gain: float | None = None
    p: float | None = None
    level: float | None = None
    place: int | None = None
    """Of a confirmation in its chain."""
    cause: str = ""
    unit: str = ""

    @classmethod
    def of(cls, report: Report, c: Comparison) -> "Seen":
        study, chain = report.study, report.study.chain
        place = chain.k if chain else None
        level = chain.level if chain and chain.level is not None else study.alpha
        return cls(study.name, c.pairs, len(study.seeds), c.gain, c.p_adjusted, level, place, c.cause, study.unit)

    def data(self) -> dict[str, Any]:
        numbers = {"gain": self.gain, "p": self.p, "level": self.level}
        said = {key: None if value is None else float(f"{value:.{ROUGHLY}g}") for key, value in numbers.items()}
        more = {"place": self.place} if self.place else {}
        return {"study": self.study, "seeds": self.seeds, "planned": self.planned, **said, **more}


@dataclass(frozen=True)
class Judgement:
    """One call's answer."""

    verdict: Word
    baseline: str
    candidate: str
    began: float
    """On the wall clock, in seconds since 1970."""
    chain: str = ""
    screen: Seen | None = None
    confirmation: Seen | None = None
    duplicate: bool = False
    """This code was tried before: nothing was run."""
    exploratory: bool = False
    missing: str = ""
    """What the budget did not reach."""
    log: tuple[str, ...] = ()
    """The last lines of the run that failed."""
    report: str = ""
    seconds: float = 0.0

    @property
    def code(self) -> int:
        return CODES[self.verdict]

    @property
    def latest(self) -> Seen | None:
        return self.confirmation or self.screen

    def sentence(self) -> str:
        """For people."""
        seen, words = self.latest, [self.verdict.upper() if self.verdict == "confirmed" else self.verdict.capitalize()]
        if seen is not None and seen.gain is not None:
            done = f"{seen.seeds} of {seen.planned}" if seen.seeds < seen.planned else str(seen.seeds)
            words.append(f"gain {with_unit(signed(seen.gain, DIGITS), seen.unit)} on {done} seeds")
        if seen is not None and seen.cause:
            words.append(seen.cause)
        if self.missing:
            words.append(self.missing)
        if self.duplicate:
            words.append("this code was tried before, nothing was run")
        if self.exploratory:
            words.append("exploratory: its report says why")
        return ": ".join([words[0], "; ".join(words[1:])] if words[1:] else words) + f". {NEXT[self.verdict]}"

    def line(self) -> str:
        """For the loop's log, with tabs: time, verdict, candidate, baseline, gain, seeds, seconds, study, remark."""
        seen = self.latest
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.began))
        gain = "" if seen is None or seen.gain is None else f"{seen.gain:+.{DIGITS}f}"
        seeds = f"{seen.seeds}/{seen.planned}" if seen else ""
        remark = "duplicate" if self.duplicate else self.missing or (seen.cause if seen else "")
        cells = [at, self.verdict, self.candidate, self.baseline, gain, seeds, f"{self.seconds:.0f}"]
        cells += [seen.study if seen else "", remark]
        return "\t".join(" ".join(cell.split()) for cell in cells)

    def data(self) -> dict[str, Any]:
        """At most `BYTES` bytes as JSON: lines of the log are left out first."""
        log, said = list(self.log), self._data()
        while log and _printed({**said, "log": log}) > BYTES:
            log = log[1:] if len(log) > 1 else [log[0][: len(log[0]) // 2]] if len(log[0]) > 1 else []
        return {**said, **({"log": log} if log else {})}

    def _data(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "verdict": self.verdict,
            "exit_code": self.code,
            "baseline": self.baseline,
            "candidate": self.candidate,
            "duplicate": self.duplicate,
            "exploratory": self.exploratory,
            "unit": self.latest.unit if self.latest else "",
            "screen": self.screen.data() if self.screen else None,
            "confirmation": self.confirmation.data() if self.confirmation else None,
            "cause": _short(self.latest.cause) if self.latest else "",
            "missing": self.missing,
            "chain": self.chain,
            "report": self.report,
            "seconds": round(self.seconds, 1),
            "next": NEXT[self.verdict],
            "line": _short(self.line()),
        }


def _printed(said: dict[str, Any]) -> int:
    """Bytes of the object that `--json` prints around it."""
    return len(json.dumps({"exit_code": 10, "results": [{"kind": "judgement", **said}]}, indent=1)) + 1


def _short(text: str, letters: int = 240) -> str:
    return text if len(text) <= letters else text[: letters - 3].rstrip() + "..."
