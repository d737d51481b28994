"""Fact by fact: does the recipe agree, is it known to differ, or was it not checked?"""

from dataclasses import dataclass
from functools import cache

from tests.recipes.built import Recipe
from tests.recipes.checks import CHECKS
from tests.recipes.differences import DIFFERENCES
from tests.recipes.facts import Fact, facts_of
from tests.recipes.rules import Answer, agrees

RECIPES: dict[str, tuple[str, str]] = {
    "a_gpt_162M": ("replication_gpt", "full"),
    "a_gpt_plot71M": ("replication_gpt", "full-7m"),
    "a_ngpt_162M": ("replication_ngpt", "full"),
    "a_ngpt_plot71M": ("replication_ngpt", "full-7m"),
    "a_mup": ("replication_mup", "width-64"),
    "b_nvidia_gpt_12L": ("nvidia_gpt", "full"),
    "b_nvidia_gpt_24L": ("nvidia_gpt", "full-24-layers"),
    "b_nvidia_ngpt_12L": ("nvidia_ngpt", "full"),
    "b_nvidia_ngpt_24L": ("nvidia_ngpt", "full-24-layers"),
    "c_nanogpt_nobias": ("nanogpt", "full"),
    "c_nanogpt_bias": ("nanogpt_bias", "full"),
    "d_llmc_124M_cuda": ("llmc", "full"),
    "d_llmc_124M_torch": ("llmc", "full-torch"),
    "e_short_r23": ("short_record_23", "full"),
    "g_opt_36": ("optimization_baseline", "full"),
    "e_short_head": ("short_record_89", "full"),
    "f_medium_r8": ("medium_record_8", "full"),
    "f_medium_head": ("medium_record_18", "full"),
    "g_opt_46": ("optimization_record_46", "full"),
    "h_coregpt_default": ("core_gpt", "default"),
    "h_gptlab_XS": ("core_gpt", "gptlab-xs"),
    "h_gptlab_S": ("core_gpt_s", "gptlab-s"),
    "h_gptlab_M": ("core_gpt_m", "gptlab-m"),
    "h_nanopoor_run4": ("nanopoor_gelu", "full"),
    "h_nanopoor_run6": ("nanopoor", "full"),
}
"""Facts' name -> file in `ablations/recipes` and scale."""
RESULTS = ("loss.t", "loss.v", "time", "init.loss", "sched.steps.record", "tokens.total.record")
"""What came of a source's runs: repeated by running the recipe, not by reading it."""


@dataclass(frozen=True)
class Verdict:
    fact: Fact
    word: str
    """`agrees`, `differs`, `wrong`, `result` or `not checked`."""
    ours: Answer | None = None
    why: str = ""


def verdict(recipe: Recipe, fact: Fact) -> Verdict:
    """`wrong` is a difference that nobody wrote down."""
    if fact.item.startswith(RESULTS):
        return Verdict(fact, "result")
    rule = CHECKS.get(fact.item)
    answer = None if rule is None else rule.check(recipe, fact)
    why = DIFFERENCES.get((fact.recipe, fact.item), "")
    if rule is None or answer is None:
        return Verdict(fact, "differs" if why else "not checked", None, why)
    if agrees(rule, answer, fact):
        return Verdict(fact, "agrees", answer, why)
    return Verdict(fact, "differs" if why else "wrong", answer, why)


@cache
def verdicts(name: str) -> list[Verdict]:
    recipe = Recipe(*RECIPES[name])
    return [verdict(recipe, fact) for fact in facts_of(name)]
