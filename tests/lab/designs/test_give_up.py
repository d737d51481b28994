"""A screen seed by seed: what is run, what is not, what is recorded, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.lab.planning.load import load
from coregpt.lab.records.ledger import Ledger
from tests.lab.conftest import Lab

TEST = {"baseline": "gelu", "alpha": 0.2, "give_up": 0.05}
SLOW = {"gelu": {}, "slow": {"optim": {"lr": 1e-6}}}


def test_a_clear_loser_takes_two_seeds(lab: Callable[..., Lab]) -> None:
    made = lab(stage="screen", seeds=6, arms=SLOW, test=TEST)
    assert main(made.command("--no-mlflow", "--exit-verdict")) == 13
    report = made.report()
    (found,) = report["comparisons"]
    assert found["verdict"] == "no sign"
    assert found["cause"] == "given up after 2 of 6 seeds: it would hardly have come out as a candidate"
    assert found["p_adjusted"] is None, "whoever stops where it suits has no test"
    assert [run["status"] for run in report["runs"]] == ["finished", "finished", *["spared"] * 4] * 2
    assert not [note for note in report["notes"] if "ledger recorded" in note]
    ledger = Ledger.of(made.runs).read()
    assert [(e["arm"], e["pairs"], e["decision"]) for e in ledger if e.event == "looked"] == [("slow", 2, "futile")]
    seeds = [entry["seed"] for entry in ledger if entry.event == "started"]
    assert sorted(seeds) == [0, 0, 1, 1]
    before = made.recorded()[0]
    assert main(made.command("--no-mlflow")) == 0
    assert made.recorded()[0] == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stage": None}, "belongs to 'stage: screen'"),
        ({"arms": {**SLOW, "other": {"optim": {"lr": 2e-6}}}}, "is for one arm beside the baseline, not 2"),
        ({"test": {**TEST, "pilot": True}}, "a pilot has none"),
        ({"test": {**TEST, "give_up": 0.9}}, "give_up"),
    ],
)
def test_what_it_is_not_for_is_refused(lab: Callable[..., Lab], changes: dict[str, Any], said: str) -> None:
    study = {"stage": "screen", "seeds": 6, "arms": SLOW, "test": TEST, **changes}
    study = {key: value for key, value in study.items() if value is not None}
    with pytest.raises(ConfigError, match=said):
        load(lab(**study).study)


def test_the_plan_says_where_it_is_given_up(lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]) -> None:
    made = lab(stage="screen", seeds=6, arms=SLOW, test=TEST)
    assert main(["plan", str(made.study), "--runs", str(made.runs)]) == 0
    assert "given up once its chance to come out as a candidate is under 5%" in " ".join(
        capsys.readouterr().out.split()
    )
