"""`.ci/gpu`: one failure stops nothing, a part that hangs is ended with all it started, results come as it goes."""

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def command() -> ModuleType:
    path = str(ROOT / ".ci" / "gpu")
    spec = importlib.util.spec_from_loader("ci_gpu", importlib.machinery.SourceFileLoader("ci_gpu", path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ci_gpu"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def part(command: ModuleType, code: str, seconds: float = 60) -> object:
    return command.Part("a part", (sys.executable, "-c", code), seconds)


def test_a_part_that_fails_says_so_with_its_last_lines(command: ModuleType, tmp_path: Path) -> None:
    ended = command.run(part(command, "print('almost'); raise SystemExit(7)"), tmp_path / "log", dict(os.environ))
    assert (ended.status, ended.said) == ("failed (exit code 7)", ("almost",))
    again = command.run(part(command, "print('fine')"), tmp_path / "log", dict(os.environ))
    assert (again.status, again.said) == ("ok", ("fine",))
    assert "almost" in (tmp_path / "log").read_text()


def test_a_part_that_hangs_is_ended_with_all_that_it_started(command: ModuleType, tmp_path: Path) -> None:
    child = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    ended = command.run(part(command, child, 3.0), tmp_path / "log", dict(os.environ))
    assert ended.status == "stopped after 3 s"
    pid = int(ended.said[0])
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("what the part had started is still there")


def test_results_are_there_after_every_part(command: ModuleType, tmp_path: Path) -> None:
    ended = command.Ended("tests", "ok", 1.5, ("12 passed",))
    command.written(tmp_path, {"GPU": "a GPU", "driver": "1.2"}, [ended], 2.0)
    record = json.loads((tmp_path / "gpu_run.json").read_text())
    assert record["facts"]["GPU"] == "a GPU"
    assert record["parts"][0]["status"] == "ok"
    assert "12 passed" in (tmp_path / "gpu_run.md").read_text()


def test_wheels_are_unpacked_aside_and_this_checkout_beside_them(command: ModuleType, tmp_path: Path) -> None:
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    wheels.mkdir()
    site.mkdir()
    with zipfile.ZipFile(wheels / "some_thing-1.0-py3-none-any.whl", "w") as file:
        file.writestr("some_thing.py", "answer = 42")
    assert command.installed(wheels, site, "2.7") == []
    assert command.installed(wheels, site, "{}.{}".format(*sys.version_info)) == ["some-thing"]
    command.this_checkout(site)
    ask = "import some_thing, coregpt; from coregpt.lab.study.registry import Catalogue; "
    ask += "print(some_thing.answer, coregpt.__file__, 'muon' in Catalogue().names())"
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["42", str(site / "coregpt" / "__init__.py"), "True"]


def test_the_longest_parts_come_last_and_all_fit_ten_minutes(command: ModuleType, tmp_path: Path) -> None:
    seconds = [each.seconds for each in command.parts(False, tmp_path, True)]
    assert seconds[-1] == max(seconds)
    assert sum(seconds) <= 590


def test_a_dry_run_needs_a_place_for_its_numbers() -> None:
    done = subprocess.run([ROOT / ".ci" / "gpu", "--dry"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--out" in done.stderr


@pytest.mark.slow
def test_every_part_works_on_a_cpu(tmp_path: Path) -> None:
    """From an empty folder of results, as on the machine; what is compiled there is traced here."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    arguments = [sys.executable, str(ROOT / ".ci" / "gpu"), "--dry", "--out", str(tmp_path)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, cwd=tmp_path)
    log = (tmp_path / "gpu_log.txt").read_text() if (tmp_path / "gpu_log.txt").exists() else ""
    assert done.returncode == 0, done.stdout + done.stderr + log[-3000:]
    record = json.loads((tmp_path / "gpu_run.json").read_text())
    assert [each["status"] for each in record["parts"]] == ["ok"] * 4
    assert record["facts"]["torch"]
    assert json.loads((tmp_path / "gpu_study.json").read_text())["mlflow"]["runs"] == 6
    prices = json.loads((tmp_path / "gpu_prices.json").read_text())
    assert prices["models"]["plain"]["tokens_per_second"] > 0
    assert not [each for each in prices["models"].values() if isinstance(each, str)]
    assert json.loads((tmp_path / "gpu.json").read_text())["late_graphs"] == 0
    assert "mean nothing" in (tmp_path / "gpu.md").read_text()
