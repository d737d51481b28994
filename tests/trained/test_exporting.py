import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.engine.weights import read
from coregpt.trained.exporting import changed_since, export, open_export

from ..text.conftest import left_in

ALONE = """
import sys
from pathlib import Path
import torch
from coregpt.trained.exporting import open_export
torch.set_num_threads(1)
model = open_export(Path(sys.argv[1]))
tokens = torch.arange(64).view(2, 32) * 5 % 400
torch.save(model.logits(tokens), sys.argv[2])
print(model.open_tokenizer().decode([40, 41, 42]))
"""


@pytest.fixture(scope="module")
def exported(done, tmp_path_factory):
    return export(done.id("scaled/0"), done.runs, tmp_path_factory.mktemp("exports") / "model")


def test_the_tensors_are_those_of_the_run(done, exported):
    saved = read(done.runs / done.id("scaled/0") / "weights.pt")
    found = load_file(exported / "model.safetensors")
    assert found.keys() == {**saved.params, **saved.buffers}.keys()
    assert all(torch.equal(found[name], value) for name, value in {**saved.buffers, **saved.params}.items())


def test_it_loads_in_a_fresh_process_far_from_the_study_to_the_last_bit(done, exported, tmp_path):
    """With the technique of a file, and what that file imports, from the export alone."""
    moved = shutil.copytree(exported, tmp_path / "moved")
    out = tmp_path / "logits.pt"
    command = [sys.executable, "-c", ALONE, str(moved), str(out)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    tokens = torch.arange(64).view(2, 32) * 5 % 400
    here = done.open("scaled/0")
    assert torch.equal(torch.load(out), here.logits(tokens))
    assert repr(here.open_tokenizer().decode([40, 41, 42])) in ended.stdout


def test_text_of_an_export_is_text_of_its_run(done, exported, capsys):
    said = []
    for which in (str(exported), "scaled/0"):
        assert main(["generate", which, "--runs", str(done.runs), "--prompt", "fast", "--tokens", "30"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def test_no_path_of_this_machine_is_in_an_export(done, exported):
    assert str(done.folder) not in (exported / "config.json").read_text()
    assert changed_since(exported) == []


def test_an_export_that_is_there_is_kept_and_a_run_that_is_not_is_refused(done, exported, tmp_path, capsys):
    words = ["--runs", str(done.runs), "--out"]
    assert main(["export", "scaled/0", *words, str(exported)]) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert main(["export", "nobody/0", *words, str(tmp_path / "x")]) == 2
    assert left_in(tmp_path) == []
    assert main(["export", "plain/0", *words, str(tmp_path / "x")]) == 0
    assert left_in(tmp_path) == ["x"]


def test_weights_of_another_model_are_refused(exported, tmp_path):
    copy = shutil.copytree(exported, tmp_path / "copy")
    tensors = load_file(copy / "model.safetensors")
    name = min(tensors)
    save_file({**tensors, name: tensors[name][:1].clone()}, copy / "model.safetensors")
    with pytest.raises(ConfigError, match=f"weights of another model: '{name}' differs"):
        open_export(copy)
    (copy / "config.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(ConfigError, match="no export of this version"):
        open_export(copy)


def test_what_has_changed_since_is_told(exported, tmp_path):
    copy = shutil.copytree(exported, tmp_path / "copy")
    about = json.loads((copy / "config.json").read_text())
    about["run"]["engine"] = "0"
    about["run"]["plugins"]["rope"] = "0"
    (copy / "config.json").write_text(json.dumps(about))
    assert changed_since(copy) == ["core", "technique 'rope'"]


@pytest.mark.parametrize("missing", ["run", "buffers", "separator", "tokenizer", "config", "engine", "plugins", "data"])
def test_settings_that_were_edited_are_refused_with_the_key(exported, tmp_path, missing, capsys):
    copy = shutil.copytree(exported, tmp_path / "copy")
    about = json.loads((copy / "config.json").read_text())
    del (about if missing in about else about["run"])[missing]
    (copy / "config.json").write_text(json.dumps(about))
    assert main(["generate", str(copy), "--tokens", "1"]) == 2
    assert f"{missing}: field required" in capsys.readouterr().err


def test_whoever_may_read_its_settings_may_read_its_weights(exported):
    modes = {(exported / name).stat().st_mode for name in ("config.json", "model.safetensors")}
    assert len(modes) == 1


def test_a_full_disk_leaves_no_half_of_an_export(done, tmp_path, capsys, monkeypatch):
    def full(tensors, path, about):
        path.write_bytes(b"half")
        raise RuntimeError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    assert main(["export", "plain/0", "--runs", str(done.runs), "--out", str(tmp_path / "x")]) == 1
    assert "No space left" in capsys.readouterr().err
    assert left_in(tmp_path) == []


def test_the_line_that_it_prints_opens_it(done, tmp_path, capsys):
    assert main(["export", "plain/1", "--runs", str(done.runs), "--out", str(tmp_path / "x")]) == 0
    line = capsys.readouterr().out.splitlines()[-1].removeprefix("in Python: ")
    names = {"tokens": torch.zeros(1, 32, dtype=torch.long)}
    *before, last = line.split("; ")
    exec("; ".join(before), names)
    assert eval(last, names).shape == (1, 32, 416)
