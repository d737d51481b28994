import collections

import pytest
import torch

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.trained.sampling import Drawing, generate, probabilities, prompt_ids, text_of

LOGITS = torch.tensor([2.0, -1.0, 2.0, 0.5, 3.0, -4.0])


def slow(logits: list[float], how: Drawing) -> list[float]:
    """The definition in plain Python."""
    import math

    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    if how.temperature == 0:
        return [float(i == order[0]) for i in range(len(logits))]
    weights = [math.exp(each / how.temperature) for each in logits]
    kept = order[: how.top_k]
    if how.top_p is not None:
        whole, mass, few = sum(weights[i] for i in kept), 0.0, []
        for i in kept:
            if mass / whole < how.top_p:
                few.append(i)
            mass += weights[i]
        kept = few
    whole = sum(weights[i] for i in kept)
    return [weights[i] / whole if i in kept else 0.0 for i in range(len(logits))]


@pytest.mark.parametrize("temperature", [0, 0.3, 1, 2.5])
@pytest.mark.parametrize("top_k", [None, 1, 2, 3, 100])
@pytest.mark.parametrize("top_p", [None, 0.01, 0.6, 0.9, 1])
def test_probabilities_are_those_of_the_definition(temperature, top_k, top_p):
    how = Drawing(temperature, top_k, top_p)
    assert probabilities(LOGITS, how).tolist() == pytest.approx(slow(LOGITS.tolist(), how), abs=1e-12)


@pytest.mark.parametrize("given", [{"temperature": -1}, {"temperature": float("nan")}, {"top_p": 0}, {"top_p": 1.5}])
def test_absurd_settings_are_refused(given):
    with pytest.raises(ConfigError, match="expected a number"):
        Drawing(**given)


def test_the_most_probable_token_is_that_of_the_whole_row_each_time(done):
    model = done.open("scaled/0")
    tokens = list(generate(model, [399], 400, 50, Drawing(0)))
    row = [399]
    for token in tokens:
        seen = torch.tensor([row[-32:]])
        assert token == int(model.logits(seen)[0, -1, :400].argmax())
        row.append(token)


def test_draws_have_the_probabilities_of_the_model_and_a_seed_decides_them(done):
    model = done.open("plain/0")
    first = collections.Counter(
        next(generate(model, [399], 400, 1, Drawing(top_k=3, seed=seed))) for seed in range(600)
    )
    chance = probabilities(model.logits(torch.tensor([[399]]))[0, -1, :400], Drawing(top_k=3))
    assert set(first) == set(chance.nonzero().flatten().tolist())
    for token, count in first.items():
        p = float(chance[token])
        assert abs(count / 600 - p) < 5 * (p * (1 - p) / 600) ** 0.5
    same = [list(generate(model, [399], 400, 20, Drawing(seed=7))) for _ in range(2)]
    assert same[0] == same[1] != list(generate(model, [399], 400, 20, Drawing(seed=8)))


def test_padding_is_never_drawn(done):
    model = done.open("plain/0")
    assert max(generate(model, [399], 30, 300, Drawing(temperature=50))) < 30


def test_letters_are_printed_when_they_are_whole_and_a_separator_ends_the_text(bpe):
    ids = bpe.encode(["né 北".encode()])[0].tolist()
    pieces = list(text_of(iter([*ids, bpe.separator, *ids]), bpe))
    assert "".join(pieces) == "né 北"
    assert "�" not in "".join(pieces)


def test_a_prompt_follows_a_separator(bpe):
    assert prompt_ids(bpe, "the")[0] == bpe.separator
    assert prompt_ids(bpe, "") == [bpe.separator]
    bare = type(bpe)(bpe.text)
    bare.separator = None
    with pytest.raises(ConfigError, match="--prompt is empty"):
        prompt_ids(bare, "")


def test_the_command_prints_the_prompt_and_the_same_text_again(done, capsys):
    said = []
    for _ in range(2):
        words = ["generate", "plain/1", "--runs", str(done.runs), "--prompt", "the river", "--tokens", "20"]
        assert main([*words, "--samples", "2", "--top-k", "20", "--top-p", "0.95"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert said[0].count("the river") >= 2
    assert main([*words, "--temperature", "-1"]) == 2
