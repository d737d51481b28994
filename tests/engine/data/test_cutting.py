"""Rows that begin with documents, held against a loop over single tokens that knows nothing of the index."""

import numpy as np
import pytest

from coregpt.contract.errors import DataError
from coregpt.engine.data import RowOrder, TokenStream
from coregpt.engine.data.cutting import ContiguousRows, DocumentRows

SEPARATOR = 0


def text(seed: int, documents: int = 200, longest: int = 40) -> list[int]:
    """Tokens 1.. behind separators; every document counts on, so that a token tells its place."""
    random, tokens = np.random.default_rng(seed), [5, 6, 7]  # the end of a document that began elsewhere
    for _ in range(documents):
        tokens += [SEPARATOR, *(len(tokens) + 1 + np.arange(random.integers(0, longest)))]
    return tokens


def by_hand(tokens: list[int], context: int, most: int | None) -> list[list[int]]:
    """By the definition: open a row at the next separator, copy tokens of a document until it ends, `most` are copied
    or the row has context + 1; what is left of it is skipped."""
    rows: list[list[int]] = []
    row: list[int] = []
    copied: int | None = None
    for token in tokens:
        if token == SEPARATOR:
            copied = 0
        if copied is None or (most is not None and copied == most):
            continue
        row.append(token)
        copied += 1
        if len(row) == context + 1:
            rows.append(row)
            row, copied = [], None
    return rows


@pytest.mark.parametrize("most", [None, 2, 7, 16, 100])
@pytest.mark.parametrize("context", [4, 16, 90])
@pytest.mark.parametrize("seed", [0, 1])
def test_rows_of_documents_are_those_of_a_loop_over_tokens(seed, context, most):
    tokens = text(seed)
    stream = TokenStream(list(np.array_split(np.array(tokens, dtype=np.uint16), 4)))
    rows = DocumentRows(stream, context, SEPARATOR, most)
    expected = by_hand(tokens, context, most)
    assert rows.n_rows == len(expected) > 1
    assert [rows.row(number).tolist() for number in range(rows.n_rows)] == expected
    assert rows.tokens == len(expected) * context


def test_every_row_begins_with_a_separator_and_no_document_is_longer_than_allowed():
    stream = TokenStream([np.array(text(3), dtype=np.uint32)])
    rows = DocumentRows(stream, 24, SEPARATOR, 9)
    for number in range(rows.n_rows):
        row = rows.row(number)
        assert row[0] == SEPARATOR
        assert max(np.diff([*np.flatnonzero(row == SEPARATOR), len(row)])) <= 9


def test_texts_without_documents_are_refused():
    stream = TokenStream([np.arange(1, 100, dtype=np.uint16)])
    with pytest.raises(DataError, match="do not fit in the 0 documents of 99 training tokens"):
        DocumentRows(stream, 8, SEPARATOR)


def test_rows_of_documents_are_ordered_like_any_others():
    stream = TokenStream([np.array(text(0), dtype=np.uint16)])
    cut = DocumentRows(stream, 16, SEPARATOR)
    order = RowOrder(stream, 16, 3, cut=cut)
    inputs, targets = order.rows(0, cut.n_rows)
    assert inputs.tolist() == [cut.row(int(row))[:-1].tolist() for row in order.permutation(0)]
    assert targets.tolist() == [cut.row(int(row))[1:].tolist() for row in order.permutation(0)]


def test_places_of_a_token_are_those_of_a_plain_search():
    tokens = np.array(text(2), dtype=np.uint16)
    stream = TokenStream(list(np.array_split(tokens, 5)))
    assert stream.places(SEPARATOR).tolist() == [i for i, token in enumerate(tokens) if token == SEPARATOR]
    part = stream.part(20, 300)
    assert part.places(SEPARATOR).tolist() == [i for i, token in enumerate(tokens[20:300]) if token == SEPARATOR]


def test_contiguous_rows_go_over_the_whole_stream():
    assert ContiguousRows(TokenStream([np.arange(101, dtype=np.uint16)]), 10).tokens == 101
