"""A small BPE by recipe: the same commands make the same ids."""

import hashlib
import json

from coregpt.cli import main
from coregpt.engine.data import open_folder, pydocs
from coregpt.text.embedded import embedded, with_embedded
from coregpt.text.reading import Reading
from coregpt.text.training import train

KNOWN = {
    "6dedfaf77c5eaca8f0a9456a8095441dec0bd52cb57c6ae6538dfd7a29a389aa": (
        "722d31448047726e2d0d9072b5f89ef939f616c6670a087282f2567cf1513638"
    ),  # CPython 3.11.7
}
"""By the digest of the corpus, which differs between interpreters, that of the tokenizer of 1,024 ids."""
OF_WORDS = "cc6f2b65546e0c64e64511af8684ac77abcd590c9a435cc177a8ef13dd204f12"
"""Of 300 ids from the words below, on any machine."""


def digest(text: str) -> str:
    """sha256 of what decides ids: vocabulary and merges."""
    model = json.loads(text)["model"]
    return hashlib.sha256(json.dumps([model["vocab"], model["merges"]]).encode()).hexdigest()


def test_every_document_of_the_corpus_is_a_line_once(tmp_path):
    texts = [json.loads(line)["text"] for line in embedded().read_text(encoding="utf-8").splitlines()]
    source = pydocs()
    assert len(texts) == source.about["train_documents"] + source.about["val_documents"]
    size = sum(len(text.encode()) + 1 for text in texts)
    assert size == len(source.train) + len(source.select) + len(source.held_out)
    first = bytes(source.train.slice(0, 1000).tolist())
    assert first[1:].startswith(texts[0].encode()[:999])


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = embedded().relative_to(embedded().parent).with_name("pydocs")
    assert with_embedded([name]) == [embedded()]
    (tmp_path / "pydocs").write_text("my own")
    assert with_embedded([name]) == [name]


def test_the_recipe_makes_the_same_ids_again_and_shards_of_them(tmp_path, capsys):
    for out in ("a.json", "b.json"):
        assert main(["tokenizer", "train", "pydocs", "--vocab", "1024", "--out", str(tmp_path / out)]) == 0
    assert capsys.readouterr().out.count("\npydocs  ") == 2  # the corpus is called as it was named
    first, second = ((tmp_path / out).read_text(encoding="utf-8") for out in ("a.json", "b.json"))
    assert first == second
    if (corpus := pydocs().digest) in KNOWN:
        assert digest(first) == KNOWN[corpus]
    assert (
        main(["data", "prepare", "pydocs", "--tokenizer", str(tmp_path / "a.json"), "--out", str(tmp_path / "d")]) == 0
    )
    source = open_folder(tmp_path / "d")
    assert source.vocab == 1024
    assert source.token_bytes
    assert not (tmp_path / "pydocs").exists()


def test_ids_hang_on_the_text_alone(tmp_path):
    """Not on the order in which cores count words, the machine, or the library's version."""
    words = [f"{a}{b}{c}" for a in ("the", "river", "of") for b in ("stone", "light", "a") for c in ("s", "ing", "")]
    (tmp_path / "t.txt").write_text(" ".join(words * 50), encoding="utf-8")
    made, _ = train([tmp_path / "t.txt"], 300, "gpt4", Reading(), lambda line: None)
    assert digest(made.text) == OF_WORDS
