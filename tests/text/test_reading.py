import json

import pyarrow
import pyarrow.parquet
import pytest

from coregpt.contract.errors import DataError
from coregpt.text import reading
from coregpt.text.reading import Reading, documents, find_files, pieces


def read(inputs, how=Reading()):  # noqa: B008 - frozen
    return [each for piece in pieces(find_files(inputs, how), how) for each in documents(piece, how)]


def test_a_folder_gives_its_files_of_text_in_the_order_of_their_names(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/2.txt", "b/1.md", "a.rst", "picture.png"):
        (tmp_path / name).write_text(name)
    assert [(each.name, each.text.decode()) for each in read([tmp_path])] == [
        ("a.rst", "a.rst"),
        ("b/1.md", "b/1.md"),
        ("b/2.txt", "b/2.txt"),
    ]
    assert [each.name for each in read([tmp_path], Reading(pattern="*.png"))] == ["picture.png"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    assert len(read([tmp_path, tmp_path / "a.txt"])) == 1


@pytest.mark.parametrize("separator", ["\n\n", "<|endoftext|>", "\n%\n", "é"])
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_separated_documents_are_the_same_whatever_the_size_of_a_piece(tmp_path, monkeypatch, separator, size):
    parts = ["one", "two\nlines", "", "drei é" if separator != "é" else "drei", "  ", "four", "\n", "five five five"]
    (tmp_path / "a.txt").write_text(separator.join(parts), encoding="utf-8")
    whole = [each for each in separator.join(parts).split(separator) if each.strip()]
    monkeypatch.setattr(reading, "PIECE", size)
    found = read([tmp_path / "a.txt"], Reading(separator))
    assert [each.text.decode().strip("\n") for each in found] == [each.strip("\n") for each in whole]
    assert len({each.name for each in found}) == len(found)


@pytest.mark.parametrize("size", [1, 20, 1000])
def test_json_lines_are_the_same_whatever_the_size_of_a_piece(tmp_path, monkeypatch, size):
    rows = [{"body": f"text {i} ü\n" * i, "n": i} for i in range(1, 9)]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    monkeypatch.setattr(reading, "PIECE", size)
    found = read([tmp_path], Reading(field="body"))
    assert [each.text.decode() for each in found] == [row["body"] for row in rows]


def test_parquet_is_read_by_row_groups(tmp_path):
    table = pyarrow.table({"text": [f"row {i}" for i in range(10)] + [None], "id": list(range(11))})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=4)
    how = Reading()
    assert len(pieces(find_files([tmp_path], how), how)) == 3
    assert [each.text for each in read([tmp_path])] == [f"row {i}".encode() for i in range(10)]


def test_small_files_share_pieces_and_every_byte_is_in_one(tmp_path, monkeypatch):
    for i in range(9):
        (tmp_path / f"{i}.txt").write_text("x" * 10)
    monkeypatch.setattr(reading, "PIECE", 25)
    found = pieces(find_files([tmp_path], Reading()), Reading())
    assert [len(piece.files) for piece in found] == [2, 2, 2, 2, 1]
    assert sum(piece.size for piece in found) == 90


def test_the_mark_of_utf_8_is_no_text_and_other_encodings_are_read_when_they_are_named(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffmarked".encode())
    (tmp_path / "b.txt").write_bytes("Straße".encode("latin-1"))
    (tmp_path / "c.txt").write_bytes("北京".encode("utf-16"))
    assert read([tmp_path / "a.txt"])[0].text == b"marked"
    assert read([tmp_path / "b.txt"], Reading(encoding="latin-1"))[0].text == "Straße".encode()
    assert read([tmp_path / "c.txt"], Reading(encoding="utf-16"))[0].text == "北京".encode()


BAD = {
    "binary junk": ("a.txt", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", r"a\.txt:1: byte 0x89 is no UTF-8.*probably no text"),
    "a NUL in text": ("a.txt", b"one\ntwo\0three", r"a\.txt:2: a NUL byte"),
    "mixed encodings": ("a.txt", "gut\nStraße\n".encode() + "Gasse\nStraße".encode("latin-1"), r"a\.txt:4.*latin-1"),
    "utf-16": ("a.txt", "hello".encode("utf-16"), "probably utf-16"),
    "an empty file": ("a.txt", b"", "there is no text"),
    "no JSON": ("a.jsonl", b'{"text": "a"}\n{"text": ', r"a\.jsonl:2: is no JSON"),
    "no text in a line": ("a.jsonl", b'{"txt": "a"}', "has no 'text', but txt; say with --field"),
    "a number as text": ("a.jsonl", b'{"text": 3}', "'text' is no text but int"),
    "a list": ("a.jsonl", b"[1]", "has no 'text', but list"),
    "no Parquet": ("a.parquet", b"PAR1 and more", "is no Parquet file"),
    "an archive": ("a.tar.gz", b"\x1f\x8b", "packed; .* unpack"),
    "packed in another way": ("a.txt.xz", b"\xfd7zXZ", r"packed; .*as \.gz or \.zst; unpack it first"),
}


@pytest.mark.parametrize(("name", "content", "complaint"), BAD.values(), ids=BAD)
def test_what_is_no_text_is_refused_with_its_place(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        read([tmp_path / name])


def test_a_huge_line_or_document_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 10)
    monkeypatch.setattr(reading, "LARGEST", 100)
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "short"}) + "\n" + json.dumps({"text": "x" * 300}))
    with pytest.raises(DataError, match=r"a\.jsonl: a line of .* begins at byte 18;"):
        read([tmp_path / "a.jsonl"])
    (tmp_path / "b.txt").write_text("y" * 300)
    with pytest.raises(DataError, match=r"b\.txt: a document of .*--separator"):
        read([tmp_path / "b.txt"])
    with pytest.raises(DataError, match=r"b\.txt: a document of .*--separator"):
        read([tmp_path / "b.txt"], Reading("\n\n"))


@pytest.mark.parametrize("separator", ["|", "\n\n"])
def test_the_largest_document_that_is_read_is_that_one_to_the_byte(tmp_path, monkeypatch, separator):
    monkeypatch.setattr(reading, "PIECE", 10)
    monkeypatch.setattr(reading, "LARGEST", 100)
    how = Reading(separator)
    for size in (100 - len(separator), 100):
        (tmp_path / "a.txt").write_text(separator.join(["one", "two", "y" * size, "four"]))
        if size < 100:
            assert len(read([tmp_path / "a.txt"], how)) == 4
        else:
            with pytest.raises(DataError, match=f"begins at byte {6 + 2 * len(separator)};"):
                read([tmp_path / "a.txt"], how)


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"body": ["a"], "id": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="no column 'text', but body, id"):
        read([tmp_path])


def test_a_parquet_file_that_is_broken_inside_is_named_with_the_place(tmp_path):
    """Its end says what it holds, and is whole."""
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["one text", "another text"]}), path, compression="none")
    raw = bytearray(path.read_bytes())
    raw[4:60] = b"\xff" * 56
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.parquet: row group 0 cannot be read"):
        read([path])
