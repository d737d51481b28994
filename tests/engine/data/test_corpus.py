import hashlib
import json
import multiprocessing
import os
import platform
from pathlib import Path

import pytest

from coregpt.contract.errors import DataError
from coregpt.engine.data import TokenSource, TokenStream, pydocs, write_shard
from coregpt.engine.data import corpus as corpus_module
from coregpt.engine.data.corpus import split
from coregpt.engine.data.documents import Document


def text_of(stream: TokenStream) -> bytes:
    return bytes(stream.slice(0, len(stream)).tolist())


def some_documents(count: int = 300) -> list[Document]:
    return [Document(f"d{i}", f"Document number {i} says {i * i}. " * (1 + i % 5)) for i in range(count)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "python_documentation", some_documents)


def shards(corpus: TokenSource) -> bytes:
    """What train.bin holds: what is trained on and, cut from its end, `select`."""
    return text_of(corpus.train) + text_of(corpus.select)


@pytest.fixture(scope="session")
def meta(corpus_cache: Path) -> dict:
    (path,) = corpus_cache.glob("pydocs-*/meta.json")
    return json.loads(path.read_text())


def test_the_corpus_has_about_two_megabytes_of_bytes(corpus: TokenSource):
    assert (corpus.unit, corpus.vocab, corpus.separator) == ("byte", 256, 0)
    assert 1_500_000 < sum(map(len, (corpus.train, corpus.select, corpus.held_out))) < 3_500_000


def test_validation_is_a_tenth_of_the_bytes_in_many_documents(corpus: TokenSource):
    share = len(corpus.held_out) / (sum(map(len, (corpus.train, corpus.select, corpus.held_out))))
    assert 0.09 < share < 0.11
    assert corpus.facts()["val_documents"] > 30


def test_the_corpus_is_text_with_a_separator_before_each_document(corpus: TokenSource, meta: dict):
    for text, name in ((shards(corpus), "train"), (text_of(corpus.held_out), "val")):
        first, *texts = text.split(b"\0")
        assert first == b""
        assert len(texts) == len(meta["documents"][name]) == corpus.facts()[f"{name}_documents"]
        assert all(text.decode().strip() for text in texts)


def test_docstrings_alone_would_suffice_without_the_help_topics(corpus: TokenSource, meta: dict):
    texts = shards(corpus).split(b"\0")[1:]
    modules = [text for name, text in zip(meta["documents"]["train"], texts, strict=True) if name.startswith("module:")]
    assert sum(map(len, modules)) > 1_000_000


def test_no_document_and_no_long_passage_of_validation_is_trained_on(corpus: TokenSource, meta: dict):
    assert not set(meta["documents"]["train"]) & set(meta["documents"]["val"])
    trained = b" ".join(shards(corpus).split())
    for document in text_of(corpus.held_out).split(b"\0"):
        squeezed = b" ".join(document.split())
        for start in range(0, len(squeezed) - 150, 50):  # so any shared passage of 200 bytes is met
            assert squeezed[start : start + 150] not in trained


def test_meta_names_the_interpreter_and_the_digest_of_each_file(corpus_cache: Path, meta: dict):
    (folder,) = corpus_cache.glob("pydocs-*")
    assert meta["about"]["python"] == platform.python_version()
    for name, digest in meta["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert set(meta["sha256"]) == {"train.bin", "val.bin"}
    assert sorted(os.listdir(folder)) == ["meta.json", "train.bin", "val.bin"]


def test_opening_again_builds_nothing(corpus_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(corpus_module, "python_documentation", lambda: pytest.fail("built again"))
    assert pydocs(corpus_cache).digest == pydocs(corpus_cache).digest


def test_the_split_follows_the_hash_of_name_and_text_up_to_a_tenth():
    documents = some_documents()
    train, val = split(documents)
    ordered = sorted(documents, key=lambda d: hashlib.sha256(f"{d.name}\0{d.text}".encode()).digest())
    assert [*val, *train] == ordered
    sizes = [len(document.text) + 1 for document in ordered]
    assert sum(sizes[: len(val)]) >= 0.1 * sum(sizes) > sum(sizes[: len(val) - 1])
    assert split(documents[::-1]) == (train, val)


def test_a_document_of_more_than_a_hundredth_always_trains():
    train, val = split([*some_documents(), *(Document(f"big{i}", "x" * 1000 + str(i)) for i in range(20))])
    assert sum(document.name.startswith("big") for document in train) == 20
    assert val


def test_equal_documents_build_equal_corpora(tmp_path: Path, small: None):
    assert pydocs(tmp_path / "a").digest == pydocs(tmp_path / "b").digest


@pytest.mark.parametrize("damage", ["flip", "truncate", "lose", "mix", "meta", "no meta"])
def test_a_damaged_cache_is_rebuilt_to_the_same_bytes(tmp_path: Path, small: None, damage: str):
    intact = pydocs(tmp_path)
    (folder,) = tmp_path.iterdir()
    train = folder / "train.bin"
    content = bytearray(train.read_bytes())
    if damage == "flip":
        content[-2] ^= 1
        train.write_bytes(content)
    elif damage == "truncate":
        train.write_bytes(content[:-2])
    elif damage == "lose":
        train.unlink()
    elif damage == "mix":
        train.write_bytes((folder / "val.bin").read_bytes())
    elif damage == "no meta":
        (folder / "meta.json").unlink()
    else:
        (folder / "meta.json").write_text("{")
    assert pydocs(tmp_path).digest == intact.digest
    assert sorted(os.listdir(folder)) == ["meta.json", "train.bin", "val.bin"]
    assert os.listdir(tmp_path) == [folder.name]


def test_a_build_that_died_is_not_taken_for_a_corpus(tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch):
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    finish = corpus_module._meta
    monkeypatch.setattr(corpus_module, "_meta", killed)
    with pytest.raises(KeyboardInterrupt):
        pydocs(tmp_path)
    monkeypatch.setattr(corpus_module, "_meta", finish)
    assert pydocs(tmp_path).vocab == 256


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, small: None):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot build.*file.*COREGPT_CACHE"):
        pydocs(tmp_path / "file")


def test_many_processes_may_repair_one_corpus_at_once(tmp_path: Path, small: None):
    context = multiprocessing.get_context("fork")
    digest = pydocs(tmp_path).digest
    (folder,) = tmp_path.iterdir()
    barrier = context.Barrier(3)
    results = context.Queue()

    def race() -> None:
        for _ in range(5):
            if barrier.wait() == 0:
                write_shard(folder / "train.bin", [1, 2, 3])
            barrier.wait()
            results.put(pydocs(tmp_path).digest)

    processes = [context.Process(target=race) for _ in range(3)]
    for process in processes:
        process.start()
    digests = {results.get(timeout=30) for _ in range(15)}
    for process in processes:
        process.join()
    assert digests == {digest}
    assert sorted(os.listdir(folder)) == ["meta.json", "train.bin", "val.bin"]
