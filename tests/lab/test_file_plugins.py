"""A study whose technique lies in a file with helpers: what runs is what was hashed, and an edit trains it anew."""

from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.cli import main
from tests.lab.conftest import STUDY, Lab

BASE = STUDY["base"]

PLUGIN = '''"""A learning rate whose factor lies in another file.

Source: none.
"""
{imports}
from coregpt.api import Clock, Plugin, Schedule, hookimpl


class Scaled(Plugin):
    @hookimpl
    def add_schedules(self) -> dict[str, Schedule]:
        return {{"lr": self.factor}}

    def factor(self, clock: Clock) -> float:
        {inside}
        return FACTOR
'''
FROM = "from factor_of_mine import FACTOR"
WAYS = {
    "a folder by its path": ("import sys\nsys.path.insert(0, {lib!r})\n" + FROM, "pass"),
    "a folder beside the file": (
        "import sys\nfrom pathlib import Path\nsys.path.append(str(Path(__file__).parent / 'lib'))\n" + FROM,
        "pass",
    ),
    "when it is needed": ("import sys\nsys.path.insert(0, {lib!r})", FROM),
    "by a literal name": (
        "import sys\nimport importlib\nsys.path.insert(0, {lib!r})",
        "FACTOR = importlib.import_module('factor_of_mine').FACTOR",
    ),
}


def study(lab: Callable[..., Lab], folder: Path, imports: str, inside: str = "pass") -> Lab:
    """Two arms, one of them with the technique of a file `scaled.py`."""
    (folder / "scaled.py").write_text(PLUGIN.format(imports=imports, inside=inside))
    arms = {"gelu": {}, "scaled": {"plugins": {"scaled": {}}}}
    return lab(arms=arms, plugin_files=["scaled.py"], base={**BASE, "tokens": 64 * 30, "evals": 1})


def values(here: Lab) -> dict[str, list[float]]:
    """Final values by arm; the runs of an older identity are not among them."""
    runs = here.report()["runs"]
    return {arm: [run["value"] for run in runs if run["arm"] == arm] for arm in ("gelu", "scaled")}


@pytest.mark.parametrize("way", list(WAYS)[1:3])
def test_an_edited_helper_trains_its_arm_anew(
    lab: Callable[..., Lab], tmp_path: Path, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    helper = tmp_path / "lib" / "factor_of_mine.py"
    helper.parent.mkdir()
    helper.write_text("FACTOR = 0.5\n")
    imports, inside = (text.format(lib=str(helper.parent)) for text in WAYS[way])
    here = study(lab, tmp_path, imports, inside)
    assert main(here.command()) == 0
    before = values(here)
    assert None not in before["scaled"]
    helper.write_text("FACTOR = 0.125\n")
    capsys.readouterr()
    assert main(here.command()) == 0
    assert "2 runs to train" in capsys.readouterr().out
    after = values(here)
    assert after["gelu"] == before["gelu"]
    assert not set(after["scaled"]) & set(before["scaled"])
    assert len(here.report()["study"]["other_runs"]) == 2
