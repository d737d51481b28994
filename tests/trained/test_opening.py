import json
import shutil

import pytest
import torch

from coregpt.cli import main
from coregpt.contract.data_config import DataConfig
from coregpt.contract.errors import ConfigError, DataError
from coregpt.engine.data import eval_rows, open_folder
from coregpt.engine.training.evaluate import evaluate
from coregpt.lab.study.place import opened
from coregpt.trained.exporting import export
from coregpt.trained.opening import open_run, refuse_other_data


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


def test_other_data_in_the_place_of_its_own_are_refused_by_all_that_read_them(done, tmp_path, capsys):
    kept = shutil.copytree(done.data, tmp_path / "kept")
    meta = json.loads((done.data / "meta.json").read_text())
    words = ["plain/0", "--runs", str(done.runs)]
    try:
        (done.data / "meta.json").write_text(json.dumps({**meta, "select_tokens": meta["select_tokens"] - 600}))
        for command in (["generate"], ["eval"], ["export", "--out", str(tmp_path / "out")]):
            assert main([command[0], *words, *command[1:]]) == 2
            told = capsys.readouterr().err
            assert f"{done.data} is not the data that" in told
            assert "bring them back" in told
        (done.data / "meta.json").write_text("{")
        assert main(["generate", *words]) == 2
        assert "cannot be held against the data it was trained on" in capsys.readouterr().err
    finally:
        shutil.copy(kept / "meta.json", done.data / "meta.json")
    assert not (tmp_path / "out").exists()


def test_a_mixture_is_held_against_all_of_its_sources(done, tmp_path):
    other = shutil.copytree(done.data, tmp_path / "other")
    meta = json.loads((other / "meta.json").read_text())
    config = done.open("plain/0").config
    mixture = {"more": {"source": str(other), "weight": 1.0}}
    data = DataConfig.model_validate({**config.data.model_dump(), "source": str(done.data), "mixture": mixture})
    config = config.model_copy(update={"data": data})
    digest = opened(config.data, tmp_path).digest
    assert digest != open_folder(done.data).digest
    refuse_other_data(config, digest, "a run")
    (other / "meta.json").write_text(json.dumps({**meta, "select_tokens": meta["select_tokens"] - 600}))
    with pytest.raises(ConfigError, match="is not the data that a run was trained on"):
        refuse_other_data(config, digest, "a run")


def test_tokens_that_are_not_there_are_told_by_the_option_that_asks_for_them(done, capsys):
    words = ["eval", "plain/0", "--runs", str(done.runs), "--tokens"]
    most = (len(open_folder(done.data).select) - 1) // 32 * 32
    for count in (33, most + 32):
        assert main([*words, str(count)]) == 2
        told = capsys.readouterr().err
        assert f"--tokens {count}: expected a multiple of" in told
        assert f"at most {most:,} here" in told
    assert main([*words, str(32 * 8)]) == 0
