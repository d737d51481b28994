"""Factorial studies in the report: effects come first, with their sign, and only from a complete grid."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.factorial import Effect
from coregpt.report.facts.inputs import ArmFacts, DataFacts, StudyFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.runs import RunFacts
from coregpt.report.facts.serialise import from_json, to_json
from coregpt.report.pages.render import render

TECHNIQUES = ("rope", "muon")
SEEDS = 6


def study(mode: Any = "factorial", techniques: tuple[str, ...] = TECHNIQUES, **changes: Any) -> StudyFacts:
    subsets = [s for size in range(len(techniques) + 1) for s in combinations(techniques, size)]
    arms = tuple(
        ArmFacts(
            name="+".join(s) or "none",
            plugins={**{name: {} for name in s}, "wsd": {}},
            parameters=1000,
            flops_per_token=6000.0,
            tokens=10_000,
            steps=10,
        )
        for s in subsets
    )
    data = DataFacts(name="d", sha256="0" * 64, train_tokens=9, val_tokens=9, eval_tokens=9, split_rule="half")
    facts: dict[str, Any] = {
        "name": "grid",
        "question": "Which matter?",
        "baseline": "none",
        "arms": arms,
        "seeds": tuple(range(SEEDS)),
        "digest": "d" * 64,
        "data": data,
        "mode": mode,
        "techniques": techniques,
    }
    return StudyFacts(**{**facts, **changes})


def report(effect: dict[str, float], facts: StudyFacts | None = None, drop: tuple[str, int] | None = None) -> Report:
    """Losses with known gains per technique (and per pair, as "a x b"), blocks and a little noise."""
    facts = facts or study()
    rng = np.random.default_rng(11)
    blocks, runs = rng.normal(size=SEEDS), []
    for arm in facts.arms:
        on = set(arm.plugins)
        for seed in facts.seeds:
            gain = sum(value for name, value in effect.items() if set(name.split(" x ")) <= on)
            value = 3.0 + 0.1 * blocks[seed] - gain + 0.001 * rng.normal()
            bad = drop == (arm.name, seed)
            status = "diverged" if bad else "finished"
            runs.append(
                RunFacts(
                    run_id=f"{arm.name}{seed}", arm=arm.name, seed=seed, status=status, value=None if bad else value
                )
            )
    return summarise(facts, runs)


def by_name(effects: tuple[Effect, ...]) -> dict[str, Effect]:
    return {e.name: e for e in effects}


def test_without_interaction_main_effects_are_the_gains() -> None:
    found = report({"rope": 0.05, "muon": -0.02}).effects
    assert found is not None
    main = by_name(found.main)
    assert main["rope"].gain == pytest.approx(0.05, abs=0.002)
    assert main["muon"].gain == pytest.approx(-0.02, abs=0.002)
    assert (main["rope"].verdict, main["muon"].verdict) == ("better", "worse")
    assert [e.verdict for e in found.interactions] == ["inconclusive"]
    assert found.simple == ()
    assert main["rope"].interval[0] < 0.05 < main["rope"].interval[1]


def test_an_interaction_is_half_the_difference_of_the_simple_effects_which_are_then_shown() -> None:
    made = report({"rope": 0.01, "muon": 0.01, "rope x muon": 0.06})
    found = made.effects
    assert found is not None
    (both,) = found.interactions
    assert both.gain == pytest.approx(0.03, abs=0.002)
    assert both.verdict == "more than the sum"
    simple = {(e.name, e.given): e.gain for e in found.simple}
    assert simple["rope", "with muon"] == pytest.approx(0.07, abs=0.003)
    assert simple["rope", "without muon"] == pytest.approx(0.01, abs=0.003)
    assert made.notes[0].startswith("Interactions first: rope x muon")


def test_the_order_of_the_arms_does_not_matter() -> None:
    facts = study()
    turned = facts.model_copy(update={"arms": facts.arms[::-1]})
    gains = {"rope": 0.05, "muon": -0.02}
    one, two = report(gains, facts).effects, report(gains, turned).effects
    assert one is not None
    assert two is not None
    assert by_name(two.main)["rope"].gain == pytest.approx(by_name(one.main)["rope"].gain, abs=0.002)


def test_three_techniques_have_three_pairs_and_one_triple() -> None:
    names = ("rope", "muon", "softcap")
    found = report({"softcap": 0.04}, study(techniques=names)).effects
    assert found is not None
    assert [e.name for e in found.interactions] == [
        "rope x muon",
        "rope x softcap",
        "muon x softcap",
        "rope x muon x softcap",
    ]
    assert by_name(found.main)["softcap"].gain == pytest.approx(0.04, abs=0.002)


def test_a_hole_in_the_grid_leaves_no_effects_and_says_why() -> None:
    made = report({"rope": 0.05}, drop=("rope", 2))
    assert made.effects is not None
    assert made.effects.main == ()
    assert made.effects.cause.startswith("1 run did not finish")
    assert "1 run did not finish" in render(made)["report.md"]


def test_two_seeds_give_no_effects() -> None:
    made = report({"rope": 0.05}, study(seeds=(0, 1)))
    assert made.effects is not None
    assert "2 seeds cannot show" in made.effects.cause


@pytest.mark.parametrize("mode", ["", "leave_one_out", "add_one"])
def test_other_studies_have_no_effects_and_say_how_to_read_their_arms(mode: Any) -> None:
    made = report({"rope": 0.05}, study(mode=mode))
    assert made.effects is None
    assert any("in the company of the others" in note for note in made.notes) == bool(mode)
    assert "<h2>Effects</h2>" not in render(made)["report.html"]


def test_pages_show_the_effects_before_the_arms_and_json_keeps_them() -> None:
    made = report({"rope": 0.05, "muon": -0.02})
    files = render(made)
    assert files["report.html"].index("<h2>Effects</h2>") < files["report.html"].index("<h2>How much</h2>")
    assert "## Effects" in files["report.md"]
    assert from_json(to_json(made)) == made


def test_an_exploratory_factorial_says_so_in_its_effects() -> None:
    made = report({"rope": 0.05}, study(exploratory="amended"))
    assert made.notes[0].startswith("Exploratory: Interactions first")
