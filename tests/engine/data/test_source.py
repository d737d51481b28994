import dataclasses
import json
import os

import numpy as np
import pytest

from coregpt.contract.errors import DataError
from coregpt.engine.data import RowOrder, open_folder, read_shard, source, write_shard


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    write_shard(folder / "a_train_1.bin", [5, 6, 7])
    write_shard(folder / "a_train_0.bin", [1, 2, 3, 4])
    write_shard(folder / "a_val_0.bin", [8, 9])
    return folder


@pytest.mark.parametrize(
    ("shards", "held_out", "select"),
    [
        ((40, 40, 20), 4, 4),  # as long as held_out
        ((40, 40, 20), 90, 12),  # an eighth at most
        ((3, 4), 90, 0),
        ((90, 5, 5), 90, 12),  # over the ends of shards
    ],
)
def test_select_is_the_end_of_the_training_shards_and_never_trained_on(tmp_path, shards, held_out, select):
    tokens = np.arange(sum(shards))
    for number, part in enumerate(np.split(tokens, np.cumsum(shards)[:-1])):
        write_shard(tmp_path / f"train_{number}.bin", part)
    write_shard(tmp_path / "val.bin", 1000 + np.arange(held_out))
    opened = open_folder(tmp_path)
    cut = len(tokens) - select
    assert opened.train.slice(0, len(opened.train)).tolist() == tokens[:cut].tolist()
    assert opened.select.slice(0, len(opened.select)).tolist() == tokens[cut:].tolist()
    assert opened.held_out.slice(0, len(opened.held_out)).tolist() == list(range(1000, 1000 + held_out))
    order = RowOrder(opened.train, 2, 0)
    trained = {int(token) for part in order.rows(0, order.n_rows) for row in part for token in row}
    assert trained <= set(range(cut))


def write_meta(folder, **meta):
    (folder / "meta.json").write_text(json.dumps(meta))


def test_shards_are_joined_in_the_order_of_their_names(folder):
    opened = open_folder(folder)
    assert opened.train.slice(0, 7).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert opened.held_out.slice(0, 2).tolist() == [8, 9]
    assert opened.name == "mine"


def test_a_folder_without_meta_holds_gpt2_tokens(folder):
    opened = open_folder(folder)
    assert (opened.vocab, opened.separator, opened.unit) == (50304, 50256, "token")


def test_meta_says_what_the_ids_mean(folder):
    write_meta(folder, vocab=10, separator=1, unit="byte", about={"origin": "a test", "train_tokens": 10**9})
    opened = open_folder(folder)
    assert (opened.vocab, opened.separator, opened.unit) == (10, 1, "byte")
    assert opened.facts()["origin"] == "a test"
    assert opened.facts()["train_tokens"] == 7
    json.dumps(opened.facts())


def test_a_vocabulary_other_than_gpt2s_has_no_separator_unless_meta_names_one(folder):
    write_meta(folder, vocab=10)
    assert open_folder(folder).separator is None


def test_a_source_cannot_be_changed(folder):
    with pytest.raises(dataclasses.FrozenInstanceError):
        open_folder(folder).vocab = 3


@pytest.mark.parametrize(
    ("meta", "complaint"),
    [
        ('{"vocabs": 10}', "did you mean 'vocab'"),
        ('{"vocab": "ten"}', "vocab"),
        ('{"vocab": 10, "separator": 10}', "separator 10 is not below vocab 10"),
        ('{"unit": "word"}', "unit"),
        ("{", "meta.json"),
        ('{"vocab": 9}', "token id 9"),
        ('{"sha256": {"a_val_0.bin": "00"}}', "expects 00"),
    ],
)
def test_a_wrong_meta_file_is_refused_with_its_path(folder, meta, complaint):
    (folder / "meta.json").write_text(meta)
    with pytest.raises(DataError, match=complaint) as error:
        open_folder(folder)
    assert str(folder) in str(error.value)


def test_a_folder_without_validation_shards_is_refused(folder):
    (folder / "a_val_0.bin").unlink()
    with pytest.raises(DataError, match=r"holds no \*val\*\.bin"):
        open_folder(folder)


def test_a_shard_whose_name_says_train_and_val_is_refused(folder):
    write_shard(folder / "interval_train.bin", [1])
    with pytest.raises(DataError, match="not both"):
        open_folder(folder)


def test_a_validation_shard_that_is_also_trained_on_is_refused(folder):
    write_shard(folder / "b_val.bin", [5, 6, 7])
    with pytest.raises(DataError, match="unseen"):
        open_folder(folder)


def test_the_digest_covers_every_token_and_the_order_but_not_the_names(folder, tmp_path):
    digest = open_folder(folder).digest
    assert open_folder(folder.rename(tmp_path / "moved")).digest == digest
    moved = tmp_path / "moved"
    (moved / "a_train_0.bin").rename(moved / "a_train_2.bin")
    swapped = open_folder(moved).digest
    write_shard(moved / "a_val_0.bin", [8, 10])
    changed = open_folder(moved).digest
    write_meta(moved, vocab=11)
    assert len({digest, swapped, changed, open_folder(moved).digest}) == 4


def test_large_shards_are_read_whole_only_when_they_change(folder, monkeypatch):
    monkeypatch.setattr(source, "SMALL_FILE", 0)
    first = open_folder(folder)
    read = []
    whole = source._read_whole
    monkeypatch.setattr(source, "_read_whole", lambda path: read.append(path.name) or whole(path))
    assert open_folder(folder).digest == first.digest
    assert read == []
    write_shard(folder / "a_train_1.bin", [5, 6, 50303])
    os.utime(folder / "a_train_1.bin", ns=(1, 1))
    assert open_folder(folder).digest != first.digest
    assert read == ["a_train_1.bin"]


def test_a_remembered_shard_still_gets_its_ids_checked(folder, monkeypatch):
    monkeypatch.setattr(source, "SMALL_FILE", 0)
    open_folder(folder)
    write_meta(folder, vocab=9)
    with pytest.raises(DataError, match="token id 9"):
        open_folder(folder)


def test_an_unreadable_note_or_a_read_only_cache_only_costs_time(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "SMALL_FILE", 0)
    digest = open_folder(folder).digest
    (note,) = (tmp_path / "cache" / "manifests").iterdir()
    note.write_text("{")
    assert open_folder(folder).digest == digest
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COREGPT_CACHE", str(tmp_path / "file" / "cache"))
    assert open_folder(folder).digest == digest


def test_the_largest_id_is_found_wherever_it_lies(tmp_path):
    tokens = np.zeros(2**24 + 5, dtype=np.uint16)
    tokens[-1] = 60000
    write_shard(tmp_path / "t.bin", tokens)
    assert source._read_whole(tmp_path / "t.bin").largest == 60000
    assert len(read_shard(tmp_path / "t.bin")) == len(tokens)


def test_select_is_as_many_tokens_as_whole_documents_say_and_is_part_of_the_digest(folder):
    write_shard(folder / "a_train_1.bin", range(5, 105))
    rule = open_folder(folder)
    write_meta(folder, select_tokens=7)
    opened = open_folder(folder)
    assert opened.select.slice(0, 7).tolist() == list(range(98, 105))
    assert (len(opened.train), len(opened.select)) == (97, 7)
    assert len({opened.digest, rule.digest}) == 2
    write_meta(folder, select_tokens=60)
    with pytest.raises(DataError, match="at most 13"):
        open_folder(folder)


def test_bytes_of_ids_are_those_of_the_table_and_separators_are_none(folder):
    write_meta(folder, vocab=10, separator=1, token_bytes=[5, 0, 2])
    assert open_folder(folder).bytes_of(np.array([0, 1, 2, 2])) == 9
    assert open_folder(folder).bytes_of(np.array([0, 3])) is None
    write_meta(folder, vocab=10, separator=1, unit="byte")
    assert open_folder(folder).bytes_of(np.array([0, 1, 2, 2])) == 3
    write_meta(folder, vocab=10)
    assert open_folder(folder).bytes_of(np.array([0])) is None
    write_meta(folder, vocab=10, token_bytes=[1] * 11)
    with pytest.raises(DataError, match="token_bytes has 11 ids"):
        open_folder(folder)


def test_a_shard_of_the_wrong_width_is_refused_when_its_folder_is_opened(folder):
    ids = np.random.default_rng(0).integers(0, 100_000, 500).astype("<u4")
    write_shard(folder / "a_train_1.bin", ids.view("<u2"))
    with pytest.raises(DataError, match=r"a_train_1\.bin says that its tokens are uint16.*probably uint32"):
        open_folder(folder)
