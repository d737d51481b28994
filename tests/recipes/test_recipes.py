"""Every recipe is its source's, fact by fact, and trains at the size of a laptop."""

import math

import pytest

from coregpt.engine.build import build
from coregpt.engine.training.trainer import Trainer, never
from coregpt.lab.laws.tools import Rows, tiny_source
from tests.recipes.built import FOLDER, Recipe
from tests.recipes.differences import DIFFERENCES
from tests.recipes.facts import Fact, facts_of
from tests.recipes.page import PAGE, others, section, table
from tests.recipes.verdicts import RECIPES, verdict, verdicts

LARGE = pytest.mark.slow
NAMES = [pytest.param(name, marks=LARGE if "24L" in name else ()) for name in RECIPES]
"""Half a billion first values take too long to draw in every run of the tests."""
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def test_every_file_is_compared_with_a_source():
    assert sorted({file for file, _ in RECIPES.values()}) == FILES


@pytest.mark.parametrize("name", NAMES)
def test_no_fact_differs_unsaid_and_the_page_tells_the_rest(name):
    assert [each for each in verdicts(name) if each.word == "wrong"] == []
    assert "\n".join(section(name)) in PAGE.read_text()


@pytest.mark.slow
def test_the_table_of_the_page_is_the_one_that_is_found():
    assert "\n".join([*table(), ""]) in PAGE.read_text()


def test_the_page_names_what_is_not_here():
    assert "\n".join(others()) in PAGE.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_difference_that_is_told_is_one(name):
    """A reason whose fact agrees by now, or is no fact, is a lie."""
    told = {item for recipe, item in DIFFERENCES if recipe == name}
    assert told == {each.fact.item for each in verdicts(name) if each.word == "differs"}


@pytest.mark.parametrize(
    ("item", "changed"),
    [
        ("optim.all.lr", {"optim": {"lr": 0.002}}),
        ("arch.layers", {"model": {"depth": 11}}),
        ("params.total", {"model": {"dim": 756}}),
        ("tokens.total", {"tokens": 524_288}),
        ("sched.decay", {"plugins": {"wsd": {"warmup": 200.0, "cooldown": 1449.0, "floor": 0.0}}}),
        ("arch.rope", {"plugins": {"rope": {"base": 1024.0, "truncate": False, "form": "rotation"}}}),
        ("init.std.qkv", {"model": {"init_std": 0.021}}),
        ("tied", {"model": {"tied": True}}),
    ],
)
def test_a_recipe_that_is_off_is_found(item, changed):
    recipe = Recipe("replication_gpt", "full")
    for part, values in changed.items():
        old = getattr(recipe.config, part)
        new = {**old, **values} if isinstance(old, dict) else values
        new = old.model_copy(update=new) if hasattr(old, "model_copy") else new
        recipe.config = recipe.config.model_copy(update={part: new})
    (fact,) = (each for each in facts_of("a_gpt_162M") if each.item == item)
    assert verdict(recipe, fact).word == "wrong"


def test_words_that_nobody_understands_are_not_taken_for_agreement():
    recipe = Recipe("replication_gpt", "full")
    for item in ("sched.decay", "arch.rope", "arch.norm", "arch.mlp", "precision", "windows"):
        assert verdict(recipe, Fact("a_gpt_162M", item, "something else", "", "read", "")).word == "not checked"


@pytest.mark.parametrize("file", FILES)
def test_every_arm_trains_at_the_size_of_a_laptop(file):
    """The recipe in the first, the middle and the last step of its schedules, the others in the first."""
    study = Recipe(file, "laptop").study
    for arm in study.arms:
        config = arm.run.model_copy(update={"eval_tokens": arm.run.model.context})
        run = build(config, study.catalogue.instances(config.plugins), separator=0)
        trainer = Trainer(run, tiny_source(), Rows(), FOLDER, never, 60.0)
        trainer.calls = trainer.train_step.prepare()
        for step in (0, run.timeline.steps // 2, run.timeline.steps - 1)[: 3 if arm.name == "all" else 1]:
            trainer.train_step(step)
        assert all(math.isfinite(float(value.detach().sum())) for value in run.assembly.params.values()), arm.name
