import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.engine.build import assemble
from coregpt.engine.data import open_folder
from coregpt.engine.inputs import open_inputs
from coregpt.trained.exporting import export
from coregpt.trained.lengths import extrapolate
from coregpt.trained.opening import fill
from coregpt.trained.scoring import score

from .test_hellaswag import ITEMS

CPU = torch.device("cpu")


def said(capsys, *words):
    assert main(["eval", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_everything_at_once(done, tmp_path, capsys):
    path = tmp_path / "h.jsonl"
    path.write_text("\n".join(json.dumps(each) for each in ITEMS))
    words = ["scaled/0", "--runs", str(done.runs), "--against", "plain/0", "--hellaswag", str(path), "--longer", "2"]
    assert main(["eval", *words]) == 0
    text = capsys.readouterr().out
    for part in ("bits per byte", "minus run", "tokens before", "times in training", "tokens of the document"):
        assert part in text
    for part in ("expected calibration error", "HellaSwag", "rows of 64"):
        assert part in text
    found = said(capsys, *words)
    result = json.loads((done.runs / done.id("scaled/0") / "result.json").read_text())
    assert found["loss"]["value"] == pytest.approx(result["select"], abs=1e-6)


def test_differences_are_paired_by_token_and_their_parts_add_up(done, capsys):
    found = said(capsys, "scaled/0", "--runs", str(done.runs), "--against", "plain/0", "--stream", "held_out")
    results = [json.loads((done.runs / done.id(cell) / "result.json").read_text()) for cell in ("scaled/0", "plain/0")]
    whole = found["difference"]
    assert whole["value"] == pytest.approx(results[0]["value"] - results[1]["value"], abs=1e-6)
    for parts in found["differences"].values():
        assert sum(part["mean"]["value"] * part["share"] for part in parts) == pytest.approx(whole["value"], abs=1e-9)
    held = open_folder(done.data).held_out
    losses = [score(done.open(cell), held, 512, "held_out").losses for cell in ("scaled/0", "plain/0")]
    rows = (losses[0] - losses[1]).mean(1)
    assert whole["high"] - whole["low"] == pytest.approx(2 * 2.1314 * rows.std(ddof=1) / 4, rel=1e-3)  # t of 15


def test_a_run_against_itself_differs_in_nothing(done, capsys):
    found = said(capsys, "plain/1", "--runs", str(done.runs), "--against", "plain/1")
    assert (found["difference"]["low"], found["difference"]["high"]) == (0, 0)


def test_bits_per_byte_are_those_of_the_text(done, capsys):
    found = said(capsys, "plain/0", "--runs", str(done.runs))
    model = done.open("plain/0")
    targets = open_folder(done.data).select.slice(1, 512).tolist()
    size = len(model.open_tokenizer().decode(targets))
    assert found["bits_per_byte"] == pytest.approx(found["loss"]["value"] * 512 / size / np.log(2))


def test_held_out_comes_with_a_warning(done, capsys):
    assert main(["eval", "plain/0", "--runs", str(done.runs), "--stream", "held_out"]) == 0
    assert "is for verdicts" in capsys.readouterr().out


def test_longer_rows_have_the_loss_of_a_model_that_sees_so_many(done):
    """Rope knows every place. Slowly: one row at a time, the rotation written out in a model made for such rows."""
    model, stream = done.open("plain/0"), open_folder(done.data).select
    found = extrapolate(model, stream, 512, 2, "select")
    tokens = stream.slice(0, 513)
    longer, losses = model.longer(2), []
    for row in range(8):
        ids = torch.tensor([tokens[row * 64 : row * 64 + 65].tolist()])
        logits = longer.logits(ids[:, :-1])[0].double()
        losses.append((torch.logsumexp(logits, 1) - logits.gather(1, ids[0, 1:, None])[:, 0]).numpy())
    wanted = np.array(losses).mean(0).reshape(16, 4).mean(1)
    assert [part.mean.value for part in found.parts] == pytest.approx(wanted.tolist(), abs=1e-5)
    assert found.perplexities()[0][1] == pytest.approx(np.exp(wanted[0]), rel=1e-4)
    with pytest.raises(ConfigError, match="--tokens"):
        extrapolate(model, stream, 32, 2, "select")


def test_rows_once_as_long_are_those_of_training(done):
    model, stream = done.open("scaled/0"), open_folder(done.data).select
    found = extrapolate(model, stream, 512, 1, "select")
    plain = score(model, stream, 512, "select").losses.mean(0).reshape(16, 2).mean(1)
    assert [part.mean.value for part in found.parts] == pytest.approx(plain.tolist())


def test_what_was_trained_for_one_length_takes_no_other(done):
    """A learned table of positions has a row for each."""
    model = done.open("plain/0")
    table = {"plugins": {}}
    learned = assemble(model.config.model_copy(update=table), (), open_inputs({}, {}, CPU, None), CPU, None)

    def again(config):
        made = assemble(config, (), open_inputs({}, {}, CPU, None), CPU, None)
        fill(made, learned.assembly.params, {}, "here")
        return made

    bare = dataclasses.replace(model, config=model.config.model_copy(update=table), made=learned, again=again)
    found = extrapolate(bare, open_folder(done.data).select, 512, 2, "select")
    assert "takes no rows of 64 tokens" in found.refused
    assert "'shared.positions.weight' differs" in found.refused


def test_what_cannot_be_compared_is_refused(done, capsys):
    assert main(["eval", "plain/0", "--runs", str(done.runs), "--tokens", "33"]) == 2
    assert main(["eval", "plain/0", "--runs", str(done.runs), "--tokens", "320000"]) == 2
    assert "at most" in capsys.readouterr().err
    assert main(["eval", "plain/0", "--runs", str(done.runs), "--device", "cuda"]) == 2 or torch.cuda.is_available()


@pytest.mark.parametrize("which", ["run", "export"])
def test_other_data_under_the_name_of_its_own_are_refused(done, tmp_path, capsys, monkeypatch, which):
    """Prepared anew with other shares, what is held out was trained on."""
    shutil.copytree(done.data, tmp_path / "kept")
    named = "scaled/0" if which == "run" else str(export(done.id("scaled/0"), done.runs, tmp_path / "model"))
    meta = json.loads((done.data / "meta.json").read_text())
    monkeypatch.chdir(done.folder)
    try:
        (done.data / "meta.json").write_text(json.dumps({**meta, "select_tokens": meta["select_tokens"] - 600}))
        assert main(["eval", named, "--runs", str(done.runs)]) == 2
        assert "not the data that" in capsys.readouterr().err
    finally:
        shutil.rmtree(done.data)
        shutil.copytree(tmp_path / "kept", done.data)


def test_two_runs_are_no_verdict(done, capsys):
    assert main(["eval", "scaled/0", "--runs", str(done.runs), "--against", "plain/0"]) == 0
    assert "another seed" in capsys.readouterr().out
