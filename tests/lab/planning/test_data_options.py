"""Options of the data in a study: what a plan says of them, and what names a run and a study."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from coregpt.cli import main
from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError, DataError
from coregpt.engine.data import TokenStream
from coregpt.lab.execute.worker import for_training
from coregpt.lab.laws.tools import tiny_source
from coregpt.lab.planning.credit import credited
from coregpt.lab.planning.enough import pass_tokens, passed, passes, shares
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.study.outline import Plan
from tests.lab.conftest import STUDY, write_shards

MIXED: dict[str, Any] = {"mixture": {"code": {"source": "code", "weight": [[0, 0], [1, 1]]}}}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_shards(tmp_path / "home" / "ok")
    write_shards(tmp_path / "home" / "code")
    meta = json.loads((tmp_path / "home" / "code" / "meta.json").read_text())
    (tmp_path / "home" / "code" / "meta.json").write_text(json.dumps({**meta, "select_tokens": 100}))
    return tmp_path / "home"


def study(folder: Path, arms: dict[str, Any], **data: Any) -> Path:
    path = folder / "tiny.yaml"
    base = {**STUDY["base"], "data": {"source": "ok", **data}}
    test = {"baseline": "plain", "pilot": True}
    said = {**STUDY, "base": base, "arms": {"plain": {}, **arms}, "test": test}
    path.write_text(yaml.safe_dump(said, sort_keys=False))
    return path


def planned(path: Path) -> Plan:
    return plan(outline(load(path)))


def test_where_the_sources_of_a_mixture_lie_names_neither_a_run_nor_a_study(home: Path, tmp_path: Path) -> None:
    there = planned(study(home, {"mixed": {"data": MIXED}}))
    shutil.copytree(home, tmp_path / "moved" / "far")
    moved = planned(study(tmp_path / "moved" / "far", {"mixed": {"data": MIXED}}))
    assert [run.id for run in there.runs] == [run.id for run in moved.runs]
    assert there.study.digest == moved.study.digest
    config = there.runs[-1].config.data
    assert (config.source, config.mixture["code"].source) == (str(home / "ok"), str(home / "code"))
    assert there.source_of("mixed").digest != there.source_of("plain").digest


def test_what_is_in_a_source_of_a_mixture_names_its_runs_alone(home: Path) -> None:
    before = planned(study(home, {"mixed": {"data": MIXED}}))
    (home / "code" / "train.bin").write_bytes((home / "ok" / "val.bin").read_bytes())
    shutil.copy(home / "ok" / "train.bin", home / "code" / "val.bin")
    after = planned(study(home, {"mixed": {"data": MIXED}}))
    same = {run.arm for run, other in zip(before.runs, after.runs, strict=True) if run.id == other.id}
    assert same == {"plain"}


def test_a_declaration_has_only_the_options_that_are_used(home: Path) -> None:
    arms = planned(study(home, {"stream": {"data": {"order": "stream"}}})).study.preregistration()["arms"]
    assert arms["plain"]["data"] == {"source": "ok", "document_mask": False}
    assert arms["stream"]["data"] == {"source": "ok", "document_mask": False, "order": "stream"}


def test_options_of_the_data_are_what_arms_without_techniques_are_compared_in(home: Path) -> None:
    made = planned(study(home, {"stream": {"data": {"order": "stream"}}}))
    found = {each.setting: (each.values, dict(each.why)) for each in credited(made)}
    assert found == {"data.order": ({"plain": "shuffled", "stream": "stream"}, {"stream": "technique"})}


def test_beside_a_technique_they_are_a_confound(home: Path) -> None:
    own = {"plugins": {"relu2": {}}, "data": {"order": "stream"}}
    made = planned(study(home, {"both": own}))
    assert {each.setting: each.why["both"] for each in credited(made)}["data.order"] == "rest"


def test_a_plan_counts_passes_over_what_rows_use(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = study(home, {"documents": {"data": {"rows": "documents", "max_document": 4}}})
    made = planned(path)
    documents = next(arm for arm in made.study.arms if arm.name == "documents")
    (taken,) = passed(made, documents)
    tokens = made.source.train.slice(0, len(made.source.train))
    used = sum(min(4, len(each)) for each in np.split(tokens, np.flatnonzero(tokens == 0))[1:])
    assert 0.5 * used < taken.tokens <= used
    assert taken.often == passes(made) == made.costs["documents"].tokens / taken.tokens
    assert pass_tokens(made) == taken.tokens
    assert main(["plan", str(path), "--runs", str(home / "runs")]) == 0
    assert f"over {taken.tokens:,} of the {len(tokens):,} training tokens of ok" in capsys.readouterr().out
    assert pass_tokens(planned(study(home, {"relu2": {"plugins": {"relu2": {}}}}))) is None


def test_shares_of_a_mixture_are_means_over_the_run(home: Path) -> None:
    found = shares(planned(study(home, {"mixed": {"data": MIXED}})).runs[-1].config.data)
    # the mean of x / (1 + x) over [0, 1] is 1 - ln 2
    assert found["code"] == pytest.approx(1 - np.log(2), abs=1e-3)
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        ({"mixture": {"a": {"source": "cod", "weight": 1}}}, DataError, "data.mixture.a.source: no data source or"),
        ({"unique_tokens": 9000}, ConfigError, "base.data.*: data.unique_tokens is 9,000, but there are 4,"),
        ({"rows": "document"}, ConfigError, "base.data.rows: should be 'contiguous' or 'documents', got 'document'"),
        ({"max_document": 9}, ConfigError, "base.data: max_document needs rows: documents"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(home: Path, data: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=r"tiny.yaml:\d+: .*" + text):
        planned(study(home, {"relu2": {"plugins": {"relu2": {}}}}, **data))


def test_masks_of_documents_need_documents(home: Path) -> None:
    meta = json.loads((home / "ok" / "meta.json").read_text())
    (home / "ok" / "meta.json").write_text(json.dumps({**meta, "separator": None}))
    text = "needs documents, and ok has no separator between them"
    with pytest.raises(ConfigError, match=re.escape(text)):
        planned(study(home, {"relu2": {"plugins": {"relu2": {}}}}, document_mask=True))


def test_a_curve_on_held_out_has_the_ids_of_a_wide_vocabulary() -> None:
    wide = replace(tiny_source(), held_out=TokenStream([np.arange(70_000, 70_200, dtype=np.uint32)]))
    config = RunConfig(eval_tokens=128, held_out_curve=True)
    assert for_training(wide, config).held_out.slice(0, 3).tolist() == [70_000, 70_001, 70_002]
