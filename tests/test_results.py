"""Tables of a report: every number is the JSON's to the bit, every run is there, files read back as they were."""

import csv
import importlib.util
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from coregpt.cli import main
from coregpt.cli.reports.results import as_csv, as_parquet
from coregpt.contract.errors import ConfigError
from coregpt.report.analysis.summary import summarise
from coregpt.report.designs.noise.pages import render_noise
from coregpt.report.facts.model import Comparison
from coregpt.report.facts.serialise import to_json
from coregpt.results import Results, load
from tests.report.designs.noise.test_analysis import report as noise_report
from tests.report.studies import report, run, study
from tests.report.verdicts.test_compare import base, shifted

ROOT = Path(__file__).parent.parent
COMMITTED = sorted(path.parent.name for path in (ROOT / "reports").glob("*/report.json"))


def committed(name: str) -> tuple[Results, dict[str, Any]]:
    data: dict[str, Any] = json.loads((ROOT / "reports" / name / "report.json").read_text())
    return load(name, ROOT / "reports"), data


def trouble() -> Results:
    """Seed 0 of the arm diverged, seed 1 failed, seed 2 was never made."""
    arms = {"gpt": base(), "odd": shifted(0.03)}
    runs = [run(arm, seed, value) for arm, column in arms.items() for seed, value in enumerate(column)]
    kept = [each for each in runs if each.arm == "gpt" or each.seed > 2]
    return Results(summarise(study(tuple(arms), 6), [*kept, run("odd", 0, None), run("odd", 1, None, status="failed")]))


def same(shown: Any, said: Any) -> bool:
    """Equal to the bit, where None is said of what is not known."""
    return bool(pd.isna(shown)) if said is None or said == "NaN" else bool(shown == said)


@pytest.mark.parametrize("name", COMMITTED)
def test_every_run_and_evaluation_of_a_report_is_in_the_tables_as_it_is_in_the_json(name: str) -> None:
    found, data = committed(name)
    runs, curves = found.runs().to_dict("records"), iter(found.curves().to_dict("records"))
    for row, said, timing in zip(runs, data["runs"], data["timing"]["runs"], strict=True):
        for key in ("arm", "seed", "run_id", "status", "value", "reason"):
            assert same(row[key], said[key]), key
        for key in timing.keys() - {"seconds"}:
            assert same(row[key], timing[key]), key
        for at, point in enumerate(said["curve"]):
            shown = next(curves)
            assert (shown["arm"], shown["seed"], shown["run_id"]) == (said["arm"], said["seed"], said["run_id"])
            for key, number in zip(("step", "tokens", "flops", "value"), point, strict=True):
                assert same(shown[key], number), key
            assert same(shown["seconds"], timing["seconds"][at] if timing["seconds"] else None)
    assert next(curves, None) is None


@pytest.mark.parametrize("name", COMMITTED)
def test_every_comparison_is_in_its_table_as_it_is_in_the_json(name: str) -> None:
    found, data = committed(name)
    for row, said in zip(found.comparisons().to_dict("records"), data["comparisons"], strict=True):
        assert row["baseline"] == data["study"]["baseline"]
        assert row["missing_seeds"] == " ".join(map(str, said["missing_seeds"]))
        for key in said.keys() & row.keys() - {"missing_seeds"}:
            assert same(row[key], said[key]), key
        for key in ("interval", "interval90", "test_interval"):
            low, high = said[key] or (None, None)
            assert same(row[f"{key}_low"], low)
            assert same(row[f"{key}_high"], high)


def test_nothing_of_a_comparison_is_left_out() -> None:
    """A new field of the report has to be put into the table, or here."""
    elsewhere = {"interval", "interval90", "test_interval", "seed_correlation_interval", "failures", "look"}
    assert set(Comparison.model_fields) - set(trouble().comparisons()) == elsewhere


def test_a_diverged_run_is_infinite_and_no_run_is_dropped() -> None:
    runs = trouble().runs()
    assert list(zip(runs["arm"], runs["seed"], strict=True)) == [(a, s) for a in ("gpt", "odd") for s in range(6)]
    odd = runs[runs["arm"] == "odd"].set_index("seed")
    assert odd["status"].tolist() == ["diverged", "failed", "missing", "finished", "finished", "finished"]
    assert odd["value"][0] == math.inf
    assert odd["value"][[1, 2]].isna().all()
    assert odd["reason"][[0, 1, 2]].tolist() == ["loss became NaN", "machine lost", "this run was never made"]
    assert odd["value"].mean() == math.inf, "the mean of the seeds that finished is not that of the arm"


def test_the_curve_of_a_diverged_run_ends_in_nan() -> None:
    curves = trouble().curves()
    own = curves[(curves["arm"] == "odd") & (curves["seed"] == 0)]
    assert own["status"].unique().tolist() == ["diverged"]
    assert own["value"].isna().tolist() == [False] * 4 + [True]
    assert set(curves[curves["arm"] == "odd"]["seed"]) == {0, 3, 4, 5}


def test_an_arm_without_a_verdict_has_a_row_of_unknown_numbers() -> None:
    (row,) = trouble().comparisons().to_dict("records")
    assert (row["verdict"], row["diverged"], row["missing_seeds"]) == ("invalid", 1, "1 2")
    assert row["cause"]
    assert math.isnan(row["p_adjusted"])


def test_types_of_columns_hang_on_no_value() -> None:
    bad, good = trouble(), Results(report({"gpt": base(), "new": shifted(0.03)}))
    for table in ("runs", "curves", "comparisons"):
        assert getattr(bad, table)().dtypes.to_dict() == getattr(good, table)().dtypes.to_dict()


def test_a_changed_table_changes_no_other() -> None:
    found = trouble()
    for table in (found.runs, found.curves, found.comparisons):
        changed = table()
        changed.loc[:, "arm"] = "changed"
        assert "changed" not in set(table()["arm"])


@pytest.mark.parametrize("table", [Results.runs, Results.curves, Results.comparisons])
def test_every_column_is_explained(table: Any) -> None:
    for column in table(trouble()):
        explained = f"`{column}`" in (table.__doc__ or "")
        assert explained or column in ("arm", "seed", "run_id", "status"), column


def test_a_report_is_found_by_name_folder_and_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    by_name = load("ngpt_vs_gpt").report
    for path in ("reports/ngpt_vs_gpt", ROOT / "reports/ngpt_vs_gpt", "reports/ngpt_vs_gpt/report.json"):
        assert load(path).report == by_name
    assert repr(load("ngpt_vs_gpt")).startswith("<ngpt_vs_gpt: ngpt is better than gpt.")


@pytest.mark.parametrize("name", ["ngpt_vs_gtp", "ablations/ngpt_vs_gpt.yaml", "gone/ngpt_vs_gpt"])
def test_an_unknown_name_is_told_the_nearest_one(name: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no report .*; did you mean 'ngpt_vs_gpt'\?"):
        load(name, ROOT / "reports")


def test_the_lines_in_the_readme_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    exec(lines, {})


def test_what_is_no_report_of_a_study_is_refused_in_words(tmp_path: Path) -> None:
    noise, sizes, cut = tmp_path / "noise", tmp_path / "sizes", tmp_path / "cut"
    for folder in (noise, sizes, cut):
        folder.mkdir()
    (noise / "report.json").write_text(render_noise(noise_report())["report.json"])
    (sizes / "trend.json").write_text(json.dumps({"studies": {"sizes-1M": "d", "sizes-2M": "e"}}))
    (cut / "report.json").write_text(to_json(report({"gpt": base(), "new": shifted(0.03)}))[:-9])
    with pytest.raises(ConfigError, match="a report of coregpt noise: it measures one arm and compares none"):
        load("noise", tmp_path)
    for given in ("sizes", sizes / "trend.json"):
        with pytest.raises(ConfigError, match="has no runs of its own; load one of sizes-1M, sizes-2M"):
            load(given, tmp_path)
    with pytest.raises(ConfigError, match="truncated or damaged"):
        load("cut", tmp_path)


def test_csv_gives_every_number_back_to_the_bit() -> None:
    """All kinds of doubles, drawn by their bits, read by Python's own reader."""
    bits = np.random.default_rng(0).integers(0, 2**64, 5000, dtype=np.uint64).view(np.float64)
    numbers = np.concatenate([bits[np.isfinite(bits)], [5e-324, 0.1 + 0.2, -0.0, math.inf, -math.inf, math.nan]])
    frame = pd.DataFrame({"value": numbers, "text": 'a "b", c\nd'})
    text = as_csv(frame).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert np.array([float(row["value"]) for row in rows]).tobytes() == numbers.tobytes()
    assert {row["text"] for row in rows} == {'a "b", c\nd'}


@pytest.mark.parametrize("found", [trouble(), load("speedrun_optimizers", ROOT / "reports")], ids=["trouble", "logs"])
def test_parquet_gives_the_tables_back(found: Results) -> None:
    for frame in (found.runs(), found.curves(), found.comparisons()):
        again = pd.read_parquet(io.BytesIO(as_parquet(frame)))
        pd.testing.assert_frame_equal(again, frame, check_exact=True)


def test_the_command_writes_the_three_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = str(ROOT / "reports")
    for option, ending in (("--csv", "csv"), ("--parquet", "parquet")):
        folder = tmp_path / "new" / ending
        assert main(["results", "ngpt_vs_gpt", "--reports", where, option, str(folder)]) == 0
        names = [f"{table}.{ending}" for table in ("runs", "curves", "comparisons")]
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [str(folder / n) for n in names]
    found = load("ngpt_vs_gpt", where)
    assert (tmp_path / "new/csv/comparisons.csv").read_bytes() == as_csv(found.comparisons())
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "new/parquet/runs.parquet"), found.runs())


def test_without_a_folder_the_command_lists_the_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "report.json").write_text(to_json(trouble().report))
    assert main(["results", "toy", "--reports", str(tmp_path)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["odd", "0", "diverged", "inf"] in [line[:4] for line in lines]
    assert ["odd", "2", "missing"] in lines


def test_parquet_without_pyarrow_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["results", "ngpt_vs_gpt", "--reports", str(ROOT / "reports"), "--parquet", str(tmp_path / "x")]) == 2
    told = capsys.readouterr().err
    assert "--parquet needs pyarrow" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_only_results_bring_pandas_and_they_bring_no_torch() -> None:
    users = [path for path in sorted((ROOT / "coregpt").rglob("*.py")) if "import pandas" in path.read_text()]
    assert users == [ROOT / "coregpt/cli/reports/results.py", ROOT / "coregpt/results.py"]
    code = "import coregpt.results, sys; print('torch' in sys.modules, 'mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_tables_of_an_edited_report_are_refused(tmp_path: Path) -> None:
    text = (ROOT / "reports" / "optimizers" / "report.json").read_text()
    data = json.loads(text)
    data["runs"][0]["value"] -= 0.1
    (tmp_path / "report.json").write_text(json.dumps(data))
    with pytest.raises(ConfigError, match="not those that were written"):
        load(tmp_path / "report.json")
