"""Ranks are only a way to cut a batch: k ranks give what one rank gives with k micro-batches."""

import torch

from coregpt.engine.training.world import World
from coregpt.lab.laws.law_case import SHAPE
from coregpt.lab.laws.laws import LawCase, train_tiny
from coregpt.lab.laws.ranks import begin


def test_two_ranks_equal_two_micro_batches_to_the_bit(catalogue) -> None:
    subject = LawCase(catalogue, "rope")
    ranks = begin([subject]).weights()[0]
    accumulated = train_tiny(subject, subject.config(micro_rows=2))
    assert ranks.keys() == accumulated.keys()
    for path, value in accumulated.items():
        assert torch.equal(value, ranks[path]), path


def test_eight_ranks_share_stacks_of_fewer_matrices(catalogue) -> None:
    """A node's worth of ranks, some of which hold nothing but padding; gathers run beside the next update."""
    subject = LawCase(catalogue, "muon")
    changes = {"batch_tokens": 8 * SHAPE.context, "steps": 3, "tokens": 24 * SHAPE.context}
    changes["model"] = SHAPE.model_copy(update={"depth": 2})
    ranks = begin([subject], size=8, **changes).weights()[0]
    alone = train_tiny(subject, subject.config(micro_rows=1, **changes))
    for path, value in alone.items():
        torch.testing.assert_close(ranks[path], value, rtol=0, atol=3e-5, msg=path)


class Recorded(World):
    """A world that says in which order things happened."""

    def begin_gather(self, whole, mine):
        said.append("begin")
        return lambda: said.append("wait")


said: list[str] = []


def test_every_gather_is_begun_before_the_first_is_waited_for(build) -> None:
    run = build()
    run.optimizer.world = Recorded()
    run.optimizer.step(1.0, run.dials.values)
    count = len(run.optimizer.stacks)
    assert count > 1
    assert said == ["begin"] * count + ["wait"] * count
