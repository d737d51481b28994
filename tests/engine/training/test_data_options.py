"""Whole runs with every option of the data: to the same bits after a break, the same rows for any number of ranks, and
a loss on text that is the mean of a float64 loop."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from coregpt.contract.errors import PluginError
from coregpt.engine.data import mixed
from coregpt.engine.training.outcome import SELECT
from coregpt.engine.training.trainer import Trainer, never, train
from coregpt.engine.training.world import World
from coregpt.lab.laws.tools import Rows, stop_after, tiny_source

MIXTURE = {"other": {"source": "other", "weight": [[0, 0.2], [1, 2]]}}
OPTIONS = [
    {"rows": "documents"},
    {"rows": "documents", "max_document": 5, "document_mask": True},
    {"order": "stream", "document_mask": True},
    {"order": "same", "unique_tokens": 200},
    {"mixture": MIXTURE},
]


def source():
    """The tiny source, and its training text backwards as another one."""
    own = tiny_source()
    backwards = type(own.train)([own.train.slice(0, len(own.train))[::-1].astype(np.uint16)])
    return mixed(own, {"other": replace(own, train=backwards, digest="backwards")})


@pytest.mark.parametrize("data", OPTIONS, ids=str)
def test_a_run_that_was_stopped_ends_with_the_same_bits(build, tmp_path, data) -> None:
    whole, parts = build(config={"data": data}), build(config={"data": data})
    once, rows = train(whole, source(), first := Rows(), tmp_path / "a"), first.without_times()
    second = Rows()
    assert train(parts, source(), second, tmp_path / "b", stop=stop_after(4)).status == "stopped"
    parts = build(config={"data": data})
    again = train(parts, source(), second, tmp_path / "b")
    assert second.without_times() == rows
    assert (again.value, again.select) == (once.value, once.select)
    assert all(torch.equal(value, parts.assembly.params[path]) for path, value in whole.assembly.params.items())


@pytest.mark.parametrize("data", OPTIONS, ids=str)
def test_ranks_together_train_on_the_rows_of_one(build, tmp_path, data) -> None:
    def steps(size: int) -> list[list[list[int]]]:
        runs = [replace(build(config={"data": data}), world=World(rank, size)) for rank in range(size)]
        ranks = [Trainer(run, source(), Rows(), tmp_path / "none", never, 60.0).train_step for run in runs]
        return [
            [row for rank in ranks for row in rank.order.rows(*rank.place(step))[0].tolist()]
            for step in range(runs[0].timeline.steps)
        ]

    assert steps(1) == steps(2) == steps(4)


def test_losses_on_text_are_the_means_over_whole_documents(build, tmp_path) -> None:
    run = build(config={"eval_bytes": 7000, "evals": 1})
    plain = replace(tiny_source(), token_bytes=tuple(range(61)))
    rows = Rows()
    outcome = train(run, plain, rows, tmp_path / "a")
    for stream, found in ((plain.select, outcome.select), (plain.held_out, outcome.value)):
        ids = stream.slice(0, len(stream)).tolist()
        begins = [i for i, token in enumerate(ids) if token == 0]
        end = [i for i in begins if sum(ids[begins[0] : i]) <= 7000][-1]
        text, total = ids[begins[0] : end], 0.0
        for start in range(0, len(text) - 1, 24):
            tokens, targets = text[start : start + 24], text[start + 1 : start + 25]
            with torch.no_grad():
                logits = run.model.logits(torch.tensor([tokens]), run.dials.values)[0].double()
            for scores, target in zip(logits, targets, strict=False):
                total -= float(scores[target] - scores.exp().sum().log())
        assert math.isclose(found, total / (len(text) - 1), abs_tol=1e-5)
    assert rows.rows[-1][SELECT] == outcome.select


def test_shorter_sequences_would_cut_rows_of_documents_inside_of_them(build) -> None:
    with pytest.raises(PluginError, match="seq_len stage 10 would cut rows of documents"):
        build(config={"data": {"rows": "documents"}}, seq_len_schedule={})
