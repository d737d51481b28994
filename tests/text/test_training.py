import json
from hashlib import sha256

import pytest

from coregpt.cli import main
from coregpt.contract.errors import DataError
from coregpt.text.reading import Reading
from coregpt.text.training import train

from .conftest import everything, left_in


def test_a_trained_tokenizer_has_every_byte_and_ends_with_its_separator(bpe):
    assert bpe.vocab == 400
    assert bpe.separator == 399
    assert {bytes([byte]) for byte in range(256)} <= set(bpe.pieces)


@pytest.mark.parametrize("words", ["gpt2", "gpt4"])
def test_compression_is_what_ids_per_byte_come_to_on_texts_that_were_kept_apart(texts, words):
    made, (domain,) = train([texts], 400, words, Reading(), lambda line: None)
    assert domain.documents == 200
    assert domain.length == sum(map(len, everything(texts)))
    assert not domain.seen
    assert 0 < len(domain.apart) < 20
    ids = sum(len(made.encode([each])[0]) for each in domain.apart)
    assert domain.ratio(made) == sum(map(len, domain.apart)) / ids > 1.5


def test_no_token_crosses_a_word(bpe):
    """Words as GPT-4's pattern cuts them: a space only begins one, and digits stand in threes."""
    joined = [piece for piece in bpe.pieces if len(piece) > 1]
    assert joined
    assert not any(b" " in piece[1:].rstrip(b" ") for piece in joined if piece != b"<|endoftext|>")


def test_the_same_text_makes_the_same_tokenizer(texts, bpe):
    assert train([texts], 400, "gpt4", Reading(), lambda line: None)[0].text == bpe.text


def test_the_command_writes_the_file_and_tells_compression(texts, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "none"))
    out = tmp_path / "t.json"
    assert main(["tokenizer", "train", str(texts), "--vocab", "300", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "bytes/token" in said
    assert "300 ids" in said
    assert "GPT-2 is not compared with: its tokenizer is not in tiktoken's cache" in said
    assert json.loads(out.read_text())["model"]["type"] == "BPE"
    assert main(["tokenizer", "train", str(texts), "--vocab", "300", "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err


def test_too_few_ids_and_bad_text_leave_nothing(texts, tmp_path, capsys):
    with pytest.raises(DataError, match="257"):
        train([texts], 100, "gpt4", Reading(), print)
    (tmp_path / "junk.txt").write_bytes(b"\xff\0\xff")
    out = tmp_path / "t.json"
    assert main(["tokenizer", "train", str(tmp_path / "junk.txt"), "--vocab", "300", "--out", str(out)]) == 2
    assert left_in(tmp_path) == ["junk.txt"]


def test_a_text_of_one_document_is_trained_on_whatever_its_hash(tmp_path):
    """One in fifty would be kept apart as a whole, and the tokenizer be bytes."""
    words = "a fast horse and a slow horse are two horses. " * 20
    number = next(
        n for n in range(1000) if int.from_bytes(sha256(f"{words}{n}".encode()).digest()[:4], "big") % 50 == 0
    )
    (tmp_path / "book.txt").write_text(f"{words}{number}", encoding="utf-8")
    made, (domain,) = train([tmp_path / "book.txt"], 270, "gpt4", Reading(), lambda line: None)
    assert made.vocab == 270
    assert domain.seen
