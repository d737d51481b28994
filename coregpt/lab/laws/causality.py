"""Does a model's evaluation use what it must not know: later tokens, other rows, or what it saw before?"""

import contextlib

import torch
from torch import Tensor

from coregpt.contract.errors import RunError
from coregpt.engine.build import Run

ROWS = 2
TOLERANCE = 1e-3
"""Of the largest logit. Rounding stays far below; what is worth cheating for lies far above."""


def refuse_leaks(run: Run, vocab: int) -> None:
    """Raises RunError if the trained model's logits depend on later tokens, other rows or earlier calls.

    The laws test a tiny, untrained model. This tests the very model whose loss is about to count, at its own
    size and with its learned weights and buffers, on random rows that it has never seen.
    """
    with contextlib.ExitStack() as stack:
        for companion in run.companions:
            stack.enter_context(companion.evaluating())
        moved = leak(run, random_rows(run, vocab, 0), random_rows(run, vocab, 1))
    if moved > TOLERANCE:
        raise RunError(
            f"the trained model sees what it must not: logits moved by {moved:.2g} of the largest when only later "
            "tokens or other rows changed; this run cannot count (coregpt plugins check NAME tests a plugin)"
        )


def random_rows(run: Run, vocab: int, seed: int) -> Tensor:
    """(ROWS, context) random ids below `vocab`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocab, (ROWS, run.config.model.context), generator=generator).to(run.device)


@torch.no_grad()
def leak(run: Run, tokens: Tensor, others: Tensor) -> float:
    """How far logits of `tokens` (B, T) move, as a share of the largest, when `others` replace what they must not see.

    For each row: everything after a position and all other rows are replaced. The row that moves least counts:
    a leak shows in every row, while rounding that tips a discrete choice (an expert) hits one row by chance.
    """
    training, length = run.model.training, tokens.shape[1]
    run.model.eval()
    worst = [0.0] * len(tokens)
    with torch.autocast(run.device.type, enabled=False):
        before = run.model.logits(tokens, run.dials.values)
        for row in range(len(tokens)):
            for seen in sorted({1, length // 3 + 1, 2 * length // 3 + 1, length - 1, length} & set(range(length + 1))):
                changed = others.clone()
                changed[row, :seen] = tokens[row, :seen]
                after = run.model.logits(changed, run.dials.values)
                worst[row] = max(worst[row], (after - before)[row, :seen].abs().max().item())
    run.model.train(training)
    return min(worst) / (1 + before.abs().max().item())
