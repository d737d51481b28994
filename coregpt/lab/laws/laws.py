"""The laws every technique obeys, checked on a tiny model: for the built-ins in tests, for anybody's plugin by
`coregpt plugins check NAME`.

Each law is a function of a `LawCase` that raises LawError with what was expected and what was seen.
"""

import inspect
import pickle
import random
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from coregpt.contract.companion import Companion
from coregpt.contract.config import RunConfig
from coregpt.engine.accounting import StageCost, count
from coregpt.engine.build import Run
from coregpt.engine.timeline import cut
from coregpt.engine.trainer import train
from coregpt.lab.laws.law_case import SHAPE, LawCase, LawError
from coregpt.lab.laws.tools import Rows, counting_backend, executed_flops, stop_after, tiny_source, two_ranks
from coregpt.lab.study.registry import Catalogue

Loss = Callable[[Tensor, Tensor], Tensor]


def documented(case: LawCase) -> None:
    """The module says what it is and where it comes from; every option has a line."""
    card = inspect.getdoc(sys.modules[case.cls.__module__]) or ""
    if not any(line.startswith("Source:") for line in card.splitlines()):
        raise LawError("the module's docstring needs a line that starts with 'Source:'")
    for name, option in case.cls.model_fields.items():
        if not option.description:
            raise LawError(f"option '{name}' needs a docstring under it")


def leaves_global_randomness_alone(case: LawCase) -> None:
    """Building draws nothing from torch's, numpy's or Python's global generators."""
    before = _random_states()
    case.run(case.config())
    if _random_states() != before:
        raise LawError("building the model drew from a global random generator; use at.weight")


def _random_states() -> tuple[bytes, ...]:
    return torch.get_rng_state().numpy().tobytes(), pickle.dumps(np.random.get_state()), pickle.dumps(random.getstate())


def one_graph(case: LawCase) -> None:
    """fullgraph compiles without a break, once per stage, and never again while dials move."""
    run = case.run(case.config())
    compiled, graphs = counting_backend(run.model)
    signatures = set()
    for step in range(run.timeline.steps):
        run.dials.set(run.timeline.clock(step))
        staged = tuple((k, v) for k, v in run.dials.values.items() if not isinstance(v, Tensor))
        rows = run.timeline.rows(step)
        signatures.add((rows, run.timeline.lengths[step], staged))
        tokens = cut(case.tokens(rows, step), run.timeline.lengths[step])
        try:
            compiled(tokens, tokens, run.dials.values)[0].backward()
        except TorchDynamoException as error:
            raise LawError(f"the model does not compile as one graph: {first_line(error)}") from error
    if len(graphs) != len(signatures):
        raise LawError(f"expected {len(signatures)} graph(s), one per stage, but the compiler made {len(graphs)}")


def loss_falls(case: LawCase) -> None:
    """Thirty steps on one batch lower the loss by at least 5%."""
    run = case.run(case.config(steps=30))
    tokens = case.tokens()
    losses = []
    for step in range(30):
        run.dials.set(run.timeline.clock(min(step, run.timeline.steps - 1)))
        loss, _ = run.model(tokens[:, :-1], tokens[:, 1:], run.dials.values)
        loss.backward()
        run.optimizer.step(run.dials.lr_factor, run.dials.values)
        for companion in run.companions:
            companion.after_update(run.timeline.clock(0))
        losses.append(float(loss.detach()))
    if not losses[-1] < 0.95 * losses[0]:
        raise LawError(f"the loss went from {losses[0]:.4f} to {losses[-1]:.4f} in 30 steps on one batch")


def sees_no_future(case: LawCase) -> None:
    """No logit at position t changes when tokens after t do."""
    run = case.run(case.config())
    case.stir(run)
    tokens = case.tokens(rows=3)
    for step in (0, run.timeline.steps - 1):
        run.dials.set(run.timeline.clock(step))
        for training in (True, False):
            run.model.train(training)
            with torch.no_grad():
                before = run.model.logits(tokens, run.dials.values)
                for t in (0, 1, 11, SHAPE.context - 2):
                    changed = tokens.clone()
                    changed[:, t + 1 :] = (changed[:, t + 1 :] + 7) % SHAPE.vocab
                    after = run.model.logits(changed, run.dials.values)
                    gap = (after - before)[:, : t + 1].abs().max().item()
                    if gap > 1e-4:
                        raise LawError(f"logits at positions up to {t} moved by {gap:.2g} when later tokens changed")


def rows_do_not_meet(case: LawCase) -> None:
    """In evaluation no logit changes when other rows do: the next row begins with the last one's answer."""
    run = case.run(case.config())
    case.stir(run)
    run.model.eval()
    run.dials.set(run.timeline.clock(run.timeline.steps - 1))
    tokens, others = case.tokens(rows=3), case.tokens(rows=3, seed=1)
    with torch.no_grad():
        before = run.model.logits(tokens, run.dials.values)
        for row in range(3):
            others[row] = tokens[row]
            together = run.model.logits(others, run.dials.values)[row]
            alone = run.model.logits(tokens[row : row + 1], run.dials.values)[0]
            gap = max((before[row] - seen).abs().max().item() for seen in (together, alone))
            if gap > 1e-4:
                raise LawError(f"logits of one row moved by {gap:.2g} when other rows changed or were left out")
            others = case.tokens(rows=3, seed=row + 2)


def evaluation_leaves_no_trace(case: LawCase) -> None:
    """Evaluating again gives the same bits, and training goes the same way however often it is evaluated."""
    run = case.run(case.config())
    case.stir(run)
    run.model.eval()
    with torch.no_grad():
        first = run.model.logits(case.tokens(), run.dials.values)
        for seed in (1, 0, 2, 0, 0):
            again = run.model.logits(case.tokens(seed=seed), run.dials.values)
            if seed == 0 and not torch.equal(first, again):
                raise LawError("the same tokens evaluated again gave other logits: something random or remembered")
    seldom, often = (trained(case, case.config(evals=evals)) for evals in (1, 8))
    for name, value in seldom[0].items():
        if not torch.equal(value, often[0][name]):
            raise LawError(f"'{name}' ends differently when the model is evaluated more often")
    if seldom[1] != often[1]:
        raise LawError("the final loss depends on how often the model is evaluated")


def neutral_setting_does_nothing(case: LawCase) -> None:
    """With the options in `neutral`, three training steps equal the bare core's to the bit."""
    if case.cls.neutral is None:
        return
    bare: dict[str, dict[str, Any]] = {name: {} for name in case.cls.requires}
    tokens = case.tokens()
    weights = []
    for plugins in (bare, case.plugins(case.cls.neutral)):
        run = case.run(case.config(plugins))
        for step in range(3):
            run.dials.set(run.timeline.clock(step))
            run.model(tokens[:, :-1], tokens[:, 1:], run.dials.values)[0].backward()
            run.optimizer.step(run.dials.lr_factor, run.dials.values)
        weights.append({name: param.detach() for name, param in run.assembly.params.items()})
    for name, value in weights[0].items():
        if name not in weights[1] or not torch.equal(value, weights[1][name]):
            raise LawError(f"neutral = {case.cls.neutral} still changes '{name}'")


def two_ranks_equal_one(case: LawCase) -> None:
    """Two gloo ranks of half the rows each end with the weights of one rank."""
    compare_ranks({case.name: two_ranks([case.config(steps=4)], case.files)[0]}, {case.name: case})


def compare_ranks(two: dict[str, dict[str, Tensor]], subjects: dict[str, LawCase]) -> None:
    """The comparison behind `two_ranks_equal_one`, for many plugins from one pair of processes."""
    for name, case in subjects.items():
        one = train_tiny(case, case.config(steps=4))
        for path, value in one.items():
            gap = (value - two[name][path]).abs().max().item()
            if gap > 2e-4:
                raise LawError(f"'{name}': '{path}' differs by {gap:.2g} between 1 and 2 ranks")


def train_tiny(case: LawCase, config: RunConfig) -> dict[str, Tensor]:
    return trained(case, config)[0]


def trained(case: LawCase, config: RunConfig) -> tuple[dict[str, Tensor], float | None]:
    """Weights and loss at the end of a short run."""
    run = case.run(config)
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(run, tiny_source(), Rows(), Path(folder) / "checkpoint.pt")
    return {name: param.detach().clone() for name, param in run.assembly.params.items()}, outcome.value


def resumes_to_the_bit(case: LawCase) -> None:
    """Stopped after three steps and resumed by a new process' objects equals uninterrupted."""
    config, source = case.config(), tiny_source()
    with tempfile.TemporaryDirectory() as folder:
        whole, straight = case.run(config), Rows()
        train(whole, source, straight, Path(folder) / "a.pt")
        broken = Rows()
        path = Path(folder) / "b.pt"
        train(case.run(config), source, broken, path, stop_after(3))
        resumed = case.run(config)
        train(resumed, source, broken, path)
    for name, param in whole.assembly.params.items():
        if not torch.equal(param, resumed.assembly.params[name]):
            raise LawError(f"'{name}' differs between a resumed and an uninterrupted run; is a state not saved?")
    if straight.without_times() != broken.without_times():
        raise LawError("the log of a resumed run differs from an uninterrupted run's")


def every_parameter_in_one_group(case: LawCase) -> None:
    """The optimizer's stacks hold each parameter exactly once, as a view."""
    run = case.run(case.config())
    paths = [path for stack in run.optimizer.stacks for path in stack.paths]
    if sorted(paths) != sorted(run.assembly.params):
        raise LawError("the optimizer's groups are not a partition of the parameters")
    for stack in run.optimizer.stacks:
        for row, path in enumerate(stack.paths):
            if run.assembly.params[path].data_ptr() != stack.data[row].data_ptr():
                raise LawError(f"'{path}' is not a view of its stack: something replaced its storage")


def counts_agree(case: LawCase) -> None:
    """Core's parameter and FLOP counts equal a count of the products a real CPU step executes."""
    config = case.config()
    plugins = case.catalogue.instances(config.plugins)
    cost = count(config, plugins)
    run = case.run(config)
    real = sum(param.numel() for param in {id(p): p for p in run.model.parameters()}.values())
    if cost.parameters != real:
        raise LawError(f"core counts {cost.parameters} parameters, the model has {real}")
    for stage in cost.stages:
        executed, counted = _executed(case, run, stage), stage.flops_per_token
        if abs(executed / counted - 1) > 0.01:
            raise LawError(f"core counts {counted:.6g} FLOPs per token, a real step executes {executed:.6g}")


def _pass(companion: Companion, loss: Loss, tokens: Tensor) -> None:
    companion.pass_loss(loss, tokens, tokens).backward()


def _executed(case: LawCase, run: Run, stage: StageCost) -> float:
    """FLOPs per token of all passes of one step."""
    clock = run.timeline.clock(stage.step)
    run.dials.set(clock)

    def loss(tokens: Tensor, targets: Tensor) -> Tensor:
        return run.model(tokens, targets, run.dials.values)[0]

    tokens = cut(case.tokens(rows=2), stage.length)
    per_token = executed_flops(lambda: loss(tokens, tokens).backward()) / tokens.numel()
    whole = cut(case.tokens(run.timeline.rows(stage.step)), stage.length)
    for companion in run.companions:
        if companion.wants_pass(clock):
            again = executed_flops(partial(_pass, companion, loss, whole))
            per_token += again / whole.numel()
    return per_token


LAWS: tuple[Callable[[LawCase], None], ...] = (
    documented,
    leaves_global_randomness_alone,
    every_parameter_in_one_group,
    counts_agree,
    sees_no_future,
    rows_do_not_meet,
    evaluation_leaves_no_trace,
    neutral_setting_does_nothing,
    loss_falls,
    one_graph,
    resumes_to_the_bit,
    two_ranks_equal_one,
)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def check(name: str, say: Callable[[str], None], files: Iterable[Path] = ()) -> bool:
    """Every law for one plugin by name; one line per law through `say`. True when all hold.

    `files` are plugin files that live in no package.
    """
    return check_case(LawCase(Catalogue(files), name), say)


def check_case(case: LawCase, say: Callable[[str], None], laws: Iterable[Callable[[LawCase], None]] = LAWS) -> bool:
    """As `check`, for a plugin with given options, or for some of the laws."""
    torch.set_num_threads(1)
    case.cls  # a misspelt or broken plugin is an error, not a broken law  # noqa: B018
    holds = True
    for law in laws:
        try:
            law(case)
        except Exception as broken:  # a plugin may fail in any way; the other laws are still worth knowing
            holds = False
            what = str(broken) if isinstance(broken, LawError) else f"{type(broken).__name__}: {first_line(broken)}"
            say(f"FAIL  {law.__name__.replace('_', ' ')}: {what}")
        else:
            say(f"ok    {law.__name__.replace('_', ' ')}")
    return holds
