"""Inputs as a study file names them: found, refused with file and line, and what of them is a run's identity."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt.contract.config import InputSource, RunConfig
from coregpt.contract.errors import ConfigError
from coregpt.engine import weights
from coregpt.lab.atomic import read_json, write_json
from coregpt.lab.execute.rerun import set_aside
from coregpt.lab.planning.load import load
from coregpt.lab.planning.memory import estimate
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.identity import run_id
from coregpt.lab.study.inputs import found_file, inputs_of
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.registry import Catalogue
from coregpt.results import weights as weights_of
from tests.lab.conftest import Lab


@pytest.fixture
def here(executed: Lab, tmp_path: Path) -> Lab:
    shutil.copytree(executed.runs, tmp_path / "runs")
    return executed.with_runs_in(tmp_path)


def done(lab: Lab, arm: str = "relu2") -> RunFolder:
    made = plan(outline(load(lab.study)))
    return RunFolder(lab.runs / next(run.id for run in made.runs if run.arm == arm))


@pytest.fixture
def taught(here: Lab, lab: Callable[..., Lab]) -> Callable[..., Plan]:
    """The plan of a study whose second arm has these inputs, with the runs of the executed study at hand."""

    def make(inputs: dict[str, Any], **changes: Any) -> Plan:
        arms = {"gelu": {}, "distilled": {"plugins": {"distillation": {}}, "inputs": inputs}}
        study = lab("taught", **{"arms": arms, **changes}).study
        return plan(outline(load(study, store=here.runs)))

    return make


def test_a_run_is_found_with_its_settings_and_techniques(here: Lab, taught: Callable[..., Plan]) -> None:
    made = taught({"teacher": {"run": done(here).id}})
    run = made.runs[-1]
    assert run.record["config"]["inputs"]["teacher"]["run"] == done(here).id
    stored = inputs_of(run.config, made.study.catalogue)["teacher"]
    assert [name for name, _ in stored.plugins] == ["relu2"]
    assert made.costs["distilled"].flops_per_token == pytest.approx(4 / 3 * made.costs["gelu"].flops_per_token)
    plugins = made.study.catalogue.instances(run.config.plugins)
    both = estimate(run.config, plugins, {"teacher": stored})
    assert both.weights == pytest.approx(2 * both.gradients, rel=0.05)


def test_where_a_file_lies_is_no_part_of_the_identity_and_what_it_holds_is(
    here: Lab, taught: Callable[..., Plan], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in ("a.pt", "elsewhere/b.pt"):
        shutil.copy(done(here).weights, tmp_path / name)
    shutil.copy(done(here, "gelu").weights, tmp_path / "c.pt")
    plans = [taught({"teacher": {"file": name}}) for name in ("a.pt", "elsewhere/../elsewhere/b.pt", "c.pt")]
    ids = [made.runs[-1].id for made in plans]
    assert ids[0] == ids[1] != ids[2]
    assert plans[0].study.digest == plans[1].study.digest != plans[2].study.digest
    stored = inputs_of(plans[0].runs[-1].config, plans[0].study.catalogue)["teacher"]
    assert stored.path == tmp_path / "a.pt"
    assert stored.config is not None


def test_a_run_without_inputs_is_named_as_if_there_were_none() -> None:
    """So that the key alone changes nobody's identity."""
    plain, given = RunConfig(), RunConfig(inputs={"teacher": InputSource(run="0123456789ab")})
    other = RunConfig(inputs={"teacher": InputSource(run="ba9876543210")})
    assert len({run_id(config, {}, "data") for config in (plain, given, other)}) == 3


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"teacher": {"run": "0123456789ab"}}, "inputs.teacher.run: there is no run '0123456789ab' in "),
        ({"teacher": {"run": "0123456789ab"}}, "coregpt ls lists them"),
        ({"teacher": {"run": 123456789012}}, "inputs.teacher.run: this id looks like a number, write it in quotes"),
        ({"teacher": {"file": "none.pt"}}, "inputs.teacher.file: there is no file "),
        ({"teacher": {"file": "taught.yaml"}}, "taught.yaml: expected a file of weights"),
        ({"teacher": {"run": "a", "file": "b"}}, "inputs.teacher: expected one of {run: ID} and {file: PATH}"),
        ({"teacher": {}}, "inputs.teacher: expected one of {run: ID} and {file: PATH}"),
        ({"teacher": {"runs": "a"}}, "inputs.teacher.runs: unknown key; did you mean 'run'?"),
        ({"teacher": "a"}, "inputs.teacher: expected a mapping, got 'a'"),
        ({}, "a plugin asks at 'loss' for the input 'teacher', which the run does not have; write inputs: "),
    ],
)
def test_what_is_wrong_is_told_with_its_line(taught: Callable[..., Plan], inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError if inputs else Exception) as caught:
        taught(inputs)
    text = str(caught.value)
    assert message in text
    assert len(text.splitlines()) == 1
    if inputs:
        assert "taught.yaml:" in text.split(": arms.distilled.")[0]


def test_the_beginning_of_an_id_is_completed_in_the_message(here: Lab, taught: Callable[..., Plan]) -> None:
    id_ = done(here).id
    with pytest.raises(ConfigError, match=f"did you mean '{id_}'"):
        taught({"teacher": {"run": id_[:5]}})


def test_an_input_that_no_technique_reads_is_refused(here: Lab, taught: Callable[..., Plan]) -> None:
    id_ = done(here).id
    with pytest.raises(Exception, match=r"arms.distilled: inputs\.other: no plugin of this run asks for it"):
        taught({"teacher": {"run": id_}, "other": {"run": id_}})


def test_a_run_without_weights_is_refused_by_its_reason(here: Lab, taught: Callable[..., Plan]) -> None:
    folder = done(here)
    result = folder.result()
    assert result is not None

    def refused() -> str:
        with pytest.raises(ConfigError) as caught:
            taught({"teacher": {"run": folder.id}})
        with pytest.raises(ConfigError) as same:
            weights_of(folder.id, here.runs)
        assert str(same.value) in str(caught.value)
        return str(same.value)

    folder.write_result({**result, "status": "diverged"})
    assert "diverged, so it has no final weights" in refused()
    folder.write_result(result)
    folder.weights.unlink()
    assert f"coregpt rerun {folder.id} makes them" in refused()
    (folder.path / "result.json").unlink()
    assert "is not complete" in refused()
    write_json(folder.path / "config.json", {**folder.config(), "until": 5})
    assert "is the trunk of a fork" in refused()


def test_a_model_whose_sources_have_changed_is_not_made_again(here: Lab, taught: Callable[..., Plan]) -> None:
    folder = done(here)
    config = folder.config()
    write_json(folder.path / "config.json", {**config, "id": "another"})
    with pytest.raises(Exception, match="has weights and no model: core or its techniques have changed since"):
        taught({"teacher": {"run": folder.id}})
    write_json(folder.path / "config.json", {**config, "config": {**config["config"], "plugins": {"gone": {}}}})
    with pytest.raises(Exception, match=r"its model cannot be made here \(unknown plugin 'gone'"):
        taught({"teacher": {"run": folder.id}})
    write_json(folder.path / "config.json", {**config, "config": {"sed": 1}})
    with pytest.raises(Exception, match="its model cannot be made here"):
        taught({"teacher": {"run": folder.id}})


def test_a_file_is_looked_for_beside_the_study_and_then_where_the_command_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "w.pt").write_bytes(b"1")
    monkeypatch.chdir(tmp_path / "here")
    source = InputSource(file="w.pt")
    found = found_file(source, (tmp_path, Path()))
    assert found.file == str(tmp_path / "here" / "w.pt")
    (tmp_path / "w.pt").write_bytes(b"2")
    assert found_file(source, (tmp_path, Path())).file == str(tmp_path / "w.pt")
    with pytest.raises(ConfigError, match=f"has the sha256 .*, not {'0' * 64}"):
        found_file(InputSource(file="w.pt", sha256="0" * 64), (tmp_path,))


def test_a_file_of_which_only_the_digest_is_known_is_asked_for() -> None:
    config = RunConfig(inputs={"teacher": InputSource(sha256="ab" * 32)})
    with pytest.raises(ConfigError, match="nothing says where it lies"):
        inputs_of(config, Catalogue())


def test_weights_are_read_by_the_id_of_their_run(here: Lab) -> None:
    folder = done(here)
    found = weights_of(folder.id, here.runs)
    saved = weights.read(folder.weights)
    assert found.keys() == {*saved.params, *saved.buffers}
    assert "head.out.weight" in found


def test_what_a_rerun_sets_aside_holds_the_weights_too_and_the_next_leaves_some(here: Lab) -> None:
    folder = done(here)
    write_json(folder.path / "config.json", {**folder.config(), "keep": "nothing"})
    attempt = set_aside(folder)
    assert (attempt / "weights.pt").exists()
    assert not folder.weights.exists()
    folder.keep_weights()
    assert "keep" not in (read_json(folder.path / "config.json") or {})
