"""Laws about what a logit may depend on: no later token, no other row, nothing seen before, no other document."""

import torch
from torch import Tensor

from coregpt.engine.build import Run
from coregpt.lab.laws.law_case import BF16, EVERYTHING, MIXED, PLAIN, SHAPE, LawCase, LawError, Limit
from coregpt.lab.laws.loop import furthest, trained
from coregpt.lab.laws.surroundings import REACH

LIMIT = 1e-4
BF16_LIMIT = 2**-6
"""A quarter of bf16's steps per doubling, for logits of size 1: rounding that other numbers in a product tip over."""


def sees_no_future(case: LawCase) -> str:
    """No logit at position t changes when tokens after t do, in training and in evaluation."""
    return "; ".join(_later_tokens(case.under(around)) for around in (PLAIN, MIXED, BF16))


def _later_tokens(case: LawCase) -> str:
    run = case.run(case.config())
    case.stir(run)
    tokens, worst = case.tokens(rows=3), 0.0
    limit = BF16_LIMIT if "bf16" in case.around else LIMIT
    for step in (0, run.timeline.steps - 1):
        run.dials.set(run.timeline.clock(step))
        for training in (True, False):
            run.model.train(training)
            before = logits(run, case, tokens)
            for t in (0, 1, 11, SHAPE.context - 2):
                changed = tokens.clone()
                changed[:, t + 1 :] = (changed[:, t + 1 :] + 7) % SHAPE.vocab
                gap = (logits(run, case, changed) - before)[:, : t + 1].abs().max().item()
                worst = max(worst, gap)
                if not gap <= limit:
                    raise LawError(
                        f"logits at positions up to {t} moved by {gap:.2g} when later tokens changed{case.where()}, "
                        f"limit {limit:.2g}"
                    )
    return measured(worst, limit, case)


def rows_do_not_meet(case: LawCase) -> str:
    """In evaluation no logit changes when other rows do: the next row begins with the last one's answer."""
    return "; ".join(_other_rows(case.under(around)) for around in (PLAIN, MIXED))


def _other_rows(case: LawCase) -> str:
    run = case.run(case.config())
    case.stir(run)
    run.model.eval()
    run.dials.set(run.timeline.clock(run.timeline.steps - 1))
    tokens, others, worst = case.tokens(rows=3), case.tokens(rows=3, seed=1), 0.0
    before = logits(run, case, tokens)
    for row in range(3):
        others[row] = tokens[row]
        together = logits(run, case, others)[row]
        alone = logits(run, case, tokens[row : row + 1])[0]
        gap = max((before[row] - seen).abs().max().item() for seen in (together, alone))
        worst = max(worst, gap)
        if not gap <= LIMIT:
            raise LawError(
                f"logits of one row moved by {gap:.2g} when other rows changed or were left out{case.where()}, "
                f"limit {LIMIT:g}"
            )
        others = case.tokens(rows=3, seed=row + 2)
    return measured(worst, LIMIT, case)


def evaluation_leaves_no_trace(case: LawCase) -> None:
    """Evaluating again gives the same bits, and training goes the same way however often it is evaluated."""
    for around in (PLAIN, MIXED):
        here = case.under(around)
        run = here.run(here.config())
        here.stir(run)
        run.model.eval()
        first = logits(run, here, here.tokens())
        for seed in (1, 0, 2, 0, 0):
            again = logits(run, here, here.tokens(seed=seed))
            if seed == 0 and not torch.equal(first, again):
                raise LawError(
                    f"the same tokens evaluated again gave other logits{here.where()}: something random or remembered"
                )
    here = case.under(EVERYTHING)
    seldom = trained(here, here.config(evals=1))
    often = trained(here, here.config(evals=8, held_out_curve=True))
    gap, path = furthest(seldom[0], often[0])
    if gap != 0:
        raise LawError(f"'{path}' ends differently when the model is evaluated more often{here.where()}")
    if seldom[1] != often[1]:
        raise LawError(f"the final loss depends on how often the model is evaluated{here.where()}")


def keeps_to_masks(case: LawCase) -> str | Limit:
    """No logit depends on tokens that masks hide: those of other documents, those that no window lets through.

    A technique may do without masks (it replaces attention, say). Then this says what its runs must not be asked for.
    """
    told, kept = [], []
    if "documents" not in case.broken:
        here = case.under(("documents",))
        second = SHAPE.context // 4  # where a document begins in every row
        gap = _moved(here, slice(1, second), slice(second, None))
        kept.append(f"documents {gap:.2g}")
        if not gap <= LIMIT:
            told.append(
                f"with data.document_mask tokens of another document still move logits, by {gap:.2g}, limit {LIMIT:g}"
            )
    if "window" not in case.broken:
        reach = REACH * SHAPE.depth
        gap = _moved(case.under(("window",)), slice(0, 2), slice(2 + 2 * reach, None))
        kept.append(f"window {gap:.2g}")
        if not gap <= LIMIT:
            told.append(
                f"in {SHAPE.depth} layers under a window of {REACH} tokens, tokens {2 * reach} places back still move "
                f"logits, by {gap:.2g}, limit {LIMIT:g}"
            )
    return Limit("; ".join(told)) if told else f"{', '.join(kept)}, limit {LIMIT:g}"


def _moved(case: LawCase, changed: slice, hidden: slice) -> float:
    """How far evaluated logits at positions `hidden` move when the tokens at `changed` do."""
    run = case.run(case.config())
    case.stir(run)
    run.model.eval()
    tokens = case.tokens(rows=3)
    other = tokens.clone()
    other[:, changed] = tokens[:, changed] % (SHAPE.vocab - 1) + 1  # never a separator, and never the same
    return (logits(run, case, tokens) - logits(run, case, other))[:, hidden].abs().max().item()


@torch.no_grad()
def logits(run: Run, case: LawCase, tokens: Tensor) -> Tensor:
    """(B, T, V), in the precision of the pass. Global generators start alike: another law is about those."""
    with torch.random.fork_rng(devices=[]), case.autocast():
        torch.manual_seed(0)
        found: Tensor = run.model.logits(tokens, run.dials.values)
        return found.float()


def measured(gap: float, limit: float, case: LawCase) -> str:
    return f"{gap:.2g}{case.where()}, limit {limit:.2g}"
