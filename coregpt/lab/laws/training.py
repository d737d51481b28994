"""Laws about training: it learns, compiles as one graph, and goes on where it was stopped."""

import tempfile
from pathlib import Path

from torch import Tensor

from coregpt.contract.errors import CoreGPTError, in_one_line
from coregpt.engine.training.timeline import cut
from coregpt.engine.training.trainer import train
from coregpt.lab.laws.law_case import EVERYTHING, MASKS, MIXED, PLAIN, SHAPE, LawCase, LawError
from coregpt.lab.laws.loop import furthest, steps_on_one_batch, weights
from coregpt.lab.laws.tools import Rows, counting_backend, stop_after, tiny_source
from coregpt.lab.study.code.blame import place_of

FALL = 0.05
SHALLOW = 2
"""Layers of the model that is compiled with its backward pass: most of that time goes by layers."""


def loss_falls(case: LawCase) -> str:
    """Thirty steps on one batch lower the loss by at least 5%, in the plain model and with everything around."""
    return "; ".join(_falls(case.under(around)) for around in (PLAIN, EVERYTHING))


def _falls(case: LawCase) -> str:
    run = case.run(case.config(steps=30))
    trainer = steps_on_one_batch(run, case)
    losses = [float(trainer.train_step(min(step, run.timeline.steps - 1))[0]) for step in range(30)]
    if not losses[-1] < (1 - FALL) * losses[0]:
        raise LawError(
            f"the loss went from {losses[0]:.4f} to {losses[-1]:.4f} in 30 steps on one batch{case.where()}, "
            f"expected a fall by {FALL:.0%}"
        )
    return f"{1 - losses[-1] / losses[0]:.0%}{case.where()}"


def one_graph(case: LawCase) -> str:
    """fullgraph compiles without a break, once per stage, and never again while dials move.

    Every step of the whole model forward, under masks and with random numbers; once fewer layers backward, under masks.
    """
    masked, case = case.under(MASKS), case.under(MIXED)
    number = _graphs(case, SHAPE.depth, "eager", steps=None)
    try:
        case.run(case.config(model=SHAPE.model_copy(update={"depth": SHALLOW})))
        depth = SHALLOW
    except CoreGPTError:  # options that name a layer the shallow model has not; an error in a hook is one too
        depth = SHAPE.depth
    _graphs(masked, depth, "aot_eager", steps=1)
    return f"{number}{case.where()}"


def _graphs(case: LawCase, depth: int, backend: str, steps: int | None) -> int:
    """How many graphs the compiler made, one per stage; LawError if it made more or none."""
    from torch._dynamo.exc import TorchDynamoException  # half of the time that torch takes to import

    run = case.run(case.config(model=SHAPE.model_copy(update={"depth": depth})))
    compiled, graphs = counting_backend(run.model, backend)
    signatures = set()
    for step in range(steps or run.timeline.steps):
        run.dials.set(run.timeline.clock(step))
        staged = tuple((k, v) for k, v in run.dials.values.items() if not isinstance(v, Tensor))
        rows = run.timeline.rows(step)
        signatures.add((rows, run.timeline.lengths[step], staged))
        tokens = cut(case.tokens(rows, step), run.timeline.lengths[step])
        try:
            compiled(tokens, tokens, run.dials.values)[0].backward()
        except TorchDynamoException as error:
            place = place_of(error)
            where = f" ({place})" if place else ""
            raise LawError(
                f"the model does not compile as one graph{case.where()}: {in_one_line(error)}{where}"
            ) from error
    if len(graphs) != len(signatures):
        raise LawError(f"expected {len(signatures)} graph(s), one per stage, but the compiler made {len(graphs)}")
    return len(graphs)


def resumes_to_the_bit(case: LawCase) -> None:
    """Stopped after three steps and resumed by a new process' objects equals uninterrupted; with everything around."""
    case = case.under(EVERYTHING)
    config, source = case.config(), tiny_source()
    with tempfile.TemporaryDirectory() as folder:
        whole, straight = case.run(config), Rows()
        train(whole, source, straight, Path(folder) / "a.pt")
        broken = Rows()
        path = Path(folder) / "b.pt"
        train(case.run(config), source, broken, path, stop_after(3))
        resumed = case.run(config)
        train(resumed, source, broken, path)
    gap, name = furthest(weights(whole), weights(resumed))
    if gap != 0:
        raise LawError(
            f"'{name}' differs by {gap:.2g} between a resumed and an uninterrupted run; is a state not saved?"
        )
    if straight.without_times() != broken.without_times():
        raise LawError("the log of a resumed run differs from an uninterrupted run's")
