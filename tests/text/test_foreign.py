import json

import numpy as np
import pytest

from coregpt.cli import main
from coregpt.engine.data import open_folder, write_shard

from .conftest import left_in

IDS = np.random.default_rng(0).integers(0, 400, 5000)


@pytest.fixture
def token_files(tmp_path, bpe):
    """`write(kind)` makes train.bin and val.bin in a folder, and the words of the command."""
    (tmp_path / "t.json").write_text(bpe.text, encoding="utf-8")

    def write(kind, ids=IDS):
        folder = tmp_path / "in"
        folder.mkdir()
        for name, part in (("train", ids[:4000]), ("val", ids[4000:])):
            if kind == "shards":
                write_shard(folder / f"my_{name}_0.bin", part, wide=True)
            else:
                part.astype(kind).tofile(folder / f"{name}.bin")
        out = str(tmp_path / "out")
        return ["data", "prepare", str(folder), "--tokenizer", str(tmp_path / "t.json"), "--out", out, "--format"]

    return write


@pytest.mark.parametrize(("kind", "form"), [("<u2", "nanogpt"), ("<u4", "uint32"), ("shards", "shards")])
def test_tokens_of_others_become_the_same_tokens(token_files, tmp_path, kind, form):
    assert main([*token_files(kind), form]) == 0
    source = open_folder(tmp_path / "out")
    training = np.concatenate([source.train.slice(0, len(source.train)), source.select.slice(0, len(source.select))])
    assert training.tolist() == IDS[:4000].tolist()
    assert source.held_out.slice(0, 1000).tolist() == IDS[4000:].tolist()
    assert (source.vocab, source.separator) == (400, 399)
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert meta["about"]["made_from"] == form


@pytest.mark.parametrize(
    ("kind", "form", "complaint"),
    [
        ("<u4", "nanogpt", "--format uint32"),
        ("<u2", "uint32", "--format nanogpt"),
        ("shards", "nanogpt", "--format shards"),
        ("<u2", "shards", "magic number"),
    ],
)
def test_a_wrong_width_is_refused_with_the_likely_one(token_files, tmp_path, capsys, kind, form, complaint):
    assert main([*token_files(kind), form]) == 2
    assert complaint in capsys.readouterr().err
    assert left_in(tmp_path) == ["in", "t.json"]


def test_a_header_with_the_wrong_width_is_refused_under_the_name_of_the_file_that_was_given(
    token_files, tmp_path, capsys
):
    words = token_files("shards")
    for name, part in (("train", IDS[:4000]), ("val", IDS[4000:])):
        write_shard(tmp_path / "in" / f"my_{name}_0.bin", part.astype("<u4").view("<u2"))
    assert main([*words, "shards"]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}/in/my_train_0.bin says that its tokens are uint16" in said
    assert ".part" not in said


def test_bare_tokens_called_shards_are_refused_with_what_to_call_them(token_files, capsys):
    assert main([*token_files("<u2"), "shards"]) == 2
    assert "call it --format nanogpt (uint16) or --format uint32" in capsys.readouterr().err


def test_ids_that_the_tokenizer_does_not_have_are_refused(token_files, tmp_path, capsys):
    assert main([*token_files("<u2", IDS + 100), "nanogpt"]) == 2
    assert "has 400 ids; name the one" in capsys.readouterr().err
    assert left_in(tmp_path) == ["in", "t.json"]


def test_a_folder_without_validation_tokens_is_refused(token_files, tmp_path, capsys):
    words = token_files("<u2")
    (tmp_path / "in" / "val.bin").unlink()
    assert main([*words, "nanogpt"]) == 2
    assert "*val*.bin" in capsys.readouterr().err
    assert left_in(tmp_path) == ["in", "t.json"]


def test_a_name_that_is_of_both_streams_is_refused(token_files, tmp_path, capsys):
    words = token_files("<u2")
    (tmp_path / "in" / "val.bin").rename(tmp_path / "in" / "constrained_val.bin")
    assert main([*words, "nanogpt"]) == 2
    assert "either 'train' or 'val', not both" in capsys.readouterr().err
    assert "out" not in left_in(tmp_path)
