"""What a plan can detect: its noise comes from the best source there is, its power from the noncentral t."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from coregpt.contract.errors import RunError
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.power import ASSUMED, DEFAULT_SD, PUBLISHED, floor_of, noise, power_of
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan, PlannedRun
from coregpt.report.designs.noise.analysis import components, sharing
from tests.lab.conftest import Lab

ROOT = Path(__file__).parents[3]
SOURCES = ("initial weights", "data order", "interaction", "repetition")


def planned(lab: Lab) -> Plan:
    return plan(outline(load(lab.study)))


def test_the_plan_takes_its_noise_from_earlier_runs_where_there_are_enough(lab: Callable[..., Lab]) -> None:
    here = lab(seeds=3)
    made = planned(here)
    assert noise(made, here.runs) == (DEFAULT_SD, ASSUMED)
    values = {
        ("gelu", 0): 2.0,
        ("gelu", 1): 2.1,
        ("gelu", 2): 2.2,
        ("relu2", 0): 1.9,
        ("relu2", 1): 2.1,
        ("relu2", 2): 2.0,
    }
    for run in made.runs:
        if run.arm == "gelu":
            complete(here, run, values)
    sd, origin = noise(made, here.runs)
    assert sd == pytest.approx(0.1 * 2**0.5)
    assert "3 earlier runs of the baseline" in origin
    for run in made.runs:
        complete(here, run, values)
    sd, origin = noise(made, here.runs)
    assert sd == pytest.approx(0.1)  # of -0.1, 0.0, -0.2
    assert origin == "from earlier runs of these arms"


def test_what_is_assumed_is_what_published_reports_have() -> None:
    """0.01 was assumed, and two of three had more: plans promised to see what their studies could not."""
    found = [sd for path in sorted((ROOT / "reports").rglob("report.json")) for sd in paired_sds(path)]
    inside = [PUBLISHED[0] <= sd <= PUBLISHED[1] for sd in found]
    assert sum(inside) >= 0.9 * len(found) > 45
    assert statistics.median(found) < DEFAULT_SD < PUBLISHED[1]


def paired_sds(report: Path) -> list[float]:
    """Of each arm's gain over the seeds that it shares with the baseline."""
    said = json.loads(report.read_text("utf-8"))
    values: dict[str, dict[int, float]] = {}
    for run in said["runs"]:
        if run["value"] is not None:
            values.setdefault(run["arm"], {})[run["seed"]] = run["value"]
    base = values.pop(said["study"]["baseline"], {})
    gains = [[base[seed] - own[seed] for seed in own.keys() & base.keys()] for own in values.values()]
    return [statistics.stdev(each) for each in gains if len(each) >= 3]


def complete(lab: Lab, run: PlannedRun, values: dict[tuple[str, int], float]) -> None:
    folder = RunFolder(lab.runs / run.id)
    folder.create(run.record, {})
    folder.write_result({"status": "finished", "value": None, "select": values[run.arm, run.seed]})


def record(*variances: float) -> dict[str, Any]:
    parts = [{"source": source, "variance": v} for source, v in zip(SOURCES, variances, strict=True)]
    return {"components": parts, "run_ids": ["a", "b", "c", "d"]}


def test_the_difference_of_two_runs_varies_twice_with_what_they_do_not_share() -> None:
    floor = floor_of(record(1.0, 2.0, 4.0, 8.0))
    assert floor.runs == 4
    assert floor.cautious**2 == pytest.approx(2 * (1 + 2 + 4 + 8))
    assert floor.hopeful**2 == pytest.approx(2 * (4 + 8))


def test_the_floor_is_the_one_that_the_noise_report_shows() -> None:
    parts = components([[3.0, 3.1, 2.9], [3.2, 3.25, 3.0]], [3.0, 3.02])
    shown = sharing(parts, alpha=0.05, power=0.9, treatments=1)
    floor = floor_of({"components": [part.model_dump(mode="json") for part in parts], "run_ids": ["a"] * 6})
    assert (floor.cautious, floor.hopeful) == (shown[1].sd, shown[4].sd)  # to the bit: both are printed


@pytest.mark.parametrize("damage", ["components", "run_ids"])
def test_a_record_without_its_numbers_says_what_to_do(damage: str) -> None:
    facts = {key: value for key, value in record(1, 1, 1, 1).items() if key != damage}
    with pytest.raises(RunError, match="run coregpt noise again"):
        floor_of(facts)


def test_what_a_plan_detects_is_found_with_the_declared_probability(lab: Callable[..., Lab]) -> None:
    here = lab(seeds=6, test={"baseline": "gelu", "margin": 0.02, "sd": 0.03, "power": 0.8, "alpha": 0.01})
    found = power_of(planned(here), here.runs)
    assert (found.level, found.sd, found.origin) == (0.01, 0.03, "assumed in the study")
    assert found.detectable is not None
    t, shift = stats.t.isf(0.005, 5), found.detectable * 6**0.5 / 0.03
    assert stats.nct.sf(t, 5, shift) + stats.nct.cdf(-t, 5, shift) == pytest.approx(0.8, abs=1e-6)
