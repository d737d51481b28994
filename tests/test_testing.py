"""The fixtures that CoreGPT ships: what they make, where they find techniques, what they cost who needs them not."""

import subprocess
import sys
from pathlib import Path

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.testing import TINY, catalogue_with

CARD = "from coregpt.api import Plugin\n\n\nclass Thing(Plugin):\n    pass\n"


def test_a_run_has_the_tiny_shape_unless_told_otherwise(build, batch) -> None:
    run = build(shape={"depth": 2}, config={"seed": 3}, softcap={"cap": 5})
    assert run.config.model.model_dump(include=set(TINY)) == {**TINY, "depth": 2}
    assert run.config.seed == 3
    tokens, targets = batch(rows=2, length=9)
    assert tokens.shape == targets.shape == (2, 9)
    assert (tokens[:, 1:] == targets[:, :-1]).all()
    assert run.model.logits(tokens, run.dials.values).shape == (2, 9, TINY["vocab"])


def test_a_file_beside_the_test_or_above_it_is_a_technique(tmp_path: Path) -> None:
    tests = tmp_path / "tests" / "deep"
    tests.mkdir(parents=True)
    (tmp_path / "my_thing.py").write_text(CARD)
    catalogue = catalogue_with(["my_thing", "softcap"], tests, tmp_path)
    assert catalogue.locate("my_thing").path == tmp_path / "my_thing.py"
    with pytest.raises(ConfigError, match="unknown plugin 'my_thing'"):
        catalogue_with(["my_thing"], tests, tests).locate("my_thing")


def test_a_checkout_that_is_not_installed_lends_its_own_techniques(tmp_path: Path) -> None:
    (tmp_path / "coregpt" / "contract").mkdir(parents=True)
    (tmp_path / "coregpt" / "contract" / "hookspecs.py").touch()
    for folder in ("plugins/norm", "tests/plugins/norm"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "plugins" / "norm" / "my_thing.py").write_text(CARD)
    found = catalogue_with(["my_thing"], tmp_path / "tests" / "plugins" / "norm", tmp_path).locate("my_thing")
    assert found.path == tmp_path / "plugins" / "norm" / "my_thing.py"


def test_an_installed_technique_is_not_shadowed_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "softcap.py").write_text(CARD)
    assert catalogue_with(["softcap"], tmp_path, tmp_path).locate("softcap").package != "file"


def test_sessions_that_test_something_else_do_not_wait_for_torch() -> None:
    code = "import sys, coregpt.testing; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "numpy", "pydantic"} & set(loaded)


def test_pytest_finds_the_fixtures_where_coregpt_is_installed() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    # One name for both, or pytest would refuse what is named again by `-p` or `pytest_plugins`.
    assert project["entry-points"]["pytest11"] == {"coregpt.testing": "coregpt.testing"}
