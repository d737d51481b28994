"""The A/A grid: which runs it has, what it shares with a comparison, and what `noise` and `plan` say."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError, RunError
from coregpt.lab.designs.noise import Grid, measured, noise_plan, recorded, repeat_store
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import Lab, write_study


def planned(path: Path) -> Plan:
    return plan(outline(load(path)))


def arguments(here: Lab, *extra: str) -> list[str]:
    return ["noise", str(here.study), "--runs", str(here.runs), "--reports", str(here.reports), *extra]


@pytest.fixture(scope="module")
def measured_lab(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Lab:
    """The tiny study's noise, measured once, beside its own runs: where others train too, a plan knows more."""
    folder = tmp_path_factory.mktemp("measured")
    done = Lab(folder, shards, write_study(folder / "tiny.yaml", shards))
    assert main(done.command("--no-mlflow")) == 0
    assert main(arguments(done, "--init", "2", "--data", "2")) == 0
    return done


def test_the_grid_crosses_both_seeds_and_its_diagonal_is_the_baseline_of_the_study(lab: Callable[..., Lab]) -> None:
    study = planned(lab().study)
    made = noise_plan(study, Grid(2, 3))
    cells = [(run.config.seed, run.config.data_seed) for run in made.runs]
    assert sorted(cells) == [(i, j) for i in range(2) for j in range(3)]
    diagonal = {run.id for run in made.runs if run.config.seed == run.config.data_seed}
    assert diagonal == {run.id for run in study.runs if run.arm == "gelu"}
    assert len({run.id for run in made.runs}) == 6


def test_one_level_has_no_variance() -> None:
    for grid in (Grid(1, 3), Grid(3, 1), Grid(3, 3, 1)):
        with pytest.raises(ConfigError, match=r"--(init|data|repeats) must be at least 2, got 1"):
            grid.check()


def test_too_small_a_grid_is_refused_before_anything_is_written(
    lab: Callable[..., Lab], capsys: pytest.CaptureFixture[str]
) -> None:
    here = lab()
    assert main(arguments(here, "--repeats", "1")) == 2
    assert "--repeats must be at least 2, got 1" in capsys.readouterr().err
    assert not here.runs.exists()


def test_values_stand_by_weights_and_order_and_holes_are_named(lab: Callable[..., Lab], tmp_path: Path) -> None:
    grid, store = Grid(2, 2), tmp_path / "store"
    made = noise_plan(planned(lab().study), grid)
    for run in made.runs:
        folder = RunFolder(store / run.id)
        folder.create(run.record, {})
        folder.write_result({"status": "finished", "select": 10.0 * run.config.seed + run.config.data_seed})
    with pytest.raises(RunError, match="execution 2 of the first run"):
        measured(made, store, grid)
    again = RunFolder(repeat_store(store, 2) / made.runs[0].id)
    again.create(made.runs[0].record, {})
    again.write_result({"status": "finished", "select": 0.5})
    found = measured(made, store, grid)
    assert found.values.tolist() == [[0, 1], [10, 11]]
    assert found.repeats.tolist() == [0, 0.5]


def test_repetition_on_a_cpu_is_exact_and_is_really_another_execution(measured_lab: Lab) -> None:
    report = json.loads((measured_lab.reports / "tiny-noise" / "report.json").read_text())
    assert report["repeats"][0] == report["repeats"][1] == report["values"][0][0]
    assert report["components"][3]["variance"] == 0
    first = report["run_ids"][0]
    assert RunFolder(repeat_store(measured_lab.runs, 2) / first).result()
    assert (measured_lab.runs / first).stat().st_ino != (repeat_store(measured_lab.runs, 2) / first).stat().st_ino
    assert np.ptp(report["values"]) > 0


def test_a_second_call_trains_nothing_and_writes_the_same_bytes(
    measured_lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted((measured_lab.reports / "tiny-noise").iterdir())
    before = [file.read_bytes() for file in files]
    assert main(arguments(measured_lab, "--init", "2", "--data", "2")) == 0
    assert [file.read_bytes() for file in files] == before
    assert "nothing to train" in capsys.readouterr().out


def test_plan_takes_the_measured_noise(measured_lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    facts = recorded(planned(measured_lab.study), measured_lab.runs)
    assert facts is not None
    longer = measured_lab.study.read_text().replace("seeds: 2", "seeds: 6").replace("  pilot: true\n", "")
    study = measured_lab.folder / "longer.yaml"
    study.write_text(longer)
    assert main(["plan", str(study), "--runs", str(measured_lab.runs)]) == 0
    text = capsys.readouterr().out
    sd = re.search(r"sd of a paired difference (\S+) \(from 4 runs of `coregpt noise`", text)
    assert sd, text
    assert float(sd[1]) == pytest.approx(facts["sharing"][1]["sd"], rel=0.05)


def test_another_baseline_has_no_record(measured_lab: Lab) -> None:
    other = measured_lab.folder / "other.yaml"
    other.write_text(measured_lab.study.read_text().replace("batch_tokens: 64", "batch_tokens: 128"))
    assert recorded(planned(other), measured_lab.runs) is None
