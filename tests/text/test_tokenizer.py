import pickle

import numpy as np
import pytest
import tiktoken
import tokenizers

from coregpt.contract.errors import DataError
from coregpt.text import tokenizer as module
from coregpt.text.extras import extra
from coregpt.text.token_bytes import byte_letters
from coregpt.text.tokenizer import Gpt2, Json, open_tokenizer

from .conftest import everything

ODD = ["", " ", "a\r\n\r\nb", "🙂 café\t北京", "<|endoftext|>", "x<|endoftext|>y <|endoftext|>", "\u200d\ufe0f"]


def spelled() -> Json:
    """A tokenizer of pieces, as SentencePiece makes them."""
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            {"<unk>": 0, "<s>": 1, "</s>": 2, "<0xC3>": 3, "<0xA9>": 4, "▁": 5, "a": 6, "b": 7, "▁a": 8},
            [("▁", "a")],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="never")
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    return Json(made.to_str())


def test_bytes_are_their_own_ids_and_nul_separates():
    found = open_tokenizer("bytes")
    (ids,) = found.encode(["é!".encode()])
    assert ids.tolist() == [0xC3, 0xA9, ord("!")]
    assert (found.vocab, found.separator) == (256, 0)
    assert found.decode([0, 0xC3, 0xA9]) == "é".encode()
    assert found.token_bytes() == [0] + [1] * 255


def test_ids_of_a_json_decode_to_the_text_and_their_bytes_add_up(bpe, texts):
    sizes = np.array(bpe.token_bytes())
    written = [*everything(texts), *(each.encode() for each in ODD)]
    for raw, ids in zip(written, bpe.encode(written), strict=True):
        assert bpe.decode(ids.tolist()) == raw
        assert sizes[ids].sum() == len(raw)
        assert bpe.separator not in ids


def test_ids_are_those_of_the_library_itself(bpe, texts):
    library = tokenizers.Tokenizer.from_str(bpe.text)
    raw = everything(texts)[0]
    assert bpe.encode([raw])[0].tolist() == library.encode(raw.decode(), add_special_tokens=False).ids


def test_pieces_with_a_low_line_for_a_space_add_up():
    found = spelled()
    (ids,) = found.encode(["a aé b".encode()])
    assert found.decode(ids.tolist()) == "a aé b".encode()
    assert np.array(found.token_bytes())[ids].sum() == len("a aé b".encode())
    assert found.separator == 2


def test_a_tokenizer_goes_to_another_process_and_is_the_same(bpe):
    again = pickle.loads(pickle.dumps(bpe))
    assert again.digest == bpe.digest
    assert again.encode([b"the river"])[0].tolist() == bpe.encode([b"the river"])[0].tolist()


def test_the_letters_of_bytes_are_those_of_the_library():
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_letters()) == alphabet
    assert sorted(byte_letters().values()) == list(range(256))
    split = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for byte in range(128):
        ((letters, _),) = split.pre_tokenize_str(chr(byte))
        assert byte_letters()[letters] == byte


def test_gpt2_has_the_ids_and_bytes_of_tiktoken(monkeypatch):
    """On a small encoding in the place of the published one, which cannot be had without a network."""
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"th": 256, b"the": 257}
    small = tiktoken.Encoding("gpt2", pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 258})
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: small)
    monkeypatch.setattr(module, "GPT2_END", 258)
    found = Gpt2()
    (ids,) = found.encode([b"the <|endoftext|>"])
    assert ids[:2].tolist() == [257, ord(" ")]
    assert len(ids) == 2 + len("<|endoftext|>")
    assert found.decode([*ids.tolist(), 258]) == b"the <|endoftext|>"
    assert found.token_bytes() == [1] * 256 + [2, 3, 0]
    assert pickle.loads(pickle.dumps(found)).digest == found.digest


def test_gpt2_without_a_network_says_what_to_do(monkeypatch):
    def offline(name: str) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(tiktoken, "get_encoding", offline)
    with pytest.raises(DataError, match="TIKTOKEN_CACHE_DIR"):
        open_tokenizer("gpt2")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "cannot be read"), (b"\xff\xfe", "no UTF-8"), (b"{}", "is no tokenizer"), (b"not json", "is no tokenizer")],
)
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path, content, complaint):
    path = tmp_path / "t.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        open_tokenizer(str(path))


def test_a_missing_library_names_the_extra():
    with pytest.raises(DataError, match=r"coregpt\[data\]"):
        extra("no_such_library_here", "something")
