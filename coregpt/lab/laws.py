"""The laws every technique obeys, checked on a tiny model: for the built-ins in tests, for anybody's plugin by
`coregpt plugins check NAME`.

Each law is a function of a `Subject` that raises LawError with what was expected and what was seen.
"""

import inspect
import pickle
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from coregpt.contract.config import DataConfig, ModelShape, OptimConfig, RunConfig
from coregpt.contract.plugin import Plugin
from coregpt.engine.accounting import count
from coregpt.engine.build import Run, build
from coregpt.engine.trainer import train
from coregpt.lab.lawtools import Rows, counting_backend, executed_flops, stop_after, tiny_source, two_ranks
from coregpt.lab.registry import Catalogue

SHAPE = ModelShape(vocab=61, dim=32, depth=4, heads=2, context=24)


class LawError(Exception):
    """A law is broken."""


@dataclass
class Subject:
    """A plugin under test, with whatever it requires, and options other than the defaults if given."""

    catalogue: Catalogue
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def cls(self) -> type[Plugin]:
        return self.catalogue.cls(self.name)

    @property
    def files(self) -> tuple[Path, ...]:
        """Plugin files outside any package, which other processes must be told of."""
        return tuple(self.catalogue.files.values())

    def plugins(self, options: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
        return {**{name: {} for name in self.cls.requires}, self.name: self.options if options is None else options}

    def config(self, plugins: dict[str, dict[str, Any]] | None = None, steps: int = 8, **changes: Any) -> RunConfig:
        base: dict[str, Any] = {
            "model": SHAPE,
            "data": DataConfig(source="tiny"),
            "optim": OptimConfig(lr=0.01),
            "plugins": self.plugins() if plugins is None else plugins,
            "batch_tokens": 4 * SHAPE.context,
            "tokens": 4 * SHAPE.context * steps,
            "eval_tokens": 2 * SHAPE.context,
            "evals": 2,
        }
        return RunConfig(**{**base, **changes})

    def run(self, config: RunConfig) -> Run:
        return build(config, self.catalogue.instances(config.plugins), separator=0)

    def tokens(self, rows: int = 4, seed: int = 0) -> Tensor:
        """(rows, context) random ids; 0 separates documents."""
        return torch.randint(0, SHAPE.vocab, (rows, SHAPE.context), generator=torch.Generator().manual_seed(seed))

    def stir(self, run: Run) -> None:
        """Move every weight off its initial value, where zeros could hide what a technique does."""
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for param in run.assembly.params.values():
                param.add_(torch.randn(param.shape, generator=generator), alpha=0.1)


def documented(subject: Subject) -> None:
    """The module says what it is and where it comes from; every option has a line."""
    card = inspect.getdoc(sys.modules[subject.cls.__module__]) or ""
    if not any(line.startswith("Source:") for line in card.splitlines()):
        raise LawError("the module's docstring needs a line that starts with 'Source:'")
    for name, option in subject.cls.model_fields.items():
        if not option.description:
            raise LawError(f"option '{name}' needs a docstring under it")


def leaves_global_randomness_alone(subject: Subject) -> None:
    """Building draws nothing from torch's, numpy's or Python's global generators."""
    before = _random_states()
    subject.run(subject.config())
    if _random_states() != before:
        raise LawError("building the model drew from a global random generator; use at.weight")


def _random_states() -> tuple[bytes, ...]:
    return torch.get_rng_state().numpy().tobytes(), pickle.dumps(np.random.get_state()), pickle.dumps(random.getstate())


def one_graph(subject: Subject) -> None:
    """fullgraph compiles without a break, once per stage, and never again while dials move."""
    run = subject.run(subject.config())
    compiled, graphs = counting_backend(run.model)
    signatures = set()
    for step in range(run.timeline.steps):
        run.dials.set(run.timeline.clock(step))
        staged = tuple((k, v) for k, v in run.dials.values.items() if not isinstance(v, Tensor))
        rows = run.timeline.batches[step] // run.timeline.context
        signatures.add((rows, run.timeline.lengths[step], staged))
        tokens = subject.tokens(rows, step).view(-1, run.timeline.lengths[step])
        try:
            compiled(tokens, tokens, run.dials.values)[0].backward()
        except TorchDynamoException as error:
            raise LawError(f"the model does not compile as one graph: {first_line(error)}") from error
    if len(graphs) != len(signatures):
        raise LawError(f"expected {len(signatures)} graph(s), one per stage, but the compiler made {len(graphs)}")


def loss_falls(subject: Subject) -> None:
    """Thirty steps on one batch lower the loss by at least 5%."""
    run = subject.run(subject.config(steps=30))
    tokens = subject.tokens()
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


def sees_no_future(subject: Subject) -> None:
    """No logit at position t changes when tokens after t do."""
    run = subject.run(subject.config())
    subject.stir(run)
    tokens = subject.tokens(rows=3)
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


def neutral_setting_does_nothing(subject: Subject) -> None:
    """With the options in `neutral`, three training steps equal the bare core's to the bit."""
    if subject.cls.neutral is None:
        return
    bare: dict[str, dict[str, Any]] = {name: {} for name in subject.cls.requires}
    tokens = subject.tokens()
    weights = []
    for plugins in (bare, subject.plugins(subject.cls.neutral)):
        run = subject.run(subject.config(plugins))
        for step in range(3):
            run.dials.set(run.timeline.clock(step))
            run.model(tokens[:, :-1], tokens[:, 1:], run.dials.values)[0].backward()
            run.optimizer.step(run.dials.lr_factor, run.dials.values)
        weights.append({name: param.detach() for name, param in run.assembly.params.items()})
    for name, value in weights[0].items():
        if name not in weights[1] or not torch.equal(value, weights[1][name]):
            raise LawError(f"neutral = {subject.cls.neutral} still changes '{name}'")


def two_ranks_equal_one(subject: Subject) -> None:
    """Two gloo ranks of half the rows each end with the weights of one rank."""
    compare_ranks({subject.name: two_ranks([subject.config(steps=4)], subject.files)[0]}, {subject.name: subject})


def compare_ranks(two: dict[str, dict[str, Tensor]], subjects: dict[str, Subject]) -> None:
    """The comparison behind `two_ranks_equal_one`, for many plugins from one pair of processes."""
    for name, subject in subjects.items():
        one = train_tiny(subject, subject.config(steps=4))
        for path, value in one.items():
            gap = (value - two[name][path]).abs().max().item()
            if gap > 2e-4:
                raise LawError(f"'{name}': '{path}' differs by {gap:.2g} between 1 and 2 ranks")


def train_tiny(subject: Subject, config: RunConfig) -> dict[str, Tensor]:
    run = subject.run(config)
    with tempfile.TemporaryDirectory() as folder:
        train(run, tiny_source(), Rows(), Path(folder) / "checkpoint.pt")
    return {name: param.detach().clone() for name, param in run.assembly.params.items()}


def resumes_to_the_bit(subject: Subject) -> None:
    """Stopped after three steps and resumed by a new process' objects equals uninterrupted."""
    config, source = subject.config(), tiny_source()
    with tempfile.TemporaryDirectory() as folder:
        whole, straight = subject.run(config), Rows()
        train(whole, source, straight, Path(folder) / "a.pt")
        broken = Rows()
        path = Path(folder) / "b.pt"
        train(subject.run(config), source, broken, path, stop_after(3))
        resumed = subject.run(config)
        train(resumed, source, broken, path)
    for name, param in whole.assembly.params.items():
        if not torch.equal(param, resumed.assembly.params[name]):
            raise LawError(f"'{name}' differs between a resumed and an uninterrupted run; is a state not saved?")
    if straight.without_times() != broken.without_times():
        raise LawError("the log of a resumed run differs from an uninterrupted run's")


def every_parameter_in_one_group(subject: Subject) -> None:
    """The optimizer's stacks hold each parameter exactly once, as a view."""
    run = subject.run(subject.config())
    paths = [path for stack in run.optimizer.stacks for path in stack.paths]
    if sorted(paths) != sorted(run.assembly.params):
        raise LawError("the optimizer's groups are not a partition of the parameters")
    for stack in run.optimizer.stacks:
        for row, path in enumerate(stack.paths):
            if run.assembly.params[path].data_ptr() != stack.data[row].data_ptr():
                raise LawError(f"'{path}' is not a view of its stack: something replaced its storage")


def counts_agree(subject: Subject) -> None:
    """Core's parameter and FLOP counts equal a count of the products a real CPU step executes."""
    config = subject.config()
    plugins = subject.catalogue.instances(config.plugins)
    cost = count(config, plugins)
    run = subject.run(config)
    real = sum(param.numel() for param in {id(p): p for p in run.model.parameters()}.values())
    if cost.parameters != real:
        raise LawError(f"core counts {cost.parameters} parameters, the model has {real}")
    tokens = subject.tokens(rows=2)
    run.dials.set(run.timeline.clock(0))
    flops = executed_flops(lambda: run.model(tokens, tokens, run.dials.values)[0].backward())
    executed = flops / tokens.numel()
    if len(set(run.timeline.lengths)) == 1 and abs(executed / cost.flops_per_token - 1) > 0.01:
        raise LawError(f"core counts {cost.flops_per_token:.6g} FLOPs per token, a real step executes {executed:.6g}")


LAWS: tuple[Callable[[Subject], None], ...] = (
    documented,
    leaves_global_randomness_alone,
    every_parameter_in_one_group,
    counts_agree,
    sees_no_future,
    neutral_setting_does_nothing,
    loss_falls,
    one_graph,
    resumes_to_the_bit,
    two_ranks_equal_one,
)


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def check(name: str, say: Callable[[str], None]) -> bool:
    """Every law for one plugin by name; one line per law through `say`. True when all hold."""
    torch.set_num_threads(1)
    subject = Subject(Catalogue(), name)
    subject.cls  # a misspelt or broken plugin is an error, not a broken law  # noqa: B018
    holds = True
    for law in LAWS:
        try:
            law(subject)
        except Exception as broken:  # a plugin may fail in any way; the other laws are still worth knowing
            holds = False
            what = str(broken) if isinstance(broken, LawError) else f"{type(broken).__name__}: {first_line(broken)}"
            say(f"FAIL  {law.__name__.replace('_', ' ')}: {what}")
        else:
            say(f"ok    {law.__name__.replace('_', ' ')}")
    return holds
