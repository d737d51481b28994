"""A study whose technique lies in a file with helpers: what runs is what was hashed, and an edit trains it anew."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coregpt.cli import main
from coregpt.lab.execute.worker import COMPLETE, FAILED
from coregpt.lab.execute.worker import main as worker
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.store import RunFolder
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


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """A worker that runs in this process takes them."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def frozen_run(here: Lab) -> RunFolder:
    """The folder of a run with the technique, planned and not executed."""
    run = next(run for run in plan(outline(load(here.study))).runs if run.arm == "scaled")
    folder = RunFolder(here.runs / run.id)
    folder.create(run.record, run.plugin_files)
    return folder


def test_a_run_needs_nothing_but_what_was_frozen_with_it(lab: Callable[..., Lab], tmp_path: Path) -> None:
    helper = tmp_path / "factors_of_mine" / "one.py"
    helper.parent.mkdir()
    (helper.parent / "__init__.py").write_text("from .one import FACTOR\n")
    helper.write_text("FACTOR = 0.5\n")
    folder = frozen_run(study(lab, tmp_path, "import math", "from factors_of_mine import FACTOR"))
    helper.write_text("raise RuntimeError('edited after planning')\n")
    assert worker([str(folder.path)]) == COMPLETE, folder.error()


def test_a_frozen_helper_that_was_edited_is_refused(lab: Callable[..., Lab], tmp_path: Path) -> None:
    (tmp_path / "factor_of_mine.py").write_text("FACTOR = 0.5\n")
    folder = frozen_run(study(lab, tmp_path, FROM))
    copy = folder.plugins / "imports" / "factor_of_mine.py"
    copy.write_text("FACTOR = 0.25\n")
    assert worker([str(folder.path)]) == FAILED
    assert "was planned with other sources or data" in (folder.error() or {})["message"]


def test_an_import_that_cannot_be_followed_is_one_line(
    lab: Callable[..., Lab], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "factor_of_mine.py").write_text("FACTOR = 0.5\n")
    inside = "FACTOR = importlib.import_module('factor_' + 'of_mine').FACTOR"
    here = study(lab, tmp_path, "import importlib", inside)
    assert main(here.command()) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"coregpt: error: plugin 'scaled': {tmp_path / 'scaled.py'}:15: import_module() is given")
    assert len(error.splitlines()) == 1


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
    said = capsys.readouterr().out
    assert "2 runs to train" in said
    assert "2 runs of this study (2 finished) have an older identity and do not count: plugin scaled, or" in said
    after = values(here)
    assert after["gelu"] == before["gelu"]
    assert not set(after["scaled"]) & set(before["scaled"])
    assert len(here.report()["study"]["other_runs"]) == 2
