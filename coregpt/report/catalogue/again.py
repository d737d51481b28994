"""Gains of the atlas that somebody looked at again: a committed file beside the reports, held against them.

Fresh seeds of a report (`coregpt verify`) train runs that nobody publishes; what they came to is written down here.
"""

from pathlib import Path

from pydantic import Field, ValidationError

from coregpt.contract.errors import ConfigError
from coregpt.lab.study.yamlfile import read
from coregpt.report.catalogue.facts import Again
from coregpt.report.facts.base import Facts, Interval
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import first_problem

AGAIN = Path("atlas") / "again.yaml"
"""Under `reports`."""
DIGITS = 3


class Looked(Facts):
    """One arm. Gains are the report's: baseline minus arm."""

    first: float
    """What the report has."""
    gain: float
    shown: bool
    interval: Interval | None = None


class Fresh(Facts):
    """Fresh seeds of one report."""

    command: str
    seeds: tuple[int, ...] = Field(min_length=1)
    processor: str
    precision: str
    gains: dict[str, Looked]

    def of(self, arm: str, sign: int) -> Again | None:
        """What they came to, signed as the technique's gain."""
        if (found := self.gains.get(arm)) is None:
            return None
        ends = None if found.interval is None else sorted(sign * end for end in found.interval)
        return Again(
            gain=sign * found.gain,
            interval=None if ends is None else (ends[0], ends[1]),
            shown=found.shown,
            seeds=self.seeds,
            command=self.command,
            processor=self.processor,
            precision=self.precision,
        )


def looked_again(reports: Path) -> dict[str, Fresh]:
    """By the report's folder under `reports`; nothing where there is no such file. Raises ConfigError."""
    path = reports / AGAIN
    if not path.is_file():
        return {}
    found = {}
    for name, told in read(path).data.items():
        try:
            found[name] = Fresh.model_validate(told)
        except ValidationError as error:
            raise ConfigError(f"{path}: {name}: {first_problem(error)}") from None
        if not (reports / name / "report.json").is_file():
            raise ConfigError(f"{path}: {name}: there is no such report")
    return found


def hold_against(fresh: Fresh, report: Report, where: str) -> None:
    """ConfigError where the file is not about this report."""
    known = {each.arm: each.gain for each in report.comparisons}
    if old := sorted(set(fresh.seeds) & set(report.study.seeds)):
        raise ConfigError(f"{AGAIN}: {where}: seed {old[0]} is one of the report's own, not a fresh one")
    for arm, told in fresh.gains.items():
        if arm not in known:
            raise ConfigError(f"{AGAIN}: {where}: {arm}: the report compares no such arm")
        gain = known[arm]
        if gain is None or round(gain, DIGITS) != round(told.first, DIGITS):
            has = "none" if gain is None else f"{gain:.{DIGITS}f}"
            raise ConfigError(f"{AGAIN}: {where}: {arm}: the first gain is {told.first:g} here and {has} in the report")
