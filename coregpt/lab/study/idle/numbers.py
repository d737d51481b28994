"""Which numbers a run will have, without having them: equal names mean equal evaluations, whatever the tokens are.

One step is taken on shapes alone: forward, backward, update, evaluation, with every companion's moments. The name of
the evaluated logits after it holds all that can reach an evaluation: weights and how they start, the loss and its
gradients, update rules, dials over the whole run, masks that are read. What nothing reads is not in it.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from coregpt.contract.companion import Companion
from coregpt.contract.config import RunConfig
from coregpt.contract.rules import Dials, Schedule
from coregpt.engine.build import NamedPlugins, Run, build
from coregpt.engine.inputs import Given
from coregpt.engine.training.optimizer import Stack
from coregpt.lab.study.idle.symbols import Symbols, WithContent, digest

SAMPLES = 2000
"""At so many steps, evenly spaced, schedules and static dials are compared."""
MOST_STAGES = 6
"""Combinations of static dials beyond which only so many are traced."""
ROWS = 2


@dataclass(frozen=True)
class Case:
    """A run to look at, before it is built."""

    config: RunConfig
    plugins: NamedPlugins
    inputs: Given | None = None

    def build(self) -> Run:
        """On shapes alone."""
        return build(self.config, self.plugins, inputs=self.inputs, device="meta", separator=0)


def loss_of(case: Case) -> tuple[str, frozenset[str]]:
    """Name of the training loss before the last step, and the parameters that it depends on. A part of `name_of`."""
    with _tracing() as symbols:
        run = _begun(case, symbols)
        _name_dials(run, symbols, run.timeline.steps - 1)
        weights = {symbols.given(param): path for path, param in run.assembly.params.items()}
        run.model.train()
        loss = _loss(run, *_batch(run, symbols, run.timeline.steps - 1))
        return symbols.name(loss), frozenset(weights[name] for name in symbols.sources(loss) & weights.keys())


def name_of(case: Case, like: Run) -> tuple[str, frozenset[str]]:
    """Name of all evaluations of a run, and the plugins whose companions were seen to change anything.

    `like` is the run as built. Raises whatever a plugin raises that needs numbers where there are only shapes.
    """
    acted: set[str] = set()
    last = _traced(case, None, acted)
    first: dict[Any, int] = {}
    for step in _steps(like):
        first.setdefault(_stage(like, step), step)
    if len(first) == 1 and not like.companions:
        found = dict.fromkeys(first, last)  # all steps are alike
    else:
        some = itertools.islice(first.items(), MOST_STAGES)
        found = {stage: _traced(case, step, acted) for stage, step in some}
    stages = _series(like, lambda step: found.get(_stage(like, step), _stage(like, step)))
    sizes = _runs(like.timeline.batches), _runs(like.timeline.lengths)
    rest = case.config.model_dump(exclude={"model", "optim", "plugins", "batch_tokens", "tokens"})
    return digest(sorted(rest.items()), sizes, stages, last), frozenset(acted)


def _stage(run: Run, step: int) -> tuple[Any, ...]:
    """Values of the static dials, and the length of a row."""
    static = [name for name, value in run.dials.values.items() if not isinstance(value, Tensor)]
    clock = run.timeline.clock(step)
    return run.timeline.lengths[step], *((name, run.dials.schedules[name](clock)) for name in sorted(static))


@contextlib.contextmanager
def _tracing() -> Iterator[Symbols]:
    with sdpa_kernel(SDPBackend.MATH), WithContent(), Symbols() as symbols:
        yield symbols


def _begun(case: Case, symbols: Symbols) -> Run:
    run = case.build()
    for path, param in run.assembly.params.items():
        symbols.assign(param, digest(path, run.assembly.record.drawn[path], symbols.name(param)))
    return run


def _traced(case: Case, step: int | None, acted: set[str]) -> str:
    """Name of the logits evaluated after one step, at `step` or the last, of a run that is new."""
    with _tracing() as symbols:
        run = _begun(case, symbols)
        _train(run, symbols, run.timeline.steps - 1 if step is None else step, acted)
        return _evaluate(run, symbols, acted)


def _name_dials(run: Run, symbols: Symbols, step: int) -> None:
    run.dials.set(run.timeline.clock(step))
    for name, value in run.dials.values.items():
        if isinstance(value, Tensor):
            symbols.assign(value, digest("dial", over_time(run, run.dials.schedules[name])))


def _train(run: Run, symbols: Symbols, step: int, acted: set[str]) -> None:
    clock = run.timeline.clock(step)
    _name_dials(run, symbols, step)
    with _watched(run, symbols, acted) as each:
        each(lambda companion: companion.before_step(clock))
    zero = digest("no gradient")
    for param in run.assembly.params.values():
        symbols.assign(_grad(param), zero)
    untouched = {path: symbols.name(_grad(param)) for path, param in run.assembly.params.items()}
    batch = _batch(run, symbols, step)
    with _watched(run, symbols, acted) as each:
        each(lambda companion: companion.sees_batch(clock, *batch[:2]))
    run.model.train()
    _loss(run, *batch).backward()
    for owner, companion in zip(run.owners, run.companions, strict=True):
        if companion.wants_pass(clock):
            acted.add(owner)
            _second_pass(run, symbols, companion, step, zero)
    with _watched(run, symbols, acted) as each:
        each(lambda companion: companion.before_update(clock))
    grads = {path: symbols.name(_grad(param)) for path, param in run.assembly.params.items()}
    all_of_them = sorted(name for path, name in grads.items() if name != untouched[path])
    if run.optimizer.grad_clip:
        for path, param in run.assembly.params.items():
            if grads[path] != untouched[path]:
                symbols.assign(_grad(param), digest("clipped", grads[path], run.optimizer.grad_clip, all_of_them))
    with torch.no_grad():
        _update(run, symbols)
    with _watched(run, symbols, acted) as each, torch.no_grad():
        each(lambda companion: companion.after_update(clock))


def _second_pass(run: Run, symbols: Symbols, companion: Companion, step: int, zero: str) -> None:
    clock, (tokens, targets, starts) = run.timeline.clock(step), _batch(run, symbols, step)
    with torch.no_grad():
        companion.before_pass(clock)
    for param in run.assembly.params.values():
        symbols.assign(_grad(param), zero)
    companion.pass_loss(lambda x, y: _loss(run, x, y, starts), tokens, targets).backward()
    with torch.no_grad():
        companion.after_pass(clock)


def _loss(run: Run, tokens: Tensor, targets: Tensor, starts: Tensor) -> Tensor:
    loss: Tensor = run.model(tokens, targets, run.dials.values, starts)[0]
    return loss


def _batch(run: Run, symbols: Symbols, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, targets and where rows start in the run."""
    length = run.timeline.lengths[step]
    return _rows(symbols, "tokens", length), _rows(symbols, "targets", length), _rows(symbols, "starts", 1)[:, 0]


def _update(run: Run, symbols: Symbols) -> None:
    """Each parameter is moved alone, as its rule would move it in a stack."""
    factor = torch.empty((), device="meta")
    symbols.assign(factor, digest("lr", over_time(run, run.dials.schedules.get("lr", lambda clock: 1.0))))
    seen = {**run.dials.values, "step": 1}
    for stack in run.optimizer.stacks:
        moved: dict[tuple[float, float], str] = {}
        for path in stack.paths:
            param, own = run.assembly.params[path], run.assembly.rules[path]
            multipliers = own.lr, own.weight_decay
            if multipliers not in moved:
                moved[multipliers] = _moved(stack, symbols, seen, factor, *multipliers)
            before = symbols.name(param), symbols.name(_grad(param))
            symbols.assign(param, digest(before, moved[multipliers]))


def _grad(param: Tensor) -> Tensor:
    """The place for its gradient that every parameter has in its stack."""
    assert param.grad is not None
    return param.grad


def _moved(stack: Stack, symbols: Symbols, dials: Dials, factor: Tensor, lr: float, weight_decay: float) -> str:
    """Name of one member of a stack after an update, but for its weights and gradients themselves."""
    p, g = (torch.empty((1, *stack.group.shape), device="meta") for _ in range(2))
    symbols.assign(p, "weights")
    symbols.assign(g, "gradients")
    rows = torch.empty(1, dtype=torch.long, device="meta")
    symbols.assign(rows, "number in its group")
    dials = {**dials, "rows": rows}
    direction = stack.rule.direction(p, g, stack.rule.init(p), dials)
    column = [1] * p.dim()
    rate = factor.view(column) * (stack.rule.lr * lr)
    decay = torch.full(column, stack.rule.weight_decay * weight_decay, device="meta")
    amount = stack.decay.amount(p, direction, rate, decay, dials)
    return symbols.name(p.sub_(amount).sub_(direction * rate))


def _evaluate(run: Run, symbols: Symbols, acted: set[str]) -> str:
    run.model.eval()
    tokens = _rows(symbols, "tokens", run.timeline.context)
    with contextlib.ExitStack() as stack:
        with _watched(run, symbols, acted) as each:
            each(lambda companion: stack.enter_context(companion.evaluating()))
        with torch.no_grad():
            return symbols.name(run.model.logits(tokens, run.dials.values))


@contextlib.contextmanager
def _watched(run: Run, symbols: Symbols, acted: set[str]) -> Any:
    """Calls one moment of every companion; notes the owners of those that write what is not theirs."""
    tensors = itertools.chain(run.assembly.params.values(), run.model.buffers(), _tensors(run.dials.values.values()))
    others = {t.untyped_storage()._cdata for t in tensors}
    others |= {p.grad.untyped_storage()._cdata for p in run.assembly.params.values() if p.grad is not None}

    def each(moment: Any) -> None:
        for owner, companion in zip(run.owners, run.companions, strict=True):
            symbols.writes.clear()
            moment(companion)
            if symbols.writes & others:
                acted.add(owner)

    yield each


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    return [value for value in values if isinstance(value, Tensor)]


def _rows(symbols: Symbols, name: str, length: int) -> Tensor:
    made = torch.empty(ROWS, length, dtype=torch.long, device="meta")
    symbols.assign(made, name)
    return made


def _steps(run: Run) -> list[int]:
    """Up to `SAMPLES` steps, the first and the last among them."""
    steps = run.timeline.steps
    return sorted({round(i * (steps - 1) / (SAMPLES - 1)) for i in range(SAMPLES)})


def over_time(run: Run, schedule: Schedule) -> list[Any]:
    """The numbers of a schedule over the run; what stays is said once."""
    return _series(run, lambda step: float(schedule(run.timeline.clock(step))))


def _series(run: Run, value: Any) -> list[Any]:
    """`value` of step after step; what stays is said once."""
    return _runs([value(step) for step in _steps(run)])


def _runs(values: Iterable[Any]) -> list[Any]:
    """(value, how often) of each stretch of equal ones; only the value where all are equal."""
    found = [(repr(value), len(list(same))) for value, same in itertools.groupby(values)]
    return found if len(found) > 1 else [found[0][0]]
