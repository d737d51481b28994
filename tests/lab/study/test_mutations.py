"""Whatever is wrong with a study file, its author is told where, and never sees a traceback."""

import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from coregpt.contract.errors import CoreGPTError
from coregpt.lab.planning.load import load_family
from coregpt.lab.planning.plans import outlines
from tests.lab.study.mutations import mutated

ROOT = Path(__file__).parents[3]
STUDIES = sorted((ROOT / "ablations").glob("*.yaml"))
SAMPLE, ALL = 30, 1000


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A folder with what shipped studies refer to."""
    for name in ("reports", "plugins"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "ablations", tmp_path / "ablations")
    return tmp_path / "ablations"


def answers(seeds: Iterable[int], folder: Path) -> Counter[str]:
    """Loads every mutation as `coregpt plan` does. How many were read, and how many refused with file and line."""
    found, unplaced = Counter[str](), list[str]()
    path = folder / "mutated.yaml"
    for seed in seeds:
        study = STUDIES[seed % len(STUDIES)]
        text, names = mutated(study.read_text(), seed)
        path.write_text(text)
        try:
            outlines(load_family(path))
            found["read"] += 1
        except CoreGPTError as error:
            found["refused"] += 1
            if error.exit_code != 2 or not re.search(r"mutated\.yaml:\d+", str(error)):
                unplaced.append(f"mutation {seed} of {study.name} ({names}): {error}")
    assert not unplaced
    return found


def test_a_sample_of_mistakes_is_read_or_refused_with_file_and_line(beside: Path) -> None:
    found = answers(range(0, ALL, ALL // SAMPLE), beside)
    assert found["refused"] > found["read"] > 0


@pytest.mark.slow
def test_a_thousand_mistakes_are_read_or_refused_with_file_and_line(beside: Path) -> None:
    found = answers(range(ALL), beside)
    assert sum(found.values()) == ALL


def test_one_seed_makes_one_mistake() -> None:
    text = STUDIES[0].read_text()
    assert mutated(text, 7) == mutated(text, 7)
    assert len({mutated(text, seed)[0] for seed in range(50)}) > 40
