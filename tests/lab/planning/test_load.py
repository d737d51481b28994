"""Studies: what is accepted, and every mistake with its line and the nearest valid name."""

from pathlib import Path

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.load import load
from coregpt.lab.study.declaration import Study

GOOD = """\
question: Does it help?
base:
  model: {dim: 16, depth: 1, heads: 2, context: 16}
  tokens: 1e4
  batch_tokens: 64
  eval_tokens: 64
  plugins: {rope: {}, wsd: {cooldown: 0.5}}
arms:
  one:
  two: {plugins: {relu2: {}}}
seeds: 2
test: {baseline: one}
"""


def study(tmp_path: Path, text: str, scale: str | None = None, gpus: int = 0) -> Study:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return load(path, scale, gpus)


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        study(tmp_path, text)
    return [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]


def test_work_on_speed_is_told_and_is_no_part_of_what_is_declared(tmp_path: Path) -> None:
    plain, told = study(tmp_path, GOOD), study(tmp_path, GOOD + "systems: [FlashAttention 3]\n")
    assert (plain.systems, told.systems) == ((), ("FlashAttention 3",))
    assert plain.digest == told.digest
    assert "systems" in problems(tmp_path, GOOD + "systems: fast\n")[0]


def test_arms_merge_over_base_and_get_every_default(tmp_path: Path) -> None:
    found = study(tmp_path, GOOD)
    one, two = found.arms
    assert one.run.tokens == 10_000
    assert one.run.plugins["wsd"]["cooldown"] == 0.5
    assert one.run.plugins["wsd"].keys() >= {"warmup", "cooldown", "floor"}
    assert set(two.run.plugins) - set(one.run.plugins) == {"relu2"}
    assert found.seeds == (0, 1)


@pytest.mark.parametrize(
    ("options", "key"),
    [("wsd: {cooldown: 1.0}", "wsd.cooldown"), ("wsd: {}, ema: {horizon: 1.0}", "ema.horizon")],
)
def test_a_stretch_of_all_the_run_is_not_taken_for_one_step(tmp_path: Path, options: str, key: str) -> None:
    """`1.0` looks like a share, and from 1 on a number is one of steps."""
    text = GOOD.replace("wsd: {cooldown: 0.5}", options)
    told = "1.0 is the whole run as a share and one step as a number; write 1 for one step, or a share below 1"
    assert problems(tmp_path, text) == [f"s.yaml:7: base.plugins.{key}: {told}"]
    study(tmp_path, text.replace("1.0", "1"))
    study(tmp_path, GOOD.replace("cooldown: 0.5", "cooldown: 2.0, floor: 1.0"))


def test_null_in_an_arm_removes_what_base_sets(tmp_path: Path) -> None:
    found = study(
        tmp_path, GOOD.replace("two: {plugins: {relu2: {}}}", "two: {plugins: {rope: null}, batch_tokens: null}")
    )
    assert "rope" not in found.arms[1].run.plugins
    assert found.arms[1].run.batch_tokens == 2048


def test_a_scale_lies_between_base_and_arms(tmp_path: Path) -> None:
    scales = "scales:\n  small: {}\n  big: {tokens: 2e4, seeds: [7, 9, 11], test: {margin: 0.5}, gpus_per_run: 2}\n"
    small, big = (study(tmp_path, GOOD + scales, scale) for scale in (None, "big"))
    assert (small.scale, small.name, small.arms[0].run.tokens, small.seeds) == ("small", "s", 10_000, (0, 1))
    assert (big.scale, big.name, big.arms[1].run.tokens, big.seeds) == ("big", "s-big", 20_000, (7, 9, 11))
    assert (big.criterion.margin, big.gpus_per_run) == (0.5, 2)
    assert small.digest != big.digest


def test_the_default_scale_needs_a_node_of_gpus_to_be_the_node_scale(tmp_path: Path) -> None:
    text = GOOD + "scales: {laptop: {}, node-8xh100: {tokens: 2e4}}\n"
    assert [study(tmp_path, text, gpus=n).scale for n in (0, 1, 8)] == ["laptop", "laptop", "node-8xh100"]


def test_the_digest_changes_with_what_is_declared_and_with_nothing_else(tmp_path: Path) -> None:
    plain = study(tmp_path, GOOD).digest
    assert study(tmp_path, "# a comment\n" + GOOD.replace("1e4", "10000")).digest == plain
    for old, new in (("seeds: 2", "seeds: 3"), ("baseline: one", "baseline: two"), ("help?", "hurt?"), ("0.5", "0.4")):
        assert study(tmp_path, GOOD.replace(old, new)).digest != plain


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("question: Does it help?", "", "s.yaml:2: question: is missing"),
        ("base:", "bases:", "s.yaml:2: bases: unknown key; did you mean 'base'?"),
        ("dim: 16", "dimm: 16", "s.yaml:3: base.model.dimm: unknown key; did you mean 'dim'?"),
        ("dim: 16", "dim: wide", "s.yaml:3: base.model.dim: should be a valid integer"),
        ("dim: 16", "dim: '16'", "s.yaml:3: base.model.dim: expected a number, got '16'"),
        ("depth: 1", "depth: true", "s.yaml:3: base.model.depth: expected a number, got True"),
        ("dim: 16", "dim: 15", "s.yaml:3: base.model: heads must divide dim, but 15 is not a multiple of 2"),
        ("tokens: 1e4", "tokens: 1.5", "s.yaml:4: base.tokens: should be a valid integer"),
        ("tokens: 1e4", "tokens: -1", "s.yaml:4: base.tokens: should be greater than 0, got -1"),
        ("tokens: 1e4", "tokens: .inf", "s.yaml:4: base.tokens: should be a finite number"),
        ("tokens: 1e4", "tokns: 1e4", "s.yaml:4: base.tokns: unknown key; did you mean 'tokens'?"),
        ("tokens: 1e4", "seed: 3", "s.yaml:4: base.seed: seeds are set by the study's 'seeds'"),
        ("tokens: 1e4", "tokens:", "s.yaml:4: base.tokens: nothing to remove"),
        ("tokens: 1e4", "compile: maybe", "s.yaml:4: base.compile: should be 'auto'"),
        (
            "model: {dim: 16, depth: 1, heads: 2, context: 16}",
            "model: 3",
            "s.yaml:3: base.model: expected a mapping, got 3",
        ),
        ("rope: {}", "ropee: {}", "s.yaml:7: base.plugins.ropee: unknown plugin 'ropee'; did you mean 'rope'?"),
        ("rope: {}", "rope:", "write {} for a plugin with its defaults"),
        ("cooldown: 0.5", "coldown: 0.5", "s.yaml:7: base.plugins.wsd.coldown: unknown key; did you mean 'cooldown'?"),
        ("cooldown: 0.5", "cooldown: -1", "s.yaml:7: base.plugins.wsd.cooldown: should be greater than or equal to 0"),
        ("{relu2: {}}", "{ngpt: {}, qk_norm: {}}", "s.yaml:10: arms.two: plugins 'ngpt' and 'qk_norm' conflict"),
        ("two: {plugins: {relu2: {}}}", "two: {}", "s.yaml:10: arms.two: is the same as 'one'"),
        ("two: {plugins: {relu2: {}}}", "", "s.yaml:8: arms: at least two arms are needed"),
        ("{plugins: {relu2: {}}}", "{eval_tokens: 128}", "arms must be judged on the same tokens"),
        ("{plugins: {relu2: {}}}", "[relu2]", "s.yaml:10: arms.two: expected a mapping, got ['relu2']"),
        ("seeds: 2", "seeds: 1", "s.yaml:11: seeds: at least 2 seeds are needed: one run per arm cannot tell"),
        ("seeds: 2", "seeds: [4, 4]", "s.yaml:11: seeds: seeds must differ"),
        ("seeds: 2", "seeds: [-1, 4]", "s.yaml:11: seeds: expected how many seeds"),
        ("seeds: 2", "seeds: [0, 18446744073709551616]", "s.yaml:11: seeds: a seed is smaller than 2^63"),
        ("seeds: 2", "seeds: 1000000000000", "s.yaml:11: seeds: expected how many seeds (up to 1000)"),
        ("seeds: 2", "seeds: many", "s.yaml:11: seeds"),
        ("baseline: one", "baseline: on", "s.yaml:12: test.baseline: 'on' is not an arm; did you mean 'one'?"),
        ("baseline: one", "alpha: 0.05", "test.baseline: is missing"),
        ("baseline: one", "baseline: one, alpha: 2", "s.yaml:12: test.alpha: should be less than 0.5, got 2"),
        ("baseline: one", "baseline: one, metric: train_loss", "s.yaml:12: test.metric: should be 'val_loss'"),
        ("seeds: 2", "seeds: 2\nplugin_files: [gone.py]", "s.yaml:12: plugin_files.0: expected a Python file"),
    ],
)
def test_mistakes_name_line_key_and_remedy(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))
    assert any(expected in line for line in found), found


def test_all_mistakes_are_told_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = GOOD.replace("dim: 16", "dimm: 16").replace("rope: {}", "ropee: {}").replace("seeds: 2", "seeds: 1")
    assert [line.split(": ")[1] for line in problems(tmp_path, text)] == [
        "base.model.dimm",
        "base.plugins.ropee",
        "seeds",
    ]


def test_a_mistake_in_a_scale_that_is_not_used_is_told_too(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD + "scales:\n  laptop: {}\n  node: {tokenz: 3}\n")
    assert found == ["s.yaml:15: scales.node.tokenz: unknown key; did you mean 'tokens'?"]


def test_an_unknown_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown scale 'lptop'; did you mean 'laptop'"):
        study(tmp_path, GOOD + "scales: {laptop: {}}\n", "lptop")
    with pytest.raises(ConfigError, match="declares no scales"):
        study(tmp_path, GOOD, "laptop")


def test_a_plugin_file_beside_the_study_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        '"""Mine.\n\nSource: me."""\n\nfrom coregpt.api import Plugin\n\n\nclass Mine(Plugin):\n    size: int = 3\n'
    )
    found = study(tmp_path, GOOD.replace("relu2", "mine") + "plugin_files: [mine.py]\n")
    assert found.arms[1].run.plugins["mine"] == {"size": 3}


def test_a_plugin_named_with_its_package_is_the_same_plugin(tmp_path: Path) -> None:
    arms = GOOD.replace("  one:\n", "  one: {plugins: {relu2: {}}}\n").replace(
        "{relu2: {}}}\nseeds", "{'coregpt_plugins:relu2': {}}}\nseeds"
    )
    assert arms.count("relu2") == 2
    assert problems(tmp_path, arms) == [
        "s.yaml:10: arms.two: is the same as 'one': all that can change a number is equal"
    ]


def test_a_value_of_no_type_of_a_union_is_one_mistake(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD.replace("seeds: 2", "seeds: many") + "gpus_per_run: [2]\n") == [
        "s.yaml:11: seeds: should be a valid integer or a valid list, got 'many'",
        "s.yaml:13: gpus_per_run: should be a valid integer or 'auto', got [2]",
    ]


TECHNIQUES = """\
question: Which of them matter?
base: {model: {dim: 16, depth: 1, heads: 2, context: 16}, tokens: 1e4, batch_tokens: 64, eval_tokens: 64}
mode: leave_one_out
techniques: {rope: {}, relu2: {}}
seeds: 5
test: {}
scales:
  small: {plugins: 0}
"""


@pytest.mark.parametrize(
    "text", [TECHNIQUES, GOOD.replace("one:\n", "one: {plugins: {rope: {}}}\n") + "scales:\n  s: {plugins: 0}\n"]
)
def test_a_section_that_is_no_mapping_is_told_though_arms_lie_over_it(tmp_path: Path, text: str) -> None:
    (found,) = problems(tmp_path, text)
    line = text.split("\n").index(next(line for line in text.split("\n") if "plugins: 0" in line)) + 1
    assert found == f"s.yaml:{line}: scales.{text.split()[-3].rstrip(':')}.plugins: expected a mapping, got 0"


def test_what_begins_with_x_at_the_top_is_a_place_for_anchors(tmp_path: Path) -> None:
    text = "x-small: &small {dim: 16, depth: 1, heads: 2}\n" + GOOD.replace(
        "model: {dim: 16, depth: 1, heads: 2, context: 16}", "model: {<<: *small, context: 16}"
    )
    assert study(tmp_path, text).digest == study(tmp_path, GOOD).digest
    (found,) = problems(tmp_path, text.replace("depth: 1", "depht: 1"))
    assert found.startswith("s.yaml:1: base.model.depht: unknown key; did you mean 'depth'?")
    assert "x-deep: unknown key" in problems(tmp_path, GOOD.replace("base:\n", "base:\n  x-deep: 1\n"))[0]


def test_a_setting_of_base_that_does_not_fit_another_is_told_once_and_at_its_line(tmp_path: Path) -> None:
    text = """\
question: Does it help?
base: {tokens: 200_000, batch_tokens: 500}
arms: {a: {}, b: {plugins: {rope: {}}}, c: {plugins: {relu2: {}}}}
seeds: 6
test: {baseline: a}
"""
    said = "must be a multiple of model.context, but 500 is not a multiple of 128"
    assert problems(tmp_path, text) == [f"s.yaml:2: base.batch_tokens: {said}"]
