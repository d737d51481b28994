"""`tuned: {from: REPORT}`: each arm's settings are those that the bracket of an earlier report has found.

The report is read when the study is, and its digest and the settings are part of the preregistration. What was
bracketed must be what is compared: the same arms, settings, scale and data source, on seeds that the test does not
have. Other bytes of the data (another Python makes other `pydocs`) or another processor move an optimum by little, and
are told. Settings that do not follow from the losses that the report shows are refused: it was edited.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.design import Design, Wrong
from coregpt.lab.designs.found import frozen, not_taken
from coregpt.lab.study.declaration import Arm, Study, StudyFile
from coregpt.lab.study.differences import flatten
from coregpt.lab.study.identity import WATCHING
from coregpt.lab.study.outline import Outline, Plan
from coregpt.lab.study.whereabouts import where
from coregpt.stats.bracket import in_vain
from coregpt.stats.design import Design as Test
from coregpt.stats.design import announced
from coregpt.stats.power import detectable
from coregpt.stats.response import fit, residual

WHERE = ("tuned", "from")
FREE = ("data.source", *sorted(WATCHING))
"""Settings that change nothing of what is trained; the source is compared by its name."""
TOLERANCE = 1e-5
"""Of settings, which have six digits."""


@dataclass(frozen=True)
class Taken:
    """What a report says, or why it says nothing, which matters once its scale is chosen."""

    path: str
    """As declared, with the scale."""
    sha256: str = ""
    report: Mapping[str, Any] | None = None
    missing: str = ""

    @property
    def bracket(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (self.report or {})["study"]["bracket"]
        return found

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """By arm and dotted setting."""
        return {} if self.report is None else {each["arm"]: dict(each["settings"]) for each in self.bracket["arms"]}

    def declared(self) -> dict[str, Any]:
        """As plain data; `seeds` are those that chose."""
        if self.report is None:
            return {"from": self.path}
        seeds = sorted({seed for each in self.bracket["arms"] for seed in each["seeds"]})
        return {"from": self.path, "sha256": self.sha256, "settings": self.settings, "seeds": seeds}


class Tuned(Design):
    """Arms are compared at settings of their own, and the test allows for how surely these are known."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if file.tuned is not None:
            yield "tuned"

    def reshape(self, study: Study, file: StudyFile, wrong: Wrong) -> Study:
        if file.tuned is None:
            return study
        taken = take(study, file)
        problems = [] if taken.report is None else list(refusals(study, taken))
        for text in problems:
            wrong(WHERE, f"{taken.path}: {text}")
        made = replace(study, designs={**study.designs, "tuned": taken})
        return made if problems or taken.report is None else frozen(made, taken.settings)

    def finds(self, study: Study) -> dict[str, dict[str, Any]]:
        taken = taken_of(study)
        return taken.settings if taken is not None else {}

    def settle(self, outlined: Outline) -> Outline:
        refuse_absent(outlined.study)
        return outlined

    def check(self, plan: Plan) -> None:
        taken = taken_of(plan.study)
        if taken is None or taken.report is None:
            return
        theirs, facts = taken.report["study"]["data"], plan.source.facts()
        mine = {"name": plan.source.name, "split_rule": str(facts.get("split", theirs["split_rule"]))}
        for key, value in mine.items():
            if theirs[key] != value:
                text = f"its data have {key.replace('_', ' ')} '{theirs[key]}', here it is '{value}'"
                raise ConfigError(f"{where(plan.study, *WHERE)}: {taken.path}: {text}; bracket on these data")

    def test(self, study: Study, sd: float) -> tuple[Test, float | None] | None:
        if taken_of(study) is None:
            return None
        design, test = announced(len(study.seeds), len(study.compared) - 1, paired=True, tuned=True), study.criterion
        return design, detectable(design, sd, test.alpha, test.power)

    def told(self, outlined: Outline) -> list[str]:
        taken = taken_of(outlined.study)
        if taken is None:
            return []
        values = [
            f"{path} {value:g} for {arm}" for arm, found in taken.settings.items() for path, value in found.items()
        ]
        return [
            f"Settings from {taken.path} (sha256 {taken.sha256[:12]}): {', '.join(values)}.",
            "The test's interval grows by what its bracket leaves open; that part does not shrink with more seeds.",
        ]


def taken_of(study: Study) -> Taken | None:
    """What settings were taken from; None where they are as written."""
    found: Taken | None = study.designs.get("tuned")
    return found


def refuse_absent(study: Study) -> None:
    """Raises ConfigError where the report cannot be read."""
    taken = taken_of(study)
    if taken is not None and taken.missing:
        raise ConfigError(f"{where(study, *WHERE)}: {taken.path}: {taken.missing}")


def take(study: Study, file: StudyFile) -> Taken:
    """Read the report that the study's scale has."""
    assert file.tuned is not None
    name = file.tuned.report
    if file.scales and study.scale != next(iter(file.scales)):
        path = Path(name)
        name = str(path.parent.parent / f"{path.parent.name}-{study.scale}" / path.name)
    try:
        raw = (study.path.parent / name).read_bytes()
    except OSError as error:
        return Taken(name, missing=f"cannot be read ({error.strerror}); make it with coregpt ablate of its study")
    try:
        found = json.loads(raw, parse_constant=float)
        if not isinstance(found, dict) or "study" not in found:
            raise ValueError("no object with the key 'study'")
    except ValueError as error:
        return Taken(name, missing=f"is not a report made by CoreGPT ({error})")
    return Taken(name, hashlib.sha256(raw).hexdigest(), found)


def refusals(study: Study, taken: Taken) -> Iterator[str]:
    """Why this study cannot have the report's settings; nothing if it can."""
    report = taken.report or {}
    facts = report["study"]
    if not facts.get("bracket"):
        kind = " (trials of tuning have no allowance for how surely the best of them is known)"
        yield f"has no bracket{kind if report.get('tuning') else ''}; it must be of a study with 'bracket'"
        return
    try:
        yield from _other_setup(study, facts, taken)
        yield from _in_vain(taken, facts["baseline"])
        yield from _edited(taken)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        yield f"is not a whole report made by CoreGPT ({error!r})"


def _other_setup(study: Study, facts: Mapping[str, Any], taken: Taken) -> Iterator[str]:
    mine, theirs = {arm.name for arm in study.written}, set(taken.settings)
    if taken.bracket.get("reads") != "select":
        yield "its rates were chosen by the tokens that verdicts are made on, by an older version; bracket again"
    if facts.get("scale", "") != study.scale:
        yield f"is of scale '{facts.get('scale', '')}', and this study has '{study.scale}'"
    if lacking := sorted(mine - theirs):
        yield f"has no settings for {_quoted(lacking)}, only for {_quoted(sorted(theirs))}"
    if more := sorted(theirs - mine):
        yield f"bracketed also {_quoted(more)}, which this study does not compare: its noise was pooled over all"
    if facts["baseline"] != study.criterion.baseline:
        yield f"its baseline is '{facts['baseline']}', here it is '{study.criterion.baseline}'"
    for arm in study.written:
        if arm.name in theirs:
            yield from _differs(arm, facts["declaration"]["arms"][arm.name])
            for text in not_taken(arm, taken.settings[arm.name], study.catalogue):
                yield f"'{arm.name}' cannot have its settings: {text}"
    chose = {seed for each in taken.bracket["arms"] for seed in each["seeds"]}
    if both := sorted(chose & set(study.seeds)):
        yield f"seeds of this test chose its settings: {', '.join(map(str, both))}"


def _in_vain(taken: Taken, baseline: str) -> Iterator[str]:
    """Rates were looked for, and no arm can be compared with what was found."""
    why = {each["arm"]: each["why_not"] for each in taken.bracket["arms"] if each.get("why_not")}
    if in_vain(why, list(taken.settings), baseline):
        told = "; ".join(f"{arm} is not tuned: {text}" for arm, text in why.items())
        yield f"no comparison at its settings could be valid ({told})"


def _differs(arm: Arm, theirs: Mapping[str, Any]) -> Iterator[str]:
    """The first setting in which an arm is not what was bracketed under its name."""
    own, other = flatten(json.loads(json.dumps(arm.settings()))), flatten(dict(theirs))
    if Path(str(own["data.source"])).name != Path(str(other.get("data.source"))).name:
        yield f"'{arm.name}' has data.source {own['data.source']}, there it was {other.get('data.source')}"
    for key in {**own, **other}:
        if key not in FREE and own.get(key) != other.get(key):
            yield f"'{arm.name}' has {key} {own.get(key, 'not set')}, there it was {other.get(key, 'not set')}"
            return


def _edited(taken: Taken) -> Iterator[str]:
    """Settings that do not follow from the losses beside them, by the rules of this version."""
    tried = {
        each["arm"]: {point["x"]: tuple(map(float, point["losses"])) for point in each["points"]}
        for each in taken.bracket["arms"]
    }
    noise = residual(list(tried.values()))
    for each in taken.bracket["arms"]:
        factor = 2.0 ** (fit(tried[each["arm"]], noise).optimum or 0.0)
        declared = flatten((taken.report or {})["study"]["declaration"]["arms"][each["arm"]])
        for path, value in each["settings"].items():
            if not math.isclose(value, declared[path] * factor, rel_tol=TOLERANCE):
                yield f"was edited: {path} {value:g} of '{each['arm']}' does not follow from its losses"


def remarks(plan: Plan) -> list[str]:
    """What is not as it was when the settings were found, and does not forbid to use them."""
    taken = taken_of(plan.study)
    if taken is None or taken.report is None:
        return []
    facts, found = taken.report["study"], []
    if facts["data"]["sha256"] != plan.source.digest:
        found.append("on another version of the data")
    if facts.get("code", {}).get("engine") != plan.runs[0].record["engine"]:
        found.append("with another version of the engine")
    if facts.get("exploratory"):
        found.append(f"by an exploratory study ({facts['exploratory']})")
    return found


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
