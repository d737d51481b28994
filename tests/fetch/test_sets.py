"""The other sets, against the hub on loopback; what goes wrong with a file is tested on fineweb10B."""

import io
import socket

import pyarrow
import pyarrow.parquet
import pytest

from coregpt.cli import main, parser
from coregpt.contract.errors import DataError
from coregpt.engine.data import open_folder
from coregpt.fetch import SETS, fetch_fineweb
from coregpt.lab.study.material import digest, found
from coregpt.text.tokenizer import open_tokenizer
from coregpt.trained.books import Cut, read_windows
from coregpt.trained.hellaswag import read_items

from .conftest import shard
from .hub import Hub


def texts(number: int) -> bytes:
    written = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": [f"{number} {i} " * 20 for i in range(300)]}), written)
    return written.getvalue()


@pytest.fixture
def at(monkeypatch, quick):
    """`at(name, files)` serves the files of a set."""

    def serve(name, files):
        made = Hub(SETS[name].repository, files)
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        return made.serving()

    return serve


def test_the_command_knows_every_set():
    words = parser().parse_args(["data", "fetch", "fineweb10B"])
    assert words.shards == 1
    for name in SETS:
        assert parser().parse_args(["data", "fetch", name]).name == name


@pytest.mark.parametrize("name", ["fineweb100B", "fineweb-edu10B"])
def test_tokens_come_with_their_validation_shard_and_open_as_a_source(at, tmp_path, name, capsys):
    names = SETS[name].names(2)
    files = {file: shard(tmp_path, seed, 9000) for seed, file in enumerate(names)}
    with at(name, files):
        assert main(["data", "fetch", name, "--shards", "2"]) == 0
    folder = tmp_path / "data" / name
    assert f"source: {folder}" in capsys.readouterr().out
    source = open_folder(folder)
    assert len(source.held_out) == 9000
    assert len(source.train) + len(source.select) == 18_000
    assert source.separator == 50256


def test_texts_come_from_a_folder_of_the_repository_and_can_be_prepared(at, tmp_path, capsys):
    name = "fineweb-edu-text"
    with at(name, {file: texts(number) for number, file in enumerate(SETS[name].names(2))}):
        assert main(["data", "fetch", name, "--shards", "2"]) == 0
        assert main(["data", "fetch", name, "--shards", "2"]) == 0
    said = capsys.readouterr().out
    assert said.count("already there") == 2
    folder = tmp_path / "data" / name
    assert sorted(path.name for path in folder.glob("*.parquet")) == ["000_00000.parquet", "001_00000.parquet"]
    assert main(["data", "prepare", str(folder), "--out", str(tmp_path / "out")]) == 0


def table(**columns):
    written = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), written)
    return written.getvalue()


def test_books_of_pg19_are_found_by_the_name_of_the_set(at, tmp_path, capsys):
    (file,) = SETS["pg19"].names(1)
    books = [" ".join(f"word{number * i % 97}" for i in range(400)) for number in range(1, 4)]
    with at("pg19", {file: table(short_book_title=["a", "b", "c"], text=books)}):
        assert main(["data", "fetch", "pg19"]) == 0
        assert main(["data", "fetch", "pg19", "--shards", "2"]) == 2
    said = capsys.readouterr()
    assert "--books pg19" in said.out
    assert "emozilla/pg19-test has one file; 2 were asked for" in said.err
    place = found("pg19", tmp_path)
    assert place == tmp_path / "data" / "pg19"
    windows = read_windows(place, open_tokenizer("bytes"), Cut(512, 2))
    assert (windows.books, windows.short) == (3, 0)
    assert bytes(windows.inputs[0, 1:6].tolist()) == b"word0"
    assert digest(place) == digest(place)  # the lock beside it is no part of it


def test_questions_of_hellaswag_are_found_by_the_name_of_the_set(at, tmp_path, capsys):
    (file,) = SETS["hellaswag"].names(1)
    rows = table(ind=[1, 2], ctx=["A man is", "She"], endings=[["a", "b", "c", "d"]] * 2, label=["3", "0"])
    with at("hellaswag", {file: rows}):
        assert main(["data", "fetch", "hellaswag"]) == 0
    assert "--hellaswag hellaswag" in capsys.readouterr().out
    items = read_items(found("hellaswag", tmp_path))
    assert [(item.context, item.label) for item in items] == [("A man is", 3), ("She", 0)]
    assert items[0].endings == ("a", "b", "c", "d")
    (tmp_path / "data" / "hellaswag" / "more.jsonl").write_text("{}")
    with pytest.raises(DataError, match="expected one file of questions"):
        read_items(found("hellaswag", tmp_path))


@pytest.mark.parametrize("name", ["pg19", "hellaswag"])
def test_a_page_in_place_of_books_or_questions_gets_no_name(at, tmp_path, capsys, name):
    with at(name, {SETS[name].names(1)[0]: b"<!DOCTYPE html><html>Sign in</html>"}):
        assert main(["data", "fetch", name]) == 2
    said = capsys.readouterr().err
    assert "something else under the name" in said
    assert "a web page; check HF_ENDPOINT" in said
    assert [path.name for path in (tmp_path / "data" / name).iterdir()] == [".fetch.lock"]


@pytest.mark.parametrize(
    ("name", "instead"),
    [("fineweb-text", "'pydocs'"), ("pg19", "--books FOLDER"), ("hellaswag", "--hellaswag FILE")],
)
def test_without_a_network_the_message_names_what_does_as_well(tmp_path, quick, name, instead):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(DataError, match=f"by hand, or use .*{instead}") as raised:
        fetch_fineweb(tmp_path / "x", 1, f"http://127.0.0.1:{port}", lambda line: None, name)
    assert ("pydocs" in str(raised.value)) == (SETS[name].use == "training")


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>Sign in</html>", b"PAR1", b"PAR1" + bytes(100)])
def test_an_answer_that_is_no_text_gets_no_name(at, tmp_path, content):
    name = "fineweb-text"
    with at(name, {SETS[name].names(1)[0]: content}), pytest.raises(DataError, match="something else under the name"):
        fetch_fineweb(tmp_path / "x", 1, None, lambda line: None, name)
    assert [path.name for path in (tmp_path / "x").iterdir()] == [".fetch.lock"]


@pytest.mark.parametrize(
    ("content", "what"), [(b" <html>Sign in</html>", "a web page"), (bytes(2000), "no whole shard of tokens")]
)
def test_what_is_there_in_place_of_tokens_is_told_and_no_other_set_is_advised(at, tmp_path, content, what):
    name = "fineweb100B"
    with at(name, {SETS[name].names(1)[0]: content}), pytest.raises(DataError, match=f": {what}; check") as raised:
        fetch_fineweb(tmp_path / "x", 1, None, lambda line: None, name)
    assert "fineweb10B" not in str(raised.value)
    assert [path.name for path in (tmp_path / "x").iterdir()] == [".fetch.lock"]


def test_a_cut_connection_is_resumed(at, tmp_path):
    name = "fineweb-text"
    file = SETS[name].names(1)[0]
    data = texts(1)
    made = Hub(SETS[name].repository, {file: data})
    made.faults[file] = ["drop"]
    with made.serving():
        (path,) = fetch_fineweb(tmp_path / "x", 1, made.url, lambda line: None, name)
    assert path.read_bytes() == data
    assert len(made.starts(file)) == 2


@pytest.mark.parametrize(("name", "count"), [("fineweb100B", 1030), ("fineweb-edu10B", 99), ("fineweb-text", 15)])
def test_no_more_than_there_are(tmp_path, name, count):
    assert len(set(SETS[name].names(count))) == count + SETS[name].of_tokens
    with pytest.raises(DataError, match=f"1 to {count}"):
        fetch_fineweb(tmp_path, count + 1, None, print, name)
