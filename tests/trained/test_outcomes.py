"""Secondary outcomes against slow sums over single tokens, on the tiny run."""

import itertools
import json
import math

import pytest
import torch

from coregpt.engine.data import open_folder
from coregpt.lab.study.sections.evaluate import EvaluateFile, HellaSwagFile
from coregpt.trained.hellaswag import answer, read_items
from coregpt.trained.outcomes import Text, measure

from .test_hellaswag import ITEMS

COUNT, T = 512, 32
EVERYTHING = {"position": [1, 20], "frequency": [50], "calibration": True}


@pytest.fixture(scope="module")
def source(done):
    return open_folder(done.data)


@pytest.fixture(scope="module")
def tokens(done, source):
    """(place in the row, target, loss, confidence, right) of every token, a row at a time in float64."""
    model, ids, found = done.open("scaled/0"), source.held_out.slice(0, COUNT + 1).tolist(), []
    for start in range(0, COUNT, T):
        logits = model.logits(torch.tensor([ids[start : start + T]]))[0].double().tolist()
        for place, row in enumerate(logits):
            target, top = ids[start + place + 1], max(row)
            whole = sum(math.exp(each - top) for each in row)
            loss = math.log(whole) + top - row[target]
            found.append((place, target, loss, 1 / whole, row.index(top) == target))
    return found


def mean(values):
    values = list(values)
    return pytest.approx(sum(values) / len(values), abs=1e-5)


def measured(done, source, questions=(), **said):
    text = Text(source, source.held_out, "held_out", COUNT)
    return measure(done.open("scaled/0"), text, EvaluateFile(**said), questions)


def test_every_outcome_is_what_its_name_says(done, source, tokens):
    (found, whole) = measured(done, source, **EVERYTHING)
    assert whole == mean(token[2] for token in tokens)
    values, last = dict(found.values), T - 1
    assert values.pop("loss, tokens before: 0") == mean(t[2] for t in tokens if t[0] == 0)
    assert values.pop("loss, tokens before: 1 to 19") == mean(t[2] for t in tokens if 1 <= t[0] < 20)
    assert values.pop(f"loss, tokens before: 20 to {last}") == mean(t[2] for t in tokens if t[0] >= 20)
    train = source.train.slice(0, len(source.train)).tolist()
    common = {target: train.count(target) for target in {t[1] for t in tokens}}
    assert values.pop("loss, times in training: 0 to 49") == mean(t[2] for t in tokens if common[t[1]] < 50)
    name = f"loss, times in training: 50 to {max(common.values()):,}"
    assert values.pop(name) == mean(t[2] for t in tokens if common[t[1]] >= 50)
    error = 0.0
    for level in range(10):
        own = [t for t in tokens if min(9, int(t[3] * 10)) == level]
        if own:
            error += abs(sum(t[4] for t in own) - sum(t[3] for t in own)) / len(tokens)
    assert values.pop("expected calibration error") == pytest.approx(error, abs=1e-5)
    assert not values
    assert not found.refused


def test_documents_are_those_of_the_stream(done, source, tokens):
    ids = source.held_out.slice(0, len(source.held_out)).tolist()
    starts = [place for place, token in enumerate(ids) if token == source.separator] + [len(ids)]
    length = {}
    for start, end in itertools.pairwise(starts):
        length |= dict.fromkeys(range(start, end), end - start)
    border = sorted(length[place + 1] for place in range(COUNT))[COUNT // 2]
    values = measured(done, source, document=[border])[0].values
    assert len(values) == 2
    short = [t[2] for place, t in enumerate(tokens) if length[place + 1] < border]
    assert values[f"loss, tokens of the document: 1 to {border - 1}"] == mean(short)


def test_past_the_trained_context_only_later_tokens_count(done, source):
    values = measured(done, source, longer=[2, 4])[0].values
    assert list(values) == ["loss past 32 tokens, in rows of 64", "loss past 32 tokens, in rows of 128"]
    model, ids, losses = done.open("scaled/0").longer(2), source.held_out.slice(0, COUNT + 1).tolist(), []
    for start in range(0, COUNT, 2 * T):
        logits = model.logits(torch.tensor([ids[start : start + 2 * T]]))[0].double()
        for place in range(T, 2 * T):
            losses.append(float(torch.logsumexp(logits[place], 0) - logits[place, ids[start + place + 1]]))
    assert values["loss past 32 tokens, in rows of 64"] == mean(losses)


def test_hellaswag_is_the_share_that_eval_counts(done, source, tmp_path):
    path = tmp_path / "h.jsonl"
    path.write_text("\n".join(json.dumps(each) for each in ITEMS))
    items, model = read_items(path), done.open("scaled/0")
    values = measured(done, source, items, hellaswag=HellaSwagFile(file="h.jsonl"))[0].values
    wanted = answer(model, model.open_tokenizer(), items)
    assert values == {"HellaSwag acc": wanted.acc / 3, "HellaSwag acc_norm": wanted.acc_norm / 3}


def test_a_model_that_takes_no_longer_rows_says_so_and_has_the_rest(done, source, monkeypatch):
    monkeypatch.setattr("coregpt.trained.outcomes.beyond", lambda *_: "the model takes no rows of 64 tokens")
    found, _ = measured(done, source, longer=[2], calibration=True)
    assert list(found.values) == ["expected calibration error"]
    assert found.refused == {"loss past 32 tokens, in rows of 64": "the model takes no rows of 64 tokens"}
