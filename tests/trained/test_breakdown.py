"""Each table against a slow count, token by token, on the tiny run."""

import bisect
import json
import math
from collections import Counter

import numpy as np
import pytest
import torch

from coregpt.engine.data import open_folder
from coregpt.trained import breakdown
from coregpt.trained.breakdown import calibration, documents, frequencies, positions, split
from coregpt.trained.scoring import score

ROWS, T = 16, 32


@pytest.fixture(scope="module")
def source(done):
    return open_folder(done.data)


@pytest.fixture(scope="module")
def scored(done, source):
    return score(done.open("plain/0"), source.select, ROWS * T, "select")


@pytest.fixture(scope="module")
def slow(done, source):
    """(row, position, target, loss, confidence, right) of every token, in float64 and one row at a time."""
    model, found = done.open("plain/0"), []
    tokens = source.select.slice(0, ROWS * T + 1)
    for row in range(ROWS):
        ids = tokens[row * T : row * T + T + 1].tolist()
        logits = model.logits(torch.tensor([ids[:-1]]))[0].double().numpy()
        for at, target in enumerate(ids[1:]):
            exps = [math.exp(each - max(logits[at])) for each in logits[at].tolist()]
            best = max(range(len(exps)), key=exps.__getitem__)
            found.append((row, at, target, -math.log(exps[target] / sum(exps)), max(exps) / sum(exps), best == target))
    return found


def means(groups):
    found = {}
    for name, value in groups:
        found.setdefault(name, []).append(value)
    return {name: (len(values), sum(values) / len(values)) for name, values in found.items()}


def table(parts):
    return {part.name: (part.mean.count, pytest.approx(part.mean.value, abs=1e-5)) for part in parts}


def named(value, edges):
    place = bisect.bisect_right(edges, value) - 1
    low, high = edges[place], edges[place + 1]
    return f"{low:,}" if high == low + 1 else f"{low:,} to {high - 1:,}"


def test_losses_confidence_and_right_answers_are_those_of_the_definition(scored, slow):
    assert scored.losses.flatten() == pytest.approx([each[3] for each in slow], abs=1e-5)
    assert scored.confidence.flatten() == pytest.approx([each[4] for each in slow], abs=1e-6)
    assert scored.right.flatten().tolist() == [each[5] for each in slow]
    assert scored.targets.flatten().tolist() == [each[2] for each in slow]


def test_the_mean_is_the_loss_that_the_run_recorded(done, scored):
    result = json.loads((done.runs / done.id("plain/0") / "result.json").read_text())
    assert scored.losses.mean() == pytest.approx(result["select"], abs=1e-6)


def test_by_position(scored, slow):
    wanted = means((named(at, [0, 1, 2, 4, 8, 16, 32]), loss) for _, at, _, loss, _, _ in slow)
    assert table(split(scored.losses, positions(scored))) == wanted


def test_by_how_common_the_target_is(scored, slow, source, monkeypatch):
    monkeypatch.setattr(breakdown, "PART", 1000)
    counts = Counter(source.train.slice(0, len(source.train)).tolist())
    edges = [0, 1, 10, 100, 1000, 10**6]
    wanted = means((counts[target], loss) for _, _, target, loss, _, _ in slow)
    found = split(scored.losses, frequencies(scored, source))
    assert sum(part.share for part in found) == pytest.approx(1)
    by_edge = Counter()
    for count, (tokens, _) in wanted.items():
        by_edge[bisect.bisect_right(edges, count)] += tokens
    assert sorted(part.mean.count for part in found) == sorted(by_edge.values())
    total = sum(part.mean.value * part.mean.count for part in found)
    assert total == pytest.approx(sum(each[3] for each in slow), abs=1e-2)


@pytest.mark.parametrize("part", [100, 2**22])
def test_by_the_length_of_the_document(done, scored, slow, source, monkeypatch, part):
    monkeypatch.setattr(breakdown, "PART", part)
    rows = [json.loads(line) for line in (done.data / "documents.jsonl").read_text().splitlines()]
    ends = [(start, tokens) for name, start, tokens, _, _ in rows if name == "select"]
    lengths = [tokens for _, tokens in ends for _ in range(tokens)]
    found = split(scored.losses, documents(scored, source, source.select))
    edges = [1, 4, 16, 64, 256, 1024, 4096]
    highest = max(lengths[1 : ROWS * T + 1])
    edges = [*(each for each in edges if each <= highest), highest + 1]
    wanted = means((named(lengths[row * T + at + 1], edges), loss) for row, at, _, loss, _, _ in slow)
    assert table(found) == wanted


def test_calibration(scored, slow):
    found = calibration(scored)
    levels = {}
    for _, _, _, _, sure, right in slow:
        levels.setdefault(min(int(sure * 10), 9), []).append((sure, right))
    error = sum(
        len(each) / len(slow) * abs(np.mean([r for _, r in each]) - np.mean([s for s, _ in each]))
        for each in levels.values()
    )
    assert found.error == pytest.approx(error, abs=1e-6)
    assert [mean.count for _, _, mean in found.levels] == [len(levels[key]) for key in sorted(levels)]


def test_a_sure_and_right_model_is_calibrated_and_a_sure_and_wrong_one_is_not(scored):
    import dataclasses

    sure = dataclasses.replace(scored, confidence=np.ones_like(scored.confidence))
    right = np.ones(scored.right.shape, dtype=bool)
    assert calibration(dataclasses.replace(sure, right=right)).error == 0
    assert calibration(dataclasses.replace(sure, right=~right)).error == 1
