"""A technique that does nothing where it is, and arms of equal numbers, are known before any run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from coregpt.contract.config import ModelShape, RunConfig
from coregpt.contract.errors import PluginError
from coregpt.engine.build import build
from coregpt.lab.planning.load import load, load_family
from coregpt.lab.study.idle.known import Known, known
from coregpt.lab.study.idle.symbols import Shapes
from coregpt.lab.study.registry import Catalogue
from tests import sampled
from tests.lab.study.idle.dead_pairs import FILES, write

BASE: dict[str, Any] = {
    "model": {"vocab": 32, "dim": 16, "depth": 4, "heads": 2, "context": 16},
    "tokens": 640,
    "batch_tokens": 64,
    "eval_tokens": 64,
}


@pytest.fixture
def look(tmp_path: Path) -> Callable[..., Known]:
    """`look(arm={"rope": {}}, base={...})`: what is known of a study with these plugins in an arm and in its base."""

    def make(arm: dict[str, Any] | None = None, base: dict[str, Any] | None = None, **arms: Any) -> Known:
        files = write(tmp_path, *FILES)
        study = {
            "question": "Does it help?",
            "base": {**BASE, "plugins": base or {}},
            "arms": {"plain": {}, **({"arm": {"plugins": arm}} if arm else {}), **arms},
            "seeds": 5,
            "test": {"baseline": "plain"},
            "plugin_files": files,
        }
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(study, sort_keys=False))
        return known(load(path))

    return make


@pytest.mark.parametrize(
    ("arm", "why"),
    [
        ({"recurrent": {}, "rope": {}}, {"rope": "nothing asks for its make_position"}),
        ({"maskless": {}, "window_warmup": {}}, {"window_warmup": "nothing asks for its add_masks"}),
        ({"recurrent": {}, "qk_norm": {}}, {"qk_norm": "nothing asks for its make_position"}),
        ({"again": {}, "late": {}}, {"late": "what its make_block gives changes no evaluation"}),
        ({"own_weights": {}, "ema": {}}, {"ema": "what its add_companions gives changes no evaluation"}),
        ({"looped": {}, "late": {}}, {"late": "its make_block changes nothing where it is asked"}),
        ({"dial": {}}, {"dial": "what its add_schedules gives changes no evaluation"}),
        (
            {"value_embeddings": {"layout": "none"}, "relu2": {}},
            {"value_embeddings": "its make_attend changes nothing"},
        ),
        ({"maskless": {}, "rope": {}}, {"maskless": "what its make_attend gives changes no evaluation"}),
        ({"empty_loss": {}}, {"empty_loss": "what its add_losses gives changes no evaluation"}),
    ],
    ids=lambda value: "+".join(value),
)
def test_what_does_nothing_is_found_with_its_reason(look: Any, arm: dict[str, Any], why: dict[str, str]) -> None:
    found = look(arm=arm).idle
    assert found.keys() == {"arm"}
    assert found["arm"].keys() == why.keys()
    for name, text in why.items():
        assert text in found["arm"][name]


@pytest.mark.parametrize(
    "arm",
    [
        {"recurrent": {}},
        {"recurrent": {}, "swiglu": {}, "wsd": {}},
        {"again": {}, "qk_norm": {}, "window_warmup": {}},
        {"late": {}, "ema": {}},
        {"ema": {}, "cosine": {}, "muon": {}, "normuon": {}},
        {"watch": {}},
        {"in_place": {}},
        {"head_windows": {}},
        {"head_windows": {}, "alibi": {}},
    ],
    ids="+".join,
)
def test_what_acts_is_left_alone(look: Any, arm: dict[str, Any]) -> None:
    assert look(arm=arm).idle == {}


def test_what_is_dead_in_one_arm_only_is_no_matter_of_all(look: Any) -> None:
    found = look(arm={"recurrent": {}}, base={"rope": {}})
    assert found.idle.keys() == {"arm"}
    assert not found.everywhere
    assert found.apart("arm").keys() == {"rope"}


def test_what_is_dead_in_every_arm_differs_nowhere(look: Any) -> None:
    found = look(arm={"relu2": {}}, base={"maskless": {}, "window_warmup": {}})
    assert found.everywhere == {"window_warmup"}
    assert found.apart("arm") == found.apart("plain") == {}


def test_arms_of_equal_numbers_are_grouped(look: Any) -> None:
    found = look(
        one={"plugins": {"rope": {}}},
        two={"plugins": {"rope": {"base": 10_000.0}, "relu2": {}}},
        same={"plugins": {"rope": {}, "dial": {}}},
        wide={"model": {"hidden": 64}},
        other={"plugins": {"rope": {"base": 500.0}}},
    )
    assert found.equal == (("plain", "wide"), ("one", "same"))


MATTERS: list[dict[str, Any]] = [
    {"plugins": {"wsd": {"cooldown": 0.3}}},
    {"plugins": {"wsd": {"cooldown": 0.4}}},
    {"plugins": {"ema": {"horizon": 3}}},
    {"plugins": {"ema": {"horizon": 4}}},
    {"plugins": {"muon": {"steps": 3}}},
    {"plugins": {"muon": {"steps": 4}}},
    {"plugins": {"mtp": {}}},
    {"plugins": {"mtp": {"share": 0.5}}},
    {"plugins": {"window_warmup": {"final": 12}}},
    {"plugins": {"window_warmup": {"final": 14}}},
    {"plugins": {"head_windows": {"base": 4}}},
    {"plugins": {"head_windows": {"base": 5}}},
    {"plugins": {"softcap": {"cap": 14}}},
    {"plugins": {"softcap": {"cap": 16}}},
    {"plugins": {"value_embeddings": {"std": 0.01}}},
    {"plugins": {"value_embeddings": {"std": 0.02}}},
    {"plugins": {"zero_init": {}}},
    {"plugins": {"zero_init": {"head": True}}},
    {"plugins": {"rope": {"base": 100.0}}},
    {"plugins": {"rope": {"base": 500.0}}},
    {"optim": {"grad_clip": 0.0}},
    {"optim": {"grad_clip": 0.5}},
    {"optim": {"eps": 1e-6}},
    {"optim": {"eps": 1e-5}},
    {"model": {"init_std": 0.03}},
    {"model": {"init_std": 0.04}},
    {"model": {"heads": 1}},
    {"model": {"heads": 4}},
    {"batch_tokens": 32},
    {"batch_tokens": 128},
    {"data": {"document_mask": True}},
    {"precision": "bf16"},
]


def test_no_two_settings_that_matter_are_called_equal(look: Any) -> None:
    assert look(**{f"arm{i}": arm for i, arm in enumerate(MATTERS)}).equal == ()


WAIT = {"end_early", "muon_gates", "no_bias_correction", "scalar_freeze"}
"""Their cards say that they wait for what another one brings or changes."""
EQUAL = ("end_early", "no_bias_correction", "plain", "scalar_freeze"), ("muon", "muon_gates")


@sampled.halves("idle", 3)
def test_no_technique_alone_with_its_defaults_is_called_idle(chosen: list[str], tmp_path: Path) -> None:
    names = sorted({*chosen, *WAIT, "muon"})
    arms = {name: {"plugins": {**{need: {} for need in Catalogue().cls(name).requires}, name: {}}} for name in names}
    model = {"vocab": 61, "dim": 32, "depth": 4, "heads": 2, "context": 24}
    base = {**BASE, "model": model, "batch_tokens": 96, "tokens": 96 * 20, "eval_tokens": 48}
    study = {"question": "?", "base": base, "arms": {"plain": {}, **arms}, "seeds": 5, "test": {"baseline": "plain"}}
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump(study))
    found = known(load(path))
    assert set(found.idle) == WAIT
    assert found.equal == EQUAL


def _stands(name: str) -> bool:
    config = RunConfig(model=ModelShape(vocab=32, dim=16, depth=4, heads=2, context=16), tokens=4096)
    try:
        build(config, Catalogue().instances({name: {}}), device="meta", separator=0)
    except PluginError:
        return False
    return True


@sampled.halves("neutral", 3)
def test_every_neutral_setting_is_called_idle(chosen: list[str], tmp_path: Path) -> None:
    classes = {name: Catalogue().cls(name) for name in chosen}
    neutral = {name: cls.neutral for name, cls in classes.items() if cls.neutral is not None}
    # A file cannot say None, which removes a key, and a technique with an input is not there without one.
    sayable = {name: options for name, options in neutral.items() if None not in options.values() and _stands(name)}
    arms = {name: {"plugins": {name: options}} for name, options in sayable.items()}
    study = {"question": "?", "base": BASE, "arms": {"plain": {}, **arms}, "seeds": 5, "test": {"baseline": "plain"}}
    path = tmp_path / "neutral.yaml"
    path.write_text(yaml.safe_dump(study).replace("!!python/tuple", ""))
    assert known(load(path)).idle.keys() == sayable.keys()


@pytest.mark.parametrize("path", sorted(Path("ablations").glob("*.yaml")), ids=lambda path: path.stem)
def test_no_study_that_is_kept_here_has_a_dead_arm(path: Path) -> None:
    for study in load_family(path):
        found = known(study)
        assert not any(found.apart(arm.name) for arm in study.arms if not arm.inert)


def test_it_says_which_arm_it_looks_at(tmp_path: Path) -> None:
    study = {"question": "?", "base": BASE, "arms": {"plain": {}, "rope": {"plugins": {"rope": {}}}}, "seeds": 5}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump({**study, "test": {"baseline": "plain"}}))
    lines: list[str] = []
    known(load(path), lines.append)
    assert [line.rpartition(": ")[2] for line in lines] == ["plain, arm 1 of 2", "rope, arm 2 of 2"]


def test_shapes_that_are_worked_out_once_are_those_of_a_model() -> None:
    """Layers alike in a first and a second run, which takes all from the first."""
    config = RunConfig(model=ModelShape(vocab=32, dim=16, depth=4, heads=2, context=16), tokens=4096)
    plugins = Catalogue().instances({"muon": {}, "swiglu": {}, "uniform_init": {}, "value_embeddings": {}})
    runs = [build(config, plugins, device="meta", separator=0)]
    for _ in range(2):
        with Shapes():
            runs.append(build(config, plugins, device="meta", separator=0))
    seen = [
        {name: (t.shape, t.stride(), t.dtype, t.device) for name, t in run.model.state_dict().items()} for run in runs
    ]
    rules = [[(stack.paths, stack.data.shape) for stack in run.optimizer.stacks] for run in runs]
    assert seen[0] == seen[1] == seen[2]
    assert rules[0] == rules[1] == rules[2]


def test_looking_leaves_global_randomness_alone() -> None:
    before = torch.random.get_rng_state()
    config = RunConfig(model=ModelShape(vocab=32, dim=16, depth=1, heads=2, context=16), tokens=4096)
    build(config, [], device="meta", separator=0)
    assert torch.equal(before, torch.random.get_rng_state())
