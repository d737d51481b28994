"""Fair tuning: every arm gets the same number of trials, then the test runs with what was found, on other seeds.

Trials are the runs of a study of their own, NAME-tuning, whose arms are `gpt/trial-3`. What is declared and hashed is
the study as written, with its space and its trials; the ledger has the settings that were found before a test starts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.design import Design, Wrong
from coregpt.lab.designs.found import COMPARED_AT, not_taken, on_select, tuning_seeds, with_settings
from coregpt.lab.progress import aligned
from coregpt.lab.study.counting import counted
from coregpt.lab.study.declaration import Arm, Criterion, Study, StudyFile
from coregpt.lab.study.differences import settings
from coregpt.lab.study.outline import Outline
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.registry import Catalogue, nearest
from coregpt.lab.study.sections.space import Choices, Point, Range, Trials, dimension, points
from coregpt.lab.study.whereabouts import where
from coregpt.lab.study.yamlfile import Key

ALL = "all"
"""The part of a space that holds for every arm."""
WHERE: Key = ("tuning", "space")


class Tuning(Design):
    """Settings of every arm found by trials on seeds that are not the test's."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if file.tuning is not None:
            yield "tuning"

    def reshape(self, study: Study, file: StudyFile, wrong: Wrong) -> Study:
        """With its trials; `wrong` is told every mistake."""
        if file.tuning is None:
            return study
        found = list(_misnamed(file, study))
        seeds = list(tuning_seeds(file.tuning.seeds, study.seeds, ("tuning", "seeds"), found))
        spaces: dict[str, Mapping[str, Range | Choices]] = {}
        trials: dict[str, tuple[Point, ...]] = {}
        for arm in study.arms:
            before = len(found)
            spaces[arm.name] = dict(_space(file, arm, study.catalogue, found))
            if len(found) == before:
                trials[arm.name] = _trials(file, study, arm, spaces[arm.name], found)
        found += _made_alike(study, spaces)
        for key, text in found:
            wrong(key, text)
        made = Trials(tuple(seeds), spaces, trials)
        return study if found else replace(study, designs={**study.designs, "tuning": made})

    def finds(self, study: Study) -> dict[str, list[str]]:
        declared = trials_of(study)
        return {arm: list(space) for arm, space in declared.space.items()} if declared else {}

    def refuse(self, outlined: Outline, nodes: str) -> None:
        study = outlined.study
        if trials_of(study) and not study.as_declared:
            raise ConfigError(
                f"{where(study, 'tuning')}: its runs are known once its trials are; that is 'coregpt ablate'"
            )

    def first(self, outlined: Outline) -> Outline | None:
        study = outlined.study
        return counted(trial_study(study)) if trials_of(study) and not study.as_declared else None

    def told_of_trials(self, study: Study, trials: Outline) -> list[str]:
        """How many there are, then every one of them."""
        declared = trials_of(study)
        if declared is None:
            return []
        arms, seeds, each = len(study.written), len(declared.seeds), len(trials.study.arms) // len(study.written)
        runs = f"{each} trials x {arms} arms x {seeds} {'seed' if seeds == 1 else 'seeds'} = {each * arms * seeds} runs"
        lines = [f"Tuning first: {runs}, {trials.flops:.3g} training FLOPs."]
        for arm, tried in declared.trials.items():
            rows = [[str(number), *map(_shown, point.values())] for number, point in enumerate(tried, 1)]
            lines += ["", *aligned([[f"{arm}, trial", *tried[0]], *rows])]
        return lines


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def trials_of(study: Study) -> Trials | None:
    """What is tried before the test; None where settings are as written."""
    found: Trials | None = study.designs.get("tuning")
    return found


def trial_study(study: Study) -> Study:
    """The study of the trials: one arm per trial, on the tuning seeds."""
    tuning = trials_of(study)
    assert tuning is not None
    arms = tuple(
        on_select(replace(with_settings(arm, point, study.catalogue), name=trial_name(arm.name, number)))
        for arm in study.written
        for number, point in enumerate(tuning.trials[arm.name], 1)
    )
    test = study.criterion
    return replace(
        study,
        name=f"{study.name}-tuning",
        arms=arms,
        seeds=tuning.seeds,
        criterion=Criterion(baseline=trial_name(test.baseline, 1), alpha=test.alpha, margin=test.margin, sd=test.sd),
        techniques=(),
        as_declared=(),
        designs={},
        reads="select",
    )


def trial_name(arm: str, number: int) -> str:
    """Name of the arm that is one trial; trials count from 1."""
    return f"{arm}/trial-{number}"


def _misnamed(file: StudyFile, study: Study) -> Iterator[Problem]:
    assert file.tuning is not None
    names, made = [arm.name for arm in study.arms], bool(study.techniques)
    for name in file.tuning.space:
        if made and name != ALL:
            yield (*WHERE, name), f"'mode: {file.mode}' makes the arms; give one space for '{ALL}'"
        elif name != ALL and name not in names:
            yield (*WHERE, name), f"'{name}' is not an arm{nearest(name, [*names, ALL])}"
    if not made and ALL in names:
        yield ("arms", ALL), f"an arm of a tuned study cannot be called '{ALL}', which stands for every arm"


def _space(
    file: StudyFile, arm: Arm, catalogue: Catalogue, found: list[Problem]
) -> Iterator[tuple[str, Range | Choices]]:
    """The dimensions of one arm: those of `all`, and its own, which come first where both name a setting."""
    assert file.tuning is not None
    own = {
        path: ((*WHERE, name, path), given)
        for name in (ALL, arm.name)
        for path, given in file.tuning.space.get(name, {}).items()
    }
    if not own:
        found.append((WHERE, f"there is none for '{arm.name}'; every arm is tuned, the baseline too"))
    known = settings(arm)
    names = [name for name in known if name.split(".")[0] not in COMPARED_AT]
    for path, (key, given) in own.items():
        if path.split(".")[0] in COMPARED_AT:
            found.append((key, "all arms are compared at the same, so it is not tuned"))
        elif path not in names:
            found.append((key, f"'{arm.name}' has no such setting{nearest(path, names)}"))
        else:
            try:
                made = dimension(given, known[path])
            except ValueError as error:
                found.append((key, str(error)))
                continue
            problems = [text for value in made.ends() for text in not_taken(arm, {path: value}, catalogue)]
            found += [(key, text) for text in problems]
            yield path, made


def _trials(
    file: StudyFile, study: Study, arm: Arm, space: Mapping[str, Range | Choices], found: list[Problem]
) -> tuple[Point, ...]:
    assert file.tuning is not None
    key = (*WHERE, arm.name if arm.name in file.tuning.space else ALL)
    made = points(space, file.tuning.trials, f"{study.name}/{arm.name}", settings(arm))
    if len(made) < file.tuning.trials:
        found.append((("tuning", "trials"), f"the space of '{arm.name}' has only {len(made)} different points"))
    for point in made:
        found += [(key, f"{point} of '{arm.name}': {text}") for text in not_taken(arm, point, study.catalogue)]
    return made


def _made_alike(study: Study, spaces: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Arms that differ in nothing but what is tuned are one arm with two names."""
    for i, arm in enumerate(study.arms):
        for other in study.arms[:i]:
            free = {*spaces[arm.name], *spaces[other.name]}
            mine, theirs = ({k: v for k, v in settings(a).items() if k not in free} for a in (arm, other))
            if mine == theirs:
                yield WHERE, f"'{arm.name}' and '{other.name}' differ in nothing but what is tuned"
