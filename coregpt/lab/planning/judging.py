"""One candidate against one baseline as `coregpt judge` screens it: a study of two arms, named by what they are.

The name has the digest of both arms' runs, so the same code is found again whatever it is called, in this file or
another one, and a candidate that was edited is another study.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.combinations import GIVE_UP
from coregpt.lab.planning.chain import followed
from coregpt.lab.planning.confirmation import compared, tested, told_before, written
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.chains import Chains
from coregpt.lab.study.chaining import screens
from coregpt.lab.study.declaration import Arm, Criterion, Study
from coregpt.lab.study.identity import canonical
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.outline import Plan, PlannedRun
from coregpt.lab.study.registry import nearest
from coregpt.lab.study.whereabouts import where
from coregpt.stats.looks.giving_up import CHANCE

LEVEL = 0.2
"""Of a screen whose file names none: loose, as it only looks for candidates."""
TAKEN = ("stage", "chain", "match", "budget", "follows", "earlier")
"""What a file may declare beside its arms and their test."""
DECIDES = ("target", "yardstick", "screen", "history", "looks", "spending", "futility", "anytime", "abort", "pilot")
"""Of a test: what asks for another study than a screen of one arm."""
DIGITS = 10
HEAD = """\
# Written by coregpt judge. It screens '{arm}' against '{baseline}' as they were then, one seed at a time.
"""


@dataclass(frozen=True)
class Pair:
    """Two arms of a study, planned on this machine."""

    study: Study
    candidate: str
    name: str
    """Of the screen's study: the digest of what both arms are."""
    made: Plan

    @property
    def baseline(self) -> str:
        return self.study.criterion.baseline

    @property
    def alpha(self) -> float | None:
        """Of the chain, where the file says so; the level of a file that is a screen is the screen's."""
        alpha = self.study.criterion.alpha
        return None if screens(self.study) or alpha == Criterion.model_fields["alpha"].default else alpha


def paired(study: Study, baseline: str, candidate: str) -> Pair:
    """Raises ConfigError for arms that are not there or are one, and for a study that is more than a comparison."""
    arms = {arm.name: arm for arm in study.written}
    for option, name in (("--baseline", baseline), ("--candidate", candidate)):
        if name not in arms:
            raise ConfigError(f"{option}: '{name}' is no arm of {study.path}{nearest(name, arms)}")
    if baseline == candidate:
        raise ConfigError(f"--candidate: is the baseline; `coregpt placebo {study.path}` compares that with itself")
    for at, key in _too_much(study):
        raise ConfigError(f"{where(study, *at)}: coregpt judge screens one arm as it is written; remove '{key}'")
    test = study.criterion.model_copy(update={"baseline": baseline})
    both = replace(study, arms=(arms[baseline], arms[candidate]), as_declared=(), criterion=test, techniques=())
    made = plan(outline(both))
    return Pair(both, candidate, f"judge-{digest(made)}", made)


def digest(made: Plan) -> str:
    """Of all that can change a number of either arm. Raises ConfigError for arms that are one."""
    first, base = made.study.seeds[0], made.baseline.name
    what = {run.arm: _what(run) for run in made.runs if run.seed == first}
    both = [what[base], *(each for arm, each in what.items() if arm != base)]
    if both[0] == both[-1]:
        raise ConfigError(
            f"{made.study.path}: both arms are the same code at the same settings, so there is nothing to judge; "
            "coregpt placebo asks what the baseline against itself comes to"
        )
    return hashlib.sha256(canonical([*both, made.study.designs.get("chain")])).hexdigest()[:DIGITS]


def told(arm: Arm) -> str:
    """An arm's name, and which version of a program it is."""
    kind = foreign(arm.run)
    return arm.name if kind is None else f"{arm.name} {kind.label()}"


def _what(run: PlannedRun) -> Any:
    """Of one run: its name, which is the digest of all that counts, or what counts of a program at any commit."""
    kind = foreign(run.config)
    return run.id if kind is None else [kind.essence(), kind.code(), run.config.device]


def screen(pair: Pair, chains: Chains, folder: Path) -> str:
    """The text of the screen's study file in `folder`."""
    study, test = pair.study, pair.study.criterion
    follows = followed(study, pair.made.source.digest, chains)
    alpha = test.alpha if screens(study) else LEVEL
    named, seeds = study.designs.get("chain"), list(study.seeds)
    budget = study.designs.get("budget")
    said: dict[str, Any] = {
        "question": study.question,
        "stage": "screen",
        **({"follows": follows.declared()} if follows else {"chain": named} if named else {}),
        **told_before(study),
        **compared(study, pair.candidate, folder),
        "seeds": len(seeds) if seeds == list(range(len(seeds))) else seeds,
        "test": {**tested(study, alpha), "give_up": CHANCE if test.give_up is None else test.give_up},
        **({"budget": budget} if budget else {}),
        **({"gpus_per_run": study.gpus_per_run} if study.gpus_per_run > 1 else {}),
        **({"keep": study.keep} if study.keep != "weights" else {}),
    }
    return written(HEAD.format(arm=pair.candidate, baseline=pair.baseline), said, study, folder)


def slug(name: str) -> str:
    """A name of an arm or of a branch as part of a file's."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "candidate"


def _too_much(study: Study) -> Iterator[tuple[tuple[str, ...], str]]:
    for key in study.designs:
        if key not in TAKEN:
            yield (key,), key
    if study.techniques:
        yield ("mode",), "mode"
    if study.member:
        yield ("sizes",), "sizes"
    plain = Criterion.model_fields
    for key in DECIDES:
        if getattr(study.criterion, key) != plain[key].default:
            yield ("test", key), key
    if study.criterion.give_up is not None and not screens(study):
        yield ("test", "give_up"), GIVE_UP
