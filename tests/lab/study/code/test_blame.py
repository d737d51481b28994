"""An error that a plugin had a part in is told in one line, with the plugin's file and line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from coregpt.cli import main
from coregpt.lab.execute.worker import FAILED
from coregpt.lab.execute.worker import main as work
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.code.blame import in_one_line, place_of, told
from coregpt.lab.study.registry import Catalogue
from tests.lab.conftest import Lab
from tests.lab.execute import test_worker
from tests.warm import Program

folder_of = test_worker.folder_of
_signals = test_worker._signals

PLUGIN = '''"""A plugin that fails where {where}.

Source: none.
"""

import torch
from torch import Tensor, nn

from coregpt.api import Plugin, hookimpl


class Double(nn.Module):
    def forward(self, x: Tensor, ctx) -> Tensor:
        if {where}:
            return x @ torch.ones(3, 3, device=x.device)
        return 2 * x


class Doubled(Plugin):
    @hookimpl
    def add_logit_transforms(self, at):
        return Double()
'''
LINE = 15


def write(folder: Path, where: str) -> Path:
    (folder / "double.py").write_text(PLUGIN.format(where=where))
    return folder / "double.py"


def test_errors_without_a_plugin_blame_none() -> None:
    error = FileNotFoundError(2, "No such file", "/nowhere")
    assert told(error) is None
    assert in_one_line(error) == "FileNotFoundError: [Errno 2] No such file: '/nowhere'"


def test_the_deepest_line_of_a_plugin_is_named_though_core_and_torch_lie_deeper(tmp_path: Path) -> None:
    path = write(tmp_path, "True")
    module = sys.modules[Catalogue([path]).cls("double").__module__]
    with pytest.raises(RuntimeError) as raised:
        module.Double()(torch.ones(2, 5), None)
    assert place_of(raised.value) == f"{path}:{LINE}"
    assert str(told(raised.value)).startswith(f"plugin code at {path}:{LINE}: RuntimeError: mat1 and mat2 shapes")
    outer = ValueError("what a compiler makes of it")
    outer.__cause__ = raised.value
    assert place_of(outer) == f"{path}:{LINE}"


@pytest.mark.parametrize("text", ["import torch\nx = = 1\n", "import torch\nx = 1 / 0\n"])
def test_a_plugin_that_cannot_be_imported_names_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "torn.py").write_text(text)
    assert main(["plugins", "show", str(tmp_path / "torn.py")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"coregpt: error: plugin 'torn' ({tmp_path}/torn.py:2) cannot be imported: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize("where", ["type(x).__name__ == 'FakeTensor'", "x.is_meta", "not x.is_meta"])
def test_plan_tells_a_plugins_error_in_one_line(lab: Callable[..., Lab], tmp_path: Path, where: str) -> None:
    """In the estimate of memory, in the count of FLOPs, in the probe of speed."""
    path = write(tmp_path, where)
    arms = {"gelu": {}, "double": {"plugins": {"double": {}}}}
    made = lab(arms=arms, plugin_files=[str(path)])
    command = [sys.executable, "-m", "coregpt.cli", "plan", str(made.study), "--runs", str(tmp_path / "none")]
    with Program(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        _, said = process.communicate()
    assert process.returncode == 2
    assert said.startswith("coregpt: error: ")
    assert f"{path}:{LINE}" in said
    assert said.count("\n") == 1


def test_the_log_of_a_failed_run_holds_the_whole_traceback_and_its_tail_none(
    folder_of: Callable[..., RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "self.training and not x.is_meta")
    folder = folder_of(arms={"gelu": {}, "double": {"plugins": {"double": {}}}}, plugin_files=["double.py"])
    assert work([str(folder.path)]) == FAILED
    printed = capsys.readouterr().err
    message = (folder.error() or {})["message"]
    assert message.startswith(f"plugin code at {folder.path}/plugins/double.py:{LINE}: RuntimeError: ")
    assert printed.startswith("Traceback (most recent call last):")
    assert printed.endswith(message + "\n")
    folder.log.write_text(f"a warning\n{printed}")
    assert folder.log_tail() == f"a warning\n{message}"
