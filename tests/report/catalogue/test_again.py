"""Gains that were looked at again come from a committed file, which is held against the reports."""

import shutil
from pathlib import Path

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.report.catalogue.again import AGAIN
from coregpt.report.catalogue.effects import effects_in
from coregpt.report.facts.serialise import from_json

ROOT = Path(__file__).parent.parent.parent.parent
FILE = """\
atlas/norm:
  command: coregpt verify
  seeds: [{seed}]
  processor: some CPU
  precision: fp32
  gains:
    {arm}: {{first: {first}, gain: 0.005, interval: [-0.002, 0.012], shown: false}}
"""


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "reports" / "atlas" / "norm", tmp_path / "atlas" / "norm")
    return tmp_path


def first(reports: Path, arm: str) -> str:
    report = from_json((reports / "atlas" / "norm" / "report.json").read_text("utf-8"), "norm")
    return f"{next(each.gain for each in report.comparisons if each.arm == arm):.3f}"


def written(reports: Path, **more: str) -> None:
    given = {"seed": "6", "arm": "rmsnorm_gain", "first": first(reports, "rmsnorm_gain"), **more}
    (reports / AGAIN).write_text(FILE.format(**given), encoding="utf-8")


def test_an_effect_has_what_fresh_seeds_said(reports: Path) -> None:
    assert effects_in(reports)["rmsnorm_gain"][0].again is None
    written(reports)
    (effect,) = effects_in(reports)["rmsnorm_gain"]
    assert effect.again is not None
    assert (effect.again.gain, effect.again.interval, effect.again.shown) == (0.005, (-0.002, 0.012), False)
    assert effect.again.machine == "some CPU, fp32"
    assert effects_in(reports)["layernorm"][0].again is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"first": "0.5"}, "rmsnorm_gain: the first gain is 0.5 here and 0.0"),
        ({"seed": "5"}, "seed 5 is one of the report's own"),
        ({"arm": "nobody"}, "nobody: the report compares no such arm"),
        ({"first": "much"}, "atlas/norm: gains.rmsnorm_gain.first"),
    ],
)
def test_a_file_about_other_reports_is_refused(reports: Path, more: dict[str, str], said: str) -> None:
    written(reports, **more)
    with pytest.raises(ConfigError, match=said):
        effects_in(reports)


def test_a_report_that_is_not_there_is_named(reports: Path) -> None:
    written(reports)
    (reports / "atlas" / "norm").rename(reports / "atlas" / "gone")
    with pytest.raises(ConfigError, match="atlas/norm: there is no such report"):
        effects_in(reports)


def test_the_committed_file_is_read() -> None:
    effects = [each for of_one in effects_in(ROOT / "reports").values() for each in of_one if each.again]
    assert effects
    assert all(each.report.startswith("atlas/") for each in effects)
