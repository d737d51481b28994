"""What arms differ in is sorted: technique, prescribed by it, tuned, matched, and the rest, which alone confounds."""

from pathlib import Path

import pytest

from coregpt.lab.designs.found import frozen
from coregpt.lab.planning.credit import credited, departures
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline
from coregpt.lab.study.outline import Outline

TEXT = """\
question: Does it help?
base:
  model: {{vocab: 32, dim: 16, depth: 2, heads: 2, context: 16}}
  batch_tokens: 64
  eval_tokens: 64
  tokens: 12800
  optim: {{weight_decay: 0.1}}
  plugins: {{wsd: {{warmup: 0.2}}}}
arms:
  gpt:
  arm: {arm}
seeds: 5
{more}
test: {{baseline: gpt}}
"""


def made(tmp_path: Path, arm: str, more: str = "") -> Outline:
    path = tmp_path / "s.yaml"
    path.write_text(TEXT.format(arm=arm, more=more))
    return outline(load(path))


def kinds(outlined: Outline) -> dict[str, str]:
    return {each.setting: each.why["arm"] for each in credited(outlined)}


def test_what_the_authors_prescribe_and_parameters_that_the_technique_adds_are_no_confounds(tmp_path: Path) -> None:
    arm = "{optim: {weight_decay: 0}, plugins: {ngpt: {}, wsd: {warmup: 0}}}"
    assert kinds(made(tmp_path, arm)) == {
        "optim.weight_decay": "prescribed",
        "plugins.wsd.warmup": "prescribed",
        "parameters": "technique",
        "weight decay": "technique",
    }


def test_another_value_than_the_prescribed_one_and_any_other_setting_is_the_rest(tmp_path: Path) -> None:
    found = kinds(made(tmp_path, "{optim: {lr: 0.01}, plugins: {ngpt: {}, wsd: {warmup: 0.1}}}"))
    assert found["plugins.wsd.warmup"] == found["optim.lr"] == found["peak learning rate"] == "rest"
    assert found["parameters"] == "technique"


def test_an_arm_without_the_technique_of_the_baseline_is_sorted_alike(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    text = TEXT.format(arm="{optim: {weight_decay: 0}, plugins: {ngpt: {}, wsd: {warmup: 0}}}", more="")
    path.write_text(text.replace("baseline: gpt", "baseline: arm"))
    assert {each.setting: each.why["gpt"] for each in credited(outline(load(path)))} == {
        "optim.weight_decay": "prescribed",
        "plugins.wsd.warmup": "prescribed",
        "parameters": "technique",
        "weight decay": "prescribed",
    }


def test_what_a_match_sets_is_matched_with_all_it_comes_to(tmp_path: Path) -> None:
    found = kinds(made(tmp_path, "{plugins: {moe: {experts: 4, active: 2}}}", "match: flops"))
    assert {found[key] for key in ("tokens", "steps", "tokens trained")} <= {"matched"}


def test_what_a_study_holds_equal_by_hand_is_matched_too(tmp_path: Path) -> None:
    arm = "{tokens: 25600, batch_tokens: 128, plugins: {relu2: {}}}"
    found = kinds(made(tmp_path, arm, "equal: steps"))
    assert found["tokens"] == "matched"
    assert found["batch_tokens"] == "rest"


TUNING = "tuning: {{seeds: 1, trials: 2, space: {{all: {{optim.lr: {{low: 0.001, high: 0.01, log: true}}}}}}}}"


@pytest.mark.parametrize("more", ["bracket: {}", TUNING.replace("{{", "{").replace("}}", "}")])
def test_what_was_found_for_each_arm_is_tuned_with_all_it_comes_to(tmp_path: Path, more: str) -> None:
    """Studies with trials were told that their own tuning confounds them."""
    study = made(tmp_path, "{plugins: {ngpt: {}, wsd: {warmup: 0}}}", more).study
    found = kinds(outline(frozen(study, {"gpt": {"optim.lr": 0.003}, "arm": {"optim.lr": 0.006}})))
    assert found["optim.lr"] == found["peak learning rate"] == "tuned"
    assert "rest" not in found.values()


def test_where_both_have_the_same_techniques_the_settings_are_what_is_compared(tmp_path: Path) -> None:
    assert set(kinds(made(tmp_path, "{optim: {lr: 0.01}}")).values()) == {"technique"}


def test_an_arm_that_does_not_follow_its_technique_is_told_with_the_source(tmp_path: Path) -> None:
    (line,) = departures(made(tmp_path, "{plugins: {ngpt: {}}}"))  # its decay is off whatever the arm says
    assert line == (
        "arm is not ngpt as its source prescribes: plugins.wsd.warmup is 0.2, prescribed 0 (arXiv:2410.01131, "
        "section 2.6)."
    )
    assert list(departures(made(tmp_path, "{plugins: {ngpt: {}, wsd: null}}"))) == []
    (line,) = departures(made(tmp_path, "{plugins: {schedule_free: {}, wsd: null, cosine: {}}}"))
    assert "plugins.cosine is enabled" in line
