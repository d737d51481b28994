"""Core names no design: a new one is a file, a line in the list and rows of the table, and everything asks it."""

import re
from pathlib import Path
from typing import Any

import coregpt
from coregpt.lab import designs
from coregpt.lab.designs.design import Design

ROOT = Path(coregpt.__file__).parent
SHARED = {"design", "combinations", "found", "rates", "fitting", "pace"}
"""What designs are written with."""
COMMANDS_OF_THEIR_OWN = {"noise"}
"""Studies that a command makes and no file declares."""
FILES = {path.stem for path in (ROOT / "lab" / "designs").glob("*.py")} - {"__init__"} - SHARED - COMMANDS_OF_THEIR_OWN
FLOORS = ("study", "records", "laws", "execute", "planning", "slurm")


def named(path: Path) -> set[str]:
    """Designs that a module imports from."""
    lines = re.findall(r"^from coregpt\.lab\.designs(?:\.(\w+) import|( import [^\n]*))", path.read_text(), flags=re.M)
    return {word for line in lines for word in re.findall(r"\w+", " ".join(line))} & FILES


def test_no_other_floor_of_the_lab_names_a_design() -> None:
    core = [path for floor in FLOORS for path in (ROOT / "lab" / floor).rglob("*.py")]
    assert len(core) > 40
    assert {path.name: names for path in core if (names := named(path))} == {}


def test_designs_know_nothing_of_each_other() -> None:
    for name in FILES:
        assert named(ROOT / "lab" / "designs" / f"{name}.py") <= {name}


def test_every_design_is_listed_once_and_every_file_is_one() -> None:
    modules = [type(design).__module__.rpartition(".")[2] for design in designs.DESIGNS]
    assert sorted(modules) == sorted(FILES)


def test_every_answer_of_a_design_is_to_a_question_of_the_protocol() -> None:
    questions = {name for name in vars(Design) if not name.startswith("_")}
    for design in designs.DESIGNS:
        answers = {name for name, value in vars(type(design)).items() if callable(value) and not name.startswith("_")}
        assert answers <= questions, type(design).__name__


def test_every_question_is_asked_by_core_and_not_only_defined() -> None:
    """Mentioned with a call somewhere in the lab or the command line outside of designs."""
    outside = [*(path for floor in FLOORS for path in (ROOT / "lab" / floor).rglob("*.py"))]
    text = "\n".join(path.read_text() for path in [*outside, *(ROOT / "cli").rglob("*.py")])
    asked: dict[str, Any] = {name: re.search(rf"\b(?:design|each)\.{name}\(", text) for name in vars(Design)}
    assert [name for name, call in asked.items() if not name.startswith("_") and call is None] == []
