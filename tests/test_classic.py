"""The seven classic ablations load at every preset, and their presets are the same ones."""

import re
from pathlib import Path

import pytest
import yaml

from coregpt.contract.config import ModelShape, RunConfig
from coregpt.engine.build import build
from coregpt.lab.planning.load import load

FOLDER = Path(__file__).parent.parent / "ablations" / "classic"
STUDIES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
PRESETS = ("laptop", "t4-16gb", "rtx-24gb", "h100", "node-8xh100")


def declared(name):
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


def test_there_are_seven_and_they_have_the_same_presets():
    assert len(STUDIES) == 7
    scales = [declared(name)["scales"] for name in STUDIES]
    assert tuple(scales[0]) == PRESETS
    assert all(each == scales[0] for each in scales)


def test_the_guide_names_every_study_and_every_preset():
    guide = (FOLDER.parent.parent / "docs" / "experiment_guide.md").read_text()
    for name in (*STUDIES, *PRESETS):
        assert name in guide


def test_every_number_of_the_report_that_the_guide_reads_stands_in_it():
    guide = (FOLDER.parent.parent / "docs" / "experiment_guide.md").read_text()
    section = guide.partition("## One report, read\n")[2].partition("\n## ")[0]
    (link,) = re.findall(r"\]\(\.\./(reports/\S+/report\.md)\)", section)
    text = re.sub(r"(?m)^\d+\. ", "", section.replace(link, ""))
    read, there = (set(NUMBER.findall(each)) for each in (text, (FOLDER.parent.parent / link).read_text()))
    assert len(read) > 20
    assert read - there == set()


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_sound_at_the_size_of_a_laptop(name):
    """Loading checks every preset."""
    study = load(FOLDER / f"{name}.yaml")
    assert study.scale == "laptop"
    assert len(study.seeds) == 5
    base = set(declared(name)["base"]["plugins"])
    added = {technique for arm in study.arms for technique in arm.run.plugins} - base
    assert len(added) in (1, 2)


def test_the_layer_without_attention_is_the_eighth_of_twelve_and_passes_the_stream():
    study = load(FOLDER / "drop_attention.yaml")
    (plugin,) = (each for name, each in study.catalogue.instances({"no_attention": {}}) if name == "no_attention")
    for depth, dropped in ((4, 2), (8, 4), (12, 7)):
        shape = ModelShape(vocab=16, dim=8, depth=depth, heads=2, context=8)
        run = build(RunConfig(model=shape, tokens=64, batch_tokens=64, eval_tokens=8), [("no_attention", plugin)])
        without = {layer for layer in range(depth) if f"blocks.{layer}.attention.q.weight" not in run.assembly.params}
        assert without == {dropped}
