"""Studies that could not decide anything are refused before their first run, and say what to write instead."""

from collections.abc import Callable
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.lab.planning.load import load
from coregpt.lab.planning.pilot import refuse_undecidable
from tests.lab.conftest import Lab

THREE: dict[str, Any] = {"gelu": {}, "relu2": {"plugins": {"relu2": {}}}, "slow": {"optim": {"lr": 1e-5}}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 2}, "2 seeds cannot show how much seeds alone move the result"),
        (
            {"seeds": 4},
            "4 seeds of one pair of arms leave 3 degrees of freedom for the noise, and 4 are the fewest that",
        ),
    ],
)
def test_too_few_seeds_are_refused_with_the_number_that_is_enough(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    here = lab(**changes)
    here.study.write_text(here.study.read_text().replace("  pilot: true\n", ""))
    assert main(here.command("--no-mlflow")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "tiny.yaml:" in line
    assert f"seeds: {words}" in line
    assert line.endswith("write seeds: 5 or more, or test: {pilot: true} to make them without a verdict")
    assert not here.runs.exists()
    assert not here.reports.exists()


def test_what_can_decide_or_is_a_pilot_is_not_refused(lab: Callable[..., Lab]) -> None:
    refuse_undecidable(load(lab(seeds=5).study))
    refuse_undecidable(load(lab(arms=THREE, seeds=5, test={"baseline": "gelu", "looks": [4, 5]}).study))
    pilot = load(lab(seeds=2).study)
    refuse_undecidable(pilot)
    assert pilot.preregistration()["test"]["pilot"] is True
    assert "pilot" not in load(lab(seeds=5).study).preregistration()["test"]


def test_three_arms_pool_their_noise_and_need_fewer(lab: Callable[..., Lab]) -> None:
    here = lab(arms=THREE, seeds=3)
    here.study.write_text(here.study.read_text().replace("  pilot: true\n", ""))
    refuse_undecidable(load(here.study))
