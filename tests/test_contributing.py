"""The example in CONTRIBUTING.md is a plugin that obeys the laws, and its test passes."""

import re
from pathlib import Path

import pytest

from coregpt.contract.config import RunConfig
from coregpt.engine.build import build as engine_build
from coregpt.lab.laws import laws
from coregpt.lab.study.registry import Catalogue

PAGE = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
PLUGIN, TEST = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)


@pytest.fixture
def catalogue_with_example(tmp_path: Path) -> Catalogue:
    path = tmp_path / "attention_gate.py"
    path.write_text(PLUGIN)
    return Catalogue(files=[path])


ONE_PROCESS = [law for law in laws.LAWS if law is not laws.two_ranks_equal_one]


@pytest.mark.parametrize("law", ONE_PROCESS, ids=lambda law: law.__name__)
def test_the_example_obeys(law, catalogue_with_example) -> None:
    law(laws.LawCase(catalogue_with_example, "attention_gate"))


def test_the_examples_test_passes(catalogue_with_example) -> None:
    def build(**plugins):
        config = RunConfig(model=laws.SHAPE, plugins=plugins, batch_tokens=48, eval_tokens=48)
        return engine_build(config, catalogue_with_example.instances(plugins))

    names: dict = {}
    exec(TEST, names)
    names["test_a_gate_far_below_zero_silences_its_head"](build)
