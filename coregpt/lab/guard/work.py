"""The work of a run, counted while it is done: products in some steps, and tokens that go through the model's door.

The plan says what a step costs, by the model alone. A technique that trains on more than its batch, or that takes steps
of its own beside core's, does more than that, and its gain is no gain at equal work.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _pop_mode, _push_mode
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack as _modes

from coregpt.contract.companion import Companion
from coregpt.contract.rules import Clock
from coregpt.engine.build import Run
from coregpt.engine.data import TokenSource, row_order
from coregpt.engine.training.step import TrainingStep
from coregpt.lab.guard.bound import refuse
from coregpt.lab.guard.switches import of_products

STEP, OPTIMIZER, LOW = "passes", "optimizer", "low"
OUTSIDE = "outside"
"""Products that are made while the run is built, or by companions around its evaluations."""
BELOW = (torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2)
"""Types of numbers below fp32."""
DRAWN = 3
"""Steps that are counted beside the first, the middle and the last: others in each seed."""
EAGER = 4
"""Times fewer rows of a pass without the compiler, which keeps more of a pass in memory."""
MADE_BY_MODE = "operators in between"
"""The switch that counting itself moves."""
OTHERS = "another mode stands between torch and its operators"


class Work:
    """Counts from the moment it is made. What is compiled has products that nobody sees: there it counts nothing, and
    one step is taken again at the end (`taken_again`)."""

    def __init__(self, run: Run, hold: Callable[[Sequence[str], bool], None]):
        """`hold` is called inside of the steps that are counted with the switches that counting moves, and raises where
        it finds a change; in one of these steps of functions too, which takes longer."""
        self.run, self.hold = run, hold
        self.clocks = self.began = (0.0, 0.0)
        self.counted: list[dict[str, float]] = []
        self.outside = 0.0
        self.batch: tuple[Tensor, ...] = ()
        self.tokens = self.declared = self.step = 0
        self.mode: _Products | None = None
        self.batches = tuple(run.timeline.batches)
        if run.config.compile:
            return
        steps = run.timeline.steps
        drawn = random.Random(run.config.seed).choices(range(steps), k=DRAWN)
        self.sampled, self.looked = {0, steps // 2, steps - 1, *drawn}, drawn[0]
        inner = run.model._context
        vars(run.model)["_context"] = self._door(inner)
        run.companions[:] = [_First(self), *run.companions, _Last(self)]
        run.owners[:] = ["(work begins)", *run.owners, "(work ends)"]

    def __enter__(self) -> Self:
        self.began = _clocks()
        return self

    def __exit__(self, *error: object) -> None:
        """A step that failed does not leave the process counting."""
        self.clocks = _clocks()
        self.let_go()

    def _door(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def door(tokens: Tensor, *rest: Any, **named: Any) -> Any:
            if torch.is_grad_enabled():
                self.tokens += tokens.numel()
            return inner(tokens, *rest, **named)

        return door

    def begin(self, clock: Clock) -> None:
        """Before any companion's part of a step."""
        run = self.run
        passes = 1 + sum(companion.wants_pass(clock) for companion in run.companions)
        self.declared += passes * self.batches[clock.step] // run.world.size
        self.end()  # of a step that fp16 skipped
        self.step = clock.step
        if clock.step in self.sampled:
            self.count()

    def sees(self, *batch: Tensor) -> None:
        """Before any companion is shown it."""
        looks = self.mode is not None or self.run.device.type == "cpu"  # elsewhere comparing would wait for the device
        self.batch = tuple(each.clone() for each in batch) if looks else ()

    def computes(self, *batch: Tensor) -> None:
        """Before the first forward pass of a step, after all that companions do before it."""
        if not all(map(torch.equal, self.batch, batch)):  # nothing is compared where nothing was kept
            refuse(["the tokens of its batch are others"], "was shown a step's batch")
        if self.mode is not None:
            refuse(self.mode.others(), "began a step")
            self.hold([MADE_BY_MODE], self.step == self.looked)

    def updating(self, optimizer: bool) -> None:
        if self.mode is not None:
            self.mode.where = OPTIMIZER if optimizer else STEP

    def end(self) -> None:
        """After all that companions do in a step."""
        if (mode := self.counted_by("began a step")) is not None:
            refuse(list(mode.moved), "began a pass")
            tokens = self.batches[self.step] // self.run.world.size
            update = self.run.optimizer.steps
            self.counted.append({"step": self.step, "tokens": tokens, "update": update, **mode.flops, LOW: mode.low})

    def leaves_steps(self) -> None:
        """Before companions are asked for what is beside steps."""
        self.end()
        self.count()

    def is_back(self) -> None:
        if (mode := self.counted_by("was evaluated")) is not None:
            self.outside += mode.flops[STEP]

    # -- the counter ----------------------------------------------------------------------------------------------

    def count(self) -> None:
        self.mode = _Products()
        self.mode.__enter__()  # type: ignore[no-untyped-call]

    def counted_by(self, when: str) -> "_Products | None":
        """What has counted until now, if anything did. Raises PluginError, `when`, where another one would be taken
        away in its place."""
        mode, others = self.mode, self.let_go()
        refuse(others, when)
        return mode

    def let_go(self) -> list[str]:
        """Count no more, after a step that did not come to its end too: a counter that stayed would trouble all that
        follows. What was found in its place."""
        mode, self.mode = self.mode, None
        return mode.leave() if mode is not None else []

    def facts(self) -> dict[str, Any] | None:
        """What was counted, as a result says it; None where nothing could be."""
        if self.run.config.compile:
            return None
        found: dict[str, Any] = {"steps": self.counted, "tokens": self.tokens, "declared": self.declared}
        if self.outside:
            found[OUTSIDE] = self.outside
        if self.run.device.type == "cpu" and self.run.world.size == torch.get_num_threads() == 1:
            whole, own = (after - before for before, after in zip(self.began, self.clocks, strict=True))
            found["seconds"] = {"own": round(own, 3), "beside": round(max(0.0, whole - own), 3)}
        return found


def _clocks() -> tuple[float, float]:
    """Processor seconds of this process, and of this thread."""
    return time.process_time(), time.thread_time()


def taken_again(run: Run, source: TokenSource, explain: Callable[[BaseException], str]) -> dict[str, Any]:
    """The last step of a compiled run once more, without the compiler and in smaller passes: what it multiplies.

    The weights move by it: only for a run that has left its own. `uncounted` says why that step cannot be taken: eager
    code needs other memory and other kernels, several ranks would wait for each other, and none of it is the run's
    fault. `explain` puts an error into a line.
    """
    if run.world.size > 1:
        return nothing(f"its {run.world.size} ranks would wait for each other")
    last, steps = run.timeline.steps - 1, TrainingStep(run, row_order(source, run.config, run.timeline.first_rows[-1]))
    config = run.config.model_copy(update={"compile": False, "micro_rows": max(1, steps.micro_rows(last) // EAGER)})
    for stack in run.optimizer.stacks:
        stack.compiled = None
    plain = replace(run, config=config)
    try:
        steps = TrainingStep(plain, steps.order)
        steps.prepare()
        run.model.train()
        with Work(plain, lambda but, functions: None) as work:
            steps(last)
        steps.ahead.close()
    except Exception as error:
        return nothing(explain(error))
    return (work.facts() if work.counted else None) or nothing("the optimizer skipped it")


def nothing(why: str) -> dict[str, Any]:
    """The facts of a run in which nothing was counted."""
    return {"steps": [], "tokens": 0, "declared": 0, "uncounted": why}


class _First(Companion):
    def __init__(self, work: Work):
        self.work = work

    def before_step(self, clock: Clock) -> None:
        self.work.begin(clock)

    def sees_batch(self, clock: Clock, tokens: Tensor, targets: Tensor) -> None:
        self.work.sees(tokens, targets)

    def after_update(self, clock: Clock) -> None:
        self.work.updating(optimizer=False)

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Around those of all others, which have begun before `_Last`'s does and end after it."""
        self.work.leaves_steps()
        yield
        self.work.is_back()

    def metrics(self) -> dict[str, float]:
        self.work.leaves_steps()
        return {}


class _Last(Companion):
    def __init__(self, work: Work):
        self.work = work

    def sees_batch(self, clock: Clock, tokens: Tensor, targets: Tensor) -> None:
        self.work.computes(tokens, targets)

    def before_update(self, clock: Clock) -> None:
        self.work.updating(optimizer=True)

    def after_update(self, clock: Clock) -> None:
        self.work.end()

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        self.work.is_back()
        yield
        self.work.leaves_steps()

    def metrics(self) -> dict[str, float]:
        self.work.is_back()
        return {}


class _Products(TorchDispatchMode):
    """Floating point operations of products, two a multiply-add, by where they are made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.where = STEP
        self.flops: dict[str, float] = {STEP: 0.0, OPTIMIZER: 0.0}
        self.low = 0.0
        """Of all of them, those with factors below fp32."""
        self.formulas = _formulas()
        self.switches = of_products()
        self.moved: dict[str, None] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Asked by torch when the class is made: to skip the compiler it would import it, a second of every run."""
        return False

    def others(self) -> list[str]:
        """`another mode stands between torch and its operators`, where this one is not the innermost: leaving would
        take the other one away, and what follows would be counted by nobody."""
        innermost = _modes()[-1:]
        return [] if innermost == [self] else [OTHERS]

    def leave(self) -> list[str]:
        """Be taken away, from below others too; see `others`."""
        found, above = self.others(), []
        if self in _modes():
            while _modes()[-1] is not self:
                above.append(_pop_mode())
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        for mode in reversed(above):
            _push_mode(mode)
        return found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = self.formulas.get(func._overloadpacket)
        if formula is not None:
            spent = formula(*args, **(kwargs or {}), out_val=out)
            self.flops[self.where] += spent
            self.low += spent if any(isinstance(each, Tensor) and each.dtype in BELOW for each in args) else 0
            now = of_products()
            self.moved |= {
                f"{key} is {now[key]}, not {was}": None for key, was in self.switches.items() if now[key] != was
            }
        return out


def _formulas() -> dict[Any, Callable[..., int]]:
    """What torch knows of products, and those of them that write into one of their operands."""
    from torch.utils.flop_counter import flop_registry

    aten = torch.ops.aten
    return {**flop_registry, aten.addmm_: flop_registry[aten.addmm], aten.baddbmm_: flop_registry[aten.baddbmm]}


def built(make: Callable[[], Run]) -> tuple[Run, float]:
    """What `make` builds, and the products that it takes; no model is trained while it is built."""
    mode = _Products()
    with mode:
        run = make()
    return run, mode.flops[STEP]


def products(compute: Callable[[], object]) -> float:
    """Floating point operations of all products that a call makes on the CPU."""
    mode = _Products()
    with mode:
        compute()
    return mode.flops[STEP]
