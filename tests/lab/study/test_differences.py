"""What differs between arms beyond the technique is found, and the technique itself is not called a confound."""

from pathlib import Path

from coregpt.engine.accounting import count
from coregpt.lab.planning.load import load
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.differences import changes, derive, differences

TEXT = """\
question: Does it help?
base:
  model: {{vocab: 32, dim: 16, depth: 1, heads: 2, context: 16}}
  batch_tokens: 64
  eval_tokens: 64
  tokens: 640
  plugins: {{wsd: {{}}}}
arms:
  base:
  arm: {arm}
seeds: 2
test: {{baseline: base}}
"""


def make(tmp_path: Path, arm: str) -> Study:
    path = tmp_path / "s.yaml"
    path.write_text(TEXT.format(arm=arm))
    return load(path)


def found(study: Study) -> dict[str, list[str]]:
    derived = {}
    for arm in study.arms:
        instances = study.catalogue.instances(arm.run.plugins)
        derived[arm.name] = derive(arm.run, instances, count(arm.run, instances))
    return {setting: list(values.values()) for setting, values in differences(study, derived)}


def test_flops_that_change_during_a_run_are_told_with_their_extent(tmp_path: Path) -> None:
    told = found(make(tmp_path, "{plugins: {seq_len_schedule: {length: [0.5, 1]}}}"))
    # 6 x (3584 weights + 2 x 16 x keys): 24576 with 16 keys, 23040 with 8, which 3 of the 10 steps have
    assert told["FLOPs per token"] == ["2.458e+04", "2.412e+04 (2.304e+04 to 2.458e+04)"]


def test_a_plugin_that_one_arm_adds_is_the_technique(tmp_path: Path) -> None:
    study = make(tmp_path, "{plugins: {relu2: {}}}")
    assert found(study) == {}
    assert changes(study.arms[1], study.arms[0]) == "adds relu2"


def test_a_plugin_that_one_arm_drops_is_the_technique(tmp_path: Path) -> None:
    study = make(tmp_path, "{plugins: {wsd: null}}")
    assert found(study) == {}
    assert changes(study.arms[1], study.arms[0]) == "removes wsd"


def test_options_of_a_shared_plugin_and_settings_are_confounds(tmp_path: Path) -> None:
    study = make(tmp_path, "{plugins: {relu2: {}, wsd: {cooldown: 0.5}}, optim: {lr: 0.1}}")
    rows = found(study)
    assert rows["plugins.wsd.cooldown"] == ["0.3", "0.5"]
    assert rows["optim.lr"] == ["0.002", "0.1"]
    assert rows["peak learning rate"] == ["0.002", "0.1"]
    assert changes(study.arms[1], study.arms[0]) == "adds relu2; optim.lr 0.002 -> 0.1; plugins.wsd.cooldown 0.3 -> 0.5"


def test_a_bigger_budget_is_a_confound_however_it_comes_about(tmp_path: Path) -> None:
    rows = found(make(tmp_path, "{tokens: 1280}"))
    assert rows["tokens trained"] == ["640", "1,280"]
    assert rows["steps"] == ["10", "20"]


def test_what_a_technique_does_to_size_and_decay_is_told(tmp_path: Path) -> None:
    rows = found(make(tmp_path, "{plugins: {ngpt: {}}}"))
    assert rows["weight decay"] == ["0.1", "0"]
    assert "parameters" in rows
    assert "plugins.ngpt.variant" not in rows


def test_arms_that_differ_in_one_option_of_a_technique_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    both = "{plugins: {softcap: {cap: 15}}}\n  more: {plugins: {softcap: {cap: 30}}}\n  other: {plugins: {relu2: {}}}"
    path.write_text(TEXT.format(arm=both))
    study = load(path)
    base, *arms = study.arms
    assert [changes(arm, base, study.arms) for arm in arms] == [
        "adds softcap (cap 15.0)",
        "adds softcap (cap 30.0)",
        "adds relu2",
    ]
