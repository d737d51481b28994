"""Ranks are only a way to cut a batch: k ranks give what one rank gives with k micro-batches."""

import torch

from coregpt.lab.laws.laws import LawCase, train_tiny
from coregpt.lab.laws.ranks import begin


def test_two_ranks_equal_two_micro_batches_to_the_bit(catalogue) -> None:
    subject = LawCase(catalogue, "rope")
    ranks = begin([subject]).weights()[0]
    accumulated = train_tiny(subject, subject.config(micro_rows=2))
    assert ranks.keys() == accumulated.keys()
    for path, value in accumulated.items():
        assert torch.equal(value, ranks[path]), path
