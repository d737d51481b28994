import json
import shutil

import pytest
import torch

from coregpt.cli import main
from coregpt.engine.weights import read
from coregpt.lab.records.store import RunFolder
from coregpt.trained.comparing import compare


def found(done, first, second):
    folders = [RunFolder(done.runs / done.id(cell)) for cell in (first, second)]
    return compare(*folders, done.runs)


def test_settings_are_those_that_the_study_says(done):
    difference = found(done, "plain/0", "scaled/0")
    assert {key for key in difference.settings if not key.startswith("code of")} == {
        "plugins.ema.horizon",
        "plugins.ema.start",
        "plugins.scaled",
    } | {key for key in difference.settings if key.startswith("plugins.ema.")}
    assert difference.settings["plugins.ema.start"] == ("-", "0.5")
    assert "code of scaled" in difference.settings
    assert "code of core" not in difference.settings
    assert set(found(done, "plain/0", "plain/1").settings) == {"seed", "data_seed"}


def test_curves_and_ends_are_those_on_record(done):
    difference = found(done, "plain/0", "scaled/0")
    results = [json.loads((done.runs / done.id(cell) / "result.json").read_text()) for cell in ("plain/0", "scaled/0")]
    assert difference.ends["val_loss"] == (results[0]["value"], results[1]["value"])
    assert [step for step, _, _ in difference.curves] == [0, 30, 60]
    assert difference.curves[-1][1:] == (results[0]["select"], results[1]["select"])


def test_weights_are_compared_by_distance_and_angle(done):
    difference = found(done, "plain/0", "plain/1")
    saved = [read(done.runs / done.id(cell) / "weights.pt").params for cell in ("plain/0", "plain/1")]
    for each in difference.weights:
        a, b = (params[each.name].double().flatten() for params in saved)
        assert each.distance == pytest.approx(float((a - b).norm() / a.norm()))
        assert each.cosine == pytest.approx(float(torch.nn.functional.cosine_similarity(a, b, dim=0)))
    same = found(done, "plain/0", "plain/0")
    assert all(each.distance == 0 and each.cosine == pytest.approx(1) for each in same.weights)


def test_the_command_tells_all_three_and_does_without_weights(done, tmp_path, capsys):
    assert main(["diff", "plain/0", "scaled/0", "--runs", str(done.runs)]) == 0
    said = capsys.readouterr().out
    assert "plugins.ema.start" in said
    assert "second - first" in said
    assert "|second - first| / |first|" in said
    headed = {line.split("  ")[0]: line for line in said.splitlines()}
    ids = [done.id(cell) for cell in ("plain/0", "scaled/0")]
    for head in ("setting", "select_loss on the way", "at the end"):
        assert all(each in headed[head] for each in ids)
    names = [line.split("  ")[0] for line in said.splitlines()]
    assert names.index("at the end") < min(names.index("select_loss"), names.index("val_loss"))
    runs = shutil.copytree(done.runs, tmp_path / "runs")
    (runs / done.id("plain/1") / "weights.pt").unlink()
    assert main(["diff", "plain/0", "plain/1", "--runs", str(runs)]) == 0
    assert "kept none" in capsys.readouterr().out
    assert main(["diff", "plain/0", "scaled/0", "--runs", str(runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["weights"]
    assert main(["diff", "plain/0", "nobody/0", "--runs", str(runs)]) == 2
