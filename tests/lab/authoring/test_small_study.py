"""The small study says what it was asked, whatever the technique's name, options and needs."""

from pathlib import Path

import pytest

from coregpt.lab.authoring.small_study import BASE, study_text
from coregpt.lab.planning.load import load


def loaded(tmp_path: Path, name: str, *rest: object):
    path = tmp_path / f"{name}.yaml"
    path.write_text(study_text(name, *rest))
    return load(path)


def test_arms_differ_in_the_technique_and_its_options(tmp_path: Path) -> None:
    study = loaded(tmp_path, "softcap", {"cap": 5.5, "shape": "tanh"})
    assert [arm.name for arm in study.arms] == ["without", "softcap"]
    assert study.arms[0].run.plugins == {}
    assert study.arms[1].run.plugins["softcap"].items() >= {"cap": 5.5, "shape": "tanh"}.items()
    assert study.criterion.baseline == "without"


def test_what_a_technique_requires_is_in_both_arms(tmp_path: Path) -> None:
    study = loaded(tmp_path, "softcap", {}, (), ["relu2"])
    assert [set(arm.run.plugins) for arm in study.arms] == [{"relu2"}, {"relu2", "softcap"}]


def test_a_technique_may_be_called_as_the_other_arm(tmp_path: Path) -> None:
    (tmp_path / "without.py").write_text("from coregpt.api import Plugin\n\n\nclass Without(Plugin):\n    pass\n")
    assert [arm.name for arm in loaded(tmp_path, "without", {}, [Path("without.py")]).arms] == ["plain", "without"]


def test_five_seeds_can_decide_and_evaluation_is_a_small_part_of_a_run(tmp_path: Path) -> None:
    study = loaded(tmp_path, "softcap", {})
    assert len(study.seeds) == 5
    run = study.arms[0].run
    assert run.device == "cpu"
    forward_passes = (run.evals + 1) * run.eval_tokens / 3  # a step is about three forward passes
    assert forward_passes < 0.15 * run.tokens


@pytest.mark.parametrize("key", BASE)
def test_every_setting_is_one_a_study_may_have(key: str, tmp_path: Path) -> None:
    assert f"  {key}: " in study_text("softcap", {})
