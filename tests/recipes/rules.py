"""How a fact is compared with what is built here: ours, as a number, numbers, or whether the fact's words are true."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.recipes.built import Part, Recipe
from tests.recipes.facts import Fact, facts_of

Answer = float | tuple[float, ...] | bool
Check = Callable[[Recipe, Fact], Answer | None]
"""None: the fact's words are not understood, so it is not checked."""
SAMPLED = 0.03
"""How far a standard deviation of drawn numbers may be off."""


@dataclass(frozen=True)
class Rule:
    check: Check
    tolerance: float = 1e-6


UNKNOWN = "not recorded"
"""A fact with these words is the author's file and not the run."""


def sized(wanted: Callable[[Part], bool]) -> Rule:
    """How many parameters there are of a kind."""
    return Rule(lambda r, fact: sum(part.size for part in r.parts if wanted(part)))


def counted(wanted: Callable[[Part], bool]) -> Rule:
    return Rule(lambda r, fact: sum(1 for part in r.parts if wanted(part)))


def number(of: Callable[[Recipe], float]) -> Rule:
    return Rule(lambda r, fact: of(r))


def words(pattern: str, true: Callable[[Recipe], bool]) -> Rule:
    """Whether what the fact says in these words holds here."""
    return Rule(lambda r, fact: true(r) if re.search(pattern, fact.value) else None)


def ends(*endings: str) -> Callable[[Part], bool]:
    return lambda part: part.path.endswith(endings)


def within(role: str, where: str) -> Callable[[Part], bool]:
    return lambda part: part.role == role and where in part.path


def gain(part: Part) -> bool:
    return part.path.endswith((".norm_gain", ".layernorm.gain"))


def bias(part: Part) -> bool:
    return part.path.endswith((".linear_bias", ".layernorm.bias"))


def innermost(rule: Any) -> Any:
    """The update rule itself, whatever goes around it."""
    while hasattr(rule, "inner"):
        rule = rule.inner
    return rule


def is_muon(part: Part) -> bool:
    return type(innermost(part.rule)).__name__ == "Orthogonal"


def one_value(of: Callable[[Part], float], wanted: Callable[[Part], bool]) -> Rule:
    """What all parameters of a kind have; NaN, which equals nothing, if they differ."""

    def found(r: Recipe, fact: Fact) -> float | None:
        values = {of(part) for part in r.parts if wanted(part)}
        if UNKNOWN in fact.value:
            return None
        return values.pop() if len(values) == 1 else math.nan

    return Rule(found)


def lr(wanted: Callable[[Part], bool]) -> Rule:
    return one_value(lambda part: part.lr, wanted)


def decay(wanted: Callable[[Part], bool]) -> Rule:
    return one_value(lambda part: part.weight_decay, wanted)


def std(*endings: str, before_projection: bool = False) -> Rule:
    """Of first values; the one of all of them that is furthest from the fact."""

    def furthest(r: Recipe, fact: Fact) -> float | None:
        if before_projection and "ngpt" in r.plugins:
            return None  # ours are seen after it
        return max(r.stds(*endings), key=lambda value: abs(value - fact.numbers[0]))

    return Rule(furthest, SAMPLED)


def adam(what: Callable[[object], Answer]) -> Rule:
    """Of the update rule of everything that Muon does not move; scalars are left out where they have facts apart."""

    def found(r: Recipe, fact: Fact) -> Answer:
        apart = any(each.item == "optim.scalars" for each in facts_of(fact.recipe))
        left = [part for part in r.parts if not is_muon(part) and not (apart and part.role == "scalar")]
        answers = {what(innermost(part.rule)) for part in left}
        return answers.pop() if len(answers) == 1 else math.nan

    return Rule(found)


def option(plugin: str, name: str) -> Callable[[Recipe], float]:
    return lambda r: float(r.plugins[plugin][name])


def zero(r: Recipe, *endings: str) -> bool:
    return all(value == 0 for value in r.stds(*endings))


def has(*plugins: str) -> Callable[[Recipe], bool]:
    return lambda r: all(plugin in r.plugins for plugin in plugins)


def lacks(*plugins: str) -> Callable[[Recipe], bool]:
    return lambda r: not any(plugin in r.plugins for plugin in plugins)


def betas_of(part: Part) -> tuple[float, float]:
    rule = innermost(part.rule)
    return rule.beta1, rule.beta2


def rate(wanted: Callable[[Part], bool]) -> Rule:
    """A fact such as `AdamW lr 0.7`, with betas or without."""

    def check(r: Recipe, fact: Fact) -> bool:
        said = float(re.findall(r"lr ([\d.e-]+)", fact.value)[0])
        betas = re.findall(r"betas ([\d.]+),([\d.]+)", fact.value)
        moved = [part for part in r.parts if wanted(part)]
        same = not betas or all(betas_of(part) == tuple(map(float, betas[0])) for part in moved)
        return same and all(abs(part.lr / said - 1) < 1e-6 for part in moved)

    return Rule(check)


def agrees(rule: Rule, answer: Answer, fact: Fact) -> bool:
    """Whether ours is the fact's, as far as its digits go."""
    if isinstance(answer, bool):
        return answer
    ours = answer if isinstance(answer, tuple) else (float(answer),)
    said = fact.numbers[: len(ours)]
    return len(said) == len(ours) and all(
        math.isclose(one, other, rel_tol=rule.tolerance, abs_tol=1e-12) for one, other in zip(ours, said, strict=True)
    )
