"""`plan` and `ablate` refuse an arm whose technique does nothing in it, unless it says so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from tests.lab.study.idle.dead_pairs import write

ARMS = {"gelu": {}, "delta": {"plugins": {"recurrent": {}}}}


@pytest.fixture
def shown(lab: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`shown(arms, base_plugins)`: exit code, output and errors of `coregpt plan` of such a study."""

    def make(arms: dict[str, Any], plugins: dict[str, Any], *options: str, **more: Any) -> tuple[int, str, str]:
        from tests.lab.conftest import STUDY

        base = {**STUDY["base"], "plugins": plugins}
        here = lab(arms=arms, base=base, plugin_files=["recurrent.py", "maskless.py"], **more)
        write(here.folder, "recurrent", "maskless")
        code = main([*(options or ("plan",)), str(here.study), "--runs", str(here.runs)])
        return code, *capfd.readouterr()

    return make


@pytest.mark.parametrize("command", ["plan", "ablate"])
def test_an_arm_in_which_a_technique_is_dead_is_refused_with_what_to_do(shown: Any, command: str) -> None:
    code, _, errors = shown(ARMS, {"rope": {}}, command)
    assert code == 2
    assert "tiny.yaml:" in errors
    assert "arms.delta: 'rope' does nothing in 'delta' (nothing asks for" in errors
    assert "{rope: null}" in errors
    assert "'inert: true'" in errors
    assert "Traceback" not in errors


def test_an_arm_that_says_inert_is_planned_and_told(shown: Any) -> None:
    code, out, _ = shown({**ARMS, "delta": {**ARMS["delta"], "inert": True}}, {"rope": {}})
    assert code == 0
    assert "Inert as declared: 'rope' does nothing in delta" in out


def test_a_technique_at_its_neutral_setting_needs_the_word_too(shown: Any) -> None:
    off = {"plugins": {"value_embeddings": {"layout": "none"}}}
    assert shown({"gelu": {}, "off": off}, {})[0] == 2
    code, out, _ = shown({"gelu": {}, "off": {**off, "inert": True}}, {})
    assert code == 0
    assert "Equal numbers: gelu and off must end alike" in out


def test_what_is_dead_in_every_arm_is_a_warning(shown: Any) -> None:
    code, out, _ = shown({"gelu": {}, "relu2": {"plugins": {"relu2": {}}}}, {"maskless": {}, "window_warmup": {}})
    assert code == 0
    assert "'window_warmup' is in every arm and does nothing in any (nothing asks for its add_masks" in out


def test_an_arm_that_says_inert_in_vain_is_told(shown: Any) -> None:
    code, out, _ = shown({"gelu": {}, "relu2": {"plugins": {"relu2": {}}, "inert": True}}, {})
    assert code == 0
    assert "relu2 says inert: true, but every technique in it acts" in out


def test_inert_is_true_or_false(shown: Any) -> None:
    code, _, errors = shown({"gelu": {}, "relu2": {"plugins": {"relu2": {}}, "inert": "yes"}}, {})
    assert code == 2
    assert "arms.relu2.inert: expected true or false, got 'yes'" in errors


def test_a_mode_names_the_techniques_that_do_not_go_together(shown: Any) -> None:
    techniques = {"recurrent": {}, "rope": {}}
    code, _, errors = shown(None, {}, mode="factorial", techniques=techniques, test={"margin": 0.02})
    assert code == 2
    assert "out of 'techniques', or list the arms" in errors


def test_programs_are_told_too(shown: Any, tmp_path: Path) -> None:
    off = {"plugins": {"softcap": {}, "value_embeddings": {"layout": "none"}}, "inert": True}
    code, out, _ = shown({"gelu": {}, "cap": {"plugins": {"softcap": {}}}, "off": off}, {}, "plan", "--json")
    assert code == 0
    (plan,) = json.loads(out)
    assert plan["idle"]["off"].keys() == {"value_embeddings"}
    assert plan["equal_numbers"] == [["cap", "off"]]
