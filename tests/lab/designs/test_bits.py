"""Arms with tokenizers of their own are compared per byte of one text, and never per token."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.engine.data import write_shard
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import data_digest
from coregpt.lab.records.losses import final
from coregpt.lab.records.store import RunFolder
from tests.lab.conftest import STUDY

BYTES = 150
"""Of text that is evaluated."""
Documents = list[list[int]]


def documents(seed: int, count: int) -> Documents:
    """Texts of bytes 1 to 4, each byte the one before or the next."""
    random = np.random.default_rng(seed)
    return [list(np.cumsum(random.integers(0, 2, random.integers(20, 60))) % 4 + 1) for _ in range(count)]


def pairs(document: list[int]) -> list[int]:
    """Another tokenizer: two equal bytes in a row are one token, 4 + the byte."""
    found, at = [], 0
    while at < len(document):
        double = document[at : at + 2] == [document[at]] * 2
        found.append(document[at] + 4 if double else document[at])
        at += 2 if double else 1
    return found


def folder(path: Path, tokenizer: Any, text: str = "one", **meta: Any) -> Path:
    path.mkdir()
    for name, seed, count in (("train", 0, 150), ("val", 1, 20)):
        tokens = [token for document in documents(seed, count) for token in (0, *tokenizer(document))]
        write_shard(path / f"{name}.bin", tokens)
    about = {"held_out_text": text} if text else {}
    (path / "meta.json").write_text(json.dumps({"vocab": 9, "separator": 0, "about": about, **meta}))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    sizes = [0, *[1] * 4, *[2] * 4]
    folder(tmp_path / "bytes", list, unit="byte")
    folder(tmp_path / "pairs", pairs, token_bytes=sizes)
    folder(tmp_path / "other", pairs, text="another", token_bytes=sizes)
    folder(tmp_path / "silent", pairs, text="", token_bytes=sizes)
    return tmp_path


def study(home: Path, source: str = "pairs", metric: str = "bits_per_byte", own: Any = None, **base: Any) -> Path:
    said = {**STUDY["base"], "data": {"source": "bytes"}, "tokens": 64 * 6, "evals": 1, "eval_bytes": BYTES, **base}
    said = {key: value for key, value in said.items() if value is not None}
    arms = {"bytes": {}, "pairs": {"data": {"source": source}, **(own or {})}}
    test = {"baseline": "bytes", "metric": metric}
    path = home / "tokens.yaml"
    path.write_text(yaml.safe_dump({**STUDY, "base": said, "arms": arms, "seeds": 5, "test": test}, sort_keys=False))
    return path


def by_hand(tokenizer: Any, seed: int) -> tuple[int, int]:
    """Targets and bytes of the first whole documents that have `BYTES` bytes at most."""
    text: Documents = []
    for document in documents(seed, 20):
        if sum(map(len, text)) + len(document) > BYTES:
            break
        text.append(document)
    return sum(1 + len(tokenizer(document)) for document in text) - 1, sum(map(len, text))


def test_arms_are_judged_per_byte_of_the_same_text(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, runs = study(home), home / "runs"
    made = plan(outline(load(path)))
    for arm, tokenizer in (("bytes", list), ("pairs", pairs)):
        tokens, size = by_hand(tokenizer, 1)
        assert made.scale(arm, "held_out") == pytest.approx(tokens / size / math.log(2), rel=1e-12)
    assert len({run.record["data"] for run in made.runs}) == 2
    assert data_digest(made) not in {run.record["data"] for run in made.runs}
    assert main(["ablate", str(path), "--runs", str(runs)]) == 0
    report = json.loads((runs / "reports" / "tokens" / "report.json").read_text())
    assert (report["study"]["metric"], report["study"]["unit"]) == ("bits_per_byte", "bits per byte")
    assert (report["study"]["data"]["eval_tokens"], report["study"]["data"]["eval_bytes"]) == by_hand(list, 1)
    for run in report["runs"]:
        tokens, size = by_hand(list if run["arm"] == "bytes" else pairs, 1)
        nats = final(RunFolder(runs / run["run_id"]), "held_out")
        assert nats is not None
        assert run["value"] == pytest.approx(nats * tokens / size / math.log(2), rel=1e-12)
    said = {row["setting"]: row["why"] for row in report["study"]["confounds"]}
    assert said["data.source"] == said["bytes of text trained on, about"] == {"pairs": "technique"}
    assert "bits_per_byte" in capsys.readouterr().out


def test_plan_says_why_and_that_equal_tokens_are_not_equal_text(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(study(home)), "--runs", str(home / "runs")]) == 0
    out = capsys.readouterr().out
    assert "Metric: bits per byte of text, because arms have data of their own" in out
    assert "Arms are not trained on equally much text" in out
    assert "bits per byte with probability 0.9" in out


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"metric": "val_loss"}, "arms.pairs: data.source is .*losses per token of other tokens .* mean other things"),
        ({"eval_bytes": None}, "test.metric: bits_per_byte needs 'eval_bytes: N' in base"),
        (
            {"own": {"eval_bytes": 90}},
            "arms.pairs: arms must be judged on the same text, and its eval_bytes is another",
        ),
        ({"source": "other"}, "arms.pairs.data.source: held_out of other is another text than that of bytes"),
        ({"source": "silent"}, "arms.pairs.data.source: silent does not say which text its held_out is"),
        ({"eval_bytes": 3}, "base.eval_bytes: no whole document of 'select' of .* has 3 bytes or less"),
    ],
)
def test_what_is_no_comparison_is_refused_with_its_line(home: Path, changes: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        plan(outline(load(study(home, **changes))))
