"""The text that arms of any tokenizer are judged on, against a loop over documents."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from coregpt.contract.config import DataConfig, ModelShape, RunConfig
from coregpt.contract.errors import DataError
from coregpt.engine.data import TokenSource, TokenStream, judged_rows
from coregpt.engine.data import judged as module
from coregpt.engine.data.judged import NO_TARGET, whole_documents

SIZES = [0, 1, 2, 3, 5]
DOCUMENTS = [[1, 2, 3], [4, 4], [2], [3, 3, 3, 1], [4, 1, 2, 3]]


def source(tokens: list[int], **other) -> TokenSource:
    stream = TokenStream(list(np.array_split(np.array(tokens, dtype=np.uint16), 2)))
    return TokenSource("mine", "token", 5, stream, stream, stream, 0, "d", token_bytes=tuple(SIZES), **other)


def stream_of(documents: list[list[int]]) -> list[int]:
    return [token for document in documents for token in (0, *document)]


def by_hand(documents: list[list[int]], most: int) -> list[list[int]]:
    kept, size = [], 0
    for document in documents:
        size += sum(SIZES[token] for token in document)
        if size > most:
            break
        kept.append(document)
    return kept


@pytest.mark.parametrize("piece", [1, 2, 3, 100])
@pytest.mark.parametrize("most", range(6, 60))
def test_whole_documents_are_those_of_a_loop(most, piece, monkeypatch):
    monkeypatch.setattr(module, "PIECE", piece)
    whole = stream_of(DOCUMENTS)
    mine = source([3, 1, *whole])  # the end of a document that began elsewhere
    first, end = whole_documents(mine, mine.held_out, most, "held_out")
    assert first == 2
    assert mine.held_out.slice(first, end - first).tolist() == stream_of(by_hand(DOCUMENTS, most))


def config(context: int, most: int) -> RunConfig:
    shape = ModelShape(vocab=8, dim=8, heads=2, depth=1, context=context)
    return RunConfig(model=shape, data=DataConfig(), batch_tokens=context, eval_tokens=context, eval_bytes=most)


@pytest.mark.parametrize("context", [3, 4, 7, 40])
def test_rows_of_a_text_have_every_target_once_and_nothing_else(context):
    mine = source(stream_of(DOCUMENTS))
    inputs, targets = judged_rows(mine, mine.held_out, config(context, 27), "held_out")
    text = stream_of(by_hand(DOCUMENTS, 27))
    assert inputs.shape == targets.shape == (-(-(len(text) - 1) // context), context)
    there = targets.flatten() != NO_TARGET
    assert targets.flatten()[there].tolist() == text[1:]
    assert inputs.flatten()[there].tolist() == text[:-1]
    assert int((~there).sum()) < context
    assert torch.all(inputs >= 0)


def test_what_has_no_bytes_or_documents_cannot_be_judged_by_text():
    mine = source(stream_of(DOCUMENTS))
    for other, text in (
        (replace(mine, token_bytes=()), "does not say them"),
        (replace(mine, separator=None), "no separator"),
    ):
        with pytest.raises(DataError, match=text):
            whole_documents(other, mine.held_out, 30, "held_out")
    with pytest.raises(DataError, match="no whole document of 'held_out' of mine has 5 bytes or less"):
        whole_documents(mine, mine.held_out, 5, "held_out")
