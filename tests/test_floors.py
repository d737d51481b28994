"""docs/floors.svg is what the packages and their contracts are now, and any others are drawn as they are."""

import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SVG = "{http://www.w3.org/2000/svg}"
CONTRACTS = """
[tool.setuptools]
package-dir = { house = "house", guests = "visitors" }

[tool.importlinter]
root_packages = ["house", "guests"]

[[tool.importlinter.contracts]]
name = "Down & <only>"
type = "layers"
layers = ["house.attic", "house.hall | house.door", "(house.cellar)"]

[[tool.importlinter.contracts]]
name = "Inside"
type = "layers"
containers = ["house.attic"]
layers = ["zinc", "beam : (plank)", "gone"]

[[tool.importlinter.contracts]]
name = "Guests use the door"
type = "forbidden"
source_modules = ["guests"]
forbidden_modules = ["house.attic", "house.hall", "house.cellar"]
"""
FILES = {
    "house/__init__.py": "",
    "house/attic/__init__.py": '"""Under the\nroof. Not shown."""',
    "house/attic/zinc/__init__.py": '"""Keeps rain out."""',
    "house/attic/beam/__init__.py": '"""Bears."""',
    "house/attic/plank/__init__.py": "",
    "house/attic/birds/__init__.py": '"""Unasked & free"""',
    "house/attic/birds/nest/egg.py": "",
    "house/attic/__pycache__/old.py": "",
    "house/attic/notes/read.txt": "",
    "house/hall/__init__.py": "",
    "house/door.py": '"""The way in."""',
    "house/cellar/__init__.py": "",
    "visitors/__init__.py": '"""Come and go."""',
}


def floors(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, ROOT / ".ci" / "floors", *arguments], capture_output=True, text=True)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(CONTRACTS)
    (tmp_path / "docs").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def drawn(root: Path) -> ElementTree.Element:
    done = floors("--root", root)
    assert done.returncode == 0, done.stderr
    return ElementTree.parse(root / "docs" / "floors.svg").getroot()


def said(picture: ElementTree.Element) -> dict[str, tuple[float, float]]:
    """Place by text."""
    return {each.text or "": (float(each.attrib["x"]), float(each.attrib["y"])) for each in picture.iter(f"{SVG}text")}


def test_the_picture_in_the_docs_is_current() -> None:
    done = floors("--check")
    assert done.returncode == 0, done.stderr


def test_floors_stand_in_the_order_of_the_contract_and_siblings_beside_each_other(house: Path) -> None:
    at = said(drawn(house))
    assert at["Down & <only>"][1] < at["house/attic"][1] < at["house/hall"][1] < at["house/cellar"][1]
    assert at["house/hall"][1] == at["house/door.py"][1] == at["visitors"][1]
    assert at["house/hall"][0] < at["visitors"][0] < at["house/door.py"][0], "guests stand before the only door"
    assert any("Of the floors" in text for text in at)


def test_folders_stand_in_the_order_of_their_own_contract_and_the_others_last(house: Path) -> None:
    at = said(drawn(house))
    assert at["zinc"][1] < at["beam"][1] == at["plank"][1] < at["birds"][1] < at["house/hall"][1]
    assert at["beam"][0] < at["plank"][0]
    assert not {"gone", "notes", "nest", "__pycache__"} & at.keys()


def test_a_package_is_told_by_its_first_sentence_and_its_files(house: Path) -> None:
    picture = drawn(house)
    at = said(picture)
    assert {"Under the roof.", "Keeps rain out.", "Bears.", "Unasked & free", "The way in."} <= at.keys()
    texts = [each.text for each in picture.iter(f"{SVG}text")]
    for name, count in {
        "house/attic": "6 files",
        "birds": "2 files",
        "zinc": "1 file",
        "house/door.py": "1 file",
    }.items():
        assert texts[texts.index(name) + 1] == count


def test_boxes_lie_in_the_picture_and_only_cells_lie_on_others(house: Path) -> None:
    long = textwrap.fill("many words " * 60, 100)
    for i in range(9):
        (house / f"house/hall/room{i}").mkdir()
        (house / f"house/hall/room{i}/__init__.py").write_text(f'"""{long if i % 2 else "Few."}"""')
    picture = drawn(house)
    width, height = map(float, picture.attrib["viewBox"].split()[2:])
    boxes = [
        (each.attrib["class"], *(float(each.attrib[key]) for key in ("x", "y", "width", "height")))
        for each in picture.iter(f"{SVG}rect")
        if each.attrib["class"] in ("floor", "floor beside", "cell")
    ]
    assert len(boxes) == 5 + 4 + 9
    for kind, x, y, w, h in boxes:
        assert x >= 0 <= y
        assert x + w <= width
        assert y + h <= height
        for other, x2, y2, w2, h2 in boxes:
            if (x, y) != (x2, y2) and (kind == "cell") == (other == "cell"):
                assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
    cells = [box[1:] for box in boxes if box[0] == "cell"]
    outer = [box[1:] for box in boxes if box[0] != "cell"]
    for x, y, w, h in cells:
        assert any(x >= x2 and y >= y2 and x + w <= x2 + w2 and y + h <= y2 + h2 for x2, y2, w2, h2 in outer)
    for x, y in said(picture).values():
        assert 0 < x < width
        assert 0 < y < height


def test_a_stale_picture_is_told_and_drawing_again_gives_the_same_bytes(house: Path) -> None:
    path = house / "docs" / "floors.svg"
    assert floors("--root", house, "--check").returncode == 1, "there is none yet"
    drawn(house)
    before = path.read_bytes()
    drawn(house)
    assert path.read_bytes() == before
    assert floors("--root", house, "--check").returncode == 0
    (house / "house" / "cellar" / "rat.py").write_text("")
    done = floors("--root", house, "--check")
    assert done.returncode == 1
    assert done.stderr == "docs/floors.svg is not what the packages and contracts are now: run .ci/floors\n"
    assert path.read_bytes() == before, "a check writes nothing"
