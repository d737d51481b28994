import pytest
import torch

from coregpt.cli import main
from coregpt.engine import weights
from coregpt.text.prefixes import longest_prefixes, write
from coregpt.text.tokenizer import open_tokenizer

from .test_tokenizer import spelled


def slow(pieces):
    """Of all other pieces that this one begins with the longest, by looking at each."""
    found = []
    for piece in pieces:
        fits = [i for i, other in enumerate(pieces) if other and other != piece and piece.startswith(other)]
        longest = max((len(pieces[i]) for i in fits), default=0)
        found.append(next((i for i in fits if len(pieces[i]) == longest), -1))
    return found


def test_the_longest_proper_beginning():
    pieces = [b"", b"a", b"ab", b"abcd", b"b", b"abc", b"xyz", b"ab", b"abz"]
    assert longest_prefixes(pieces) == [-1, -1, 1, 5, -1, 2, -1, 1, 2] == slow(pieces)


def test_of_a_tokenizer_and_in_a_file(tmp_path):
    made = spelled()
    assert slow([made.decode([i]) for i in range(made.vocab)]) == write(made, tmp_path / "p.pt")
    assert weights.read(tmp_path / "p.pt").params["prefix"].dtype == torch.int64
    assert set(write(open_tokenizer("bytes"), tmp_path / "b.pt")) == {-1}


def test_the_command_says_what_it_found_and_keeps_what_is_there(tmp_path, capsys):
    (tmp_path / "tokenizer.json").write_text(spelled().text)
    given = ["tokenizer", "prefixes", str(tmp_path / "tokenizer.json"), "--out", str(tmp_path / "p.pt")]
    assert main(given) == 0
    assert "of 9 ids" in capsys.readouterr().out
    assert main(given) == 2
    assert "is there already" in capsys.readouterr().err
    assert main([*given[:-1], str(tmp_path / "none" / "p.pt")]) == 2


@pytest.mark.parametrize("name", ["nothing.json", "gpt5"])
def test_a_tokenizer_that_is_none_is_one_line(name, tmp_path, capsys):
    assert main(["tokenizer", "prefixes", name, "--out", str(tmp_path / "p.pt")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
