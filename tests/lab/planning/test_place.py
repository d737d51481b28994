"""Where data lie is found, told, and part of no identity; what they hold is part of every one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from coregpt.cli import main
from coregpt.contract.errors import ConfigError, DataError
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import register
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STUDY, Lab, write_shards


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data called `ok`, and another one in which commands are called."""
    write_shards(tmp_path / "home" / "ok")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "home"


def study(folder: Path, source: str, **changes: Any) -> Path:
    path = folder / "tiny.yaml"
    base = {**STUDY["base"], "data": {"source": source}}
    test = {**STUDY["test"], "pilot": True}
    path.write_text(yaml.safe_dump({**STUDY, "base": base, "test": test, **changes}, sort_keys=False))
    return path


def planned(path: Path) -> Plan:
    return plan(outline(load(path)))


def ids(made: Plan) -> list[str]:
    return [run.id for run in made.runs]


def test_the_spelling_of_a_folder_makes_no_other_run_and_no_other_study(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {}
    monkeypatch.chdir(home.parent)
    for source in ("ok", "./ok", "ok/", "../home/ok", str(home / "ok"), "home/ok"):
        made[source] = planned(study(home, source))
    assert len({made[source].study.digest for source in made}) == 1
    assert len({tuple(ids(each)) for each in made.values()}) == 1
    assert {run.config.data.source for each in made.values() for run in each.runs} == {str(home / "ok")}


def test_a_folder_is_looked_for_beside_the_study_and_then_where_the_command_is_called(home: Path) -> None:
    path = study(home, "ok")
    here = write_shards(Path.cwd() / "ok")
    assert planned(path).runs[0].config.data.source == str(home / "ok")
    shutil.rmtree(home / "ok")
    assert planned(path).runs[0].config.data.source == str(here)
    shutil.rmtree(here)
    with pytest.raises(DataError, match=f"no data source or folder 'ok' .there is no {home / 'ok'} and no {here}.;"):
        planned(path)


def test_two_spellings_in_one_study_are_the_same_data(home: Path) -> None:
    arms = {"gelu": {}, "relu2": {"plugins": {"relu2": {}}, "data": {"source": "./ok"}}}
    assert len(planned(study(home, "ok", arms=arms)).runs) == 4
    with pytest.raises(ConfigError, match="is the same as 'gelu'"):
        load(study(home, "ok", arms={"gelu": {}, "again": {"data": {"source": "./ok"}}}))


def test_plan_and_ablate_tell_where_the_data_were_found(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = study(home, "ok", base={**STUDY["base"], "tokens": 640, "evals": 1, "data": {"source": "ok"}})
    assert main(["plan", str(path)]) == 0
    told = f"Data: ok is {home / 'ok'}, sha256 {planned(path).source.digest[:12]}"
    assert told in capsys.readouterr().out
    assert main(["plan", str(path), "--json"]) == 0
    (data,) = json.loads(capsys.readouterr().out)
    assert data["data"] == {"source": "ok", "found": str(home / "ok"), "sha256": planned(path).source.digest}
    assert main(["ablate", str(path)]) == 0
    assert told in capsys.readouterr().out


def test_data_that_move_change_nothing_and_unfinished_runs_find_them(home: Path, tmp_path: Path) -> None:
    store, first = tmp_path / "runs", planned(study(home, "ok"))
    assert register(first, store) == ""
    run = first.runs[0]
    RunFolder(store / run.id).create(run.record, {})
    who = {"study": first.study.name, "run": run.id, "arm": run.arm, "seed": run.seed}
    Ledger.of(store).append("started", **who)
    (home / "ok").rename(tmp_path / "renamed")
    second = planned(study(home, "../renamed"))
    assert ids(second) == ids(first)
    assert register(second, store) == ""
    assert [entry.event for entry in Ledger.of(store).read() if entry.event != "chained"] == ["declared", "started"]
    RunFolder(store / run.id).create(second.runs[0].record, {})
    assert RunFolder(store / run.id).config()["config"]["data"]["source"] == str(tmp_path / "renamed")


def test_other_data_under_another_path_are_an_amendment(home: Path, tmp_path: Path) -> None:
    store, first = tmp_path / "runs", planned(study(home, "ok"))
    register(first, store)
    run = first.runs[0]
    Ledger.of(store).append("started", study="tiny", run=run.id, arm=run.arm, seed=run.seed)
    other = shutil.copytree(home / "ok", home / "more" / "ok")
    (other / "meta.json").write_text(json.dumps({"vocab": 15 + 1, "separator": 1, "unit": "token"}))
    second = planned(study(home, "more/ok"))
    assert second.study.digest == first.study.digest
    assert not set(ids(second)) & set(ids(first))
    assert "amended after 1 run had started: arms.gelu.data.source ok -> more/ok" in register(second, store)


def test_zeros_and_whole_numbers_are_the_same_however_they_are_spelled(lab: Callable[..., Lab], tmp_path: Path) -> None:
    made = []
    for decay, warmup in ((0.0, 1.0), (-0.0, 1.0), (0, 1)):
        optim = {"weight_decay": decay, "grad_clip": warmup}
        arms = {"gelu": {"optim": optim}, "wsd": {"optim": optim, "plugins": {"wsd": {"floor": decay}}}}
        made.append(plan(outline(load(lab(arms=arms).study))))
    assert len({each.study.digest for each in made}) == 1
    assert len({tuple(ids(each)) for each in made}) == 1
    assert "-0.0" not in json.dumps([run.record for each in made for run in each.runs])
