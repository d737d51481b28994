import pytest

from coregpt.contract.errors import DataError
from coregpt.engine.data import cache_dir, fineweb_folder, open_source, write_shard


def fill(folder):
    folder.mkdir(parents=True)
    write_shard(folder / "fineweb_train_000001.bin", [50256, 1, 2])
    write_shard(folder / "fineweb_val_000000.bin", [50256, 3])
    return folder


def test_the_embedded_corpus_opens_by_name(corpus_cache, monkeypatch):
    monkeypatch.setenv("COREGPT_CACHE", str(corpus_cache))
    assert open_source("pydocs").name == "pydocs"


def test_fineweb_opens_from_the_data_folder_or_else_the_cache(tmp_path, monkeypatch):
    fill(cache_dir() / "fineweb10B")
    assert open_source("fineweb10B").facts()["name"] == "fineweb10B"
    monkeypatch.setenv("COREGPT_DATA", str(tmp_path / "data"))
    assert fineweb_folder() == tmp_path / "data" / "fineweb10B"
    with pytest.raises(DataError, match="coregpt data fetch fineweb10B"):
        open_source("fineweb10B")
    fill(fineweb_folder())
    opened = open_source("fineweb10B")
    assert (opened.vocab, opened.separator, opened.unit) == (50304, 50256, "token")


def test_an_empty_fineweb_folder_says_how_to_fill_it():
    fineweb_folder().mkdir(parents=True)
    with pytest.raises(DataError, match="coregpt data fetch fineweb10B"):
        open_source("fineweb10B")


def test_a_folder_opens_by_path(tmp_path, monkeypatch):
    fill(tmp_path / "shards")
    assert open_source(str(tmp_path / "shards")).name == "shards"
    monkeypatch.chdir(tmp_path)
    assert open_source("shards").name == "shards"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pydoc", "did you mean 'pydocs'"),
        ("fineweb", "did you mean 'fineweb10B'"),
        ("/no/such/place", "expected one of"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_one(name, hint):
    with pytest.raises(DataError, match=hint):
        open_source(name)


def test_a_file_of_text_is_answered_with_how_to_prepare_it(tmp_path):
    (tmp_path / "novel.txt").write_text("Call me Ishmael.")
    with pytest.raises(DataError, match="coregpt data prepare") as error:
        open_source("novel.txt", [str(tmp_path / "novel.txt")])
    assert str(tmp_path / "novel.txt") in str(error.value)
    with pytest.raises(DataError, match="is a file"):
        open_source(str(tmp_path / "novel.txt"))
