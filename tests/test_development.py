"""What a developer installs and runs is what CI installs and runs."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import HEAVIEST

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements-dev.txt").read_text()
CI = (ROOT / ".ci" / "run").read_text().splitlines()
MACHINES_OWN = "torch"


def pins() -> dict[str, str]:
    """Version by name."""
    lines = [line for line in LOCK.splitlines() if not line.startswith("#")]
    found = [re.fullmatch(r"([\w.-]+)==([\w.!]+)", line) for line in lines]
    assert all(found), "a name and an exact version on every line, no address and no build"
    return {canonicalize_name(each[1]): each[2] for each in found if each}


def asked() -> list[Requirement]:
    """What pyproject.toml asks for: to build, to run, to test, to develop."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    groups = [PROJECT["build-system"]["requires"], PROJECT["project"]["dependencies"], *extras]
    found = [Requirement(text) for group in groups for text in group]
    return [each for each in found if each.name != PROJECT["project"]["name"]]


@pytest.mark.parametrize("requirement", asked(), ids=str)
def test_a_version_of_every_dependency_is_fixed_within_its_range(requirement: Requirement) -> None:
    if requirement.name == MACHINES_OWN:
        assert MACHINES_OWN not in pins()
        assert requirement.specifier, "which build is the machine's affair, which versions is not"
    else:
        assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_ci_installs_nothing_without_the_fixed_versions() -> None:
    for line in CI:
        if "pip install" in line:
            assert "--constraint requirements-dev.txt" in line
    assert any(line.startswith("install ") and "[test]" in line for line in CI)


def test_the_hooks_before_a_commit_are_the_quick_commands_of_ci_and_fetch_nothing() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
    quick = [line for line in CI if re.match(r"(ruff|mypy|lint-imports)\b", line)]
    assert [hook["entry"] for hook in local["hooks"]] == quick


def test_the_files_that_are_tested_first_are_there() -> None:
    assert [name for name in HEAVIEST if not (ROOT / "tests" / name).is_file()] == []
