"""Packed files give the same shards as what they hold, and what is damaged is told by its own name."""

import gzip
import json
import shutil
import subprocess

import pyarrow
import pyarrow.parquet
import pytest

from coregpt.contract.errors import DataError
from coregpt.engine.data import open_folder
from coregpt.text import packed, reading
from coregpt.text.packed import unpack, unpacked_for_now
from coregpt.text.prepare import Wanted, prepare
from coregpt.text.reading import Reading, documents, find_files, pieces
from coregpt.text.tokenizer import Bytes
from coregpt.text.training import train

EVEN = Wanted(held_out=0.1, select=0.1)


def quiet(line):
    pass


def zstd(raw):
    return pyarrow.compress(raw, codec="zstd", asbytes=True)


PACK = {".gz": gzip.compress, ".zst": zstd}


@pytest.fixture(params=PACK)
def suffix(request):
    return request.param


def read(path, folder, how=Reading()):  # noqa: B008 - frozen
    files = unpack(find_files([path], how), folder)
    return [each for piece in pieces(files, how) for each in documents(piece, how)]


def test_all_kinds_are_read_as_if_they_lay_there(tmp_path, suffix):
    rows = "\n".join(json.dumps({"text": f"text {i} ü"}) for i in range(9)).encode()
    pyarrow.parquet.write_table(pyarrow.table({"text": ["of", "rows"]}), tmp_path / "t.parquet")
    contents = {"a.jsonl": rows, "b.txt": b"one\n\ntwo", "c.parquet": (tmp_path / "t.parquet").read_bytes()}
    (tmp_path / "t.parquet").unlink()
    for folder in ("plain", "packed"):
        (tmp_path / folder).mkdir()
    for name, content in contents.items():
        (tmp_path / "plain" / name).write_bytes(content)
        (tmp_path / "packed" / f"{name}{suffix}").write_bytes(PACK[suffix](content))
    how = Reading(separator="\n\n")
    plain = read(tmp_path / "plain", tmp_path / "u1", how)
    found = read(tmp_path / "packed", tmp_path / "u2", how)
    assert [each.text for each in found] == [each.text for each in plain]
    assert len(found) == 13
    assert found[0].name == f"a.jsonl{suffix}@0"


def test_shards_are_those_of_the_unpacked_files_and_nothing_is_left(texts, tmp_path, suffix):
    shutil.copytree(texts, tmp_path / "packed")
    for path in (tmp_path / "packed").glob("*.txt"):
        path.with_name(path.name + suffix).write_bytes(PACK[suffix](path.read_bytes()))
        path.unlink()
    prepare([texts], tmp_path / "plain_out", Bytes(), EVEN, quiet)
    prepare([tmp_path / "packed"], tmp_path / "packed_out", Bytes(), EVEN, quiet)
    one, other = (open_folder(tmp_path / name) for name in ("plain_out", "packed_out"))
    for stream in ("train", "select", "held_out"):
        mine, theirs = getattr(one, stream), getattr(other, stream)
        assert mine.slice(0, len(mine)).tolist() == theirs.slice(0, len(theirs)).tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["packed", "packed_out", "plain_out"]


def test_files_of_several_parts_are_read_whole(tmp_path, suffix):
    """As `cat a.gz b.gz` makes them, and packers that work in parallel."""
    (tmp_path / f"a.txt{suffix}").write_bytes(PACK[suffix](b"one ") + PACK[suffix](b"two"))
    assert [each.text for each in read(tmp_path, tmp_path / "u")] == [b"one two"]


@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs the program zstd")
def test_what_the_program_zstd_makes_is_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a text\n" * 10_000)
    subprocess.run(["zstd", "-q", "--rm", str(tmp_path / "a.txt")], check=True)
    assert read(tmp_path, tmp_path / "u")[0].text == b"a text\n" * 10_000


@pytest.mark.parametrize("how", ["cut", "junk", "flipped"])
def test_damaged_files_are_named_and_nothing_is_left(tmp_path, suffix, how):
    if (suffix, how) == (".zst", "flipped"):
        pytest.skip("pyarrow writes no checksum, without which nobody can tell")
    whole = bytearray(PACK[suffix](bytes(range(32, 127)) * 3000))
    if how == "cut":
        content = bytes(whole[: len(whole) // 2])
    elif how == "junk":
        content = b"no packed file at all"
    else:
        whole[len(whole) // 2] ^= 0xFF
        whole[len(whole) // 2 + 1] ^= 0xFF
        content = bytes(whole)
    (tmp_path / f"a.txt{suffix}").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.txt\{suffix} cannot be unpacked .*bring it again"):
        prepare([tmp_path / f"a.txt{suffix}"], tmp_path / "out", Bytes(), EVEN, quiet)
    assert [path.name for path in tmp_path.iterdir()] == [f"a.txt{suffix}"]


def test_mistakes_inside_are_told_by_the_packed_files_name_and_line(tmp_path, suffix):
    (tmp_path / f"a.jsonl{suffix}").write_bytes(PACK[suffix](b'{"text": "a"}\n{"text": '))
    with pytest.raises(DataError, match=rf"{tmp_path}/a\.jsonl\{suffix}:2: is no JSON"):
        read(tmp_path, tmp_path / "u")
    (tmp_path / f"a.jsonl{suffix}").unlink()
    (tmp_path / f"b.txt{suffix}").write_bytes(PACK[suffix](b"one\ntwo\nthr\0ee"))
    with pytest.raises(DataError, match=rf"{tmp_path}/b\.txt\{suffix}:3: a NUL byte"):
        read(tmp_path / f"b.txt{suffix}", tmp_path / "u2")


def test_nothing_packed_is_nothing(tmp_path, suffix):
    (tmp_path / f"a.txt{suffix}").write_bytes(PACK[suffix](b""))
    with pytest.raises(DataError, match="there is no text, all 1 files are empty"):
        read(tmp_path, tmp_path / "u")


def test_what_is_unpacked_already_is_not_unpacked_again(tmp_path, suffix, monkeypatch):
    (tmp_path / f"a.txt{suffix}").write_bytes(PACK[suffix](b"one text"))
    files = find_files([tmp_path], Reading())
    first = unpack(files, tmp_path / "u")
    monkeypatch.setattr(packed, "_parts", lambda path: pytest.fail("unpacked twice"))
    assert unpack(files, tmp_path / "u") == first


def test_a_packed_file_is_no_more_than_a_chunk_in_memory(tmp_path, suffix, monkeypatch):
    (tmp_path / f"a.txt{suffix}").write_bytes(PACK[suffix](b"x" * 100_000))
    monkeypatch.setattr(packed, "CHUNK", 1000)
    assert {len(part) for part in packed._parts(tmp_path / f"a.txt{suffix}")} == {1000}


def test_stretches_of_a_packed_file_are_those_of_the_text(tmp_path, suffix, monkeypatch):
    rows = [{"text": f"text {i}\n" * i} for i in range(1, 30)]
    (tmp_path / f"a.jsonl{suffix}").write_bytes(PACK[suffix]("\n".join(map(json.dumps, rows)).encode()))
    monkeypatch.setattr(reading, "PIECE", 100)
    found = read(tmp_path, tmp_path / "u")
    assert [each.text.decode() for each in found] == [row["text"] for row in rows]


def test_a_tokenizer_is_trained_on_what_they_hold_and_leaves_nothing(texts, tmp_path, suffix, monkeypatch):
    (tmp_path / "packed").mkdir()
    for path in texts.iterdir():
        (tmp_path / "packed" / (path.name + suffix)).write_bytes(PACK[suffix](path.read_bytes()))
    monkeypatch.setattr(packed.tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    made, _ = train([tmp_path / "packed"], 300, "gpt4", Reading(), quiet)
    wanted, _ = train([texts], 300, "gpt4", Reading(), quiet)
    assert made.text == wanted.text
    assert not list((tmp_path / "tmp").iterdir())


def test_without_the_extra_zst_says_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "a.txt.zst").write_bytes(zstd(b"a"))

    def missing(module, purpose):
        raise DataError(f"{purpose} needs the package '{module}'; install it")

    monkeypatch.setattr(packed, "extra", missing)
    with pytest.raises(DataError, match=r"reading \.zst needs the package 'pyarrow'"):
        read(tmp_path, tmp_path / "u")


def test_the_folder_for_now_is_gone_after_a_mistake(tmp_path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one"))
    places = []

    def fail():
        with unpacked_for_now(find_files([tmp_path], Reading())) as files:
            places.append(files[0].content)
            assert places[0].read_bytes() == b"one"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not places[0].parent.exists()
