"""What all runs share is compared with what it was before a technique was imported."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import scipy.stats
import torch.nn.functional as F

from coregpt.contract.errors import PluginError
from coregpt.lab.guard.bound import Bound
from coregpt.lab.guard.planted import refuse_planted
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.registry import Catalogue

COMPILED = """
import torch
from torch import nn
from coregpt.lab.guard.bound import Bound

before = Bound.now()
torch.compile(nn.Linear(4, 4), backend="eager", fullgraph=True)(torch.ones(2, 4))
before.refuse_changes("was compiled")
"""


def test_what_torchs_compiler_does_to_torch_is_no_techniques_doing() -> None:
    """It puts functions of its own around some of torch's, and stays in the process."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


THEIRS = """
def result(folder):
    return {"value": 0.0}


class Of:
    @property
    def device(self):
        return "cpu"
"""


@pytest.fixture
def theirs(tmp_path: Path) -> ModuleType:
    """A technique's module."""
    path = tmp_path / "theirs.py"
    path.write_text(THEIRS)
    spec = importlib.util.spec_from_file_location("theirs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_function_whose_code_is_exchanged_is_another_one_and_is_put_back(theirs: ModuleType) -> None:
    bound, before = Bound.now(), F.cross_entropy.__code__
    F.cross_entropy.__code__ = theirs.result.__code__
    try:
        with pytest.raises(PluginError, match=r"torch\.nn\.functional\.cross_entropy executes other code"):
            bound.refuse_changes("was trained")
        bound.put_back()
        assert F.cross_entropy.__code__ is before
        bound.refuse_changes("was trained")
    finally:
        F.cross_entropy.__code__ = before


def test_a_techniques_function_in_the_place_of_cores_is_found_before_results_are_read(
    theirs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the module that it replaces one of was imported."""
    path = Path(str(theirs.__file__))
    refuse_planted([path])
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "result", theirs.result)
        with pytest.raises(PluginError, match=r"RunFolder\.result is a function of .*theirs\.py"):
            refuse_planted([path])
        refuse_planted([path.with_name("others.py")])
    with monkeypatch.context() as patched:  # as a test has it, or another technique, that imports a part of this one
        patched.setattr(sys.modules[__name__], "borrowed", theirs.result, raising=False)
        refuse_planted([path])
    with monkeypatch.context() as patched:
        patched.setattr(scipy.stats, "ttest_rel", theirs.result)
        with pytest.raises(PluginError, match=r"scipy\.stats\.ttest_rel is a function of"):
            refuse_planted([path])
    monkeypatch.setattr(json, "loads", theirs.result)
    with pytest.raises(PluginError, match=r"json\.loads is a function of .*theirs\.py"):
        refuse_planted([path])
    monkeypatch.undo()
    monkeypatch.setattr(RunFolder, "log", theirs.Of.device)
    with pytest.raises(PluginError, match=r"RunFolder\.log is a function of"):
        refuse_planted([path])


def test_a_helper_that_another_technique_or_a_notebook_imports_is_not_planted(
    theirs: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Both are in one process where two studies are: techniques share helpers (`plugins/_shared`)."""
    other = ModuleType("coregpt_another_technique")
    other.__file__ = str(tmp_path / "another.py")
    vars(other)["result"] = theirs.result
    monkeypatch.setitem(sys.modules, other.__name__, other)
    monkeypatch.setattr(sys.modules["__main__"], "result", theirs.result, raising=False)
    refuse_planted([Path(str(theirs.__file__))])
    catalogue = Catalogue()
    for name in ("fine_moe", "moe"):
        catalogue.cls(name)
    refuse_planted([catalogue.source("moe"), *catalogue.imports("moe").files.values()])
