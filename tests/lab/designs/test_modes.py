"""Studies that list techniques: which arms they come to, and every mistake with its line."""

from pathlib import Path

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.modes import mode_of, subsets
from coregpt.lab.planning.load import load
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.differences import differences

GOOD = """\
question: Which of them matter?
base:
  model: {dim: 16, depth: 1, heads: 2, context: 16}
  tokens: 1e4
  batch_tokens: 64
  eval_tokens: 64
  plugins: {wsd: {}}
mode: leave_one_out
techniques:
  rope: {}
  relu2: {}
  softcap: {cap: 20}
seeds: 2
test: {alpha: 0.01}
"""


def study(tmp_path: Path, text: str) -> Study:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return load(path)


def arms(found: Study) -> dict[str, set[str]]:
    return {arm.name: set(arm.run.plugins) - {"wsd"} for arm in found.arms}


def test_leave_one_out_compares_the_bundle_with_itself_less_each_technique(tmp_path: Path) -> None:
    found = study(tmp_path, GOOD)
    assert arms(found) == {
        "all": {"rope", "relu2", "softcap"},
        "without-rope": {"relu2", "softcap"},
        "without-relu2": {"rope", "softcap"},
        "without-softcap": {"rope", "relu2"},
    }
    assert found.criterion.baseline == "all"
    assert found.arms[0].run.plugins["softcap"]["cap"] == 20
    assert (mode_of(found), found.techniques) == ("leave_one_out", ("rope", "relu2", "softcap"))


def test_add_one_compares_the_bare_base_with_each_technique_alone(tmp_path: Path) -> None:
    found = study(tmp_path, GOOD.replace("leave_one_out", "add_one"))
    assert arms(found) == {
        "none": set(),
        "only-rope": {"rope"},
        "only-relu2": {"relu2"},
        "only-softcap": {"softcap"},
    }
    assert found.criterion.baseline == "none"


def test_factorial_has_every_subset_once(tmp_path: Path) -> None:
    found = arms(study(tmp_path, GOOD.replace("leave_one_out", "factorial")))
    assert next(iter(found)) == "none"
    assert len(found) == 8 == len({frozenset(having) for having in found.values()})
    assert found["rope+softcap"] == {"rope", "softcap"}


def test_the_techniques_are_no_confounds(tmp_path: Path) -> None:
    for mode in ("leave_one_out", "add_one", "factorial"):
        assert differences(study(tmp_path, GOOD.replace("leave_one_out", mode)), {}) == []


def test_a_mode_is_the_same_study_as_its_arms_written_out_but_declares_the_mode(tmp_path: Path) -> None:
    found = study(tmp_path, GOOD.replace("leave_one_out", "add_one"))
    written = (
        GOOD.split("mode:")[0]
        + "arms:\n  none: {}\n"
        + "".join(
            f"  only-{name}: {{plugins: {{{name}: {options}}}}}\n"
            for name, options in (("rope", "{}"), ("relu2", "{}"), ("softcap", "{cap: 20}"))
        )
    )
    same = study(tmp_path, written + "seeds: 2\ntest: {alpha: 0.01, baseline: none}\n")
    assert [arm.settings() for arm in found.arms] == [arm.settings() for arm in same.arms]
    declared = found.preregistration()
    assert declared.pop("mode") == "add_one"
    assert declared == same.preregistration()


def test_an_empty_technique_has_its_defaults(tmp_path: Path) -> None:
    assert arms(study(tmp_path, GOOD.replace("rope: {}", "rope:")))["all"] == {"rope", "relu2", "softcap"}


def test_a_factorial_of_three_has_eight_arms_in_order_of_size() -> None:
    assert list(subsets("factorial", ["a", "b", "c"])) == ["none", "a", "b", "c", "a+b", "a+c", "b+c", "a+b+c"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("mode: leave_one_out", "mode: leave_one", "s.yaml:8: mode: should be 'leave_one_out'"),
        ("mode: leave_one_out\n", "", "s.yaml:8: techniques: needs 'mode: leave_one_out'"),
        ("seeds: 2", "arms: {one: {}}\nseeds: 2", "s.yaml:13: arms: 'mode: leave_one_out' makes the arms"),
        ("techniques:\n  rope: {}\n  relu2: {}\n  softcap: {cap: 20}\n", "", "s.yaml:8: mode: 'leave_one_out' needs"),
        ("  relu2: {}\n  softcap: {cap: 20}\n", "", "s.yaml:9: techniques: 'mode: leave_one_out' needs at least 2"),
        ("relu2: {}", "relu: {}", "s.yaml:11: techniques.relu: unknown plugin 'relu'; did you mean 'relu2'?"),
        ("relu2: {}", "relu2: 3", "s.yaml:11: techniques.relu2: expected a mapping, got 3"),
        ("cap: 20", "cup: 20", "s.yaml:12: techniques.softcap.cup: unknown key; did you mean 'cap'?"),
        ("cap: 20", "cap: -2", "s.yaml:12: techniques.softcap.cap: should be greater than 0, got -2"),
        ("cap: 20", "cap:", "s.yaml:12: techniques.softcap.cap: nothing to remove"),
        ("wsd: {}", "wsd: {}, rope: {}", "s.yaml:7: base.plugins.rope: 'rope' is one of the techniques"),
        ("seeds: 2", "seeds: 2\nscales: {big: {plugins: {rope: {}}}}", "s.yaml:14: scales.big.plugins.rope: 'rope' is"),
        ("relu2: {}", "ngpt: {}\n  qk_norm: {}", "s.yaml:9: techniques: plugins 'ngpt' and 'qk_norm' conflict"),
        (
            "alpha: 0.01",
            "baseline: without-rope",
            "s.yaml:14: test.baseline: 'mode: leave_one_out' compares with 'all'",
        ),
        ("tokens: 1e4", "tokns: 1e4", "s.yaml:4: base.tokns: unknown key; did you mean 'tokens'?"),
    ],
)
def test_mistakes_name_line_key_and_remedy(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        study(tmp_path, GOOD.replace(old, new, 1))
    lines = [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]
    assert any(expected in line for line in lines), lines
    assert len(set(lines)) == len(lines)


def test_more_than_four_factors_are_too_many(tmp_path: Path) -> None:
    text = GOOD.replace("leave_one_out", "factorial").replace("relu2: {}", "relu2: {}\n  qk_norm: {}\n  zero_init: {}")
    with pytest.raises(ConfigError, match="at most 4, 5 would be 32 arms; use leave_one_out"):
        study(tmp_path, text)
