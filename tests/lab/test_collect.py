"""Facts of a report come from the run folders as they stand, with every run accounted for."""

from collections.abc import Callable

import pytest

from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.store import MetricsLog, RunFolder
from coregpt.lab.study.outline import Plan, PlannedRun
from coregpt.report.analysis.collect import collect
from coregpt.report.reading.environment import environment
from tests.lab.conftest import STUDY, Lab


@pytest.fixture
def here(lab: Callable[..., Lab]) -> Lab:
    return lab()


@pytest.fixture
def made(here: Lab) -> Plan:
    return plan(outline(load(here.study)))


def complete(lab: Lab, run: PlannedRun, torch: str = "2.0", notes: tuple[str, ...] = ()) -> None:
    folder = RunFolder(lab.runs / run.id)
    folder.create(run.record, {})
    folder.write_environment({"torch": torch, "device": "CPU"})
    log = MetricsLog(folder)
    log.record({"step": 0, "tokens": 0, "seconds": 0.0, "select_loss": 2.0})
    log.record({"step": 1, "tokens": 64, "seconds": 0.5, "loss": 1.5})
    log.record({"step": 2, "tokens": 128, "seconds": 1.0, "select_loss": 1.0, "val_loss": 1.0})
    log.close()
    result = {"status": "finished", "value": 1.0, "select": 1.0, "reason": "", "notes": list(notes)}
    speed = {"tokens_per_second": 10.0, "train_seconds": 1.0, "compile_seconds": 0.0, "peak_memory_bytes": 1}
    folder.write_result({**result, **speed})


def test_every_planned_run_has_facts_whatever_became_of_it(here: Lab, made: Plan) -> None:
    complete(here, made.runs[0])
    failed = RunFolder(here.runs / made.runs[1].id)
    failed.create(made.runs[1].record, {})
    failed.write_error("it broke", "trace")
    _, runs = collect(made, here.runs)
    assert [(run.status, run.reason) for run in runs] == [
        ("finished", ""),
        ("failed", "it broke"),
        ("missing", "this run is not complete"),
        ("missing", "this run is not complete"),
    ]


def test_a_run_whose_settings_were_edited_has_no_outcome(here: Lab, made: Plan) -> None:
    complete(here, made.runs[0])
    assert collect(made, here.runs)[1][0].status == "finished"
    path = here.runs / made.runs[0].id / "config.json"
    path.write_text(path.read_text().replace('"lr": 0.002', '"lr": 0.004'))
    _, (run, *_) = collect(made, here.runs)
    assert (run.status, run.value) == ("failed", None)
    assert "config.json is not the planned one" in run.reason


def test_curves_hold_evaluations_with_counted_flops_and_measured_seconds(here: Lab, made: Plan) -> None:
    complete(here, made.runs[0])
    _, (run, *_) = collect(made, here.runs)
    per_token = made.costs["gelu"].flops_per_token
    assert [tuple(point) for point in run.curve] == [(0, 0, 0.0, 2.0), (2, 128, 128 * per_token, 1.0)]
    assert run.timing.seconds == (0.0, 1.0)


def test_the_study_is_told_as_declared(here: Lab, made: Plan) -> None:
    study, _ = collect(made, here.runs, "amended")
    assert (study.unit, study.margin, study.baseline, study.seeds) == ("nats per token", 0.02, "gelu", (0, 1))
    assert [arm.description for arm in study.arms] == ["baseline", "adds relu2"]
    assert (study.exploratory, study.digest, study.confounds) == ("amended", made.study.digest, ())
    assert study.data.sha256 == made.source.digest
    assert study.command == f"coregpt ablate {here.study.name}"


def test_arms_computed_with_different_software_are_pointed_out(here: Lab, made: Plan) -> None:
    for run in made.runs:
        complete(here, run, torch="2.0" if run.arm == "gelu" else "2.1", notes=("not compiled: no compiler",))
    facts = environment(made, here.runs)
    assert facts.values["torch"] == "2.0 / 2.1"
    assert facts.values["device"] == "CPU"
    assert "torch differs between runs: 2.0 (gelu); 2.1 (relu2)" in facts.warnings
    assert "gelu, seed 0: not compiled: no compiler" in facts.warnings


def test_runs_from_different_processors_are_pointed_out(here: Lab, made: Plan) -> None:
    for run in made.runs:
        complete(here, run)
        folder = RunFolder(here.runs / run.id)
        folder.write_environment({**folder.environment(), "processor": "Abacus" if run.seed else "Soroban"})
    study, _ = collect(made, here.runs)
    assert study.environment.values["processor"] == "Abacus / Soroban"
    words = "processor differs between runs: Abacus (gelu, relu2); Soroban (gelu, relu2)"
    assert words in study.environment.warnings


def test_a_run_whose_curve_was_cut_off_has_no_outcome(here: Lab, made: Plan) -> None:
    complete(here, made.runs[0])
    path = here.runs / made.runs[0].id / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    _, (run, *_) = collect(made, here.runs)
    assert (run.status, run.value) == ("failed", None)
    assert "metrics.jsonl does not end with its result" in run.reason


def test_arms_of_which_some_runs_fell_back_to_the_uncompiled_model_are_a_confound(lab: Callable[..., Lab]) -> None:
    here = lab(base={**STUDY["base"], "compile": True})
    made = plan(outline(load(here.study)))
    for run in made.runs:
        complete(here, run, notes=("not compiled: no compiler",) if run.arm == "relu2" and run.seed == 1 else ())
    study, _ = collect(made, here.runs)
    (found,) = [item for item in study.confounds if item.setting == "compiled runs"]
    assert found.values == {"gelu": "2 of 2", "relu2": "1 of 2"}


@pytest.mark.parametrize("notes", [(), ("not compiled: no compiler",)])
def test_runs_that_were_all_compiled_or_all_not_are_no_confound(
    lab: Callable[..., Lab], notes: tuple[str, ...]
) -> None:
    here = lab(base={**STUDY["base"], "compile": True})
    made = plan(outline(load(here.study)))
    for run in made.runs[:3]:  # the last one is not complete
        complete(here, run, notes=notes)
    assert collect(made, here.runs)[0].confounds == ()
