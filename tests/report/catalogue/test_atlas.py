"""The atlas holds its level over the whole table, and its page says of every row what the table allows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from coregpt.report.catalogue.atlas import LEVEL, families_in, findings, word
from coregpt.report.catalogue.atlas_page import atlas_page
from coregpt.report.catalogue.collect import effects_in
from coregpt.report.catalogue.facts import Catalogued, Effect, Family, Technique
from coregpt.report.drawing.page import html, markdown
from tests.report.catalogue.test_catalogue import EFFECT, technique

ROOT = Path(__file__).parent.parent.parent.parent


def effect(p: float | None, gain: float | None, report: str = "atlas/norm") -> Effect:
    ends = None if gain is None else (gain - 0.1, gain + 0.1)
    changed = {"report": report, "left_out": False, "gain": gain, "interval": ends, "p_alone": p, "detectable": 0.03}
    return EFFECT.model_copy(update={**changed, "size": 1.5})


def atlas(**found: tuple[float | None, float | None]) -> Catalogued:
    techniques: list[Technique] = [technique(name, effects=(effect(*given),)) for name, given in found.items()]
    family = Family(
        report="atlas/norm",
        question="Which?",
        baseline="plain",
        seeds=6,
        runs=40,
        hours=0.5,
        processor="some CPU",
        precision="fp32",
        command="coregpt ablate norm.yaml",
    )
    return Catalogued(techniques=(*techniques, technique("unseen")), clashes={}, families=(family,))


def slow_adjusted(ps: list[float]) -> list[float]:
    """Benjamini and Hochberg's, from their definition: reject the k smallest, k the largest with p_(k) <= k q / m."""
    m = len(ps)
    adjusted = []
    for p in ps:
        levels = sorted({min(1.0, m * sorted(ps)[k - 1] / k) for k in range(1, m + 1)})
        for q in levels:
            rejected = max((k for k in range(1, m + 1) if sorted(ps)[k - 1] <= k * q / m * (1 + 1e-12)), default=0)
            if rejected and p <= sorted(ps)[rejected - 1]:
                adjusted.append(q)
                break
    return adjusted


def test_q_is_the_smallest_level_at_which_a_row_is_found() -> None:
    given = {"a": (0.001, 0.2), "b": (0.01, 0.1), "c": (0.04, -0.1), "d": (0.03, 0.05), "e": (0.8, 0.01)}
    found = {each.technique: each.q for each in findings(atlas(**given))}
    wanted = dict(zip(given, slow_adjusted([p for p, _ in given.values()]), strict=True))
    assert found == pytest.approx(wanted)


def test_rows_stand_by_gain_and_one_without_an_outcome_counts_as_a_try() -> None:
    rows = findings(atlas(a=(0.02, 0.2), lost=(None, None), b=(0.03, -0.3)))
    assert [(row.technique, word(row)) for row in rows] == [
        ("a", "lowers the loss"),
        ("b", "raises the loss"),
        ("lost", "no outcome"),
    ]
    assert findings(atlas(a=(0.02, 0.2), b=(0.03, -0.3)))[0].q < rows[0].q
    assert word(findings(atlas(a=(0.051, 0.2)))[0]) == "not shown"


def test_reports_outside_of_the_atlas_are_no_rows() -> None:
    other = technique("a", effects=(effect(0.001, 0.2, "modern_stack"),))
    assert findings(Catalogued(techniques=(other,), clashes={})) == []


@pytest.mark.parametrize("true", [0, 10])
def test_the_level_holds_where_all_arms_share_the_runs_of_one_baseline(true: int) -> None:
    """40 arms, 6 seeds, paired t-tests against the same six runs: the mean share of false ones among those found."""
    random, arms, seeds, rounds = np.random.default_rng(0), 40, 6, 4000
    baseline = random.normal(size=(rounds, 1, seeds))
    gains = baseline - random.normal(size=(rounds, arms, seeds))
    gains[:, :true] += 3.0
    p = stats.ttest_1samp(gains, 0.0, axis=2).pvalue
    found = stats.false_discovery_control(p, axis=1) <= LEVEL
    false = found[:, true:].sum(1) / np.maximum(1, found.sum(1))
    error = false.std() / np.sqrt(rounds)
    assert false.mean() <= LEVEL + 2.5 * error
    if true:
        assert found[:, :true].mean() > 0.5


def test_the_page_says_what_was_found_what_not_and_what_was_not_tried() -> None:
    made = atlas_page(atlas(a=(0.001, 0.2), b=(0.5, 0.01), c=(0.002, -0.2)), "No promise.")
    for page in (html(made), markdown(made)):
        assert "1 of the techniques lower the loss, 1 raise it" in page
        assert "Of the other 1 neither is shown" in page
        assert "a true difference of 0.030 nats" in page
        assert "1 technique: unseen." in page
        assert "0.50" in page
        assert "1.50" in page
    assert "atlas-all.svg" in markdown(made)
    assert html(made).count('class="dot hollow"') == 1


def test_size_and_flops_are_those_of_the_technique_whichever_arm_has_it() -> None:
    for report, name in (("modern_stack", "rope"), ("ngpt_vs_gpt", "ngpt")):
        told = json.loads((ROOT / "reports" / report / "report.json").read_text())
        arms = {arm["name"]: arm for arm in told["study"]["arms"]}
        (found,) = (each for each in effects_in(ROOT / "reports")[name] if each.report == report)
        with_it, without = (arms[found.baseline], arms[found.arm]) if found.left_out else (arms[found.arm], arms["gpt"])
        assert found.size == pytest.approx(with_it["parameters"] / without["parameters"])
        assert found.flops == pytest.approx(with_it["flops_per_token"] / without["flops_per_token"])


def test_a_page_without_any_study_lists_all_as_not_tried() -> None:
    made = atlas_page(Catalogued(techniques=(technique("a"), technique("b")), clashes={}), "No promise.")
    assert "2 techniques: a and b." in markdown(made)


def test_a_family_has_its_cost_from_its_report(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "reports" / "optimizers", tmp_path / "atlas" / "updates")
    (family,) = families_in(tmp_path)
    told = json.loads((tmp_path / "atlas" / "updates" / "report.json").read_text())
    assert (family.report, family.baseline, family.seeds) == ("atlas/updates", "adamw", 5)
    trials = sum(len(point["losses"]) for arm in told["study"]["bracket"]["arms"] for point in arm["points"])
    assert family.runs == trials + 15
    seconds = sum(run["train_seconds"] for run in told["timing"]["runs"]) + sum(told["timing"]["tuning"].values())
    assert family.hours == pytest.approx(seconds / 3600)
    assert family.precision == told["study"]["environment"]["values"]["precision"]


def test_readme_says_what_the_committed_atlas_says() -> None:
    found = Catalogued.model_validate_json((ROOT / "docs" / "techniques" / "techniques.json").read_text("utf-8"))
    words = [word(row) for row in findings(found)]
    lower, higher, open_ = (words.count(each) for each in ("lowers the loss", "raises the loss", "not shown"))
    said = f"of {len(words)} measured so far {lower} lower the loss, {higher} raise it, and of {open_} neither is shown"
    assert said in " ".join((ROOT / "README.md").read_text("utf-8").split())


def test_models_that_techniques_are_added_to_stand_apart_and_count_together() -> None:
    rows = {
        "a": (effect(0.001, 0.2), {"baseline": "plain"}),
        "b": (effect(0.002, 0.3, "atlas/muon"), {"baseline": "muon"}),
        "c": (effect(0.03, 0.1, "atlas/stack"), {"baseline": "all", "left_out": True}),
        "d": (effect(0.04, -0.1, "atlas/muon"), {"baseline": "muon", "instead": ("muon",)}),
    }
    found = Catalogued(
        techniques=tuple(technique(name, effects=(one.model_copy(update=more),)) for name, (one, more) in rows.items()),
        clashes={},
        families=tuple(
            atlas().families[0].model_copy(update={"report": f"atlas/{name}", "techniques": techniques})
            for name, techniques in (("norm", ("rope",)), ("muon", ("muon", "rope")), ("stack", ("c", "rope")))
        ),
    )
    told = markdown(atlas_page(found, "No promise."))
    assert told.index("## Added to muon") < told.index("## Added to plain") < told.index("## Left out of all")
    for words in ("plain: rope.", "muon: muon and rope.", "all: c and rope.", "| d (instead of muon) |"):
        assert words in told
    for file in ("atlas-plain.svg", "atlas-muon.svg", "atlas-without-all.svg"):
        assert file in told
    wanted = slow_adjusted([one.p_alone or 1.0 for one, _ in rows.values()])
    assert [{row.technique: row.q for row in findings(found)}[name] for name in rows] == pytest.approx(wanted)


def test_one_that_takes_the_place_of_others_is_one_comparison(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "reports" / "atlas" / "norm", tmp_path / "atlas" / "norm")
    path = tmp_path / "atlas" / "norm" / "report.json"
    text = path.read_text("utf-8")
    assert effects_in(tmp_path)["layernorm"][0].instead == ()
    told = json.loads(text)
    arm = next(each for each in told["study"]["arms"] if each["name"] == "layernorm")
    del arm["plugins"]["rope"], arm["plugins"]["qk_norm"]
    path.write_text(json.dumps(told))
    (found,) = effects_in(tmp_path)["layernorm"]
    assert found.instead == ("qk_norm", "rope")
    assert not found.left_out
    arm["plugins"]["smear"] = {}
    path.write_text(json.dumps(told))
    assert "layernorm" not in effects_in(tmp_path)
