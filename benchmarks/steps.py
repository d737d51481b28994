"""A run whose steps are called from outside, for whoever times them."""

from pathlib import Path

from coregpt.contract.config import RunConfig
from coregpt.engine.arithmetic.platform import set_up_cpu
from coregpt.engine.build import NamedPlugins, build
from coregpt.engine.data import TokenSource, open_source
from coregpt.engine.training.trainer import Trainer, never
from coregpt.engine.training.world import World
from coregpt.lab.study.registry import Catalogue


class Forget:
    """A sink that drops what it is told."""

    def record(self, row: object) -> None: ...

    def rewind(self, step: int) -> None: ...


GOLDEN = 0.6180339887498949


class Stepper:
    """Each call is one training step, its log included.

    Steps are taken all over the schedule, as a golden-ratio sequence, so that a few of them see early, middle and
    late stages alike, and two steppers of equal length see the same ones.
    """

    def __init__(
        self,
        config: RunConfig,
        plugins: NamedPlugins | None = None,
        source: TokenSource | None = None,
        world: World | None = None,
    ):
        set_up_cpu()  # as workers do
        source = source or open_source(config.data.source)
        made = Catalogue().instances(config.plugins) if plugins is None else plugins
        self.run = build(config, made, separator=source.separator, world=world)
        self.trainer = Trainer(self.run, source, Forget(), Path("never written"), never, 1e9)
        self.trainer.calls = self.trainer.train_step.prepare()
        self.taken = 0

    def __call__(self) -> None:
        steps = self.run.timeline.steps
        self.take(int(self.taken * GOLDEN * steps) % steps)
        self.taken += 1

    def take(self, step: int) -> None:
        self.trainer.pending.append((step, 0.0, self.trainer.train_step(step)))
        self.trainer.flush()
