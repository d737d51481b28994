"""What the README shows works: its study is valid, its commands exist, its table names every technique."""

import re
from pathlib import Path

import yaml

from coregpt.cli import parser
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline
from coregpt.lab.study.registry import Catalogue

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "README.md").read_text()


def test_the_example_study_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "my_study.yaml"
    path.write_text(re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.S)[0])
    outlined = outline(load(path))
    assert [arm.name for arm in outlined.study.arms] == ["plain", "capped"]


def test_every_command_exists() -> None:
    words = parser().format_help()
    for command in set(re.findall(r"^coregpt (\w+)", PAGE, flags=re.M)):
        assert command in words


def test_the_table_names_every_technique() -> None:
    table = PAGE[PAGE.index("| folder |") : PAGE.index("## Layout")]
    rows = re.findall(r"^\| \[(\w+)\]\(plugins/(\w+)\) \| (.*) \|$", table, flags=re.M)
    assert all(text == link for text, link, _ in rows)
    listed = {name: folder for folder, _, techniques in rows for name in re.findall(r"`(\w+)`", techniques)}
    assert listed == {name: found[0].folder for name, found in Catalogue().found.items()}


def test_the_studies_in_the_repository_are_valid_at_every_scale() -> None:
    for path in (ROOT / "ablations").glob("*.yaml"):
        scales = yaml.safe_load(path.read_text()).get("scales", {None: {}})  # a question about one machine has none
        assert list(scales) in (["laptop", "node-8xh100"], [None])
        for scale in scales:
            assert len(load(path, scale).arms) >= 2
