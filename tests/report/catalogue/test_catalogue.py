"""The catalogue's facts are the techniques' own and the published reports', and its pages hold together."""

import json
import re
import shutil
from pathlib import Path

import pytest

from coregpt.lab.study.registry import Catalogue
from coregpt.report.catalogue.atlas import families_in
from coregpt.report.catalogue.collect import clashes, described, placeless, read_prices
from coregpt.report.catalogue.effects import effects_in
from coregpt.report.catalogue.facts import Catalogued, Effect, Option, Price, Technique
from coregpt.report.catalogue.names import ATLAS_PAGE, ATLAS_TEXT, INDEX, MATRIX
from coregpt.report.catalogue.pages import pages

ROOT = Path(__file__).parent.parent.parent.parent
COMMITTED = ROOT / "docs" / "techniques"


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue()


def technique(name="gentle", **more):
    given = {
        "folder": "norm",
        "digest": "0",
        "card": f"Do <it> gently & {name}.\n\nMore.\nSource: somebody",
        "options": (Option(name="cap", kind="number", default="1.0", words="How <much>."),),
        "hooks": ("make_norm",),
    }
    return Technique(name=name, **{**given, **more})


EFFECT = Effect(
    report="stack",
    arm="without-gentle",
    baseline="all",
    left_out=True,
    gain=0.25,
    interval=(0.1, 0.4),
    p=0.003,
    verdict="worse",
    untuned="at one shared learning rate",
    unit="nats per byte",
    parameters=1000,
    tokens=2000,
    company=("rope",),
)


def test_a_technique_is_described_in_its_own_words(catalogue):
    found = described(catalogue, "softcap")
    assert found.idea == "Bend logits so that none exceeds a cap."
    assert found.folder == "head"
    assert found.source.startswith("Gemma Team 2024")
    assert [option.name for option in found.options] == ["shape", "cap", "shift", "width", "root_dim"]
    assert found.options[0].kind == "'tanh' or 'isru' or 'sigmoid'"
    assert found.hooks == ("add_logit_transforms",)
    ngpt = described(catalogue, "ngpt")
    assert "softcap" in ngpt.conflicts
    assert "arXiv:2410.01131" in ngpt.prescribes["optim.weight_decay"]


def test_a_default_that_is_made_anew_each_time_is_shown(catalogue):
    defaults = {option.name: option.default for option in described(catalogue, "ema").options}
    assert defaults["roles"] == "{}"
    names = [name for name in catalogue.names() if catalogue.locate(name).package == "coregpt_plugins"]
    assert not any("Undefined" in option.default for name in names for option in described(catalogue, name).options)


def test_effects_have_the_sign_of_the_technique_whichever_arm_has_it(tmp_path):
    """Left out and worse is a gain; added and better is a gain."""
    for name in ("modern_stack", "ngpt_vs_gpt"):
        shutil.copytree(ROOT / "reports" / name, tmp_path / name)
    found = effects_in(tmp_path)
    (rope,) = found["rope"]
    told = json.loads((tmp_path / "modern_stack" / "report.json").read_text())
    (arm,) = (each for each in told["comparisons"] if each["arm"] == "without-rope")
    assert rope.left_out
    assert rope.verdict == "worse"
    assert rope.gain == -arm["gain"] > 0
    assert rope.interval == (-arm["interval"][1], -arm["interval"][0])
    assert rope.untuned == "at one shared learning rate"
    (ngpt,) = found["ngpt"]
    assert not ngpt.left_out
    assert ngpt.verdict == "better"
    assert ngpt.gain > 0
    assert not ngpt.untuned
    assert "wsd" not in found  # it is in every arm


def test_prices_are_read_with_what_they_were_measured_with(tmp_path):
    file = tmp_path / "prices.json"
    assert read_prices(file) == ({}, "")
    step = {"fp32": {"median": 1.1, "low": 1.0, "high": 1.2, "ours_ms": 1, "theirs_ms": 1}}
    told = {
        "facts": {"processor": "some CPU", "date": "2026-11-21"},
        "techniques": [{"name": "gentle", "step": step, "memory": {"fp32": 2.0}}],
    }
    file.write_text(json.dumps(told))
    price = Price(precision="fp32", ratio=1.1, low=1.0, high=1.2, memory=2.0)
    assert read_prices(file) == ({"gentle": (price,)}, "some CPU, 2026-11-21")
    file.write_text(json.dumps({**told, "facts": {"python": "3"}}))
    assert read_prices(file) == ({}, "")  # a ratio of an unknown processor says nothing about any other


def test_the_committed_prices_say_on_which_processor():
    prices, where = read_prices(ROOT / "benchmarks" / "results" / "prices.json")
    assert prices
    assert where
    assert not any("not noted" in page.read_text(encoding="utf-8") for page in COMMITTED.glob("*.html"))


def some(catalogue, *names):
    return Catalogued(techniques=tuple(described(catalogue, name) for name in names), clashes={})


def test_pairs_are_built_and_what_they_say_is_kept(catalogue):
    found = clashes(catalogue, some(catalogue, "ngpt", "rope", "softcap"), None, lambda line: None)
    assert list(found) == ["ngpt + softcap"]
    assert "'ngpt'" in found["ngpt + softcap"]


def test_pairs_that_are_known_are_not_built_again(catalogue):
    told = []
    before = some(catalogue, "rope", "softcap").model_copy(update={"clashes": {"rope + softcap": "said before"}})
    assert clashes(catalogue, some(catalogue, "rope", "softcap"), before, told.append) == before.clashes
    assert told == []
    old = before.model_copy(
        update={"techniques": (before.techniques[0].model_copy(update={"digest": "x"}), before.techniques[1])}
    )
    assert clashes(catalogue, some(catalogue, "rope", "softcap"), old, told.append) == {}
    assert told == ["pairs built: 0 of 1; known before: 0"]


def test_a_message_says_nothing_of_where_a_checkout_lies():
    said = "plugin 'a' (/home/me/a.py:12): make_update at 'matrix (32, 32)': claimed by 'a' and 'b'"
    assert placeless(said) == "plugin 'a': make_update at 'matrix (32, 32)': claimed by 'a' and 'b'"
    for page in COMMITTED.iterdir():
        assert ".py:" not in page.read_text(encoding="utf-8")


def test_pages_link_to_each_other_and_escape_what_they_are_told():
    found = Catalogued(
        techniques=(technique(effects=(EFFECT,)), technique("other", requires=("gentle",))),
        clashes={"gentle + other": "'gentle' & 'other' <clash>"},
    )
    made = pages(found)
    assert set(made) == {INDEX, MATRIX, ATLAS_PAGE, ATLAS_TEXT, "gentle.html", "other.html"}
    for text in made.values():
        assert "<it>" not in text
        assert "<clash>" not in text
        assert "http" not in re.sub(r"http://www\.w3\.org\S*", "", text)
        for link in re.findall(r'href="([^"#]+\.html)"', text):
            assert link in made or link.startswith("../../reports/")
    assert "no promise" in made[INDEX]
    assert "1 of the 2 techniques have not been measured at all" in made[INDEX]
    assert "one shared" in made["gentle.html"]
    assert "Not measured." in made["gentle.html"]
    assert "Needs gentle." in made["other.html"]
    assert "builds beside 0 of the 1 others" in made["other.html"]
    assert made[MATRIX].count('class="no"') == 2


def line(*effects: Effect) -> str:
    """The cell of the index, as it is read."""
    text = pages(Catalogued(techniques=(technique(effects=effects),), clashes={}))[INDEX]
    (row,) = re.findall(r"<tr data-text=.*?</tr>", text, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", row.rpartition("<td>")[2]).split())


ADDED = EFFECT.model_copy(
    update={"arm": "gentle", "baseline": "plain", "left_out": False, "verdict": "better", "untuned": "", "tuned": True}
)


def test_the_index_has_the_verdict_beside_every_gain():
    assert line(ADDED) == "better +0.250 (+0.100 to +0.400), gentle against plain in stack"
    open_ = ADDED.model_copy(update={"verdict": "inconclusive", "gain": -0.01, "interval": (-0.1, 0.08)})
    assert line(open_) == "inconclusive −0.010 (−0.100 to +0.080), gentle against plain in stack"
    little = ADDED.model_copy(update={"said": "better, by less than matters"})
    assert line(little).startswith("better, by less than matters +0.250")
    lost = ADDED.model_copy(update={"verdict": "unstable", "gain": None, "interval": None})
    assert line(lost) == "unstable gentle against plain in stack"


def test_what_was_left_out_is_missed_and_stands_after_what_was_added():
    assert line(EFFECT) == (
        "missed by 0.250 (+0.100 to +0.400) when left out, without-gentle against all in stack; at one shared "
        "learning rate"
    )
    assert line(EFFECT, ADDED).startswith("better")
    open_ = EFFECT.model_copy(update={"verdict": "inconclusive"})
    assert line(open_).startswith("inconclusive without it loss +0.250 (+0.100 to +0.400) when left out")
    good_riddance = EFFECT.model_copy(update={"verdict": "better", "gain": -0.2, "interval": (-0.3, -0.1)})
    assert line(good_riddance).startswith("better without it loss −0.200 (−0.300 to −0.100) when left out")
    page = pages(Catalogued(techniques=(technique(effects=(EFFECT, ADDED)),), clashes={}))["gentle.html"]
    assert page.index("Added: a positive gain") < page.index("Left out of a model that has it")
    assert "missed by" in page


def test_a_pilot_is_no_effect():
    pilot = ADDED.model_copy(update={"verdict": "pilot", "gain": 0.065, "interval": None, "p": None, "report": "first"})
    assert line(pilot) == "pilot, no verdict gentle against plain in first"
    assert "first" not in line(pilot, ADDED)
    page = pages(Catalogued(techniques=(technique(effects=(pilot, ADDED)),), clashes={}))["gentle.html"]
    assert "Pilot, no verdict: gentle against plain in first." in page
    assert "0.065" not in page


def test_rates_that_nothing_tuned_and_other_settings_are_said_beside_the_gain():
    words = "at learning rates that nothing tuned"
    assert line(ADDED.model_copy(update={"untuned": words})).endswith(f"in stack; {words}")
    assert line(ADDED.model_copy(update={"tuned": False})).endswith("in stack; at the declared learning rates")
    beside = ADDED.model_copy(update={"beside": ("plugins.wsd.cooldown",)})
    assert line(beside).endswith("in stack; differs in plugins.wsd.cooldown too")


def test_reports_say_at_which_rates_and_with_what_else_their_arms_were_compared():
    found = effects_in(ROOT / "reports")
    (stack,) = (each for each in found["muon"] if each.report == "modern_stack")
    assert stack.untuned == "at learning rates that nothing tuned"
    assert not stack.tuned
    (tested,) = (each for each in found["ngpt"] if each.report == "ngpt_vs_gpt")
    assert tested.tuned
    told = json.loads((ROOT / "reports/ngpt_vs_gpt/report.json").read_text())["study"]["environment"]["values"]
    assert tested.machine == f"{told['processor']}, {told['precision']}"
    cooldown = {each.arm: each for each in found["ema"] if each.report == "cooldown_or_average"}
    assert cooldown["average"].beside == ("plugins.wsd.cooldown",)
    assert cooldown["average"].said == "better, by less than matters"
    assert cooldown["both"].beside == ()


def test_the_committed_pages_are_those_of_the_techniques(catalogue):
    """If not: `coregpt plugins pages`."""
    found = Catalogued.model_validate_json((COMMITTED / "techniques.json").read_text(encoding="utf-8"))
    names = [name for name in catalogue.names() if catalogue.locate(name).package == "coregpt_plugins"]
    assert found.names() == names
    for told in found.techniques:
        assert described(catalogue, told.name) == told.model_copy(update={"prices": (), "effects": ()})
    measured = effects_in(ROOT / "reports")
    assert {told.name: list(told.effects) for told in found.techniques if told.effects} == measured
    assert found.families == families_in(ROOT / "reports")
    made = pages(found)
    assert {path.name for path in COMMITTED.iterdir()} == {*made, "techniques.json"}
    for name, text in made.items():
        assert (COMMITTED / name).read_text(encoding="utf-8") == text
