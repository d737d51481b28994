"""The atlas holds its level over the whole table, and its page says of every row what the table allows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from coregpt.report.catalogue.atlas import FOUND, LEVEL, LOWERS, OPEN, RAISES, alone, families_in, findings, word
from coregpt.report.catalogue.atlas_page import atlas_page
from coregpt.report.catalogue.costs import costs
from coregpt.report.catalogue.effects import effects_in
from coregpt.report.catalogue.facts import Again, Catalogued, Effect, Family, Technique
from coregpt.report.drawing.page import html, markdown
from tests.report.catalogue.test_catalogue import EFFECT, technique

ROOT = Path(__file__).parent.parent.parent.parent


def effect(p: float | None, gain: float | None, report: str = "atlas/norm") -> Effect:
    ends = None if gain is None else (gain - 0.1, gain + 0.1)
    changed = {"report": report, "left_out": False, "gain": gain, "interval": ends, "p_alone": p, "detectable": 0.03}
    more = {"size": 1.5, "processor": "some CPU", "precision": "fp32", "verdict": "inconclusive"}
    return EFFECT.model_copy(update={**changed, **more, "untuned": "", "tuned": True})


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
        assert "Added: 1 of the 3 lower the loss and 1 raise it." in page
        assert "Of the other 1 neither is shown" in page
        assert "a true difference of 0.030 nats" in page
        assert "1 technique: unseen." in page
        assert "0.50" in page
        assert "1.50" in page
    assert "atlas-all-on-some-cpu-fp32.svg" in markdown(made)
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
    rows = [row for row in findings(found) if not row.effect.left_out]
    words = [word(row) for row in rows]
    lower, higher, open_ = (words.count(each) for each in (LOWERS, RAISES, OPEN))
    said = f"of {len(words)} measured so far {lower} lower the loss, {higher} raise it, and of {open_} neither is shown"
    weaker = sum(word(row) in FOUND and not alone(row) for row in rows)
    readme = " ".join((ROOT / "README.md").read_text("utf-8").split())
    assert said in readme
    assert f"of {weaker} that the table finds the reports by themselves say something else" in readme


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
    for file in ("atlas-plain-on-", "atlas-muon-on-", "atlas-without-all-on-"):
        assert f"({file}some-cpu-fp32.svg)" in told
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


def with_effects(**effects: Effect) -> Catalogued:
    made = tuple(technique(name, effects=(one,)) for name, one in effects.items())
    return Catalogued(techniques=made, clashes={}, families=atlas().families)


def test_rows_of_another_processor_or_precision_stand_in_a_table_of_their_own() -> None:
    one, other = effect(0.001, 0.2), effect(0.001, 0.9).model_copy(update={"processor": "another CPU"})
    bf16 = effect(0.001, 0.3).model_copy(update={"precision": "bf16"})
    told = markdown(atlas_page(with_effects(a=one, b=other, c=bf16), "No promise."))
    for name, where in (("a", "some CPU, fp32"), ("b", "another CPU, fp32"), ("c", "some CPU, bf16")):
        part = told.partition(f"## Added to all, on {where}\n")[2].partition("\n## ")[0]
        assert [row for row in ("a", "b", "c") if f"| {row} |" in part] == [name]
    assert "have no order" in told
    assert "have no order" not in markdown(atlas_page(with_effects(a=one), "No promise."))


def test_two_models_of_one_name_have_a_picture_each() -> None:
    effects = {"a": effect(0.001, 0.2), "b": effect(0.001, 0.3, "atlas/other")}
    family = atlas().families[0]
    families = (family, family.model_copy(update={"report": "atlas/other", "techniques": ("rope",)}))
    told = markdown(atlas_page(with_effects(**effects).model_copy(update={"families": families}), "No promise."))
    assert "(atlas-all-on-some-cpu-fp32.svg)" in told
    assert "(atlas-all-on-some-cpu-fp32-2.svg)" in told


def test_what_the_table_finds_and_the_report_alone_does_not_is_said_as_both() -> None:
    found = with_effects(
        a=effect(0.001, 0.2).model_copy(update={"verdict": "better"}),
        b=effect(0.01, 0.1),
        c=effect(0.8, 0.01),
    )
    told = markdown(atlas_page(found, "No promise."))
    assert "1 comparison of those that it finds has another word there: b (inconclusive)." in told
    assert [alone(row) for row in findings(found)] == [True, False, False]
    (row,) = (line for line in told.splitlines() if line.startswith("| b |"))
    assert "| lowers the loss | inconclusive |" in row


def test_what_was_left_out_is_counted_apart_and_called_missed() -> None:
    gone = {"left_out": True, "arm": "without"}
    found = with_effects(
        a=effect(0.001, 0.2),
        b=effect(0.001, 0.3).model_copy(update={**gone, "verdict": "worse"}),
        c=effect(0.001, -0.3).model_copy(update={**gone, "verdict": "better"}),
    )
    told = markdown(atlas_page(found, "No promise."))
    assert "Added: 1 of the 1 lower the loss and 0 raise it." in told
    assert "Left out: 1 of the 2 are missed, and without 1 the loss is lower." in told
    assert "missed by (95% interval)" in told
    assert "| is missed | worse without it |" in told
    assert "| is not missed: lower without | better without it |" in told
    assert "missed: higher without it" in html(atlas_page(found, "No promise."))


def test_a_row_says_which_rates_nothing_tuned_and_what_else_differs() -> None:
    given = {"untuned": "at one shared learning rate", "beside": ("optim.beta1",)}
    told = markdown(atlas_page(with_effects(a=effect(0.01, 0.2).model_copy(update=given)), "No promise."))
    assert "| inconclusive, at one shared learning rate, differs in optim.beta1 too |" in told


def test_a_pilot_is_no_row() -> None:
    found = with_effects(a=effect(0.01, 0.2), b=effect(None, 0.5).model_copy(update={"verdict": "pilot"}))
    assert [row.technique for row in findings(found)] == ["a"]


AGAIN = Again(gain=0.1, shown=False, seeds=(6, 7), command="coregpt verify it", processor="some CPU", precision="fp32")


def test_what_fresh_seeds_said_stands_beside_the_gain() -> None:
    looked = effect(0.001, 0.2).model_copy(update={"again": AGAIN})
    also = effect(0.001, 0.3).model_copy(update={"again": AGAIN.model_copy(update={"gain": 0.35, "shown": True})})
    told = markdown(atlas_page(with_effects(a=looked, b=also, c=effect(0.5, 0.0)), "No promise."))
    assert "2 rows were looked at again on fresh seeds, and 1 of 2 came out smaller" in told
    assert "do not show a." in told
    assert "| a | norm | +0.200 (+0.100 to +0.300) | +0.100, not shown |" in told
    assert "| b | norm | +0.300 (+0.200 to +0.400) | +0.350 |" in told
    assert "| atlas/norm | coregpt verify it | 6, 7 | some CPU, fp32 | a, b |" in told
    assert "fresh" not in markdown(atlas_page(with_effects(a=effect(0.5, 0.0)), "No promise."))


def test_no_run_is_counted_twice_and_lines_add_up(tmp_path: Path) -> None:
    """The same report as two families: the second one trained nothing."""
    for name in ("one", "two"):
        shutil.copytree(ROOT / "reports" / "optimizers", tmp_path / "atlas" / name)
    one, two = families_in(tmp_path)
    assert (one.shared_runs, two.shared_runs) == (0, one.runs)
    assert two.shared_hours == pytest.approx(two.hours) == pytest.approx(one.hours)
    rows = costs((one, two)).rows
    assert rows[-1][2:4] == rows[0][2:4]
    assert rows[1][4] == f"{two.runs} runs, {two.hours:.2f} h"


def test_the_last_line_of_costs_is_the_sum_of_what_the_others_show() -> None:
    """0.004 h and 0.004 h are shown as 0.00 each, and so is their sum; 0.465 is not rounded a second time."""
    family = atlas().families[0]
    families = [family.model_copy(update={"hours": hours}) for hours in (0.4655, 0.6231, 0.8364, 4.0396)]
    rows = costs(families).rows
    shown = [float(row[3]) for row in rows]
    assert shown[-1] == pytest.approx(sum(shown[:-1]))
