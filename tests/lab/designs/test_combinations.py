"""The table of combinations is what the loader does: every pair in it is refused, every other pair is taken."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.lab.designs import DESIGNS
from coregpt.lab.designs.combinations import CLASHES, NAMES, excludes, lines
from coregpt.lab.planning.load import load_family
from tests.lab.conftest import STUDY, write_study

DOCS = Path(__file__).parents[3] / "docs" / "studies.md"
TECHNIQUES = {name: {} for name in ("rope", "relu2", "qk_norm", "softcap")}
FRAGMENTS: dict[str, dict[str, Any]] = {
    **{f"mode: {mode}": {"mode": mode, "techniques": TECHNIQUES} for mode in ("leave_one_out", "add_one", "factorial")},
    "mode: fork": {"mode": "fork", "fork_at": 0.5},
    "match": {"match": "tokens"},
    "match: seconds": {"match": "seconds"},
    "sizes": {"sizes": {f"d{depth}": {"model": {"depth": depth}} for depth in (1, 2, 3)}},
    "tuning": {"tuning": {"trials": 2, "space": {"all": {"optim.weight_decay": [0.0, 0.1]}}}},
    "tuned": {"tuned": {"from": "of_no_report.json"}},
    "stage: screen": {"stage": "screen"},
    "confirms": {"confirms": {"study": "screen", "digest": "d" * 64, "arm": "arm1"}},
    "test.looks": {"test": {"looks": [4, 9]}},
    "test.anytime": {"test": {"anytime": True}},
    "test.abort": {"test": {"abort": 0.7}},
    "test.give_up": {
        "stage": "screen",
        "arms": {"gelu": {}, "arm1": {"optim": {"lr": 0.0013}}},
        "test": {"give_up": 0.05},
    },
    "test.target": {"test": {"target": 2.0}},
    "test.yardstick": {"test": {"yardstick": 0.8}},
    "test.screen": {"test": {"screen": 0.1}},
    "test.metric": {"base": {**STUDY["base"], "eval_bytes": 99, "evals": 10}, "test": {"metric": "bits_per_byte"}},
    "budget.seconds_per_run": {"budget": {"seconds_per_run": 60}},
    "evaluate": {"evaluate": {"position": True, "calibration": True}},
}
"""What a file says to use each; a history needs a report, and has tests of its own."""
MORE = ("zero_init", "unet_skips", "value_embeddings", "muon", "wsd", "ema")
MANY_ARMS = {"gelu": {}, **{f"arm{i}": {"optim": {"lr": 0.0013 * i}} for i in range(1, 11)}}


def merged(first: str, second: str) -> dict[str, Any]:
    whole: dict[str, Any] = {"seeds": 9, "arms": dict(MANY_ARMS), "test": {"margin": 0.02, "baseline": "gelu"}}
    whole["base"] = {**STUDY["base"], "evals": 10}
    for name in (first, second):
        own = FRAGMENTS[name]
        whole = {**whole, **own, "test": {**whole["test"], **own.get("test", {})}}
    if "techniques" in whole:
        del whole["arms"], whole["test"]["baseline"]
        if "test.screen" in (first, second) and whole["mode"] != "factorial":
            whole["techniques"] = {**TECHNIQUES, **{name: {} for name in MORE}}
    return whole


def told(tmp_path: Path, shards: Path, first: str, second: str) -> str:
    path = write_study(tmp_path / "pair.yaml", shards, **merged(first, second))
    if "techniques" in merged(first, second):  # write_study lays over a study that lists its arms
        text = path.read_text()
        path.write_text(re.sub(r"^arms:\n(?: .*\n)+", "", text, flags=re.M))
    try:
        load_family(path)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(FRAGMENTS, 2)), ids=lambda name: name)
def test_a_pair_is_refused_with_its_reason_or_taken(tmp_path: Path, shards: Path, first: str, second: str) -> None:
    keys = [name.partition(":")[0] for name in (first, second)]
    if keys[0] == keys[1]:
        pytest.skip("one key has one value")
    clash, said = excludes(first, second), told(tmp_path, shards, first, second)
    if "match: seconds" in (first, second) and clash is None:
        clash = excludes("match", first if second == "match: seconds" else second)
    if clash is None:
        assert said == ""
    else:
        assert clash.told() in said
        assert clash.at in said


def test_every_row_names_designs_of_the_table() -> None:
    assert {name for clash in CLASHES for name in (clash.at, clash.other)} <= set(NAMES)
    pairs = [frozenset((clash.at, clash.other)) for clash in CLASHES]
    assert len(set(pairs)) == len(pairs)


def test_designs_bear_one_name_each() -> None:
    assert len({type(design) for design in DESIGNS}) == len(DESIGNS)


def test_the_table_is_printed_without_a_study_and_stands_in_the_docs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--combinations"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines() == lines()
    text = DOCS.read_text()
    inside = text[text.index("<!-- combinations -->\n") : text.index("<!-- /combinations -->")]
    assert inside.splitlines()[1:] == lines(), "docs/studies.md: paste what `coregpt plan --combinations` prints"
