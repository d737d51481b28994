"""What `coregpt plan` promises: time, price and memory against sums by hand, as text and as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.cli.studies.costs import memory_lines
from coregpt.lab.planning import forecast as module
from coregpt.lab.planning.forecast import START_SECONDS, Forecast, Share, forecast
from coregpt.lab.planning.load import load
from coregpt.lab.planning.memory import PROCESS_BYTES, Memory
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STUDY, Lab

BASE: dict[str, Any] = {**STUDY["base"], "tokens": 64 * 1000}
DEEP: dict[str, Any] = {"base": BASE, "arms": {"plain": {}, "deep": {"model": {"depth": 4}}}, "seeds": 3}
TEST = {"baseline": "plain", "margin": 0.02}


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "tokens_per_second", lambda *given: 1000.0)


def planned(made: Lab) -> Plan:
    return plan(outline(load(made.study)))


def by_hand(made: Plan, arm: str, speed: float) -> float:
    """Training, seven evaluations of 256 tokens at a third of the cost (six of `select`, one of `held_out`), and the
    start of the process."""
    return (made.costs[arm].tokens + 256 * 7 / 3) / speed + START_SECONDS


def test_time_is_scaled_by_flops_and_shared_by_slots(lab: Callable[..., Lab], probed: None) -> None:
    here = lab(**DEEP, test=TEST)
    made = planned(here)
    found = forecast(made, here.runs, jobs=3)
    assert found is not None
    ratio = made.costs["deep"].flops_per_token / made.costs["plain"].flops_per_token
    each = {"plain": by_hand(made, "plain", 1000), "deep": by_hand(made, "deep", 1000 / ratio)}
    assert {name: share.seconds for name, share in found.arms.items()} == pytest.approx(
        {name: 3 * seconds for name, seconds in each.items()}
    )
    assert (found.runs, found.at_once) == (6, 3)
    assert found.seconds == pytest.approx(3 * sum(each.values()) / 3)
    assert found.total(7.2) == pytest.approx(3 * sum(each.values()) * 7.2 / 3600)
    assert found.cost("deep", 1.0) > found.cost("plain", 1.0)


def test_an_arm_with_earlier_runs_is_taken_at_its_own_speed(lab: Callable[..., Lab], probed: None) -> None:
    here = lab(**DEEP, test=TEST)
    made = planned(here)
    run = next(run for run in made.runs if run.arm == "deep")
    folder = RunFolder(here.runs / run.id)
    folder.create(run.record, {})
    folder.write_result({"tokens_per_second": 50.0, "value": 1.0, "select": 1.0, "status": "finished"})
    found = forecast(made, here.runs, jobs=1)
    assert found is not None
    assert found.arms["deep"].runs == 2
    assert found.arms["deep"].seconds == pytest.approx(2 * by_hand(made, "deep", 50))
    assert (found.speed, found.origin) == (1000, "from a short probe of the baseline")


def test_the_json_says_what_the_text_says(
    lab: Callable[..., Lab], probed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab(**DEEP, test=TEST, match="flops")
    command = ["plan", str(here.study), "--runs", str(here.runs), "--jobs", "2", "--price", "3.6"]
    assert main([*command, "--json"]) == 0
    (data,) = json.loads(capsys.readouterr().out)
    made = planned(here)
    assert (data["digest"], data["match"], data["runs"]) == (made.study.digest, "flops", 6)
    assert [arm["arm"] for arm in data["arms"]] == ["plain", "deep"]
    for arm in data["arms"]:
        assert arm["flops"] == arm["flops_per_token"] * arm["tokens"] == made.costs[arm["arm"]].flops
        assert arm["price"] == pytest.approx(arm["seconds"] / 1000)
        assert arm["memory_bytes"]["peak"] > PROCESS_BYTES
    assert abs(data["arms"][1]["matched"]) <= 0.01
    assert data["missing"]["price"] == pytest.approx(sum(arm["price"] for arm in data["arms"]))
    assert main(command) == 0
    out = capsys.readouterr().out
    assert f"Price: about {data['missing']['price']:.2f} at 3.6 per core and hour" in out
    assert f"Matched on flops: relative to the baseline, deep {data['arms'][1]['matched']:+.2%}" in out
    assert not here.runs.exists()


def test_nothing_missing_costs_nothing(executed: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(executed.study), "--runs", str(executed.runs), "--json"]) == 0
    (data,) = json.loads(capsys.readouterr().out)
    assert data["missing"] is None
    assert [arm["missing_runs"] for arm in data["arms"]] == [0, 0]


def test_a_model_that_does_not_fit_is_not_built_to_time_it(
    lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def probe(*given: Any) -> float:
        raise AssertionError("a probe takes the memory that is not there")

    monkeypatch.setattr(module, "tokens_per_second", probe)
    monkeypatch.setattr(module, "room", lambda device: PROCESS_BYTES // 2)
    here = lab(**DEEP, test=TEST, budget={"hours": 2})
    command = ["plan", str(here.study), "--runs", str(here.runs)]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "Time: not known, since one run does not fit here." in told
    assert "Memory: about " in told
    assert "Budget: 0 of 2 h are spent; what the rest takes is not known." in told
    assert "nan" not in told
    assert main([*command, "--json", "--price", "1"]) == 0
    (data,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [data["missing"][key] for key in ("seconds", "tokens_per_second", "price")] == [None, None, None]
    assert (data["arms"][0]["seconds"], data["budget"]["coming_hours"]) == (None, None)


def test_arms_are_told_in_the_order_of_the_study(lab: Callable[..., Lab], probed: None) -> None:
    names = [f"arm{i}" for i in range(6)]
    arms = {name: {"model": {"depth": 1 + i}} for i, name in enumerate(names)}
    here = lab(base=BASE, arms=arms, seeds=3, test={"baseline": "arm3", "margin": 0.02})
    found = forecast(planned(here), here.runs, jobs=1)
    assert found is not None
    assert list(found.arms) == names


@pytest.mark.parametrize("price", ["0", "-1", "dear", "inf"])
def test_a_price_is_a_number_above_zero(lab: Callable[..., Lab], price: str) -> None:
    with pytest.raises(SystemExit):
        main(["plan", str(lab().study), "--price", price])


def crowded(device: str, room: int, activations: int = 8000) -> Forecast:
    memory = Memory(0, 400, 400, 800, activations, 0, rows=8)
    share = {"plain": Share(4, 40.0, 1.0, memory)}
    return Forecast(share, 4, 2, 20.0, 1, 1.0, "from earlier runs", device, room)


def test_runs_that_do_not_fit_are_told_with_what_would() -> None:
    # Lasting 1600, activations 1000 per row: 4 rows are 5600; on CPU two runs share the room.
    assert memory_lines(crowded("cuda", 9600)) == memory_lines(crowded("cpu", 19200)) == []
    assert memory_lines(crowded("cuda", 0)) == []
    (gpu,) = memory_lines(crowded("cuda", 6000))
    assert gpu.endswith("of the GPU; set micro_rows: 4.")
    (cpu,) = memory_lines(crowded("cpu", 8000))
    assert cpu.endswith("of the machine, for 2 runs at a time; set micro_rows: 2.")
    (none,) = memory_lines(crowded("cuda", 2000))
    assert "one row is too much" in none


def test_a_plan_without_data_still_says_what_it_can(lab: Callable[..., Lab], tmp_path: Path) -> None:
    here = lab(**DEEP, test=TEST)
    text = here.study.read_text().replace(str(here.data), str(tmp_path / "nowhere"))
    here.study.write_text(text)
    assert main(["plan", str(here.study), "--runs", str(here.runs)]) != 0
