"""An arm whose best learning rate may be another one, and for which none was looked for, is known before it runs."""

from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.planning.untuned import SHARED, UNTUNED, untuned
from tests.lab.planning.test_credit import TUNING, made


@pytest.mark.parametrize(
    "arm",
    [
        "{plugins: {relu2: {}}}",
        "{plugins: {wsd: null}}",
        "{plugins: {wsd: {cooldown: 0.5}}}",
        "{batch_tokens: 128}",
        "{model: {depth: 1}}",
        "{tokens: 25600}",
        "{optim: {beta2: 0.99}}",
    ],
)
def test_what_changes_the_function_or_its_updates_moves_the_optimum(tmp_path: Path, arm: str) -> None:
    equal = "equal: steps" if "tokens" in arm else ""
    assert untuned(made(tmp_path, arm, equal)) == {"arm": SHARED}


@pytest.mark.parametrize("arm", ["{micro_rows: 1}", "{precision: bf16}", "{compile: true}"])
def test_memory_speed_and_rounding_do_not(tmp_path: Path, arm: str) -> None:
    assert untuned(made(tmp_path, arm)) == {}


def test_a_technique_at_its_neutral_options_does_not(tmp_path: Path) -> None:
    assert untuned(made(tmp_path, "{plugins: {looped: {loops: 1}}}")) == {}


def test_a_comparison_of_learning_rates_needs_none_found(tmp_path: Path) -> None:
    assert untuned(made(tmp_path, "{optim: {lr: 0.01}}")) == {}


def test_rates_of_an_arm_that_somebody_chose_are_not_called_shared(tmp_path: Path) -> None:
    assert untuned(made(tmp_path, "{optim: {lr: 0.01}, plugins: {relu2: {}}}")) == {"arm": UNTUNED}
    assert untuned(made(tmp_path, "{plugins: {muon: {}}}")) == {"arm": UNTUNED}


@pytest.mark.parametrize("more", ["bracket: {}", TUNING.replace("{{", "{").replace("}}", "}")])
def test_a_rate_that_is_found_for_both_covers_the_comparison(tmp_path: Path, more: str) -> None:
    assert untuned(made(tmp_path, "{plugins: {relu2: {}}}", more)) == {}


def test_a_bracket_of_another_setting_does_not(tmp_path: Path) -> None:
    more = "bracket: {setting: optim.weight_decay}"
    assert untuned(made(tmp_path, "{plugins: {relu2: {}}}", more)) == {"arm": SHARED}


def test_plan_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = made(tmp_path, "{plugins: {ngpt: {}}}").study
    study.path.write_text(study.path.read_text().replace("vocab: 32", "vocab: 256"))  # what the data need
    main(["plan", str(study.path), "--runs", str(tmp_path / "runs")])
    out = capsys.readouterr().out
    assert "warning: arm is compared at one shared learning rate" in out
    assert "warning: arm is not ngpt as its source prescribes: plugins.wsd.warmup is 0.2" in out
    assert "technique" in next(line for line in out.splitlines() if line.startswith("parameters "))
