import contextlib
import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import time
from unittest.mock import Mock

import numpy as np
import pytest

from coregpt.cli import main
from coregpt.contract.errors import DataError
from coregpt.engine.data import open_folder
from coregpt.text import joining, reading
from coregpt.text import prepare as module
from coregpt.text.pieces import Work
from coregpt.text.prepare import Wanted, prepare
from coregpt.text.tokenizer import Bytes, Json

from .conftest import everything, left_in

EVEN = Wanted(held_out=0.1, select=0.1)


def quiet(line: str) -> None:
    pass


def made(texts, out, tokenizer, wanted=EVEN):
    return prepare([texts], out, tokenizer, wanted, quiet)


def stream(source, name):
    tokens = getattr(source, name)
    return tokens.slice(0, len(tokens))


def split_at(ids, separator):
    return [part[1:].tolist() for part in np.split(ids, np.flatnonzero(ids == separator))[1:]]


@pytest.mark.parametrize("size", [20_000, 10**6])
@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_every_document_is_in_one_stream_whole_and_decodes_to_itself(texts, bpe, tmp_path, monkeypatch, kind, size):
    monkeypatch.setattr(reading, "PIECE", size)
    monkeypatch.setattr(joining, "SHARD", 3001)
    tokenizer = Bytes() if kind == "bytes" else bpe
    made(texts, tmp_path / "out", tokenizer)
    source = open_folder(tmp_path / "out")
    found = {
        name: [tokenizer.decode(ids) for ids in split_at(stream(source, name), source.separator)]
        for name in ("train", "select", "held_out")
    }
    assert sorted(raw for each in found.values() for raw in each) == sorted(everything(texts))
    assert all(found.values())
    order = [raw for raw in everything(texts) if raw in set(found["train"])]
    assert found["train"] == order, "training documents stay in the order of the files"
    for name in ("select", "held_out"):
        digests = [hashlib.sha256(raw).hexdigest() for raw in found[name]]
        assert digests == sorted(digests), "what is evaluated is from everywhere"
    assert source.train.shards > 1


def test_a_document_keeps_its_stream_whatever_is_added(texts, bpe, tmp_path):
    more = shutil.copytree(texts, tmp_path / "more")
    (more / "000_new.txt").write_text("Something new. " * 30)
    before = made(texts, tmp_path / "a", bpe)
    after = made(more, tmp_path / "b", bpe)
    places = [
        {each.corpus.hashes[i]: name for name, which in each.parts.streams().items() for i in which}
        for each in (before, after)
    ]
    moved = [digest for digest, name in places[0].items() if places[1][digest] != name]
    assert len(moved) <= 1, "only an eighth of training that is kept to choose by may move with the sizes"


def test_the_index_says_where_each_document_lies(texts, bpe, tmp_path):
    made(texts, tmp_path / "out", bpe)
    source = open_folder(tmp_path / "out")
    for line in (tmp_path / "out" / "documents.jsonl").read_text().splitlines():
        name, start, tokens, size, file = json.loads(line)
        ids = getattr(source, name).slice(start, tokens)
        assert ids[0] == bpe.separator
        raw = (texts / file).read_bytes()
        assert bpe.decode(ids.tolist()) == raw
        assert size == len(raw)


def test_bytes_of_the_held_out_tokens_are_the_bytes_of_its_text(texts, bpe, tmp_path):
    found = made(texts, tmp_path / "out", bpe)
    source = open_folder(tmp_path / "out")
    raw = sum(found.corpus.bytes[found.parts.held_out])
    assert source.bytes_of(stream(source, "held_out")) == raw


@pytest.mark.parametrize("content", ["r", "RIVER"])  # another number of bytes, and as many others
def test_bits_per_byte_are_refused_where_tokens_are_not_the_text(texts, bpe, tmp_path, capsys, content):
    lossy = json.loads(bpe.text)
    lossy["normalizer"] = {"type": "Replace", "pattern": {"String": "river"}, "content": content}
    (tmp_path / "lossy.json").write_text(json.dumps(lossy))
    out = tmp_path / "out"
    shares = ["--held-out", "0.1", "--select", "0.1"]
    assert (
        main(["data", "prepare", str(texts), "--tokenizer", str(tmp_path / "lossy.json"), "--out", str(out), *shares])
        == 0
    )
    assert "bits per byte refused" in capsys.readouterr().out
    source = open_folder(out)
    assert source.bytes_of(stream(source, "held_out")) is None
    assert "refused" in source.about["bits_per_byte"]


def test_large_vocabularies_are_written_as_uint32(texts, tmp_path, bpe):
    class Far(Bytes):
        """Bytes, far up."""

        name, vocab, separator, text = "tokenizer.json", 200_000, 199_999, bpe.text

        def encode(self, texts):
            return [np.frombuffer(each, np.uint8).astype(np.uint32) + 150_000 for each in texts]

        def decode(self, ids):
            return bytes(each - 150_000 for each in ids)

        def token_bytes(self):
            return [0] * 150_000 + [1] * 256 + [0] * 49_744

    made(texts, tmp_path / "out", Far())
    ids = stream(open_folder(tmp_path / "out"), "train")
    assert ids.max() == 199_999
    assert (tmp_path / "out" / "train_000000.bin").read_bytes()[:8] == (20240801).to_bytes(4, "little") + b"\7\0\0\0"


def test_repeated_documents_are_counted_kept_together_and_dropped_on_request(texts, tmp_path):
    twice = shutil.copytree(texts, tmp_path / "twice")
    for path in sorted(twice.iterdir())[:50]:
        shutil.copy(path, twice / f"again_{path.name}")
    kept = made(twice, tmp_path / "kept", Bytes())
    assert (kept.parts.repeated, kept.parts.dropped) == (50, 0)
    streams = [{kept.corpus.hashes[i] for i in which} for which in kept.parts.streams().values()]
    assert not streams[0] & streams[2]
    assert not streams[1] & streams[2]
    once = made(twice, tmp_path / "once", Bytes(), Wanted(held_out=0.1, select=0.1, once=True))
    assert once.parts.dropped == 50
    left = np.concatenate(list(once.parts.streams().values()))
    assert len({once.corpus.hashes[i] for i in left}) == len(left) == 200


def test_several_processes_make_the_same_bytes(texts, bpe, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 20_000)
    made(texts, tmp_path / "one", bpe)
    made(texts, tmp_path / "two", bpe, Wanted(held_out=0.1, select=0.1, jobs=2))
    for path in (tmp_path / "one").iterdir():
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_preparation_that_was_stopped_goes_on_behind_its_whole_pieces(texts, bpe, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 20_000)
    real, calls = Work._write, []

    def stopping(self, place, documents):
        calls.append(place.number)
        if len(calls) == 4:
            raise KeyboardInterrupt
        real(self, place, documents)

    monkeypatch.setattr(Work, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        made(texts, tmp_path / "out", bpe)
    assert left_in(tmp_path) == [".out.part"]
    with pytest.raises(DataError, match="beginning of another preparation"):
        made(texts, tmp_path / "out", Bytes())
    made(texts, tmp_path / "out", bpe)
    assert calls[4:] == list(range(3, max(calls) + 1))
    assert left_in(tmp_path) == ["out"]
    monkeypatch.setattr(Work, "_write", real)
    made(texts, tmp_path / "fresh", bpe)
    assert (tmp_path / "fresh" / "train_000000.bin").read_bytes() == (
        tmp_path / "out" / "train_000000.bin"
    ).read_bytes()


def test_a_full_disk_leaves_no_folder_that_looks_whole(texts, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_documents", full)
    with pytest.raises(OSError, match="No space"):
        made(texts, tmp_path / "out", Bytes())
    assert left_in(tmp_path) == [".out.part"]


def test_a_refused_text_leaves_nothing_in_the_way_of_other_options(tmp_path, capsys):
    (tmp_path / "old.txt").write_bytes(b"".join(b"caf\xe9 number %d\n\n" % i for i in range(300)))
    words = [
        "data",
        "prepare",
        str(tmp_path / "old.txt"),
        "--out",
        str(tmp_path / "out"),
        "--separator",
        "\n\n",
        "--held-out",
        "0.1",
        "--select",
        "0.1",
    ]
    assert main(words) == 2
    assert "--encoding" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.txt"]
    assert main([*words, "--encoding", "latin-1"]) == 0


def test_a_folder_that_is_there_is_kept(texts, tmp_path, capsys):
    words = ["data", "prepare", str(texts), "--out", str(tmp_path / "out"), "--held-out", "0.1", "--select", "0.1"]
    assert main(words) == 0
    stamp = (tmp_path / "out" / "meta.json").stat().st_mtime_ns
    assert main(words) == 0
    assert "already, made of the same" in capsys.readouterr().out
    assert (tmp_path / "out" / "meta.json").stat().st_mtime_ns == stamp
    assert main([*words, "--once"]) == 2
    assert "choose another --out" in capsys.readouterr().err


REFUSED = {
    "one document": (["one.txt"], [], "of 1 document none is left to judge by"),
    "few small documents": (["few.txt"], ["--separator", "|"], "too few"),
    "junk": (["junk.txt"], [], "no UTF-8"),
    "nothing": (["none.txt"], [], "no file or folder"),
    "an empty folder": (["empty"], [], "holds no files"),
    "an empty file": (["empty.txt"], [], "there is no text"),
    "white space": (["white.txt"], [], "all of it is white space"),
    "large documents only": (["large"], ["--held-out", "0.4"], "always train; say with"),
    "an absurd share": (["one.txt"], ["--held-out", "0.9"], "between 0 and 0.5"),
    "an empty separator": (["one.txt"], ["--separator", ""], "--separator is empty"),
    "a separator in UTF-16": (["one.txt"], ["--separator", "x", "--encoding", "utf-16"], "make UTF-8"),
    "no such tokenizer": (["one.txt"], ["--tokenizer", "none.json"], "cannot be read"),
    "token files without a tokenizer": (["one.txt"], ["--format", "nanogpt"], "say with --tokenizer"),
}


@pytest.mark.parametrize(("files", "more", "complaint"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_one_line_with_exit_code_2_and_leaves_no_folder(
    tmp_path, monkeypatch, capsys, files, more, complaint
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.txt").write_text("only one")
    (tmp_path / "junk.txt").write_bytes(b"\xff\xfe\xfd")
    (tmp_path / "white.txt").write_text(" \n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "few.txt").write_text("x" * 5000 + "|" + "|".join("small"))
    (tmp_path / "large").mkdir()
    for place in range(20):
        (tmp_path / "large" / f"{place}.txt").write_text(f"{place} " * 100)
    (tmp_path / "empty").mkdir()
    assert main(["data", "prepare", *files, "--out", "out", *more]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_error_in_another_process_is_told_as_in_this_one(texts, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 20_000)
    bad = shutil.copytree(texts, tmp_path / "bad")
    (bad / "100.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"100\.txt:1: byte 0xff"):
        made(bad, tmp_path / "out", Bytes(), Wanted(jobs=2))
    assert not (tmp_path / "out").exists()


def test_a_single_file_with_separators_is_many_documents(tmp_path, capsys):
    from .conftest import text

    (tmp_path / "all.txt").write_text("\n\n\n".join(text(seed) for seed in range(300)), encoding="utf-8")
    words = ["data", "prepare", str(tmp_path / "all.txt"), "--out", str(tmp_path / "out"), "--separator", r"\n\n\n"]
    assert main(words) == 0
    assert "held_out" in capsys.readouterr().out


def test_the_lock_keeps_a_second_preparation_away(texts, tmp_path):
    part = tmp_path / ".out.part"
    part.mkdir()
    from coregpt.engine.data import alone_in

    with alone_in(part, ".lock", "writing"), pytest.raises(DataError, match="another process is writing"):
        made(texts, tmp_path / "out", Bytes())
    assert os.listdir(part) == [".lock"]


def test_json_is_named_as_it_lies_in_the_folder(texts, bpe, tmp_path):
    made(texts, tmp_path / "out", bpe)
    assert (tmp_path / "out" / "tokenizer.json").read_text(encoding="utf-8") == bpe.text
    assert isinstance(bpe, Json)


def test_a_full_disk_is_told_and_the_same_command_goes_on(texts, tmp_path, capsys, monkeypatch):
    words = ["data", "prepare", str(texts), "--out", str(tmp_path / "out"), "--held-out", "0.2", "--select", "0.1"]

    # Not a function of this file, which looks like a plugin's wherever another test has defined one.
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_shards", full)
        assert main([*words, "--jobs", "1"]) == 1
    assert "no space is left on the disk; what is complete is kept" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--jobs", "1"]) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_killed_with_several_processes_the_same_command_goes_on(texts, tmp_path, monkeypatch):
    """Nothing outlives it that would keep the folder's lock."""
    monkeypatch.setattr(reading, "PIECE", 20_000)
    context, out = multiprocessing.get_context("fork"), tmp_path / "out"
    began = context.Event()

    def never(number, piece):
        began.set()
        time.sleep(600)

    def run():
        monkeypatch.setattr(module.Work, "__call__", lambda work, number, piece: never(number, piece))
        made(texts, out, Bytes(), Wanted(held_out=0.1, select=0.1, jobs=2))

    process = context.Process(target=run)
    process.start()
    assert began.wait(60)
    process.kill()
    process.join()
    ends = time.monotonic() + 30
    while not out.exists() and time.monotonic() < ends:
        with contextlib.suppress(DataError):  # for as long as the kernel takes to end them
            made(texts, out, Bytes(), Wanted(held_out=0.1, select=0.1, jobs=2))
        time.sleep(0.1)
    assert out.exists()
