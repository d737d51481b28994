import json
import shutil

import pytest
import torch

from coregpt.cli import main
from coregpt.contract.errors import ConfigError, DataError
from coregpt.engine.data import eval_rows, open_folder
from coregpt.engine.training.evaluate import evaluate
from coregpt.trained.exporting import export
from coregpt.trained.opening import open_run


@pytest.mark.parametrize("cell", ["plain/0", "scaled/1"])
def test_the_model_of_a_run_has_the_loss_that_the_run_ended_with(done, cell):
    model = done.open(cell)
    inputs, targets = eval_rows(open_folder(done.data).held_out, 32, 512)
    loss = evaluate(model.made.model, model.made.model.logits, inputs, targets, model.made.dials.values, 64)
    result = json.loads((done.runs / model.name / "result.json").read_text())
    assert float(loss) == pytest.approx(result["value"], abs=1e-5)  # which was scored in float64


def test_the_report_has_bits_per_byte_beside_the_loss(done):
    report = json.loads((done.folder / "reports" / "study" / "report.json").read_text())
    source = open_folder(done.data)
    size = source.bytes_of(source.held_out.slice(1, 512))
    assert report["study"]["data"]["eval_bytes"] == size
    mean = next(arm["mean"] for arm in report["arms"] if arm["arm"] == "plain")
    text = (done.folder / "reports" / "study" / "report.md").read_text()
    assert "bits per byte" in text
    assert f"{mean * 512 / size / torch.log(torch.tensor(2.0)).item():.4f}" in text


def test_a_run_that_is_not_there_is_answered_with_the_nearest(done):
    with pytest.raises(ConfigError, match="did you mean 'plain/0'"):
        done.open("plan/0")


def test_a_run_without_weights_says_so(done, tmp_path):
    runs = shutil.copytree(done.runs, tmp_path / "runs")
    (runs / done.id("plain/0") / "weights.pt").unlink()
    with pytest.raises(ConfigError, match="has no weights"):
        open_run("plain/0", None, runs)


def test_a_tokenizer_of_more_ids_than_the_model_has_is_another_one(done):
    model = done.open("plain/0")
    assert model.open_tokenizer().vocab == 400
    with pytest.raises(DataError, match="is not the one that the shards"):
        model.open_tokenizer("bytes")


def test_data_that_are_gone_ask_for_a_tokenizer(done, tmp_path, capsys):
    moved = done.data.rename(done.folder / "away")
    try:
        assert main(["generate", "plain/0", "--runs", str(done.runs)]) == 2
        assert "name its tokenizer with --tokenizer" in capsys.readouterr().err
        words = ["generate", "plain/0", "--runs", str(done.runs), "--tokens", "3"]
        assert main([*words, "--tokenizer", str(done.folder / "t.json")]) == 0
    finally:
        moved.rename(done.data)


def test_data_that_were_moved_are_found_by_their_digest(done, tmp_path, monkeypatch, capsys):
    """With their runs, or to where one stands; others of the same name are not taken for them."""
    monkeypatch.chdir(tmp_path)
    words = ["eval", "plain/0", "--runs", str(done.runs)]
    assert main(words) == 0
    said = capsys.readouterr().out
    moved = done.data.rename(tmp_path / "shards")
    try:
        assert main(words) == 0
        assert capsys.readouterr().out == said
        assert export(done.id("plain/0"), done.runs, tmp_path / "model").is_dir()
        assert (tmp_path / "model" / "tokenizer.json").is_file()
        meta = (moved / "meta.json").read_text()
        fewer = {**json.loads(meta), "select_tokens": json.loads(meta)["select_tokens"] - 600}
        (moved / "meta.json").write_text(json.dumps(fewer))
        assert main(words) == 2
        assert "no data source or folder" in capsys.readouterr().err
        (moved / "meta.json").write_text(meta)
    finally:
        moved.rename(done.data)
