"""A report held against its own runs: what it concludes follows from them, so what does not was edited by hand.

Words are not compared: they change from one version to the next, and pages are written with those that follow.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from coregpt import __version__
from coregpt.contract.errors import RunError
from coregpt.lab.study.meaning import digest_of, digests_of
from coregpt.report.analysis.summary import summarise
from coregpt.report.designs import DESIGNS
from coregpt.report.drawing.curves import MAX_POINTS
from coregpt.report.drawing.numbers import plural
from coregpt.report.facts.environment import environment_digest
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.runs import RunFacts
from coregpt.report.facts.serialise import first_problem
from coregpt.stats.lond import level

ROUNDING = 1e-12
"""Smaller than any variance or p-value that matters."""
NUMBERS = {"gain", "se", "allowance", "interval"}
"""Of a comparison: what no version's rules change."""
VERDICT = {"verdict", "size", "p_adjusted"}
_CONCLUSIONS = (
    *("comparisons", "arms", "design", "planned_detectable"),
    *("effects", "stopping", "pause", "fork", "secondary"),
)
_OF_TIMING = ("arms", "more_hours", "unequal_seconds")
_OF_CURVES = ("targets", "yardstick")
_WORDS = {"sentence", "cause", "no_ratio", "reason", "name"}
_NAMES = {"se": "standard error", "allowance": "variance from tuning", "p_adjusted": "adjusted p"}
_TEST = ("alpha", "margin", "power", "baseline", "screen")
_STUDY = ("question", "hypothesis", "direction", "equal", "scale")


def again(report: Report) -> Report:
    """The report on the same study and runs, made anew. Raises RunError if runs or study were edited beyond that."""
    runs = [
        RunFacts(
            run_id=run.run_id,
            arm=run.arm,
            seed=run.seed,
            status=run.status,
            value=run.value,
            select=run.select,
            reason=run.reason,
            curve=run.curve,
            timing=timing,
        )
        for run, timing in zip(report.runs, report.timing.runs, strict=True)
    ]
    try:
        made = summarise(report.study, runs)
    except ValueError as error:  # no study that can be declared is like this
        why = first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise RunError(f"its study and its runs do not go together ({why})") from None
    notes = (note for design in DESIGNS for note in design.notes_on_trials(report))
    return made.model_copy(update={"notes": (*made.notes, *notes)})


def same_rules(report: Report) -> bool:
    """Whether the report was written by this version; one that names none is a report on logs."""
    return report.study.environment.values.get("coregpt", __version__) == __version__


def contradictions(report: Report, verdicts: bool = False) -> list[str]:
    """What a report says and its own runs do not; empty for one that nobody edited.

    What follows by rules is only compared if the report was written by this version, whose rules they are. With
    `verdicts` those are compared in any case.
    """
    try:
        follows = again(report)
    except RunError as error:
        return [str(error)]
    rules = same_rules(report)
    found = [*_declared(report), *(text for design in DESIGNS if rules for text in design.contradictions(report))]
    only = None if rules else NUMBERS | (VERDICT if verdicts else set())
    for owner, key, said, due in _differences(_conclusions(report, only), _conclusions(follows, only)):
        found.append(f"{owner}the report says {key} {_plain(said)}, but its own runs give {_plain(due)}")
    return found


def in_these_words(report: Report) -> Report:
    """The report with the words of this version for what follows from its runs, whatever words it had."""
    follows = again(report)
    pairs = zip(report.comparisons, follows.comparisons, strict=True)
    compared = tuple(c.model_copy(update={"sentence": due.sentence, "cause": due.cause}) for c, due in pairs)
    said = {"headline": follows.headline, "notes": follows.notes}
    return report.model_copy(update={**said, "comparisons": compared})


def _declared(report: Report) -> Iterator[str]:
    """What the test is held to must be what its declaration says."""
    study = report.study
    if not study.imported and study.declaration and study.digest not in digests_of(study.declaration):
        due = digest_of(study.declaration)
        yield f"the report says preregistration {study.digest[:12]}, but its own declaration has {due[:12]}"
    yield from _environment(study)
    for declared, keys in ((study.declaration.get("test", {}), _TEST), (study.declaration, _STUDY)):
        for key in keys:
            said = getattr(study, key)
            if key in declared and declared[key] != said:
                yield f"the report is held to {key} {said}, but it was declared with {declared[key]}"
    yield from _level(study)


def _level(study: StudyFacts) -> Iterator[str]:
    chain = study.chain
    if chain is not None and chain.k is not None and chain.level is not None:
        confirmed = chain.confirmed or 0
        due = level(chain.alpha, chain.k, confirmed) if confirmed < chain.k else math.nan
        if not _same(chain.level, due):
            place = f"confirmation {chain.k} after {plural(confirmed, 'confirmed claim')}"
            yield f"the report says that its chain tests {place} at {chain.level:.6g}, but that is {due:.6g}"


def _environment(study: StudyFacts) -> Iterator[str]:
    due = environment_digest(study.environment.values, study.data.sha256)
    said = study.environment.digest
    if said is not None and said != due:
        yield f"the report says environment {said[:12]}, but what its own names has {(due or 'none')[:12]}"


def _conclusions(report: Report, only: set[str] | None) -> dict[str, Any]:
    """What follows from the runs, as plain data; of curves only if the report has them whole."""
    if only is not None:
        return {"comparisons": [c.model_dump(include={"arm", *only}) for c in report.comparisons]}
    whole = all(len(run.curve) < MAX_POINTS for run in report.runs)
    found = report.model_dump(include={*_CONCLUSIONS, *(_OF_CURVES if whole else ())})
    return {**found, "timing": report.timing.model_dump(include={*_OF_TIMING, *(("to_target",) if whole else ())})}


def _differences(said: Any, due: Any, owner: str = "", key: str = "") -> Iterator[tuple[str, str, Any, Any]]:
    """Every place in which the two differ: the arm it is about, what it is called there, and both values."""
    if isinstance(said, Mapping) and isinstance(due, Mapping):
        owner = f"{said['arm']}: " if "arm" in said else owner
        for name in sorted((said.keys() | due.keys()) - _WORDS):
            yield from _differences(said.get(name), due.get(name), owner, _NAMES.get(name, name.replace("_", " ")))
    elif _pairs(said, due):
        for mine, theirs in zip(said, due, strict=True):
            yield from _differences(mine, theirs, owner, key)
    elif not _same(said, due):
        yield owner, key, said, due


def _pairs(said: Any, due: Any) -> bool:
    lists = isinstance(said, Sequence) and isinstance(due, Sequence) and not isinstance(said, str)
    return lists and len(said) == len(due)


def _same(said: Any, due: Any) -> bool:
    if isinstance(said, float) and isinstance(due, float):
        return math.isclose(said, due, rel_tol=1e-6, abs_tol=ROUNDING) or (math.isnan(said) and math.isnan(due))
    return bool(said == due)


def _plain(value: Any) -> str:
    return "nothing" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
