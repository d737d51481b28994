import json

import pytest
import torch

from coregpt.contract.errors import DataError
from coregpt.trained.hellaswag import Item, answer, ending_losses, read_items

ITEMS = [
    {"ctx": "the river runs", "endings": ["under a stone", "over the light", "fast", "slow 12"], "label": 2},
    {"ctx": "a café of", "endings": ["北京", "it's we'll", "stone light river", "the"], "label": 0},
    {"ctx": "Straße", "endings": ["the the", "the the", "a", "a a a a a a"], "label": 1},
]


@pytest.fixture
def file(tmp_path):
    def write(rows):
        path = tmp_path / "hellaswag_val.jsonl"
        path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
        return path

    return write


def slow(model, tokenizer, item):
    """One token of an ending after another, each with all that stands before it."""
    head = [tokenizer.separator, *tokenizer.encode([item.context.encode()])[0].tolist()]
    found = []
    for ending in item.endings:
        row, losses = list(head), []
        for token in tokenizer.encode([f" {ending}".encode()])[0].tolist():
            logits = model.logits(torch.tensor([row[-model.context :]]))[0, -1].double()
            losses.append(float(torch.logsumexp(logits, 0) - logits[token]))
            row.append(token)
        found.append(losses)
    return found


def test_only_tokens_of_the_ending_count_and_each_after_all_before(done, file):
    model = done.open("plain/0")
    tokenizer = model.open_tokenizer()
    right = norm = 0
    for item in (items := read_items(file(ITEMS))):
        losses, cut = ending_losses(model, tokenizer, item)
        wanted = slow(model, tokenizer, item)
        assert not cut
        assert [len(each) for each in losses] == [len(each) for each in wanted]
        for own, other in zip(losses, wanted, strict=True):
            assert own == pytest.approx(other, abs=1e-4)
        sums, means = [sum(each) for each in wanted], [sum(each) / len(each) for each in wanted]
        right += sums.index(min(sums)) == item.label
        norm += means.index(min(means)) == item.label
    found = answer(model, tokenizer, items)
    assert (found.items, found.acc, found.acc_norm, found.cut) == (3, right, norm, 0)


def test_of_equal_endings_the_first_is_taken(done):
    model = done.open("plain/0")
    items = [Item("the", ("a stone", "a stone"), label) for label in (0, 1)]
    found = answer(model, model.open_tokenizer(), items)
    assert (found.acc, found.acc_norm) == (1, 1)


def test_of_a_long_context_the_end_is_seen(done):
    model = done.open("plain/0")
    item = Item("the river runs under " * 30, ("fast", "slow"), 0)
    found = answer(model, model.open_tokenizer(), [item])
    assert found.cut == 1
    with pytest.raises(DataError, match="longer than the model's context"):
        ending_losses(model, model.open_tokenizer(), Item("the", ("river " * 60, "a"), 0))


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("{", ":2: .*expected {ctx, endings, label}"),
        ({"ctx": "a", "label": 0}, ":2: no 'endings'"),
        ({"ctx": "a", "endings": ["b", "c"], "label": 4}, ":2: .*label is not one"),
        ({"ctx": "a", "endings": ["b", ""], "label": 0}, ":2: a text is empty"),
        ({"ctx": 3, "endings": ["b", "c"], "label": 0}, ":2: a text is empty"),
        ("[]", ":2: "),
    ],
)
def test_another_format_is_refused_with_its_line(file, row, complaint):
    with pytest.raises(DataError, match=complaint):
        read_items(file([ITEMS[0], row]))


def test_a_file_that_is_not_there_or_is_empty_is_refused(tmp_path, file):
    with pytest.raises(DataError, match="cannot be read"):
        read_items(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="no questions"):
        read_items(file([""]))
    assert len(read_items(file(ITEMS), 2)) == 2
